"""The list of failpoints is the one in the documents and the one in the code; what is asked for is what happens."""

import ast
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import wattle
from tests.whole.server import Server, eventually
from wattle.keeper.failpoints import FILE_POINTS, POINTS, SLEEP_SECONDS, Fault

ROOT = Path(wattle.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "supervision.md"


def reached() -> Counter[str]:
    """How often each name stands in a call of `reach` in the code."""
    found: Counter[str] = Counter()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "reach":
                found[ast.literal_eval(node.args[0])] += 1
    return found


def pass_points(directory: Path, faults: str, names: str) -> "subprocess.CompletedProcess[str]":
    """A process that passes points, and says after each what became of it."""
    code = (
        "import sys\nfrom wattle.keeper.failpoints import reach\n"
        "for name in sys.argv[1].split():\n"
        "    try:\n        reach(name); print('passed', flush=True)\n"
        "    except OSError as error:\n        print(error.errno, flush=True)\n"
    )
    environ = os.environ | {
        "WATTLE_FAILPOINT": faults,
        "WATTLE_FAILPOINT_FIRED": str(directory / "fired"),
        "PYTHONPATH": str(ROOT.parent),
    }
    command = [sys.executable, "-c", code, names]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=30)


def test_every_point_is_in_the_code_and_nothing_else_is() -> None:
    assert set(reached()) == set(POINTS)


def test_every_point_is_documented_and_those_of_files_are_marked() -> None:
    table = PAGE.read_text().partition("<!-- failpoints -->")[2].partition("<!-- /failpoints -->")[0]
    rows = re.findall(r"^\| `([a-z_.]+)`( †)? \|", table, re.MULTILINE)
    assert sorted(name for name, _ in rows) == list(POINTS)
    assert sorted(name for name, mark in rows if mark) == sorted(FILE_POINTS)


def test_a_fault_happens_the_nth_time_only(tmp_path: Path) -> None:
    faults = "daemon.commit.before:2:eio,daemon.commit.before:3:enospc"
    answer = pass_points(tmp_path, faults, "daemon.commit.before " * 4)
    assert answer.stdout.split() == ["passed", "5", "28", "passed"]
    assert [line.split()[0] for line in (tmp_path / "fired").read_text().splitlines()] == [
        "daemon.commit.before:2:eio",
        "daemon.commit.before:3:enospc",
    ]


def test_a_fault_that_has_fired_does_not_fire_again(tmp_path: Path) -> None:
    faults = "keeper.spawn.after:1:kill"
    assert pass_points(tmp_path, faults, "keeper.spawn.after").returncode == -signal.SIGKILL
    assert pass_points(tmp_path, faults, "keeper.spawn.after").stdout.split() == ["passed"]


def test_a_pause_is_bounded(tmp_path: Path) -> None:
    assert pass_points(tmp_path, "keeper.spawn.after:1:sleep", "keeper.spawn.after").stdout.split() == ["passed"]
    assert 0 < SLEEP_SECONDS <= 2


@pytest.mark.parametrize(
    "text",
    ["nowhere:1:kill", "keeper.spawn.after", "keeper.spawn.after:0:kill", "keeper.spawn.after:1:die",
     "keeper.spawn.after:1:eio", "keeper.spawn.after:x:kill", "keeper.spawn.after:²:kill", ","],
)  # fmt: skip
def test_what_is_no_fault_is_refused_in_words(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'"):
        Fault(text)
    environ = {"WATTLE_FAILPOINT": text}
    server = Server(tmp_path)
    answer = server.wattle("serve", "--listen", "127.0.0.1:0", env=os.environ | environ)
    assert answer.returncode == 2
    assert "WATTLE_FAILPOINT" in answer.stderr and "Traceback" not in answer.stderr


def test_workers_do_not_see_what_is_asked_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTLE_FAILPOINT", "daemon.keeper.lost:9:kill")
    monkeypatch.setenv("WATTLE_FAILPOINT_FIRED", str(tmp_path / "fired"))
    server = Server(tmp_path).start()
    try:
        server.run("seen", [{"name": "w", "command": "env"}])
        assert server.ended("seen") == "completed"
        (keeper,) = server.keeper_pids()
        assert b"WATTLE_FAILPOINT=daemon.keeper.lost" in Path(f"/proc/{keeper}/environ").read_bytes()
        out = Path(eventually(lambda: server.get("/api/runs/1")["attempts"])[0]["stdout"]).read_text()
        assert "WATTLE_ATTEMPT_UID" in out and "WATTLE_FAILPOINT" not in out
    finally:
        server.down()
