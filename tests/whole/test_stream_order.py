"""Lines of both streams of a real worker, heard live: in their order, with their times, and again from any id."""

import sys
import threading
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from tests.whole.event_source import EventSource
from tests.whole.server import Server, eventually

COUNT = 200
TALK = f"""
import os, time
time.sleep(0.3)  # files are watched from 0.1 s on
for number in range({COUNT}):
    os.write(1 + number % 2, b"line %d\\n" % number)
    time.sleep(0.004)
while not os.path.exists("heard" + os.environ["WATTLE_RUN_ID"]): time.sleep(0.01)
"""


def paths(run: int) -> tuple[str, str, str]:
    name = f"talk{run}"
    return f"/api/workers/{name}/w/logs/stream", f"/api/runs/{run}/logs/stream", f"/api/workflows/{name}/logs/stream"


@pytest.fixture
def server(tmp_path: Path):
    server = Server(tmp_path).start()
    yield server
    server.down()


def numbers(source: EventSource) -> list[int]:
    return [int(heard.data["content"].split()[1]) for heard in source.events if heard.name == "message"]


def in_order(source: EventSource) -> int:
    """How many lines follow the one that was written before them; of 200, 199 where the order is exact."""
    return sum(one + 1 == other for one, other in pairwise(numbers(source)))


def test_a_worker_that_alternates_is_heard_in_order_while_it_writes(server: Server) -> None:
    """L5: one worker's stream, a run's and a workflow's. Stdout first would put no line behind its predecessor."""
    for run in range(1, 4):
        sources, later = heard_of(server, run)
        if all(in_order(source) >= COUNT * 0.9 for source in (*sources, *later)):
            break  # else the machine was so busy that what was written was seen much later than it was
    for source in (*sources, *later):
        assert in_order(source) >= COUNT * 0.9, numbers(source)
        times = [datetime.fromisoformat(heard.data["time"]) for heard in source.events if "time" in heard.data]
        assert times == sorted(times) and len(times) == COUNT
        assert 0.5 < (times[-1] - times[0]).total_seconds() < 30

    for source, path in zip(later, paths(run), strict=True):
        for place in range(0, len(source.events) - 2, 20):
            again = EventSource(server.port, path, last_id=source.events[place].id).follow()
            assert again.events == source.events[place + 1 :]


def heard_of(server: Server, run: int) -> tuple[list[EventSource], list[EventSource]]:
    """Who listened while the worker wrote, and afterwards; each to all of it."""
    command = {"command": sys.executable, "args": ["-c", TALK], "working_dir": str(server.directory)}
    server.create(f"talk{run}", [{"name": "w", **command}])
    server.post(f"/api/workflows/talk{run}/start")
    sources = [EventSource(server.port, path) for path in paths(run)]
    listeners = [threading.Thread(target=source.follow) for source in sources]
    for listener in listeners:
        listener.start()
    try:
        # Every line is there while the worker waits for that: nothing is held back until its end.
        assert eventually(lambda: all(len(numbers(source)) == COUNT for source in sources), 30)
    finally:
        (server.directory / f"heard{run}").touch()
        for listener in listeners:
            listener.join()
    assert server.ended(f"talk{run}") == "completed"
    later = [EventSource(server.port, path).follow() for path in paths(run)]
    for source in (*sources, *later):
        assert sorted(numbers(source)) == list(range(COUNT))
    return sources, later


def test_a_lone_line_does_not_wait_for_its_entry(server: Server) -> None:
    """Nor does one after the other of different streams: each is heard before the next one is written."""
    program = "import os, sys\nfor number in range(20):\n    os.write(1 + number % 2, b'line %d\\n' % number)\n"
    program += "    while not os.path.exists(f'heard{number}'): pass\n"
    server.create(
        "talk",
        [{"name": "w", "command": sys.executable, "args": ["-c", program], "working_dir": str(server.directory)}],
    )
    server.post("/api/workflows/talk/start")
    source = EventSource(server.port, "/api/workers/talk/w/logs/stream")
    for heard in source.connect():
        if heard.name == "message":
            (server.directory / f"heard{len(source.events) - 1}").touch()
    assert numbers(source) == list(range(20)) and source.names()[-1] == "end"
