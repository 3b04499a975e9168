"""When the keeper tells what it has written down, turn by turn (its own loop is not needed for that)."""

import json
import subprocess
import sys
from pathlib import Path

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
os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
keeper.reap()
keeper.timers.run(time.monotonic() + 1)  # that by which the start was to be told falls due in the same turn
keeper.tell()
print(kinds())
"""


def test_an_end_in_the_turn_in_which_gathered_reports_fall_due_is_told_with_them(tmp_path: Path) -> None:
    """Its slot is free and nothing is queued for it, so that the daemon has to know at once."""
    command = [sys.executable, "-c", TURNS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=20)
    assert done.returncode == 0, done.stderr
    said = [json.loads(line.replace("'", '"')) for line in done.stdout.splitlines()]
    assert said == [[], ["started", "ended"]]
