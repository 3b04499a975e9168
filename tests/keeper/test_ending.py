"""Stops, time limits and what stays behind: nothing does."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from keeper.client import PYTHON, Client, is_alive, until

EVASIVE = [sys.executable, "-I", "-S", str(Path(__file__).with_name("evasive.py"))]
IMMUNE = ["/bin/sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"]


def _stop(grace_seconds: float, number: int = 15, scope: str = "group") -> dict:
    return {"signal": number, "grace_seconds": grace_seconds, "scope": scope}


def _survivors(pids: list[int]) -> list[int]:
    return [pid for pid in pids if is_alive(pid)]


def test_a_stop_ends_a_worker_by_its_signal(keeper: Client) -> None:
    uid = keeper.order(["sleep", "60"])
    keeper.wait_record("started", uid)
    record = keeper.stop(uid)
    assert (record["signal"], record["cause"], record["escalated"]) == (signal.SIGTERM, "stopped", False)


def test_the_stop_signal_is_the_workers_own_choice(keeper: Client) -> None:
    uid = keeper.order(["/bin/sh", "-c", "trap 'exit 9' INT; echo up; while :; do sleep 0.01; done"], stop=_stop(10, 2))
    keeper.wait_output(uid, "up")
    record = keeper.stop(uid)
    assert (record["exit_code"], record["signal"], record["cause"]) == (9, None, "stopped")


@pytest.mark.parametrize("answer", ["obey", "exit", "ignore"])
def test_a_stop_leaves_nothing_of_an_evasive_tree(keeper: Client, answer: str) -> None:
    uid = keeper.order([*EVASIVE, answer], stop=_stop(1.0))  # time for the leader to end in, whatever else is done
    pids = keeper.wait_pids(uid, 4)
    leader = keeper.wait_record("started", uid)["pid"]
    assert len(_survivors([leader, *pids])) == 5
    record = keeper.stop(uid)
    assert _survivors([leader, *pids]) == [], "at the moment of the record, not later"
    assert record["escalated"] is True
    expected = {"obey": (None, 15), "exit": (3, None), "ignore": (None, 9)}[answer]
    assert (record["exit_code"], record["signal"]) == expected
    assert (record["left"], record["unattributed"]) == (0, 0)


def test_control_killing_the_group_alone_would_leave_survivors(tmp_path: Path) -> None:
    out = tmp_path / "out"
    files = [(os.POSIX_SPAWN_OPEN, 1, str(out), os.O_WRONLY | os.O_CREAT, 0o600)]
    leader = os.posix_spawn(EVASIVE[0], EVASIVE, os.environ, file_actions=files, setsid=True)
    until(lambda: out.exists() and out.read_text().count("\n") == 4, "pids printed")
    pids = [int(line) for line in out.read_text().split()]
    os.killpg(leader, signal.SIGTERM)
    os.killpg(leader, signal.SIGKILL)
    os.waitpid(leader, 0)
    until(lambda: len(_survivors(pids)) == 2, "the group's end")
    for pid in _survivors(pids):
        os.kill(pid, signal.SIGKILL)


def test_a_leader_that_obeys_does_not_end_the_grace_of_its_children(keeper: Client) -> None:
    uid = keeper.order([*EVASIVE, "exit"], stop=_stop(1.0))
    pids = keeper.wait_pids(uid, 4)
    began = time.monotonic()
    record = keeper.stop(uid)
    assert time.monotonic() - began >= 1.0
    assert record["duration_us"] < 1_000_000 * (time.monotonic() - began) + 5_000_000
    assert record["exit_code"] == 3 and record["escalated"]
    assert _survivors(pids) == []


def test_those_whom_the_groups_signal_did_not_reach_are_asked_before_they_are_killed(keeper: Client) -> None:
    code = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    def end(*_):
        print("cleaned up", flush=True)
        os._exit(0)
    signal.signal(signal.SIGTERM, end)
    print("up", flush=True)
time.sleep(60)
"""
    uid = keeper.order([*PYTHON, code])
    keeper.wait_output(uid, "up")
    record = keeper.stop(uid)
    assert "cleaned up" in keeper.output(uid)
    assert record["escalated"] is False


def test_scope_leader_leaves_the_children_to_the_leader(keeper: Client) -> None:
    code = """
import os, signal, sys, time
ready, tell = os.pipe()
child = os.fork()
if child == 0:
    signal.signal(signal.SIGTERM, lambda *_: (print("direct", flush=True), os._exit(0)))
    signal.signal(signal.SIGUSR1, lambda *_: (print("by the leader", flush=True), os._exit(0)))
    os.write(tell, b".")
    time.sleep(60)
def end(*_):
    os.kill(child, signal.SIGUSR1)
    os.wait()
    os._exit(0)
signal.signal(signal.SIGTERM, end)
os.read(ready, 1)
print("up", flush=True)
time.sleep(60)
"""
    uid = keeper.order([*PYTHON, code], stop=_stop(10, scope="leader"))
    keeper.wait_output(uid, "up")
    record = keeper.stop(uid)
    assert keeper.output(uid) == "up\nby the leader\n"
    assert (record["exit_code"], record["escalated"]) == (0, False)


def test_a_worker_that_was_suspended_is_woken_to_end(keeper: Client) -> None:
    uid = keeper.order(["sleep", "60"])
    pid = keeper.wait_record("started", uid)["pid"]
    os.kill(pid, signal.SIGSTOP)
    record = keeper.stop(uid)
    assert (record["signal"], record["escalated"]) == (signal.SIGTERM, False)


def test_an_immune_worker_is_killed_when_the_grace_is_over(keeper: Client) -> None:
    uid = keeper.order(IMMUNE, stop=_stop(0.2))
    keeper.wait_output(uid, "up")
    record = keeper.stop(uid)
    assert (record["signal"], record["cause"], record["escalated"]) == (signal.SIGKILL, "stopped", True)


def test_a_stop_may_say_now(keeper: Client) -> None:
    uid = keeper.order(IMMUNE, stop=_stop(60))
    keeper.wait_output(uid, "up")
    assert keeper.stop(uid, grace_seconds=0)["signal"] == signal.SIGKILL


def test_a_second_stop_changes_nothing_unless_it_is_more_urgent(keeper: Client) -> None:
    uid = keeper.order(IMMUNE, stop=_stop(60))
    keeper.wait_output(uid, "up")
    for request in range(5):
        keeper.send(type="stop", uid=uid, request=request)
    keeper.send(type="describe", uid=uid, request=9)
    assert keeper.wait_message("tree", request=9)["pids"], "still there"
    began = time.monotonic()
    record = keeper.stop(uid, grace_seconds=0.2)
    assert time.monotonic() - began < 10
    assert (record["signal"], record["cause"]) == (signal.SIGKILL, "stopped")


def test_a_stop_of_the_unknown_the_ended_and_the_queued_says_gone(keeper: Client) -> None:
    keeper.send(type="limits", groups={"run": 0})
    queued = keeper.order(["true"])
    ended = keeper.run(["true"], group="other")["uid"]
    for request, uid in enumerate(["unknown", ended, queued], 10):
        keeper.send(type="stop", uid=uid, request=request)
        assert keeper.wait_message("gone", request=request)["uid"] == uid
    keeper.send(type="limits", groups={"run": 5})
    keeper.run(["true"])
    assert not (keeper.logs / f"{queued}.out").exists(), "never executed"


def test_a_time_limit_ends_the_whole_tree(keeper: Client) -> None:
    uid = keeper.order([*EVASIVE, "ignore"], timeout_seconds=3.0, stop=_stop(0.2))  # they are up by then
    pids = keeper.wait_pids(uid, 4)
    record = keeper.wait_record("ended", uid)
    assert (record["cause"], record["signal"], record["escalated"]) == ("timed_out", signal.SIGKILL, True)
    assert 3_200_000 <= record["duration_us"] < 7_000_000
    assert _survivors(pids) == []


def test_a_stop_during_a_time_out_does_not_change_its_cause(keeper: Client) -> None:
    told = ["/bin/sh", "-c", "trap 'echo told' TERM; while :; do sleep 0.05; done"]
    uid = keeper.order(told, timeout_seconds=3.0, stop=_stop(0.5))  # the trap is set by then
    keeper.wait_output(uid, "told")
    assert keeper.stop(uid)["cause"] == "timed_out"


def test_a_limit_that_was_not_reached_changes_nothing(keeper: Client) -> None:
    record = keeper.run(["true"], timeout_seconds=30)
    assert (record["exit_code"], record["cause"]) == (0, None)


def test_who_outlives_a_leader_that_ended_by_itself_is_ended(keeper: Client) -> None:
    uid = keeper.order([*EVASIVE, "obey", "yes"])
    record = keeper.wait_record("ended", uid)
    pids = keeper.wait_pids(uid, 4)
    assert _survivors(pids) == []
    assert (record["exit_code"], record["cause"], record["left"]) == (5, None, 4)
    assert record["escalated"] is True, "one was immune"
    assert record["at"] - record["started_at"] < time.time_ns() // 1000 - record["started_at"] - 500_000


def test_a_helper_that_is_about_to_end_is_not_hurried(keeper: Client) -> None:
    """`cmd > >(tee log)`: bash does not wait for tee, which has the last line still to write. The best of five: on a
    busy machine it may not even come to run in the time that it is left."""
    code = """
import os, time
if os.fork() == 0:
    time.sleep(0.03)
    print("last line", flush=True)
"""
    found: list[tuple[str, int, bool]] = []
    unhurried = ("last line\n", 0, False)
    while len(found) < 5 and unhurried not in found:
        uid = keeper.order([*PYTHON, code])
        record = keeper.wait_record("ended", uid)
        found.append((keeper.output(uid), record["left"], record["escalated"]))
    assert found[-1] == unhurried, found


def test_one_that_shares_nothing_with_any_worker_is_counted_and_left_alone(keeper: Client) -> None:
    code = """
import os
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open("/dev/null", os.O_RDWR)
    out = os.dup(1)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.write(out, b"%d\\n" % os.getpid())
    os.execve("/bin/sleep", ["sleep", "30"], {})
os.wait()
name = os.readlink("/proc/self/fd/1")
while not open("/proc/%s/cmdline" % open(name).readline().strip()).read().startswith("sleep"):
    pass
"""
    uid = keeper.order([*PYTHON, code])
    record = keeper.wait_record("ended", uid)
    (pid,) = keeper.wait_pids(uid, 1)
    try:
        assert (record["unattributed"], record["left"]) == (1, 0)
        assert is_alive(pid)
        assert keeper.run(["true"])["unattributed"] == 0, "counted once"
    finally:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists(), "the keeper reaping it")


@pytest.mark.parametrize("disguise", ["marker", "log files", "noted"])
def test_each_trace_is_enough_to_find_an_escaped_process(keeper: Client, disguise: str) -> None:
    """A daemon in a session of its own, found by one trace only."""
    environment = "dict(os.environ)" if disguise == "marker" else "{}"
    keep = "False" if disguise == "log files" else "True"
    dies = "False" if disguise == "noted" else "True"
    code = f"""
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() and {dies}:
        os._exit(0)
    elif os.getpid() == os.getsid(0):
        os.execve("/bin/sleep", ["sleep", "59"], {{}})
    os.write(1, b"%d\\n" % os.getpid())
    if {keep}:
        null = os.open("/dev/null", os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
    os.execve("/bin/sleep", ["sleep", "60"], {environment})
time.sleep(60)
"""
    uid = keeper.order([*PYTHON, code])
    (pid,) = keeper.wait_pids(uid, 1)
    until(lambda: Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep"), "its exec")
    if disguise != "noted":
        until(lambda: Path(f"/proc/{pid}/stat").read_text().split()[3] == str(keeper.pid), "its parent's end")
    record = keeper.stop(uid)
    assert not is_alive(pid)
    assert record["unattributed"] == 0


def test_who_only_reads_a_workers_log_is_not_of_that_worker(keeper: Client) -> None:
    """A stranger to the one that it reads, however well it hides from its own. Control: one that writes there is."""
    log = keeper.order(["/bin/sh", "-c", "echo up; sleep 60"])
    keeper.wait_output(log, "up")
    code = """
import os, sys
name = os.readlink("/proc/self/fd/1")
for count, flags in enumerate((os.O_RDONLY, os.O_WRONLY | os.O_APPEND), 1):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        out, null = os.dup(1), os.open("/dev/null", os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.dup2(os.open(sys.argv[1], flags), 0)
        os.write(out, b"%d\\n" % os.getpid())
        os.execve("/bin/sleep", ["sleep", "60"], {})
    os.wait()
    while len(said := open(name).read().split()) < count:
        pass
for pid in said:
    while not open("/proc/%s/cmdline" % pid).read().startswith("sleep"):
        pass
"""
    uid = keeper.order([*PYTHON, code, str(keeper.logs / f"{log}.out")])
    assert keeper.wait_record("ended", uid)["unattributed"] == 1
    reads, writes = keeper.wait_pids(uid, 2)
    try:
        keeper.stop(log)
        assert is_alive(reads) and not is_alive(writes)
    finally:
        os.kill(reads, signal.SIGKILL)


def test_a_fork_storm_is_over_soon(keeper: Client) -> None:
    """Three that never stay: each forks and exits every 2 ms; and a leader that makes a child every 5 ms."""
    code = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        while True:
            time.sleep(0.002)
            if os.fork():
                os._exit(0)
print("up", flush=True)
while True:
    time.sleep(0.005)
    if os.fork() == 0:
        time.sleep(60)
"""
    uid = keeper.order([*PYTHON, code])
    keeper.wait_output(uid, "up")
    keeper.wait_record("started", uid)
    began = time.monotonic()
    keeper.stop(uid, grace_seconds=0)
    assert keeper.marked() == []
    assert time.monotonic() - began < 10


def test_describe_names_the_whole_tree(keeper: Client) -> None:
    uid = keeper.order(EVASIVE)
    pids = keeper.wait_pids(uid, 4)
    leader = keeper.wait_record("started", uid)["pid"]
    keeper.send(type="describe", uid=uid, request=1)
    assert sorted(keeper.wait_message("tree", request=1)["pids"]) == sorted([leader, *pids])
    keeper.send(type="describe", uid="unknown", request=2)
    assert keeper.wait_message("tree", request=2)["pids"] == []


def test_what_cannot_be_killed_is_reported_and_holds_up_nobody(keeper: Client) -> None:
    """Stands in for a process in an uninterruptible sleep: one frozen by a tracer that is itself stopped
    would do too; a cgroup freezer is the one that needs no kernel module.
    """
    freezer = _freezer()
    if freezer is None:
        pytest.skip("no cgroup freezer at hand")
    uid = keeper.order(["sleep", "60"])
    pid = keeper.wait_record("started", uid)["pid"]
    try:
        freezer.freeze(pid)
        keeper.send(type="stop", uid=uid, request=1, grace_seconds=0)
        assert keeper.run(["true"])["exit_code"] == 0
        assert keeper.wait_message("stuck", uid=uid)["pids"] == [pid]
        assert keeper.run(["true"])["exit_code"] == 0
    finally:
        freezer.thaw()
    assert keeper.wait_record("ended", uid)["signal"] == signal.SIGKILL
    assert not [message for message in keeper.messages if message["type"] == "stuck"]


class _Freezer:
    """A cgroup v1 freezer; unlike v2's, its frozen processes do not die of SIGKILL."""

    def __init__(self, root: Path) -> None:
        self.group = root / f"wattle-test-{os.getpid()}"
        self.group.mkdir()

    def freeze(self, pid: int) -> None:
        (self.group / "cgroup.procs").write_text(str(pid))
        (self.group / "freezer.state").write_text("FROZEN")
        until(lambda: (self.group / "freezer.state").read_text().strip() == "FROZEN", "the freeze")

    def thaw(self) -> None:
        (self.group / "freezer.state").write_text("THAWED")
        until(lambda: not (self.group / "cgroup.procs").read_text().strip(), "the group's end")
        self.group.rmdir()


def _freezer() -> _Freezer | None:
    for root in (Path("/sys/fs/cgroup/freezer"),):
        if (root / "cgroup.procs").exists() and os.access(root, os.W_OK):
            try:
                return _Freezer(root)
            except OSError:
                return None
    return None
