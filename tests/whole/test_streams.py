"""Streams of a real server, heard by real clients: cut anywhere, across daemons, by many at once (I7, F42 to F50)."""

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.whole.event_source import EventSource
from tests.whole.server import Server, eventually

COUNT = "for i in 1 2 3; do echo line $i; done; printf 'e1\\ne2' >&2"


def worker(name: str, command: str, **fields: object) -> dict[str, object]:
    return {"name": name, "command": command, "capture_stdout": False, **fields}


def python(name: str, program: str, **fields: object) -> dict[str, object]:
    return {"name": name, "command": sys.executable, "args": ["-u", "-c", program], **fields}


def test_a_log_cut_at_every_byte_is_heard_once_and_whole(server: Server) -> None:
    """F49, I7, A20: a worker's stream; a run's and a workflow's at every fifth."""
    server.run("w", [worker("a", COUNT)])
    server.ended("w")
    for path, who, step in (
        ("/api/workers/w/a/logs/stream", None, 1),
        ("/api/runs/1/logs/stream", "a", 5),
        ("/api/workflows/w/logs/stream", "a", 5),
    ):
        whole = EventSource(server.port, path).follow()
        assert whole.text(worker=who) == "line 1\nline 2\nline 3\n" and whole.text("stderr", who) == "e1\ne2"
        assert whole.statuses == [200, 204]
        size = len(server.request("GET", path).body)
        for cut in range(1, size + 1, step):
            source = EventSource(server.port, path)
            list(source.connect(cut_after=cut))
            list(source.connect())
            # Who has heard the last line is at the end: it is told 204 and not `end` again.
            assert source.events in (whole.events, whole.events[:-1]), cut


def test_cuts_and_killed_daemons_lose_nothing_and_repeat_nothing(server: Server) -> None:
    """I7, F04, F49: a worker that writes both streams all the time, and everything else dies now and then."""
    program = (
        "import os, time\n"
        "for i in range(400):\n"
        "    os.write(1, b'out %d \\xff\\x00 %s\\n' % (i, b'x' * (i * 37 % 3000)))\n"
        "    os.write(2, b'err %d' % i + b'\\n' * (i % 3))\n"
        "    time.sleep(0.01)\n"
    )
    server.run("w", [python("a", program)])
    paths = {"/api/workers/w/a/logs/stream": None, "/api/workflows/w/logs/stream": "a"}
    sources = [EventSource(server.port, path) for path in paths]
    stop = threading.Event()

    def listen(source: EventSource, seed: int) -> None:
        chance = random.Random(seed)
        while not source.is_closed and not stop.is_set():
            for _ in source.connect(cut_after=chance.choice([1, 50, 700, 5000, 100_000])):
                pass
            time.sleep(0.01)

    listeners = [threading.Thread(target=listen, args=(source, seed)) for seed, source in enumerate(sources)]
    for listener in listeners:
        listener.start()
    try:
        for _ in range(2):
            heard = [len(source.events) for source in sources]
            eventually(lambda: all(len(s.events) > n + 30 for s, n in zip(sources, heard, strict=True)))  # noqa: B023
            server.kill()
            server.start()
        server.ended("w")
        assert eventually(lambda: all(source.is_closed for source in sources), 60)
    finally:
        stop.set()
        for listener in listeners:
            listener.join()
    logs = Path(server.data_dir, "logs", "1")
    for source, who in zip(sources, paths.values(), strict=True):
        for stream, suffix in (("stdout", "out"), ("stderr", "err")):
            written = (logs / f"0.1.{suffix}").read_bytes().decode("utf-8", "replace")
            assert source.text(stream, who) == written
        ids = [heard.id for heard in source.events if heard.name != "end"]
        assert len(set(ids)) == len(ids)
        assert len(source.statuses) > 10  # it was cut


def test_a_retry_is_announced_and_followed_on_the_same_connection(server: Server) -> None:
    """A21: every attempt in turn, however short."""
    command = "sleep 0.3; echo attempt $WATTLE_ATTEMPT; exit 1"
    server.run("w", [worker("a", command, retry={"limit": 3, "delay_seconds": 0})])
    source = EventSource(server.port, "/api/workers/w/a/logs/stream").follow()
    assert source.text() == "attempt 1\nattempt 2\nattempt 3\nattempt 4\n"
    assert source.names() == ["message", *["attempt", "message"] * 3, "end"]
    assert source.events[-1].data == {"type": "end", "status": "failed", "exit_code": 1}
    assert source.statuses == [200, 204]


def test_an_id_in_an_older_attempt_goes_on_there_and_then_with_those_after_it(server: Server) -> None:
    """I7: whoever was away while a retry began misses nothing of either."""
    server.run("w", [worker("a", "echo one $WATTLE_ATTEMPT; echo two; exit 1", retry={"limit": 1, "delay_seconds": 0})])
    server.ended("w")
    attempts = server.get("/api/runs/1")["attempts"]
    source = EventSource(server.port, "/api/workers/w/a/logs/stream", last_id=f"{attempts[0]['uuid']}:6:0").follow()
    assert source.text() == "two\none 2\ntwo\n"
    server.post("/api/workflows/w/start")
    server.ended("w")
    before = source.last_id
    again = EventSource(server.port, "/api/workers/w/a/logs/stream", last_id=before).follow()
    assert again.names()[0] == "attempt" and again.text() == "one 1\ntwo\none 2\ntwo\n"


def test_filters_begin_near_the_end_choose_a_stream_and_end_at_once(server: Server) -> None:
    server.run("w", [worker("a", f"{COUNT}; sleep 600")])
    path = "/api/workers/w/a/logs/stream"
    eventually(lambda: len(server.get("/api/workers/w/a/logs?tail=9")) == 5)
    heard = EventSource(server.port, f"{path}?tail=1&follow=false")
    list(heard.connect())
    assert heard.text() == "line 3\n" and heard.text("stderr") == "e2" and "end" not in heard.names()
    for stream in ("stdout", "stderr"):
        heard = EventSource(server.port, f"{path}?stream={stream}&follow=false")
        list(heard.connect())
        assert {event.data["type"] for event in heard.events} == {stream}
    merged = EventSource(server.port, "/api/workflows/w/logs/stream?stream=stderr&follow=false")
    list(merged.connect())
    assert merged.text("stderr", "a") == "e1\ne2" and merged.text(worker="a") == ""
    list(merged.connect())
    assert merged.text("stderr", "a") == "e1\ne2"
    for query in ("stream=both", "tail=x", "follow=maybe", "stream=stdout&stream=stderr"):
        reply = server.request("GET", f"{path}?{query}")
        assert (reply.status, reply.body["error"]["code"]) == (400, "INVALID_PARAMETER")


@pytest.mark.parametrize(
    "position", ["x", "1:-1:0", "1.2.3", "1.2,3", "9" * 30, "a" * 100_000, "%F0%9F%98%80", "1.1,1:1"]
)
def test_an_id_that_nobody_was_given_is_refused(server: Server, position: str) -> None:
    """F50."""
    server.run("w", [worker("a", "true")])
    for path in ("workers/w/a/logs", "workflows/w/logs", "runs/1/logs", "events"):
        reply = server.request("GET", f"/api/{path}/stream?follow=false&last_event_id={position}")
        assert (reply.status, reply.body["error"]["code"]) == (400, "INVALID_EVENT_ID"), path


def test_ids_of_another_run_or_worker_do_not_resend_by_accident(server: Server) -> None:
    """F50."""
    for name in ("w", "v"):
        server.run(name, [worker("a", f"echo {name}")])
        server.ended(name)
    mine, other = (EventSource(server.port, f"/api/runs/{number}/logs/stream").follow() for number in (1, 2))
    for path in ("/api/runs/1/logs/stream", "/api/workflows/w/logs/stream"):
        reply = server.request("GET", path, Last_Event_ID=other.last_id)
        assert (reply.status, reply.body["error"]["code"]) == (400, "INVALID_EVENT_ID")
        assert server.request("GET", path, Last_Event_ID=mine.last_id).status == 204
    foreign = EventSource(server.port, "/api/workers/v/a/logs/stream").follow().last_id
    source = EventSource(server.port, "/api/workers/w/a/logs/stream", last_id=foreign).follow()
    assert source.names() == ["attempt", "message", "end"]
    for path in ("/api/runs/99/logs/stream", "/api/workflows/none/logs/stream", "/api/workers/w/none/logs/stream"):
        assert server.request("GET", path).status == 404


def test_a_run_of_many_workers_is_one_stream_in_which_each_is_whole(server: Server) -> None:
    """30 workers, some retried, heard live and afterwards; the live one is cut all the time."""
    workers = [
        worker(f"w{i}", f"for i in 1 2 3 4; do echo {i} $i; sleep 0.0{i % 7}; done; printf {i} >&2; test {i % 10} != 9 "
                        "|| test $WATTLE_ATTEMPT = 2", retry={"limit": 1, "delay_seconds": 0})
        for i in range(30)
    ]  # fmt: skip
    server.create("w", workers, max_parallel=8)
    live = EventSource(server.port, "/api/workflows/w/logs/stream")
    chance = random.Random(5)

    def listen() -> None:
        while not live.is_closed:
            for _ in live.connect(cut_after=chance.randrange(1, 3000)):
                pass

    listening = threading.Thread(target=listen)
    listening.start()
    server.post("/api/workflows/w/start")
    assert server.ended("w") == "completed"
    listening.join(60)
    later = EventSource(server.port, "/api/runs/1/logs/stream").follow()
    for i in range(30):
        times = 2 if i % 10 == 9 else 1
        for source in (live, later):
            assert source.text(worker=f"w{i}") == f"{i} 1\n{i} 2\n{i} 3\n{i} 4\n" * times
            assert source.text("stderr", f"w{i}") == str(i) * times
    for source in (live, later):
        assert source.names().count("attempt") == 33
        ids = [heard.id for heard in source.events if heard.name != "end"]
        assert len(set(ids)) == len(ids)
        assert max(map(len, ids)) < 200  # however many there have been
    end = {"type": "end", "status": "completed", "exit_code": None}
    assert later.events[-1].data == end
    # Who was cut right behind the last line is told 204 and not `end`.
    assert live.is_closed and (live.events[-1].data == end or live.statuses[-1] == 204)
    server.post("/api/workflows/w/start")
    server.ended("w")
    again = EventSource(server.port, "/api/workflows/w/logs/stream", last_id=live.last_id).follow()
    assert again.names().count("attempt") == 33 and {e.data.get("run_id") for e in again.events} >= {2}


def test_every_change_of_state_is_streamed_and_gone_on_with(server: Server) -> None:
    """An EventSource that is cut before its first event comes back where it was."""
    server.create("w", [worker("a", "true")])
    server.create("v", [worker("a", "true")])
    first = EventSource(server.port, "/api/events/stream?workflow=w")
    start = b'event: start\ndata: {"type": "start"}\nid: 2\n\n'
    assert [heard.name for heard in first.connect(cut_after=len(start))] == ["start"] and first.last_id == "2"
    for name in ("w", "v"):
        server.post(f"/api/workflows/{name}/start")
        server.ended(name)
    history = server.get("/api/events")
    wanted = [event for event in history if event["subject"].partition("/")[0] == "w" and event["id"] > 2]
    for heard in first.connect():
        assert heard.name == "start" or (heard.name == "change" and heard.id == str(heard.data["id"]))
        if len(changes(first)) == len(wanted):
            break
    assert changes(first) == wanted
    everything = EventSource(server.port, "/api/events/stream?last_event_id=0&follow=false")
    list(everything.connect())
    assert everything.names()[0] == "start" and changes(everything) == history
    server.kill()
    server.start()
    server.post("/api/workflows/w/start")
    for _ in first.connect():
        if first.events[-1].data.get("kind") == "run.completed":
            break
    numbers = [change["id"] for change in changes(first)]
    assert numbers == sorted(set(numbers)) and len(numbers) == 2 * len(wanted)
    future = EventSource(server.port, "/api/events/stream?follow=false", last_id="999999")
    list(future.connect())
    assert future.names() == ["start"] and int(future.last_id) < 999999


def changes(source: EventSource) -> list[dict[str, object]]:
    return [heard.data for heard in source.events if heard.name == "change"]


def test_three_hundred_clients_on_one_log_hear_all_of_it_and_the_api_answers(server: Server) -> None:
    """F46, F47, I11, A22: read once for all, and descriptors come back when they vanish."""
    looked = server.directory / "looked"
    program = "import os, time\nfor i in range(40): print('line', i); time.sleep(0.1)\n"
    program += f"while not os.path.exists({str(looked)!r}): time.sleep(0.05)"
    server.run("w", [python("a", program)])
    descriptors = f"/proc/{server.pid}/fd"
    sources = [EventSource(server.port, "/api/workers/w/a/logs/stream") for _ in range(300)]
    listeners = [threading.Thread(target=lambda source=source: list(source.connect(seconds=60))) for source in sources]
    for listener in listeners:
        listener.start()
    eventually(lambda: all(source.statuses for source in sources))
    eventually(lambda: len([link for link in _links(descriptors) if link.endswith("logs/1/0.1.out")]) <= 1)
    assert server.get("/api/workflows/w")["status"] == "running"
    looked.touch()
    for listener in listeners:
        listener.join(60)
    wanted = "".join(f"line {i}\n" for i in range(40))
    assert all(source.text() == wanted and source.names()[-1] == "end" for source in sources)
    eventually(lambda: not any("/logs/1/" in link for link in _links(descriptors)))
    eventually(lambda: len([link for link in _links(descriptors) if link.startswith("socket:")]) < 20)


def _links(directory: str) -> list[str]:
    """What a process has open."""
    found = []
    for name in os.listdir(directory):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"{directory}/{name}"))
    return found


def test_five_hundred_clients_that_come_and_vanish_leave_nothing(server: Server) -> None:
    """F47, I11."""
    server.run("w", [worker("a", "echo hello; sleep 600")])
    descriptors, threads = (f"/proc/{server.pid}/{what}" for what in ("fd", "task"))
    before = len(os.listdir(threads)), len([link for link in _links(descriptors) if link.startswith("socket:")])
    chance = random.Random(7)
    for _ in range(500):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            path = chance.choice(["workers/w/a/logs", "workflows/w/logs", "runs/1/logs", "events"])
            client.sendall(f"GET /api/{path}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            if chance.random() < 0.5:
                client.recv(1)
    eventually(lambda: "wattle_stream_clients 0.0" in server.request("GET", "/metrics").body)
    eventually(lambda: not any("/logs/1/" in link for link in _links(descriptors)))
    eventually(lambda: len([link for link in _links(descriptors) if link.startswith("socket:")]) <= before[1] + 1)
    assert len(os.listdir(threads)) <= before[0] + 1


def test_one_huge_line_comes_in_pieces_and_memory_stays_flat(server: Server) -> None:
    """F42."""
    server.run("w", [python("a", "import os\nfor _ in range(320): os.write(1, b'x' * 65536)")])
    server.ended("w")
    rss = _rss(server.pid)
    source = EventSource(server.port, "/api/workers/w/a/logs/stream").follow()
    assert source.text() == "x" * (320 * 65536)
    assert max(len(heard.data.get("content", "")) for heard in source.events) <= 65536
    assert _rss(server.pid) < rss + 20 * 1024


def _rss(pid: int) -> int:
    """In KiB."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0])


def test_one_address_takes_only_its_share(tmp_path: Path) -> None:
    """F46, C3: over the cap an EventSource is told to come back; the API and stops go on."""
    server = Server(tmp_path, "--max-streams", "5", "--max-streams-per-address", "3").start()
    try:
        server.run("w", [worker("a", "echo hello; sleep 600")])
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
                client.sendall(b"GET /api/workers/w/a/logs/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert client.recv(65536).startswith(b"HTTP/1.1 200")
            fourth = server.request("GET", "/api/workers/w/a/logs/stream")
            assert fourth.status == 200 and "retry: 5000\n" in fourth.body and "TOO_MANY_STREAMS" in fourth.body
            assert server.status("w") == "running"
            server.post("/api/workflows/w/stop")
            assert server.status("w") == "cancelled"
        eventually(lambda: "event: end" in server.request("GET", "/api/workers/w/a/logs/stream").body)
    finally:
        server.down()


NODE = """
const [url] = process.argv.slice(1);
let last = '', lines = [], names = [], cuts = 0;
async function once(cut) {
  const abort = new AbortController();
  const headers = last ? {'Last-Event-ID': last} : {};
  const answer = await fetch(url, {headers, signal: abort.signal});
  if (answer.status === 204) return true;
  if (!answer.headers.get('content-type').startsWith('text/event-stream')) throw new Error(answer.status);
  const decoder = new TextDecoder();
  let rest = '', seen = 0;
  try {
    for await (const chunk of answer.body) {
      rest += decoder.decode(chunk, {stream: true});
      const blocks = rest.split('\\n\\n');
      rest = blocks.pop();
      for (const block of blocks) {
        let name = 'message', data = null;
        for (const line of block.split('\\n')) {
          if (line.startsWith('data: ')) data = line.slice(6);
          if (line.startsWith('event: ')) name = line.slice(7);
          if (line.startsWith('id: ')) last = line.slice(4);
        }
        if (data === null) continue;
        names.push(name);
        if (name === 'message') lines.push(JSON.parse(data).content);
        if (++seen === cut) { cuts++; abort.abort(); return false; }
      }
    }
  } catch (error) { if (error.name !== 'AbortError') throw error; }
  return false;
}
(async () => {
  for (let cut = 1; !(await once(cut)); cut++) {}
  console.log(JSON.stringify({lines, end: names.at(-1), cuts}));
})();
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="NODE IS NOT HERE: no JavaScript client was tried")
def test_a_javascript_client_that_is_cut_hears_everything_once(server: Server) -> None:
    """clients.md, EventSource: by fetch, with an EventSource's rules (Node has no EventSource of its own before 22)."""
    server.run("w", [python("a", "import time\nfor i in range(30): print('Zeile ä', i); time.sleep(0.02)")])
    url = f"http://127.0.0.1:{server.port}/api/workers/w/a/logs/stream"
    done = subprocess.run(["node", "-e", NODE, url], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["lines"] == [f"Zeile ä {i}" for i in range(30)]
    assert said["end"] == "end" and said["cuts"] > 4
