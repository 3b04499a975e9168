"""What real libraries hear through a network that misbehaves, while the daemon is killed (I7, F04, F43 to F50).

WATTLE_TEST_SEED chooses other bytes and other faults; the seed is printed when a test fails.
"""

import os
import random
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.whole.hostile_proxy import Fate, Fault, HostileProxy, fates
from tests.whole.server import Server, eventually
from tests.whole.stream_clients import LIBRARIES, HttpxSse, Listener, missing, need

# The storm is one for all tests of it.
pytestmark = pytest.mark.xdist_group("stream clients")

SEED = int(os.environ.get("WATTLE_TEST_SEED", "5"))
PATHS = {
    "worker": "/api/workers/w/a/logs/stream",
    "workflow": "/api/workflows/w/logs/stream",
    "events": "/api/events/stream?last_event_id=0",
}
REACH_BYTES = {"worker": 120_000, "workflow": 120_000, "events": 3000}
KILLS = 2

# Writes two files to its two outputs, piece by piece, in 4 s at least.
WRITER = """
import os, random, sys, time
out, err = (open(path, "rb").read() for path in sys.argv[1:3])
chance = random.Random(1)
while out or err:
    size = chance.choice([1, 7, 100, 2000, 9000])
    os.write(1, out[:size])
    os.write(2, err[: size // 4])
    out, err = out[size:], err[size // 4 :]
    time.sleep(0.015)
"""


def awkward_bytes(seed: int, size: int) -> bytes:
    """What is hard to frame: half characters, NUL, CR, lines like events, empty and very long ones, no last newline."""
    chance = random.Random(seed)
    lines = [
        "Zeile ä 日本語 😀 \u2028 \u0085 \ufeff", "", "", "crlf\r", "\r", "a\rb", "data: {}", "id: 1", ": hb",
        "event: end", "\x1b[31mred\x1b[0m \0 \x07", " lead and trail \t", '{"quoted": "\\n"}',
    ]  # fmt: skip
    parts = [line.encode() for line in lines] + [b"\xff\xfe", b"half \xe6\x97", b"\xf0\x9f\x98", b"\xed\xa0\x80"]
    made: list[bytes] = [chance.choice(["ä日😀x"]).encode() * 14_000]  # one line in pieces, cut inside of characters
    while sum(map(len, made)) < size:
        made.append(b" ".join(chance.choices(parts, k=chance.randrange(1, 5))) * chance.choice([1, 1, 1, 1, 30]))
        made.append(chance.randbytes(chance.randrange(40)))
    return b"\n".join([*made[1:], made[0], "no newline ä".encode()])


class Heard(NamedTuple):
    """What one library heard of one path, and what was done to it meanwhile."""

    listener: Listener
    fired: Counter[Fault]
    connections: int


class Storm(NamedTuple):
    heard: dict[tuple[str, str], Heard]
    logs: Path
    event_ids: list[int]


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storm]:
    """All libraries follow all paths, each through a proxy of its own, while a worker writes and the daemon dies."""
    directory = tmp_path_factory.mktemp("storm")
    server = Server(directory).start()
    with ExitStack() as stack:
        stack.callback(server.down)
        heard: dict[tuple[str, str], tuple[Listener, HostileProxy]] = {}
        (directory / "out").write_bytes(awkward_bytes(SEED, 500_000))
        (directory / "err").write_bytes(awkward_bytes(SEED + 1, 60_000))
        program = ["-c", WRITER, str(directory / "out"), str(directory / "err")]
        server.create("w", [
            {"name": "a", "command": sys.executable, "args": program},
            {"name": "b", "command": "printf 'b%s' $WATTLE_ATTEMPT; sleep 1; test $WATTLE_ATTEMPT = 3",
             "retry": {"limit": 2, "delay_seconds": 0.5}},
        ])  # fmt: skip
        server.create("many", [{"name": f"n{i}", "command": "true"} for i in range(25)])
        server.post("/api/workflows/w/start")  # before anybody listens: a worker's stream ends where no run is active
        libraries = [name for name in LIBRARIES if missing(name) is None]
        for number, (path, library) in enumerate((path, library) for path in PATHS for library in libraries):
            proxy = HostileProxy(server.port, fates(1000 * SEED + number, REACH_BYTES[path]))
            stack.callback(proxy.close)
            listener = LIBRARIES[library](f"http://127.0.0.1:{proxy.port}{PATHS[path]}").start()
            stack.callback(listener.stop)
            heard[path, library] = listener, proxy
        for _ in range(KILLS):
            server.post("/api/workflows/many/start")
            wanted = {key: len(listener.events) + 5 for key, (listener, _) in heard.items()}
            eventually(lambda: not [key for key in heard if not _goes_on(heard[key][0], wanted[key])], 40)  # noqa: B023
            server.ended("many")
            server.kill()
            server.start()
        server.ended("w", 60)
        for _, proxy in heard.values():
            proxy.calm()
        ids = [event["id"] for event in server.get("/api/events")]
        following = [listener for (path, _), (listener, _) in heard.items() if path == "events"]
        ending = [listener for listener, _ in heard.values() if listener not in following]
        eventually(lambda: all(listener.is_over or listener.failure for listener in ending), 40)
        eventually(lambda: all(listener.events[-1].id == str(ids[-1]) for listener in following))
        yield Storm(
            {key: Heard(listener, proxy.fired, proxy.connections) for key, (listener, proxy) in heard.items()},
            server.data_dir / "logs" / "1",
            ids,
        )


def _goes_on(listener: Listener, wanted: int) -> bool:
    return len(listener.events) > wanted or listener.is_over or listener.failure is not None


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    need(request.param)
    print(f"WATTLE_TEST_SEED={SEED}")
    return str(request.param)


def told(listener: Listener) -> str:
    """All but the lines, and where the lines began and ended: for a failure's message."""
    lines = [heard.id for heard in listener.events if heard.name == "message"]
    others = [(heard.name, heard.data, heard.id) for heard in listener.events if heard.name != "message"]
    return f"{len(lines)} lines, {lines[:2]} to {lines[-2:]}; {others}"


def written(logs: Path, name: str) -> str:
    """As lines: these end at LF or CRLF."""
    return (logs / name).read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")


@pytest.mark.parametrize("path", ["worker", "workflow"])
def test_a_log_is_heard_whole_and_once_whatever_the_network_does(storm: Storm, library: str, path: str) -> None:
    """I7, F49."""
    listener, fired, connections = storm.heard[path, library]
    assert listener.failure is None, listener.failure
    worker = "a" if path == "workflow" else None
    for stream, name in (("stdout", "0.1.out"), ("stderr", "0.1.err")):
        heard_text, text = listener.text(stream, worker), written(storm.logs, name)
        assert heard_text == text, f"{stream}: {len(heard_text)} of {len(text)}; {told(listener)}"
    assert connections > KILLS and sum(fired.values()) > 5, fired
    ids = [heard.id for heard in listener.events if heard.name == "message"]
    assert len(set(ids)) == len(ids)
    assert not {"gap", "truncated", "error"} & {heard.name for heard in listener.events}
    if path == "workflow":
        assert listener.text(worker="b") == "b1b2b3"
        attempts = [h.data["attempt"] for h in listener.events if h.name == "attempt" and h.data["worker"] == "b"]
        assert attempts == [1, 2, 3]


def test_every_change_is_heard_once_and_in_its_order_whatever_the_network_does(storm: Storm, library: str) -> None:
    """I7."""
    listener, fired, _ = storm.heard["events", library]
    assert listener.failure is None, listener.failure
    changes = [heard for heard in listener.events if heard.name == "change"]
    assert [int(heard.id) for heard in changes] == [heard.data["id"] for heard in changes] == storm.event_ids
    assert len(storm.event_ids) > 60 and sum(fired.values()) > 3, fired


def test_what_is_written_was_as_awkward_as_it_was_meant_to_be(storm: Storm) -> None:
    """The positive control: the worker wrote all of it, and every kind of fault came to pass."""
    out, err = (storm.logs / name for name in ("0.1.out", "0.1.err"))
    assert out.read_bytes() == awkward_bytes(SEED, 500_000) and err.read_bytes() == awkward_bytes(SEED + 1, 60_000)
    fired = sum((heard.fired for heard in storm.heard.values()), Counter[Fault]())
    assert set(fired) == set(Fault) - {Fault.NONE}, fired
    assert fired[Fault.CUT] > 10 and fired[Fault.RESET] > 5, fired


def test_who_is_cut_off_before_the_first_change_misses_none(server: Server, library: str) -> None:
    """I7: every library comes back with the id that the stream begins with, though it asked for what is to come."""
    server.create("before", [{"name": "a", "command": "true"}])
    path = "/api/events/stream"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        beginning = b""
        while not beginning.endswith(b"id: 1\n\n"):
            beginning += client.recv(65536)
    is_created = threading.Event()

    def once() -> Iterator[Fate]:
        """Cut after the beginning; who comes back is kept waiting until something has changed."""
        yield Fate(Fault.CUT, len(beginning))
        is_created.wait(20)
        while True:
            yield Fate(Fault.NONE)

    proxy = HostileProxy(server.port, once())
    listener = LIBRARIES[library](f"http://127.0.0.1:{proxy.port}{path}").start()
    try:
        eventually(lambda: proxy.connections == 2)
        server.create("meanwhile", [{"name": "a", "command": "true"}])
        is_created.set()
        eventually(lambda: [heard for heard in listener.events if heard.name == "change"])
        assert listener.events[-1].data["subject"] == "meanwhile" and proxy.fired == {Fault.CUT: 1}
    finally:
        is_created.set()
        listener.stop()
        proxy.close()


def test_a_reader_that_never_reads_does_no_harm(server: Server) -> None:
    """F45, L10: what waits for it is bounded, the worker and the others go on; `test_feeds` shows that it is cut."""
    go = server.directory / "go"
    program = (
        f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)\n"
        "for n in range(120): os.write(1, b'%063d\\n' % n * 1024)"
    )
    before = resident_kib(server.pid)
    with ExitStack() as stack:
        server.run("w", [{"name": "a", "command": sys.executable, "args": ["-c", program]}])
        for path in (PATHS["worker"], PATHS["workflow"]) * 5:
            idle = stack.enter_context(socket.socket())
            idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            idle.connect(("127.0.0.1", server.port))
            idle.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        eventually(lambda: "wattle_stream_clients 10.0" in server.request("GET", "/metrics").body)
        go.touch()
        listener = HttpxSse(f"http://127.0.0.1:{server.port}{PATHS['worker']}").start()
        stack.callback(listener.stop)
        assert server.ended("w") == "completed"
        eventually(lambda: listener.is_over, 60)
        assert listener.text() == "".join(f"{n:063d}\n" * 1024 for n in range(120))
        assert resident_kib(server.pid) < before + 48 * 1024
        eventually(lambda: "wattle_stream_clients 10.0" in server.request("GET", "/metrics").body)
    eventually(lambda: "wattle_stream_clients 0.0" in server.request("GET", "/metrics").body)


def resident_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0])
