"""Spawns that fail: worded, told apart, without a leak, retryable only where a retry can help (R6, R7)."""

import os
import resource
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from keeper.client import Client
from keeper.test_spawning import _refusal_cases

from wattle.keeper import launch

SPARE_UID = 54321


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.parametrize("settings", [None, {"nice": 1}])
def test_a_refused_spawn_leaks_nothing(keeper: Client, tmp_path: Path, settings: dict | None) -> None:
    """No descriptor, no child, no directory; 20 of each kind."""
    cases = _refusal_cases(tmp_path)
    keeper.run(["true"], settings=settings)
    before = descriptors(keeper.pid)
    found: Counter[str] = Counter()
    for case, (argv, fields) in cases.items():
        for _ in range(20 if "too" not in case else 2):
            found[keeper.refusal(argv, settings=settings, **fields)["reason_code"]] += 1
    assert descriptors(keeper.pid) == before
    assert Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children").read_text() == ""
    assert set(found) == {case.split()[0] for case in cases}
    assert keeper.run(["true"], settings=settings)["exit_code"] == 0


@pytest.mark.parametrize("settings", [None, {"nice": 1}])
def test_a_program_being_written_is_worth_a_retry(keeper: Client, tmp_path: Path, settings: dict | None) -> None:
    program = tmp_path / "program"
    shutil.copy("/bin/true", program)
    with open(program, "ab"):
        record = keeper.refusal([str(program)], settings=settings)
        assert (record["reason_code"], record["retryable"]) == ("command_busy", True)
    assert keeper.run([str(program)], settings=settings)["exit_code"] == 0


@pytest.mark.parametrize("settings", [None, {"nice": 1}])
def test_no_descriptor_left_is_worth_a_retry(keeper: Client, settings: dict | None) -> None:
    keeper.run(["true"])
    before = descriptors(keeper.pid)
    former = resource.prlimit(keeper.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(keeper.pid, resource.RLIMIT_NOFILE, (1, former[1]))
    records = [keeper.refusal(["true"], settings=settings) for _ in range(5)]
    resource.prlimit(keeper.pid, resource.RLIMIT_NOFILE, former)
    assert {(record["reason_code"], record["retryable"]) for record in records} == {("descriptor_limit", True)}
    assert descriptors(keeper.pid) == before
    assert keeper.run(["true"], settings=settings)["exit_code"] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start a keeper as another user")
@pytest.mark.parametrize("settings", [None, {"nice": 1}])
def test_no_process_left_is_worth_a_retry(data: Client, settings: dict | None) -> None:
    """The kernel holds no root to RLIMIT_NPROC, so the keeper is another user's here, who may have two."""
    _start_as_another(data)
    only = data.order(["/bin/sleep", "60"], settings=settings)
    data.wait_record("started", only)
    record = data.refusal(["/bin/true"], settings=settings)
    assert (record["reason_code"], record["retryable"]) == ("process_limit", True)
    assert "processes" in record["reason"]
    data.stop(only)
    assert data.run(["/bin/true"], settings=settings)["exit_code"] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change the user")
def test_a_user_with_too_many_processes_is_worth_a_retry(keeper: Client) -> None:
    settings = {"user": f"{SPARE_UID}:{SPARE_UID}", "rlimits": {"processes": 1}}
    others = [keeper.order(["sleep", "60"], cwd="/", settings=settings) for _ in range(2)]
    for uid in others:
        keeper.wait_record("started", uid)
    record = keeper.refusal(["true"], cwd="/", settings=settings)
    assert (record["reason_code"], record["retryable"]) == ("process_limit", True)
    for uid in others:
        keeper.stop(uid)
    assert keeper.run(["true"], cwd="/", settings=settings)["exit_code"] == 0


def _start_as_another(data: Client) -> None:
    """A keeper of SPARE_UID, held to two processes, that may read what only root may (Python's files)."""
    shutil.chown(data.data_dir, SPARE_UID, SPARE_UID)
    shutil.chown(data.logs, SPARE_UID, SPARE_UID)
    reads = "+dac_read_search,+dac_override"
    argv = ["prlimit", "--nproc=2", "--", "setpriv", f"--reuid={SPARE_UID}", f"--regid={SPARE_UID}", "--clear-groups"]
    argv += [f"--inh-caps={reads}", f"--ambient-caps={reads}", "--"]
    source = str(Path(launch.__file__).parents[2])
    argv += [sys.executable, "-I", "-S", "-X", "utf8", "-c", launch._CODE, "wattle-keeper", source]
    argv += ["--data-dir", str(data.data_dir), "--linger-seconds", "2"]
    data.pid = subprocess.Popen(argv, start_new_session=True, stderr=subprocess.DEVNULL).pid
    data.connect()
    data.send(type="environment", id=1, vars={"PATH": os.environ["PATH"]}, umask=0o022)
