"""Daemons come, die, babble and fall silent; the keeper goes on and every record is told or kept."""

import os
import resource
import stat

import pytest
from keeper.client import PYTHON, Client, until

from wattle.keeper.journal import read_records
from wattle.keeper.launch import connect
from wattle.keeper.protocol import FrameReader, encode

WAIT = ["/bin/sh", "-c", "echo up; while [ ! -e go ]; do sleep 0.01; done"]


def _numbers(client: Client) -> list[int]:
    return [record["seq"] for record in client.records]


def test_hello_says_who_and_what_lives(keeper: Client) -> None:
    uid = keeper.order(WAIT, tag=7)
    started = keeper.wait_record("started", uid)
    keeper.disconnect()
    keeper.connect()
    hello = keeper.hello
    assert (hello["protocol"], hello["pid"], hello["seq"], hello["queued"]) == (1, keeper.pid, 1, [])
    assert len(hello["keeper_id"]) == 40 and len(hello["boot_id"]) == 36
    (live,) = hello["live"]
    assert {**live, "kind": "started", "seq": 1} == started
    assert stat.S_IMODE((keeper.data_dir / "keeper.sock").stat().st_mode) == 0o600


def test_reports_are_the_journals_lines(keeper: Client) -> None:
    uids = [keeper.order(["/bin/sh", "-c", f"exit {number}"]) for number in range(20)]
    for uid in uids:
        keeper.wait_record("ended", uid)
    assert keeper.records == keeper.journal()
    assert _numbers(keeper) == list(range(1, 41))


def test_a_daemon_that_dies_finds_every_record_once(keeper: Client) -> None:
    keeper.send(type="limits", groups={"run": 3})
    uids = [keeper.order(["/bin/sh", "-c", f"sleep 0.0{number % 10}; exit {number}"]) for number in range(60)]
    for _ in range(6):
        for _ in range(5):
            keeper.pump(0.02)
        keeper.disconnect()
        keeper.connect()
        known = len(keeper.records)
        keeper_id, seq = keeper.hello["keeper_id"], keeper.hello["seq"]
        missed = [record for _, record in read_records(str(keeper.data_dir / "journal"), {keeper_id: known})]
        keeper.records += [record for record in missed if record["seq"] <= seq]
    for uid in uids:
        keeper.wait_record("ended", uid)
    assert _numbers(keeper) == list(range(1, 121))
    ends = {record["uid"]: record["exit_code"] for record in keeper.records if record["kind"] == "ended"}
    assert ends == {uid: number for number, uid in enumerate(uids)}


def test_a_second_daemon_supersedes_the_first(keeper: Client) -> None:
    first = keeper._socket
    keeper.connect()
    assert first is not None and first.recv(10) == b""
    first.close()
    assert keeper.run(["true"])["exit_code"] == 0


def test_an_unknown_protocol_is_told_so_and_only_it(keeper: Client) -> None:
    with connect(str(keeper.data_dir), 5) as stranger:
        stranger.sendall(encode({"type": "hello", "protocol": 99, "pid": 1}))
        (answer,) = FrameReader().feed(stranger.recv(1000))
        assert answer["type"] == "error" and "protocol 1" in answer["message"]
        assert stranger.recv(1) == b""
    assert keeper.run(["true"])["exit_code"] == 0


def _order(**fields: object) -> dict:
    return {"uid": "x", "argv": ["true"], "cwd": "/", "stdout": "/nowhere/o", "stderr": "/nowhere/e", **fields}


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\2[]",
        encode({"no": "type"}),
        encode({"type": "dance"}),
        encode({"type": "order", "orders": [{"uid": "x"}]}),
        encode({"type": "order", "orders": [{"uid": 5, "argv": [], "cwd": "/", "stdout": "", "stderr": ""}]}),
        encode({"type": "order", "orders": [{"uid": "x", "argv": [], "cwd": "/", "stdout": "", "stderr": ""}]}),
        encode({"type": "limits", "groups": {"run": "many"}}),
        encode({"type": "environment", "vars": {"A": 1}}),
        encode({"type": "adopt", "workers": [{}]}),
        encode({"type": "order", "orders": [_order(stop={"signal": 0})]}),
        encode({"type": "order", "orders": [_order(stop={"scope": "everything"})]}),
        encode({"type": "order", "orders": [_order(timeout_seconds=float("nan"))]}),
    ],
)
def test_nonsense_closes_its_own_connection_only(keeper: Client, garbage: bytes) -> None:
    uid = keeper.order(WAIT)
    keeper.wait_record("started", uid)
    keeper.send_bytes(garbage)
    keeper.wait_closed()
    keeper.connect()
    assert [live["uid"] for live in keeper.hello["live"]] == [uid]
    (keeper.data_dir / "go").touch()
    assert keeper.wait_record("ended", uid)["exit_code"] == 0


def test_a_connection_that_never_says_hello_disturbs_nobody(keeper: Client) -> None:
    with connect(str(keeper.data_dir), 5) as silent, connect(str(keeper.data_dir), 5) as rude:
        rude.sendall(encode({"type": "quit"}))
        assert FrameReader().feed(rude.recv(1000))[0]["type"] == "error"
        assert keeper.run(["true"])["exit_code"] == 0
        assert silent.fileno() > 0


def test_a_daemon_that_does_not_read_is_cut_off_and_finds_all_in_the_journal(keeper: Client) -> None:
    keeper.send(type="limits", groups={"run": 4})
    tag = "x" * 1_000_000
    keeper.send(type="order", orders=[keeper.entry(["true"], tag=tag) for _ in range(20)])
    uids = list(keeper.uids)
    until(lambda: sum(1 for r in keeper.journal() if r["kind"] == "ended") == 20, "the ends in the journal")
    keeper.wait_closed()
    assert len([record for record in keeper.records if record["kind"] == "ended"]) < 20, "it was cut off"
    keeper.connect()
    assert keeper.run(["true"])["exit_code"] == 0
    assert {record["uid"] for record in keeper.journal() if record["kind"] == "ended"} >= set(uids)
    memory = _rss_bytes(keeper.pid)
    assert memory < 150 << 20


def _rss_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_imported_segments_are_deleted_once_they_are_full(keeper: Client) -> None:
    tag = "x" * 6_000_000
    for _ in range(3):
        keeper.run(["true"], tag=tag)
    journal = keeper.data_dir / "journal"
    assert len(list(journal.iterdir())) == 2
    keeper.send(type="imported", seq=6)
    until(lambda: [path.suffixes[0] for path in journal.iterdir()] == [".0002"], "the deletion")
    assert keeper.run(["true"])["exit_code"] == 0


def test_where_the_journal_cannot_be_written_what_runs_goes_on_and_nothing_new_is_started(keeper: Client) -> None:
    """F25 for the journal: a short write, then errors; ends wait in memory and are told once they are on disk."""
    go = keeper.data_dir / "go"
    end = ["/bin/sh", "-c", f"while [ ! -e {go} ]; do sleep 0.01; done; echo x >> ran"]
    uids = [keeper.order(end) for _ in range(10)]
    for uid in uids:
        keeper.wait_record("started", uid)
    size = next((keeper.data_dir / "journal").iterdir()).stat().st_size
    hard = resource.prlimit(keeper.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(keeper.pid, resource.RLIMIT_FSIZE, (size + 600, hard))
    go.touch()
    until(lambda: (keeper.data_dir / "ran").exists() and (keeper.data_dir / "ran").read_text() == "x\n" * 10, "all ran")
    assert keeper.wait_message("held")["reason"].startswith("the journal cannot be written: ")
    later = [keeper.order(["/bin/sh", "-c", "echo y >> late"]) for _ in range(3)]
    keeper.send(type="describe", uid=later[-1], request=7)
    keeper.wait_message("tree", request=7)  # the orders have been taken in, and turns have passed
    keeper.send(type="describe", uid=later[-1], request=8)
    keeper.wait_message("tree", request=8)
    assert len(keeper.journal()) < 20, "the fault fired"
    assert len([record for record in keeper.records if record["kind"] == "ended"]) < 10, "not told before it is written"
    assert not (keeper.data_dir / "late").exists()
    resource.prlimit(keeper.pid, resource.RLIMIT_FSIZE, (hard, hard))
    for uid in (*uids, *later):
        assert keeper.wait_record("ended", uid)["exit_code"] == 0
    assert (keeper.data_dir / "late").read_text() == "y\n" * 3
    assert [record["seq"] for record in keeper.journal()] == list(range(1, 27))
    assert keeper.records == keeper.journal()
    assert keeper.wait_message("held") == {"type": "held", "reason": None}


def test_a_long_data_directory_is_no_trouble(data: Client) -> None:
    deep = data.data_dir / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    client = Client(deep)
    try:
        assert client.start().run(["true"])["exit_code"] == 0
    finally:
        client.close()


def test_large_orders_pass(keeper: Client) -> None:
    keeper.send(type="limits", groups={"run": 2})
    keeper.send(type="order", orders=[keeper.entry(["true", "y" * 100_000]) for _ in range(30)])
    for uid in list(keeper.uids):
        assert keeper.wait_record("ended", uid)["exit_code"] == 0
    assert keeper.run([*PYTHON, "pass"])["exit_code"] == 0


def test_a_limit_of_a_hundred_years_is_one(keeper: Client) -> None:
    assert keeper.run(["sleep", "0.05"], timeout_seconds=3e9)["cause"] is None
    assert keeper.run(["sleep", "0.05"], timeout_seconds=float("inf"))["cause"] is None


def test_whoever_hears_gone_has_heard_of_the_end(keeper: Client) -> None:
    keeper.send(type="limits", groups={"run": 1})
    long = keeper.order(WAIT)
    keeper.wait_record("started", long)
    for _ in range(20):
        uid = keeper.order(["true"], takes_slot=False)
        keeper.order(["true"])  # keeps the queue filled, so that reports are gathered
        until(lambda uid=uid: any(r["uid"] == uid and r["kind"] == "ended" for r in keeper.journal()), "its end")
        keeper.send(type="stop", uid=uid, request=uid)
        keeper.wait_message("gone", request=uid)
        assert [record for record in keeper.records if record["uid"] == uid and record["kind"] == "ended"]
    (keeper.data_dir / "go").touch()
