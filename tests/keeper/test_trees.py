"""Trees that grow, hide, stay or do not die (T1 to T10 of the scenarios that test_ending.py leaves)."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from keeper.client import PYTHON, Client, is_alive, until

import wattle.keeper.launch as launch

STORMS = [sys.executable, "-I", "-S", str(Path(__file__).with_name("storms.py"))]
STORM_SECONDS = "15"  # then it ends by itself: whoever waits for less has ended it
HYDRA_CAP = 2000

HIDING = """
import os, sys, time
def hide(clear, close):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        out = os.dup(1)
        if close:
            null = os.open("/dev/null", os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
        os.write(out, b"%d\\n" % os.getpid())
        os.execve("/bin/sleep", ["sleep", "60"], {} if clear else dict(os.environ))
    os.wait()
for _ in range(3):
    hide(sys.argv[1] == "well", sys.argv[1] == "well")
while True:
    time.sleep(60)
"""


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _zombies_of(parent: int) -> list[int]:
    found = []
    for pid in map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split()):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                found.append(pid)
    return found


# ---- storms


@pytest.mark.parametrize("kind", ["brood", "chain", "hydra"])
def test_a_storm_is_over_within_a_second_of_sigkill(keeper: Client, kind: str) -> None:
    """T5: a child each 5 ms; pids that live for less than a look; processes that replace whoever dies by two."""
    uid = keeper.order([*STORMS, kind, STORM_SECONDS], stop={"signal": 15, "grace_seconds": 0, "scope": "group"})
    keeper.wait_output(uid, "up")
    record = keeper.stop(uid)
    told = record["told"]
    assert keeper.marked() == []
    assert time.time_ns() // 1000 - told["killed_at"] < 1_000_000
    assert (record["unattributed"], record["cause"], told["signal"]) == (0, "stopped", signal.SIGKILL)
    assert told["processes"] < HYDRA_CAP / 2, "it was not let grow"


def test_control_sigkill_alone_lets_a_storm_grow(data: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same kill without the freeze: what dies is replaced faster than the rest is reached."""
    undefended = "import wattle.keeper.ending; wattle.keeper.ending.STORM_TURNS = 0; from wattle.keeper.main"
    monkeypatch.setattr(launch, "_CODE", launch._CODE.replace("from wattle.keeper.main", undefended))
    data.start()
    most = 0
    for _ in range(6):
        uid = data.order([*STORMS, "hydra", STORM_SECONDS])
        data.wait_output(uid, "up")
        most = max(most, data.stop(uid, grace_seconds=0)["told"]["processes"])
        if most > HYDRA_CAP / 2:
            return
    pytest.fail(f"no storm grew beyond {most} processes")


def test_a_kill_in_a_storm_holds_up_nobody_else(keeper: Client) -> None:
    """A kill is a state, not a loop: others start and end between its turns."""
    uid = keeper.order([*STORMS, "hydra", STORM_SECONDS], group="storm")
    keeper.wait_output(uid, "up")
    keeper.send(type="stop", uid=uid, request=1, grace_seconds=0)
    began = time.monotonic()
    for _ in range(5):
        assert keeper.run(["true"])["exit_code"] == 0
    assert time.monotonic() - began < 2
    keeper.wait_record("ended", uid)


# ---- hiding


def _two_that_hide(keeper: Client, how: str) -> list[tuple[str, int, list[int]]]:
    found = []
    for _ in range(2):
        uid = keeper.order([*PYTHON, HIDING, how])
        leader = keeper.wait_record("started", uid)["pid"]
        found.append((uid, leader, keeper.wait_pids(uid, 3)))
    for _, _, pids in found:
        for pid in pids:
            until(lambda pid=pid: _parent(pid) == keeper.pid, "its parent's end")  # type: ignore[misc]
            until(lambda pid=pid: Path(f"/proc/{pid}/cmdline").read_bytes()[:5] == b"sleep", "its exec")  # type: ignore[misc]
    return found


def test_two_workers_whose_descendants_hide_are_never_mixed_up(keeper: Client) -> None:
    """Own sessions, double forks, no environment, no descriptors: nobody's, counted once, and left alone."""
    (one, _, hidden), (two, leader, others) = _two_that_hide(keeper, "well")
    try:
        first = keeper.stop(one)
        assert is_alive(leader), "the other worker goes on"
        assert [pid for pid in hidden + others if not is_alive(pid)] == []
        second = keeper.stop(two)
        assert [pid for pid in hidden + others if not is_alive(pid)] == []
        assert first["unattributed"] + second["unattributed"] == 6
        assert (first["escalated"], second["escalated"]) == (False, False)
    finally:
        for pid in hidden + others:
            os.kill(pid, signal.SIGKILL)
    until(lambda: not _zombies_of(keeper.pid), "the keeper reaping them")


def test_control_two_workers_whose_descendants_hide_badly_are_told_apart(keeper: Client) -> None:
    """The same, but for the marker: each stop ends its own."""
    (one, _, hidden), (two, leader, others) = _two_that_hide(keeper, "badly")
    first = keeper.stop(one)
    assert [pid for pid in hidden if is_alive(pid)] == []
    assert [pid for pid in [leader, *others] if not is_alive(pid)] == []
    second = keeper.stop(two)
    assert [pid for pid in others if is_alive(pid)] == []
    assert first["unattributed"] + second["unattributed"] == 0


# ---- staying


STAYING = """
import os, sys, time
ready, tell = os.pipe()
for _ in range(2):
    if os.fork() == 0:
        os.setsid()
        print(os.getpid(), flush=True)
        os.write(tell, b".")
        while not os.path.exists("leave"):
            time.sleep(0.01)
        if os.fork() == 0:
            time.sleep(0.05)
        os._exit(0)
    os.read(ready, 1)
while sys.argv[1] == "stay":
    time.sleep(60)
sys.exit(3)
"""
ALLOWED = {"signal": 15, "grace_seconds": 0.5, "scope": "group", "allow_detached": True}


@pytest.fixture
def leave(keeper: Client) -> Iterator[Path]:
    """Touched, it has those that stay end."""
    path = keeper.data_dir / "leave"
    yield path
    path.touch()


def test_what_may_be_left_behind_lives_on_and_is_counted(keeper: Client, leave: Path) -> None:
    """T6: allow_detached. The worker is over, its slot is free, its processes live; a later stop finds nothing."""
    uid = keeper.order([*PYTHON, STAYING, "go"], stop=ALLOWED)
    record = keeper.wait_record("ended", uid)
    pids = keeper.wait_pids(uid, 2)
    assert (record["exit_code"], record["detached"], record["left"], record["escalated"]) == (3, 2, 0, False)
    keeper.send(type="stop", uid=uid, request=7)
    assert keeper.wait_message("gone", request=7)["uid"] == uid
    assert [pid for pid in pids if not is_alive(pid)] == []
    leave.touch()
    until(lambda: not any(map(is_alive, pids)), "their end")
    until(lambda: not keeper.marked(), "the end of their children")
    until(lambda: not _zombies_of(keeper.pid), "the keeper reaping them")
    assert keeper.run(["true"])["unattributed"] == 0, "theirs are known, and nobody else's"


def test_control_without_leave_to_stay_they_are_ended(keeper: Client, leave: Path) -> None:
    """T6: the default."""
    uid = keeper.order([*PYTHON, STAYING, "go"], stop={**ALLOWED, "allow_detached": False})
    record = keeper.wait_record("ended", uid)
    assert [pid for pid in keeper.wait_pids(uid, 2) if is_alive(pid)] == []
    assert record["left"] == 2 and "detached" not in record


def test_a_stop_ends_those_who_might_have_stayed(keeper: Client, leave: Path) -> None:
    uid = keeper.order([*PYTHON, STAYING, "stay"], stop=ALLOWED)
    pids = keeper.wait_pids(uid, 2)
    record = keeper.stop(uid)
    assert [pid for pid in pids if is_alive(pid)] == []
    assert record["cause"] == "stopped" and "detached" not in record


def test_a_worker_that_leaves_nothing_behind_is_as_any_other(keeper: Client) -> None:
    assert "detached" not in keeper.run(["true"], stop=ALLOWED)


def test_a_keeper_with_nothing_but_those_let_go_may_leave(data: Client) -> None:
    data.start()
    uid = data.order([*PYTHON, STAYING, "go"], stop=ALLOWED)
    data.wait_record("ended", uid)
    pids = data.wait_pids(uid, 2)
    data.send(type="quit")
    data.reap_keeper()
    try:
        assert [pid for pid in pids if not is_alive(pid)] == []
    finally:
        (data.data_dir / "leave").touch()
    until(lambda: not any(map(is_alive, pids)), "their end")


def test_an_adopted_worker_may_leave_processes_behind_too(data: Client) -> None:
    data.start()
    code = STAYING.replace("sys.exit(3)", "while not os.path.exists('go'):\n    time.sleep(0.01)\nsys.exit(3)")
    uid = data.order([*PYTHON, code, "go"], stop=ALLOWED)
    pids = data.wait_pids(uid, 2)
    data.kill_keeper()
    data.start()
    data.send(type="adopt", workers=[data.adoption(uid, stop=ALLOWED)])
    (data.data_dir / "go").touch()
    try:
        record = data.wait_record("ended", uid)
        assert (record["detached"], record["left"]) == (2, 0)
        assert [pid for pid in pids if not is_alive(pid)] == []
    finally:
        (data.data_dir / "leave").touch()
    until(lambda: not any(map(is_alive, pids)), "their end")


# ---- many, and those that do not die


def test_a_thousand_orphans_leave_no_zombie(keeper: Client) -> None:
    """T10."""
    code = """
import os, time
for _ in range(1000):
    if os.fork() == 0:
        if os.fork():
            os._exit(0)
        os._exit(0)
    os.wait()
print("all", flush=True)
time.sleep(60)
"""
    uid = keeper.order([*PYTHON, code])
    keeper.wait_output(uid, "all")
    until(lambda: not _zombies_of(keeper.pid), "the last zombie's end", limit_seconds=1.0)
    record = keeper.stop(uid)
    assert (record["unattributed"], record["left"], record["escalated"]) == (0, 0, False)


TRACER = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace(0x4206, int(sys.argv[1]), None, None):  # PTRACE_SEIZE
    raise OSError(ctypes.get_errno(), "cannot trace")
print("traced", flush=True)
time.sleep(60)
"""
TRACED = """
import ctypes, os, time
ctypes.CDLL(None).prctl(0x59616d61, ctypes.c_ulong(-1), 0, 0, 0)  # PR_SET_PTRACER: anybody may
print("up", flush=True)
while True:
    time.sleep(60)
"""


def test_one_that_its_tracer_keeps_is_reported_repeatedly_and_blocks_nobody(keeper: Client, tmp_path: Path) -> None:
    """T9: stands in for an uninterruptible sleep. A dead process that a tracer does not let go cannot be reaped."""
    uid = keeper.order([*PYTHON, TRACED])
    pid = keeper.wait_record("started", uid)["pid"]
    keeper.wait_output(uid, "up")
    said = tmp_path / "tracer"
    files = [(os.POSIX_SPAWN_OPEN, 1, str(said), os.O_WRONLY | os.O_CREAT, 0o600)]
    tracer = os.posix_spawn(PYTHON[0], [*PYTHON, TRACER, str(pid)], os.environ, file_actions=files)
    try:
        until(lambda: said.exists() and said.read_text() == "traced\n", "the tracer")
        keeper.send(type="stop", uid=uid, request=1, grace_seconds=0)
        for _ in range(2):
            assert keeper.wait_message("stuck", uid=uid)["pids"] == [pid]
            assert keeper.run(["true"])["exit_code"] == 0, "others start and end"
    finally:
        os.kill(tracer, signal.SIGKILL)
        os.waitpid(tracer, 0)
    record = keeper.wait_record("ended", uid)
    assert (record["signal"], record["cause"]) == (signal.SIGKILL, "stopped")


# ---- what a stop says of itself


def test_a_stop_says_whom_it_told_when_and_by_which_signal(keeper: Client) -> None:
    uid = keeper.order(["/bin/sh", "-c", "sleep 60 & echo up; wait"], stop={"signal": 2, "scope": "group"})
    keeper.wait_output(uid, "up")
    pid = keeper.wait_record("started", uid)["pid"]
    before = time.time_ns() // 1000
    record = keeper.stop(uid, grace_seconds=0.3)
    told = record["told"]
    assert before <= told.pop("at") <= record["at"] + 300_000
    killed_at = told.pop("killed_at")
    assert told == {"signal": 2, "pid": pid, "processes": 2}
    assert (killed_at is not None) == record["escalated"], "a background job of sh ignores INT"


def test_one_that_ends_by_itself_was_told_nothing(keeper: Client) -> None:
    assert "told" not in keeper.run(["true"])
