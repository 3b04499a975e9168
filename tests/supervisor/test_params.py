"""What params, placeholders and env_files make of orders, and that a recovered daemon makes the same ones."""

import gc
import os
from pathlib import Path
from typing import Any

import pytest

from tests.supervisor.world import World
from wattle.errors import Invalid
from wattle.supervisor.commands import Alone
from wattle.supervisor.surroundings import read_env_file

WORKERS: list[dict[str, Any]] = [
    {"name": "a", "command": "tool ${{ params.x }}", "outputs": {"o": {"path": "${{ params.x }}", "optional": True}}},
    {"name": "b", "command": "cat ${{ inputs.i }} | sort", "inputs": {"i": "a/o"}},
]


def world(tmp_path: Path, **fields: Any) -> World:
    made = World(tmp_path, "")
    made.define({"name": "wf", "workers": WORKERS, "params": {"x": {"default": "d"}}, **fields})
    return made


def seen(order: dict[str, Any]) -> dict[str, Any]:
    return {key: order[key] for key in ("uid", "argv", "env", "direct")}


def test_a_recovered_daemon_makes_the_same_order(tmp_path: Path) -> None:
    """Positive control: other values make another order."""
    here = world(tmp_path)
    here.run(values={"x": "one"})
    first = seen(here.keeper.find("a", here.keeper.queued))
    here.supervisor.commit(None)
    here.kill()
    here.keeper.orders, here.keeper.queued = {}, {}  # it never arrived
    here.boot()
    assert seen(here.keeper.find("a", here.keeper.queued)) == first and first["argv"] == ["tool", "one"]
    here.play("start a; exit a 0; start b; exit b 0")
    here.run(values={"x": "two"})
    assert here.keeper.find("a", here.keeper.queued)["argv"] == ["tool", "two"]


def test_the_consumers_input_follows_the_producers_path(tmp_path: Path) -> None:
    here = world(tmp_path)
    here.run(values={"x": "deep/one"})
    here.play("start a; exit a 0")
    order = here.keeper.find("b", here.keeper.queued)
    directory = here.definitions.current("wf").workflow.working_dir
    assert order["env"]["WATTLE_INPUT_I"] == f"{directory}/deep/one" and order["env"]["WATTLE_PARAM_X"] == "deep/one"
    assert order["argv"] == ["/bin/sh", "-c", 'cat "$WATTLE_INPUT_I" | sort']
    assert (Path(directory) / "deep").is_dir()


def test_an_order_that_needs_a_file_waits_for_its_reading(tmp_path: Path) -> None:
    """After a crash between the commit of an order and its sending, the env_file is read before it is sent again."""
    env = tmp_path / "v.env"
    env.write_text("SECRET=one\n")
    here = world(tmp_path, env_file=str(env))
    here.run(values={"x": "one"})
    here.supervisor.commit(None)
    here.kill()
    here.keeper.orders, here.keeper.queued = {}, {}  # it never arrived
    env.write_text("SECRET=two\n")
    here.boot()
    assert here.keeper.find("a", here.keeper.queued)["env"]["SECRET"] == "two"
    here.play("start a; exit a 0; start b; exit b 0")
    assert here.status() == "completed"


@pytest.mark.parametrize("verb", ["stop", "stop a"])
def test_a_worker_whose_env_file_has_gone_fails_and_can_be_stopped(tmp_path: Path, verb: str) -> None:
    env = tmp_path / "v.env"
    env.write_text("")
    here = world(tmp_path, env_file=str(env))
    here.run(values={"x": "one"})
    here.supervisor.commit(None)
    here.kill()
    here.keeper.orders, here.keeper.queued = {}, {}
    env.unlink()
    here.boot()
    assert here.statuses() == {"a": "failed", "b": "cancelled"}
    assert str(env) in (here.reasons()["a"] or "")
    here.play(verb)
    assert here.status() == "failed"


def test_params_of_an_active_run_cannot_be_changed_by_a_verb(tmp_path: Path) -> None:
    here = world(tmp_path)
    here.run(values={"x": "one"})
    here.play("start a")
    now = here.definitions.current("wf")
    with pytest.raises(Invalid, match="has its params"):
        here.ask(lambda c: c.start_worker("wf", "b", now, False, Alone({"x": "two"}, {"x": "two"})))


def test_an_env_file_is_no_directory_and_no_pipe_and_keeps_no_descriptor(tmp_path: Path) -> None:
    """A pipe would be empty when it is read again. The daemon asks at every start, so a descriptor must not stay."""
    pipe, file = tmp_path / "pipe", tmp_path / "file"
    os.mkfifo(pipe)
    file.write_text("A=1\n")
    gc.collect()  # what earlier tests left open is not to be closed meanwhile
    before = os.listdir("/proc/self/fd")
    for path, says in ((tmp_path, "Is a directory"), (pipe, "it is a pipe"), (tmp_path / "none", "No such file")):
        with pytest.raises(ValueError, match=says):
            read_env_file(str(path))
    assert read_env_file(str(file)) == {"A": "1"} and read_env_file("/dev/null") == {}
    assert os.listdir("/proc/self/fd") == before
