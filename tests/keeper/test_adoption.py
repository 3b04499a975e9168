"""A keeper is killed, the next one takes up its workers: exactly, and never a stranger."""

import ctypes
import os
import platform
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from keeper.client import PYTHON, Client, is_alive, until

import wattle.keeper.launch as launch

WAIT = ["/bin/sh", "-c", "echo up; while [ ! -e go ]; do sleep 0.01; done; exit 42"]
KERNEL = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
exact = pytest.mark.skipif(KERNEL < (6, 15), reason="this kernel forgets the status of others' children")


@contextmanager
def _subreaper() -> Iterator[None]:
    """This process inherits the keeper's workers, as a daemon does."""
    prctl = ctypes.CDLL(None).prctl
    prctl(36, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(36, 0, 0, 0, 0)


def _go(client: Client) -> None:
    (client.data_dir / "go").touch()


def _orphaned(client: Client, argv: list[str], **fields: object) -> tuple[str, int]:
    """A worker whose keeper was killed, and a new keeper that does not know it yet."""
    uid = client.order(argv, **fields)
    pid = client.wait_record("started", uid)["pid"]
    client.wait_output(uid, "up")
    client.kill_keeper()
    assert is_alive(pid)
    client.start()
    assert client.hello["live"] == []
    return uid, pid


@exact
@pytest.mark.parametrize(
    ("argv", "ends"),
    [(WAIT, (42, None)), (["/bin/sh", "-c", "echo up; while [ ! -e go ]; do sleep 0.01; done; kill -6 $$"], (None, 6))],
)
def test_an_adopted_workers_status_is_exact(data: Client, argv: list[str], ends: tuple) -> None:
    data.start()
    uid, pid = _orphaned(data, argv)
    data.send(type="adopt", workers=[data.adoption(uid)])
    data.disconnect()
    data.connect()
    assert [(live["uid"], live["pid"]) for live in data.hello["live"]] == [(uid, pid)]
    _go(data)
    record = data.wait_record("ended", uid)
    assert (record["exit_code"], record["signal"], record["known"], record["cause"]) == (*ends, True, None)
    assert 0 <= record["duration_us"] <= record["at"] - record["started_at"] + 100_000
    assert len([each for each in data.journal() if each["kind"] == "ended"]) == 1


def test_the_status_is_exact_too_while_its_new_parent_has_not_reaped_it(data: Client) -> None:
    with _subreaper():
        data.start()
        uid, pid = _orphaned(data, WAIT)
        data.send(type="adopt", workers=[data.adoption(uid)])
        _go(data)
        record = data.wait_record("ended", uid)
        assert (record["exit_code"], record["known"]) == (42, True)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42, "and it was left to its parent"


def test_a_worker_that_ended_between_two_keepers_is_known_by_its_corpse_or_unknown(data: Client) -> None:
    data.start()
    uid = data.order(WAIT)
    pid = data.wait_record("started", uid)["pid"]
    data.kill_keeper()
    _go(data)
    until(lambda: not is_alive(pid), "its end")
    data.start()
    data.send(type="adopt", workers=[data.adoption(uid)])
    record = data.wait_record("ended", uid)
    assert record["exit_code"] in (None, 42)
    assert record["known"] == (record["exit_code"] == 42)


@pytest.mark.parametrize("wrong", ["inode", "start_ticks", "boot_id"])
def test_a_stranger_is_never_signalled(data: Client, wrong: str) -> None:
    """The number is used again by another process: here, one of the test's own."""
    data.start()
    uid = data.order(["true"])
    data.wait_record("ended", uid)
    data.records.clear()
    data.kill_keeper()
    stranger = os.posix_spawn("/bin/sleep", ["sleep", "60"], {}, setsid=True)
    try:
        data.start()
        entry = data.adoption(uid, pid=stranger, timeout_seconds=0.01)
        pidfd = os.pidfd_open(stranger)
        identity = {"inode": os.fstat(pidfd).st_ino, "start_ticks": None}
        os.close(pidfd)
        if wrong == "inode":
            identity["inode"] += 1
        if wrong == "start_ticks":
            identity = {"inode": None, "start_ticks": 12345}
        if wrong == "boot_id":
            entry["boot_id"] = "another boot"
        data.send(type="adopt", workers=[{**entry, **identity}])
        record = data.wait_record("ended", uid)
        assert (record["known"], record["exit_code"], record["signal"]) == (False, None, None)
        data.send(type="stop", uid=uid, request=3, grace_seconds=0)
        data.wait_message("gone", request=3)
        assert is_alive(stranger)
        assert os.waitpid(stranger, os.WNOHANG) == (0, 0)
    finally:
        os.kill(stranger, signal.SIGKILL)
        os.waitpid(stranger, 0)


def test_control_a_keeper_that_compares_no_identities_ends_the_stranger(
    data: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C7, F18: the same record of a pid that is another's by now, with the defence off."""
    undefended = "import wattle.keeper.proc; wattle.keeper.proc._is_same = lambda *_: True; from wattle.keeper.main"
    data.start()
    uid = data.order(["true"])
    data.wait_record("ended", uid)
    data.kill_keeper()
    data.records.clear()
    monkeypatch.setattr(launch, "_CODE", launch._CODE.replace("from wattle.keeper.main", undefended))
    stranger = os.posix_spawn("/bin/sleep", ["sleep", "60"], {}, setsid=True)
    data.start()
    data.send(type="adopt", workers=[data.adoption(uid, pid=stranger)])
    data.send(type="stop", uid=uid, request=3, grace_seconds=0)
    assert os.waitpid(stranger, 0)[1] == signal.SIGKILL


HOUR = 3_600_000_000


@pytest.mark.parametrize("jump", [HOUR, -HOUR, 87_600 * HOUR])
def test_a_clock_that_was_set_lets_no_time_limit_of_an_adopted_worker_pass_early_or_late(
    data: Client, jump: int
) -> None:
    """F29, I13: set forward or back between its start and its adoption. Control: the limit that it has reached."""
    data.start()
    found = [_orphan_of(data) for _ in range(2)]
    data.kill_keeper()
    data.start()
    limits = (30.0, 0.5)
    entries = [data.adoption(uid, timeout_seconds=limit) for uid, limit in zip(found, limits, strict=True)]
    data.send(type="adopt", workers=[{**entry, "started_at": entry["started_at"] - jump} for entry in entries])
    assert data.wait_record("ended", found[1])["cause"] == "timed_out"
    _go(data)
    record = data.wait_record("ended", found[0])
    assert record["cause"] is None and 0 < record["duration_us"] < 30_000_000


def _orphan_of(data: Client) -> str:
    uid = data.order(WAIT)
    data.wait_output(uid, "up")
    data.wait_record("started", uid)
    return uid


def test_an_adopted_tree_can_be_stopped(data: Client) -> None:
    code = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
print(os.getpid(), flush=True)
time.sleep(0.1)
print("up", flush=True)
time.sleep(60)
"""
    data.start()
    uid, pid = _orphaned(data, [*PYTHON, code])
    until(lambda: data.output(uid).count("up") == 3, "all of them")
    pids = {int(line) for line in data.output(uid).split() if line != "up"}
    assert pid in pids and len(pids) == 3
    data.send(type="adopt", workers=[data.adoption(uid, stop={"signal": 15, "grace_seconds": 0.2, "scope": "group"})])
    record = data.stop(uid)
    assert [each for each in pids if is_alive(each)] == []
    assert (record["cause"], record["escalated"]) == ("stopped", True)
    if KERNEL >= (6, 15):
        assert record["signal"] == signal.SIGTERM


def test_what_an_adopted_worker_leaves_behind_is_ended(data: Client) -> None:
    code = """
import os, time
if os.fork() == 0:
    os.setsid()
    print(os.getpid(), flush=True)
    time.sleep(60)
print("up", flush=True)
while not os.path.exists("go"):
    time.sleep(0.01)
"""
    data.start()
    uid, _ = _orphaned(data, [*PYTHON, code])
    until(lambda: data.output(uid).count("\n") == 2, "the child's line")
    child = next(int(line) for line in data.output(uid).split() if line != "up")
    data.send(type="adopt", workers=[data.adoption(uid)])
    _go(data)
    record = data.wait_record("ended", uid)
    assert not is_alive(child)
    assert (record["left"], record["escalated"]) == (1, False)


@pytest.mark.parametrize("has_ended", [False, True])
def test_what_was_being_stopped_when_its_keeper_died_was_stopped(data: Client, has_ended: bool) -> None:
    """However it ends: the dead keeper may have told it to, so that nothing follows from an exit with 0."""
    data.start()
    uid, pid = _orphaned(data, ["/bin/sh", "-c", "echo up; while [ ! -e go ]; do sleep 0.01; done"])
    if has_ended:
        _go(data)
        until(lambda: not is_alive(pid), "its end")
    follower = data.order(["true"], after=[uid])
    data.send(type="adopt", workers=[data.adoption(uid, stopping=True, status=0 if has_ended else None)])
    _go(data)
    record = data.wait_record("ended", uid)
    assert record["cause"] == "stopped"
    data.send(type="stop", uid=follower, request=3)
    data.wait_message("gone", uid=follower)
    assert follower not in {each["uid"] for each in data.journal()}


def test_a_time_limit_counts_from_the_start_across_keepers(data: Client) -> None:
    data.start()
    uid, _ = _orphaned(data, WAIT)
    data.send(type="adopt", workers=[data.adoption(uid, timeout_seconds=0.05)])
    record = data.wait_record("ended", uid)
    assert record["cause"] == "timed_out"


def test_adopted_workers_take_their_slots(data: Client) -> None:
    data.start()
    uid, _ = _orphaned(data, WAIT)
    data.send(type="limits", groups={"run": 1})
    data.send(type="adopt", workers=[data.adoption(uid), data.adoption(uid)])
    queued = data.order(["true"])
    data.disconnect()
    data.connect()
    assert data.hello["queued"] == [queued]
    _go(data)
    assert data.wait_record("started", queued)["at"] >= data.wait_record("ended", uid)["at"]


def test_an_uncertain_worker_that_lives_is_found_by_its_marker(data: Client) -> None:
    data.start()
    uid, pid = _orphaned(data, ["/bin/sh", "-c", f"setsid sleep 60 & {WAIT[2]}"])
    before = next(record for record in data.journal() if record["kind"] == "started")
    entry = data.adoption(uid, pid=None, inode=None, start_ticks=None, started_at=None, uncertain=True)
    data.records.clear()
    data.send(type="adopt", workers=[entry])
    started = data.wait_record("started", uid)
    assert (started["pid"], started["inode"]) == (pid, before["inode"])
    assert abs(started["at"] - before["at"]) < 50_000
    _go(data)
    record = data.wait_record("ended", uid)
    assert record["left"] == 1
    if KERNEL >= (6, 15):
        assert record["exit_code"] == 42


def test_an_uncertain_worker_that_was_never_executed_is_said_to_be_unknown(data: Client) -> None:
    data.start()
    entry = data.entry(["true"])
    data.send(type="adopt", workers=[{"uid": entry["uid"], "tag": 1, "group": "run", "pid": None, "uncertain": True}])
    record = data.wait_record("ended", entry["uid"])
    assert (record["known"], record["tag"], record["exit_code"], record["left"]) == (False, 1, None, 0)


def test_the_children_of_a_leader_that_is_gone_are_ended(data: Client) -> None:
    data.start()
    code = """
import os, time
if os.fork() == 0:
    os.setsid()
    print(os.getpid(), "up", flush=True)
    time.sleep(60)
while not os.path.exists("go"):
    time.sleep(0.01)
"""
    uid = data.order([*PYTHON, code])
    leader = data.wait_record("started", uid)["pid"]
    data.wait_output(uid, "up")
    child = int(data.output(uid).split()[0])
    data.kill_keeper()
    _go(data)
    until(lambda: not is_alive(leader), "the leader's end")
    assert is_alive(child)
    data.start()
    data.send(type="adopt", workers=[data.adoption(uid)])
    record = data.wait_record("ended", uid)
    assert not is_alive(child)
    assert record["left"] == 1


def test_an_adopted_keeper_does_not_poll(data: Client) -> None:
    data.start()
    os.mkfifo(data.data_dir / "fifo")
    uid, _ = _orphaned(data, ["/bin/sh", "-c", "echo up; read line < fifo"])
    data.send(type="adopt", workers=[data.adoption(uid)])
    data.send(type="describe", uid=uid, request=1)
    data.wait_message("tree", request=1)
    until(lambda: _sleeps(data.pid), "the keeper's rest after its answer")
    before = _switches(data.pid)
    time.sleep(0.5)
    assert _switches(data.pid) - before <= 2
    data.stop(uid)


def _sleeps(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def _switches(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        return sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)


def test_keepers_killed_at_any_moment_lose_nothing_and_repeat_nothing(data: Client) -> None:
    """The daemon's part is played as it should be: what has no log file never ran, the rest is adopted."""
    orders = {}
    for number in range(40):
        entry = data.entry(["/bin/sh", "-c", f"echo ran; sleep 0.0{number % 10}; exit {number}"])
        orders[entry["uid"]] = entry
    kills = 0
    for moment in (0.0, 0.01, 0.03, 0.002, 0.05, 0.02, 0.005, None):
        data.start()
        data.send(type="limits", groups={"run": 4})
        journal = data.journal()
        started = {record["uid"] for record in journal if record["kind"] == "started"}
        ended = {record["uid"] for record in journal if record["kind"] == "ended"}
        executed = {uid for uid in orders if (data.logs / f"{uid}.out").exists()}
        open_ends = [data.adoption(uid) for uid in started - ended]
        open_ends += [{**orders[uid], "pid": None, "uncertain": True} for uid in executed - started - ended]
        data.send(type="adopt", workers=open_ends)
        data.send(type="order", orders=[orders[uid] for uid in orders if uid not in executed | started])
        if moment is None:
            break
        time.sleep(moment)
        data.kill_keeper()
        kills += 1
    assert kills == 7

    def ends() -> list[str]:
        return [record["uid"] for record in data.journal() if record["kind"] == "ended"]

    until(lambda: set(ends()) == set(orders), "all ends")
    assert len(ends()) == len(orders), "each once"
    assert {data.output(uid) for uid in orders} == {"ran\n"}, "each executed once"
    for record in data.journal():
        if record["kind"] == "ended" and record["known"]:
            assert record["exit_code"] == list(orders).index(record["uid"])
