"""The keeper on a full disk: nothing new without a record, no record lost, nothing told before it is written."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from keeper.client import Client, until

from tests.disks import MIB, fill, small_disk
from wattle.keeper import ballast
from wattle.keeper.journal import JournalWriter

ORDERS = 1500  # more records than the journal keeps room for


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    with small_disk(tmp_path, request.param, 8 * MIB) as disk:
        yield disk


def test_a_full_disk_holds_the_orders_back_until_there_is_room(disk: Path, tmp_path: Path) -> None:
    """F22: the orders wait as they were, and each is carried out once."""
    client = Client(disk)
    client.logs = tmp_path  # only the journal is on the full disk
    client.start()
    try:
        client.run(["true"])
        fill(disk)
        uids = [client.order(["true"], cwd="/") for _ in range(ORDERS)]
        assert client.wait_message("held")["reason"] == "the journal cannot be written: No space left on device"
        journaled = client.journal()
        started = [record for record in journaled if record["kind"] == "started"]
        assert 200 < len(started) < ORDERS, "the fault fired, and there was room kept for some"
        (disk / "filler").unlink()
        for uid in uids:
            assert client.wait_record("ended", uid)["exit_code"] == 0
        assert client.wait_message("held")["reason"] is None
        assert client.records == client.journal(), "told is what is written, once"
        assert len(client.records) == 2 * (ORDERS + 1)
    finally:
        (disk / "filler").unlink(missing_ok=True)
        client.close()


def test_on_a_full_disk_the_ends_of_what_runs_are_written(disk: Path, tmp_path: Path) -> None:
    """Ends of 200 workers, at a moment when nobody else gets a block."""
    client = Client(disk)
    client.logs = tmp_path
    client.start()
    try:
        go = tmp_path / "go"
        wait = ["/bin/sh", "-c", f"while [ ! -e {go} ]; do sleep 0.05; done; exit 3"]
        uids = [client.order(wait, cwd="/") for _ in range(200)]
        for uid in uids:
            client.wait_record("started", uid)
        fill(disk)
        assert fill(disk) == 0
        go.touch()
        for uid in uids:
            assert client.wait_record("ended", uid)["exit_code"] == 3
    finally:
        (disk / "filler").unlink(missing_ok=True)
        client.close()


def test_the_journal_gives_the_ballast_up_before_it_fails(disk: Path) -> None:
    """Positive control: without a ballast the same record waits."""
    for size in (MIB, 0):
        (disk / "filler").unlink(missing_ok=True)
        assert not size or ballast.make(str(disk), size)
        writer = JournalWriter(str(disk), f"k{size}", give_way=lambda: ballast.give_up(str(disk)))
        assert writer.is_open()
        fill(disk)
        writer.append({"uid": "u" * 5000})
        assert len(writer.flush()) == (1 if size else 0)
        assert (writer.problem is None) is bool(size)
        assert not ballast.exists(str(disk))


def test_a_ballast_has_all_its_blocks_or_is_not_made(disk: Path) -> None:
    assert ballast.make(str(disk), MIB)
    found = os.stat(disk / "ballast")
    assert found.st_size == MIB and found.st_blocks * 512 >= MIB and found.st_mode & 0o777 == 0o600
    assert ballast.make(str(disk), MIB), "it is there"
    assert ballast.give_up(str(disk)) and not ballast.give_up(str(disk))
    fill(disk)
    assert not ballast.make(str(disk), MIB)
    assert not ballast.exists(str(disk)), "nothing half made"


def test_room_kept_for_the_journal_is_given_back_with_its_segment(disk: Path) -> None:
    writer = JournalWriter(str(disk), "k", segment_bytes=100, reserve_bytes=64 * 1024)
    for _ in range(3):
        writer.append({"uid": "u" * 200})
        writer.flush()
    blocks = {path.name: path.stat().st_blocks * 512 for path in disk.glob("k.*")}
    assert blocks.pop("k.0003.jsonl") >= 64 * 1024
    assert all(size < 64 * 1024 for size in blocks.values()), blocks


def test_a_log_that_cannot_be_made_leaves_no_trace_of_a_start(tmp_path: Path) -> None:
    """F24, F26: no inode left, then a read-only file system; the order waits and is started once."""
    with small_disk(tmp_path, options=",nr_inodes=20") as disk:
        client = Client(tmp_path)
        client.logs = disk
        client.start()
        try:
            taken = [disk / str(number) for number in range(18)]
            for path in taken:
                path.touch()
            uid = client.order(["true"])  # one inode is left: stdout can be made, stderr cannot
            assert "log file" in client.wait_message("held")["reason"]
            until(lambda: not list(disk.glob(f"{uid}*")), "no log stays")
            for path in taken:
                path.unlink()
            assert client.wait_record("ended", uid)["exit_code"] == 0
            assert client.wait_message("held")["reason"] is None
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            uid = client.order(["true"])
            assert "Read-only file system" in client.wait_message("held")["reason"]
            subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
            assert client.wait_record("ended", uid)["exit_code"] == 0
            assert [record["kind"] for record in client.records] == ["started", "ended"] * 2
        finally:
            client.close()
