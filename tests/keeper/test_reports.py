"""When the keeper tells what it has written down, turn by turn (its own loop is not needed for that)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TURNS = """
import os, socket, sys, time
from functools import partial
from wattle.keeper import keeper as module
from wattle.keeper.connection import Connection
from wattle.keeper.journal import JournalWriter
from wattle.keeper.poller import Poller
from wattle.keeper.protocol import FrameReader

directory = sys.argv[1]
poller = Poller()
keeper = module.Keeper("k" * 32, JournalWriter(directory, "k" * 32), poller)
ours, its = socket.socketpair()
connection = Connection(its, poller, keeper.receive, lambda *_: None)
reader = FrameReader()

def kinds():
    ours.setblocking(False)
    try:
        frames = list(reader.feed(ours.recv(1 << 20)))
    except BlockingIOError:
        return []
    return [record["kind"] for frame in frames if frame["type"] == "report" for record in frame["records"]]

keeper.receive(connection, {"type": "hello", "protocol": module.PROTOCOL, "pid": os.getpid()})
keeper.receive(connection, {"type": "environment", "id": 1, "vars": {"PATH": os.environ["PATH"]}, "umask": 18})
order = {"uid": "1" * 32, "tag": [1, 1, 1], "group": "1", "argv": ["true"], "cwd": "/", "env": {},
         "stdout": f"{directory}/out", "stderr": f"{directory}/err"}
keeper.receive(connection, {"type": "order", "orders": [order]})
keeper.fill_slots()
keeper.tell()
print(kinds())
"""
FALLS_DUE = """
os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
keeper.reap()
keeper.timers.run(time.monotonic() + 1)  # that by which the start was to be told falls due in the same turn
keeper.tell()
print(kinds())
"""
FOLLOWED = """
import json
for follower in json.loads(sys.argv[2]):
    entry = {**order, "uid": "2" * 32, "argv": ["sleep", "60"], "after": ["1" * 32], **follower}
    keeper.receive(connection, follower if "type" in follower else {"type": "order", "orders": [entry]})
kinds()
os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
keeper.reap()
keeper.fill_slots()
keeper.tell()
print(kinds())
for worker in list(keeper._family.workers.values()):
    os.kill(worker.pid, 9)
"""
COVERS = {"covers": ["1" * 32]}
WITHDRAW = {"type": "withdraw", "uids": ["2" * 32], "request": 0}


def turns(directory: Path, script: str, *arguments: str) -> list[list[str]]:
    command = [sys.executable, "-c", script, str(directory), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=20)
    assert done.returncode == 0, done.stderr
    return [json.loads(line.replace("'", '"')) for line in done.stdout.splitlines()]


def test_an_end_in_the_turn_in_which_gathered_reports_fall_due_is_told_with_them(tmp_path: Path) -> None:
    """Its slot is free and nothing is queued for it, so that the daemon has to know at once."""
    assert turns(tmp_path, TURNS + FALLS_DUE) == [[], ["started", "ended"]]


@pytest.mark.parametrize(
    ("followers", "told"),
    [
        ([], ["started", "ended"]),
        ([{}], ["started", "ended", "started"]),
        ([COVERS], []),
        ([COVERS, {"uid": "3" * 32}], []),
        ([COVERS, WITHDRAW], ["started", "ended"]),
        ([COVERS, COVERS], []),
        ([COVERS, {}], ["started", "ended", "started"]),
    ],
    ids=["none", "one", "covers", "covers with another", "taken back", "twice", "replaced"],
)
def test_a_good_end_is_told_at_once_unless_all_that_waits_for_it_is_here(
    tmp_path: Path, followers: list[dict[str, object]], told: list[str]
) -> None:
    assert turns(tmp_path, TURNS + FOLLOWED, json.dumps(followers)) == [[], told]
