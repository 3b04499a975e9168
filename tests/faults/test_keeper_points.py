"""Failpoints that a whole scene does not pass: the journal's segments one after another, and orders taken back."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import wattle
from tests.keeper.client import Client, until
from wattle.keeper.journal import JournalWriter, read_records
from wattle.keeper.launch import probe

WRITE = """
import sys
from wattle.keeper.journal import JournalWriter
journal = JournalWriter(sys.argv[1], sys.argv[2], segment_bytes=200)
for number in range(40):
    journal.append({"kind": "started", "number": number})
    for line in journal.flush():
        print(line.decode(), flush=True)  # whoever is told is told here
    if journal.blocked is not None:
        journal.flush()
    if number % 10 == 9:
        journal.discard(number - 5)
"""


def write(directory: Path, fault: str) -> "subprocess.CompletedProcess[str]":
    environ = os.environ | {"WATTLE_FAILPOINT": fault, "PYTHONPATH": str(Path(wattle.__file__).parents[1])}
    environ["WATTLE_FAILPOINT_FIRED"] = str(directory / "fired")
    command = [sys.executable, "-c", WRITE, str(directory), "0" * 31 + "1"]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=30)


POINTS_OF_SEGMENTS = (
    "keeper.segment.before",
    "keeper.segment.after",
    "keeper.segment.discarded",
    "keeper.journal.before",
)


@pytest.mark.parametrize("point", POINTS_OF_SEGMENTS)
def test_what_was_told_is_in_the_journal_wherever_its_writer_is_killed(point: str, tmp_path: Path) -> None:
    """C12: for n = 1, 2, 3 … until nothing fires."""
    fired = 0
    while True:
        directory = tmp_path / str(fired)
        directory.mkdir()
        done = write(directory, f"{point}:{fired + 1}:kill")
        told = [json.loads(line)["seq"] for line in done.stdout.splitlines()]
        found = [record["seq"] for _, record in read_records(str(directory), {})]
        assert found == list(range(found[0], found[-1] + 1)) if found else not told
        assert set(told) <= {*found, *range(1, found[0] if found else 1)}, "a record was told and is gone"
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        fired += 1
    assert fired >= 2


@pytest.mark.parametrize("action", ["eio", "enospc"])
@pytest.mark.parametrize("point", ["keeper.segment.before", "keeper.segment.discarded", "keeper.journal.before"])
def test_an_error_of_the_file_system_delays_records_and_loses_none(point: str, action: str, tmp_path: Path) -> None:
    """F25: tried again, every record is told once and in order."""
    done = write(tmp_path, f"{point}:2:{action}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "fired").read_text().split()[0] == f"{point}:2:{action}"
    told = [json.loads(line)["seq"] for line in done.stdout.splitlines()]
    found = [record["seq"] for _, record in read_records(str(tmp_path), {})]
    assert told == sorted(set(told))
    assert found == list(range(found[0], 41)), "one that is not told yet is on disk with the next"


def test_a_torn_last_line_hides_nothing_before_it(tmp_path: Path) -> None:
    """C12; control: the same bytes with their newline are one record more."""
    journal = JournalWriter(str(tmp_path), "k")
    journal.append({"kind": "started"})
    journal.flush()
    (segment,) = tmp_path.iterdir()
    with open(segment, "ab") as file:
        file.write(b'{"seq":2,"kind":"ended"}')
    assert [record["seq"] for _, record in read_records(str(tmp_path), {})] == [1]
    with open(segment, "ab") as file:
        file.write(b"\n")
    assert [record["seq"] for _, record in read_records(str(tmp_path), {})] == [1, 2]


def test_a_keeper_killed_when_it_has_taken_orders_back_has_started_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATTLE_FAILPOINT", "keeper.withdraw.after:1:kill")
    monkeypatch.setenv("WATTLE_FAILPOINT_FIRED", str(tmp_path / "fired"))
    client = Client(tmp_path).start()
    try:
        client.send(type="limits", groups={"g": 1})
        orders = [
            {"uid": name, "argv": ["sleep", "60"], "cwd": "/", "group": "g",
             "stdout": str(client.logs / f"{name}.out"), "stderr": str(client.logs / f"{name}.err")}
            for name in ("first", "second")
        ]  # fmt: skip
        client.send(type="order", orders=orders)
        until((client.logs / "first.out").exists, "the first one starts")
        client.send(type="withdraw", request=1, uids=["second"])
        until(lambda: not probe(str(tmp_path)), "the keeper is killed")
        assert (tmp_path / "fired").read_text().startswith("keeper.withdraw.after:1:kill ")
        assert not (client.logs / "second.out").exists()
    finally:
        for _, record in read_records(str(tmp_path / "journal"), {}):
            os.kill(record["pid"], signal.SIGKILL)
        os.waitpid(client.pid, 0)
