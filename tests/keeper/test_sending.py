"""A signal that a user sends: to each process of the tree once, to nobody else, and nothing is ended by Wattle."""

import os
import signal
import sys
from pathlib import Path

import pytest
from keeper.client import PYTHON, Client, is_alive, until

from wattle.keeper.protocol import FEATURES
from wattle.keeper.sending import send_signal
from wattle.keeper.tree import Family
from wattle.keeper.worker import Stop, Worker

EVASIVE = [sys.executable, "-I", "-S", str(Path(__file__).with_name("evasive.py"))]
# A leader, a child in its group, one in a session of its own, and an orphan: each prints its pid, and again on HUP.
COUNTING = """
import os, signal, time
def told(*_):
    os.write(1, b"hup %d\\n" % os.getpid())
signal.signal(signal.SIGHUP, told)
if os.fork() == 0:
    pass
elif os.fork() == 0:
    os.setsid()
elif (child := os.fork()) == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
else:
    os.waitpid(child, 0)
os.write(1, b"up %d\\n" % os.getpid())
while True:
    time.sleep(60)
"""


def _send(keeper: Client, uid: str, number: int, scope: str = "tree") -> dict:
    keeper.send(type="signal", uid=uid, signal=number, scope=scope, request=7)
    return keeper.wait_message("signalled", request=7)


def _pids(keeper: Client, uid: str, word: str) -> list[int]:
    lines = (line.split() for line in keeper.output(uid).splitlines())
    return sorted(int(pid) for first, pid in lines if first == word)


def _counting(keeper: Client) -> tuple[str, list[int]]:
    uid = keeper.order([*PYTHON, COUNTING])
    until(lambda: (keeper.logs / f"{uid}.out").exists() and len(_pids(keeper, uid, "up")) == 4, "all four")
    return uid, _pids(keeper, uid, "up")


def test_a_keeper_says_that_it_can(keeper: Client) -> None:
    assert tuple(keeper.hello["features"]) == FEATURES == ("signal", "ahead")


def test_each_of_the_tree_gets_it_once_and_the_worker_goes_on(keeper: Client) -> None:
    uid, pids = _counting(keeper)
    leader = keeper.wait_record("started", uid)["pid"]
    answer = _send(keeper, uid, signal.SIGHUP)
    assert (answer["uid"], sorted(answer["pids"]), answer["refused"]) == (uid, pids, [])
    assert answer["pids"][0] == leader
    until(lambda: _pids(keeper, uid, "hup") == pids, "a line of each")
    _send(keeper, uid, signal.SIGHUP)
    until(lambda: len(_pids(keeper, uid, "hup")) == 8, "a second one of each, and no third")
    assert _pids(keeper, uid, "hup") == sorted(pids * 2)
    record = keeper.stop(uid)
    assert (record["cause"], record["signal"]) == ("stopped", signal.SIGTERM)


def test_scope_leader_is_the_first_process_alone(keeper: Client) -> None:
    uid, _ = _counting(keeper)
    leader = keeper.wait_record("started", uid)["pid"]
    assert _send(keeper, uid, signal.SIGHUP, "leader")["pids"] == [leader]
    until(lambda: _pids(keeper, uid, "hup"), "its line")
    _send(keeper, uid, signal.SIGHUP, "leader")
    until(lambda: len(_pids(keeper, uid, "hup")) == 2, "another line")
    assert set(_pids(keeper, uid, "hup")) == {leader}


def test_a_kill_is_no_stop_and_leaves_nothing_of_an_evasive_tree(keeper: Client) -> None:
    uid = keeper.order([*EVASIVE, "ignore"])
    pids = keeper.wait_pids(uid, 4)
    leader = keeper.wait_record("started", uid)["pid"]
    answer = _send(keeper, uid, signal.SIGKILL)
    assert sorted(answer["pids"]) == sorted([leader, *pids])
    record = keeper.wait_record("ended", uid)
    assert (record["signal"], record["cause"], record["escalated"], record["left"]) == (9, None, False, 0)
    assert [pid for pid in (leader, *pids) if is_alive(pid)] == []


def test_a_leader_killed_alone_takes_the_rest_along(keeper: Client) -> None:
    uid = keeper.order([*EVASIVE])
    pids = keeper.wait_pids(uid, 4)
    _send(keeper, uid, signal.SIGKILL, "leader")
    record = keeper.wait_record("ended", uid)
    assert (record["signal"], record["cause"], record["left"]) == (9, None, 4)
    assert [pid for pid in pids if is_alive(pid)] == []


def test_what_has_ended_is_queued_or_unknown_is_nobody(keeper: Client) -> None:
    """Whoever hears that has heard of the end before."""
    ended = keeper.order(["true"])
    keeper.wait_record("ended", ended)
    keeper.send(type="limits", groups={"run": 0})
    queued = keeper.order(["sleep", "60"])
    for uid in (ended, queued, "unknown"):
        answer = _send(keeper, uid, signal.SIGKILL)
        assert (answer["pids"], answer["refused"]) == ([], [])
    keeper.send(type="limits", groups={"run": None})
    keeper.wait_record("started", queued)


def test_during_a_stop_it_hastens_the_end(keeper: Client) -> None:
    uid = keeper.order(["/bin/sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"])
    keeper.wait_output(uid, "up")
    keeper.send(type="stop", uid=uid, request=1)
    assert _send(keeper, uid, signal.SIGKILL)["pids"]
    record = keeper.wait_record("ended", uid)
    assert (record["cause"], record["signal"], record["escalated"]) == ("stopped", signal.SIGKILL, False)


def test_an_adopted_tree_gets_it_and_a_stranger_with_its_number_does_not(data: Client) -> None:
    data.start()
    uid, pids = _counting(data)
    data.kill_keeper()
    data.start()
    data.send(type="adopt", workers=[data.adoption(uid)])
    assert sorted(_send(data, uid, signal.SIGHUP)["pids"]) == pids
    until(lambda: len(_pids(data, uid, "hup")) == 4, "a line of each")
    assert _pids(data, uid, "hup") == pids

    gone = data.order(["true"])
    data.wait_record("ended", gone)
    data.records.clear()
    data.kill_keeper()
    stranger = os.posix_spawn("/bin/sleep", ["sleep", "60"], {}, setsid=True)
    try:
        data.start()
        entry = data.adoption(gone, pid=stranger)
        data.send(type="adopt", workers=[entry, data.adoption(uid)])
        assert _send(data, gone, signal.SIGKILL)["pids"] == []
        assert sorted(_send(data, uid, signal.SIGKILL)["pids"]) == pids
        assert os.waitpid(stranger, os.WNOHANG) == (0, 0)
    finally:
        os.kill(stranger, signal.SIGKILL)
        os.waitpid(stranger, 0)


@pytest.mark.parametrize("message", [{"signal": 0}, {"signal": 65}, {"signal": "HUP"}, {"scope": "all"}])
def test_nonsense_reaches_nobody(keeper: Client, message: dict) -> None:
    uid = keeper.order(["sleep", "60"])
    pid = keeper.wait_record("started", uid)["pid"]
    keeper.send(**{"type": "signal", "uid": uid, "signal": 9, "scope": "tree", "request": 1} | message)
    assert "makes no sense" in keeper.wait_message("error")["message"]
    keeper.wait_closed()
    assert is_alive(pid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has somebody else's processes to show")
def test_who_may_not_be_signalled_is_named() -> None:
    """A keeper that may not: this process' child, as nobody, and a worker of root's."""
    stranger = os.posix_spawn("/bin/sleep", ["sleep", "60"], {}, setsid=True)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setuid(65534)
            worker = Worker("uid", b"", "", True, Stop(None))
            worker.pid, worker.adopted, worker.pidfd = stranger, True, os.pidfd_open(stranger)
            sent = send_signal(Family(), worker, signal.SIGTERM, "tree")
            os.write(writing, repr((sent.pids, sent.refused)).encode())
            status = 0
        finally:
            os._exit(status)
    try:
        assert os.waitpid(pid, 0)[1] == 0
        assert os.read(reading, 1000).decode() == repr(([], [stranger]))
        assert os.waitpid(stranger, os.WNOHANG) == (0, 0)
    finally:
        os.kill(stranger, signal.SIGKILL)
        os.waitpid(stranger, 0)
        os.close(reading)
        os.close(writing)
