"""Logs of real workers under a real server: order, times, searches, bounds."""

import hashlib
import os
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from tests.whole.server import Server, eventually
from wattle.client import Client, ClientError

TALK = """
import os, time
for number in range(200):
    os.write(1 + number % 2, b"line %d\\n" % number)
    time.sleep(0.004)
"""
FLOOD = "import os\nfor n in range(3000): os.write(1, (b'%09d\\n' % n) * 1000)\n"


@pytest.fixture
def server(tmp_path: Path):
    server = Server(tmp_path).start()
    yield server
    server.down()


def script(server: Server, name: str, text: str) -> str:
    path = server.directory / f"{name}.py"
    path.write_text(text)
    return f"python {path}"


def started(server: Server, name: str, **worker: object) -> None:
    server.create(name, [{"name": "w", **worker}])
    server.post(f"/api/workflows/{name}/start")


def test_lines_of_both_streams_come_in_order_with_their_times(server: Server) -> None:
    """L5: over HTTP, from the end, page by page and by time."""
    with Client(f"http://127.0.0.1:{server.port}") as client:
        name = _talked_in_order(server, client)
        page = client.log_page(name, "w", limit=1000)
        found = list(page["data"])
        while not page["complete"]:
            page = client.log_page(name, "w", limit=1000, **{"from": page["next"]})
            found += page["data"]
        assert len(found) == 200
        times = [line["time"] for line in found]
        assert times == sorted(times)
        later = client.log_page(name, "w", since=times[150])["data"]
        assert [line["content"] for line in later][-1:] == [found[-1]["content"]] and 45 <= len(later) <= 60
        matched = client.log_page(name, "w", grep="^line 1?99$")["data"]
        assert [line["content"] for line in matched] == ["line 99", "line 199"]
        with pytest.raises(ClientError, match="no regular expression"):
            client.log_page(name, "w", grep="(")


def _talked_in_order(server: Server, client: Client) -> str:
    """The workflow whose lines are so. Nobody can know the order of what was written while the daemon stood still."""
    best = 0
    for name in (f"talk-{number}" for number in range(8)):
        started(server, name, command=script(server, "talk", TALK))
        assert server.ended(name) == "completed"
        with suppress(AssertionError):  # the entry for what was written last follows the end by a moment
            return str(eventually(lambda name=name: _order(client, name) >= 190 and name, 2.0))  # type: ignore[misc]
        best = max(best, _order(client, name))
    raise AssertionError(f"{best} of 200 at best")


def _order(client: Client, name: str) -> int:
    tail = [int(line["content"].split()[1]) for line in client.log_tail(name, "w", 1000)]
    return sum(one + 1 == other for one, other in pairwise(tail))


def test_a_download_is_every_byte(server: Server) -> None:
    """I6: as they were written, by hash; while another one writes on."""
    text = "import os\nos.write(1, bytes(range(256)) * 40000)\n"
    started(server, "bytes", command=script(server, "bytes", text))
    assert server.ended("bytes") == "completed"
    with Client(f"http://127.0.0.1:{server.port}") as client:
        digest = hashlib.sha256()
        for piece in client.download_log("bytes", "w"):
            digest.update(piece)
        assert digest.hexdigest() == hashlib.sha256(bytes(range(256)) * 40000).hexdigest()
        assert b"".join(client.download_log("bytes", "w", stream="stderr")) == b""
        with pytest.raises(ClientError, match="no attempt 7"):
            list(client.download_log("bytes", "w", attempt=7))


def test_a_download_of_a_log_that_grows_ends(server: Server) -> None:
    # Of 64 bytes: no line goes over the end of a page, where a file grows in two steps.
    endless = "import os, time\nwhile True:\n    os.write(1, b'x' * 63 + b'\\n')\n    time.sleep(0.0001)\n"
    started(server, "endless", command=script(server, "endless", endless))
    log = server.data_dir / "logs/1/0.1.out"
    eventually(lambda: log.exists() and log.stat().st_size > 100_000)
    with Client(f"http://127.0.0.1:{server.port}") as client:
        data = b"".join(client.download_log("endless", "w"))
    assert len(data) >= 100_000 and len(data) % 64 == 0
    server.post("/api/workflows/endless/stop")


def test_a_log_is_kept_within_its_bound_and_its_head_is_told(server: Server) -> None:
    """L6, F41."""
    flood = script(server, "flood", FLOOD + "import time\ntime.sleep(600)\n")
    started(server, "flood", command=flood, log={"max_bytes": 1 << 20})
    log = server.data_dir / "logs/1/0.1.out"
    eventually(lambda: log.exists() and log.stat().st_size == 30_000_000)
    eventually(lambda: log.stat().st_blocks * 512 <= 1 << 20)
    page = server.get("/api/workers/flood/w/logs?from=0&limit=100")
    assert page[0]["type"] == "gap" and page[0]["dropped_bytes"] >= 30_000_000 - (1 << 20)
    assert server.get("/api/workers/flood/w/logs?tail=1&stream=stdout") == [{"type": "stdout", "content": "000002999"}]
    server.kill()
    server.start()
    assert server.get("/api/workers/flood/w/logs?from=0&limit=100")[0] == page[0]
    server.post("/api/workflows/flood/stop")


def test_output_whose_head_was_dropped_is_not_captured(server: Server) -> None:
    """Design, Outputs: OUTPUT_TRUNCATED."""
    slow = FLOOD + "import time, pathlib\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)\n"
    command = script(server, "captured", slow)
    started(server, "captured", command=command, outputs={"all": "all.txt"}, log={"max_bytes": 1 << 20})
    log = server.data_dir / "logs/1/0.1.out"
    eventually(lambda: log.exists() and log.stat().st_size == 30_000_000)
    eventually(lambda: log.stat().st_blocks * 512 <= 1 << 20)
    directory = Path(server.get("/api/workflows/captured")["working_dir"])
    (directory / "go").touch()
    assert server.ended("captured") == "failed"
    attempt = server.get("/api/runs/1")["attempts"][0]
    assert attempt["reason_code"] == "OUTPUT_TRUNCATED" and "were dropped to bound the log" in attempt["reason"]
    assert not [name for name in os.listdir(directory) if name.startswith("all.txt")]


def test_output_within_the_bound_is_captured(server: Server) -> None:
    """The positive control of the one above."""
    started(server, "small", command="seq 1000", outputs={"all": "all.txt"}, log={"max_bytes": 1 << 20})
    assert server.ended("small") == "completed"


def test_a_search_that_takes_for_ever_holds_up_no_other_request(server: Server) -> None:
    started(server, "evil", command="printf '%060d\\n' 0")
    assert server.ended("evil") == "completed"
    began = time.monotonic()
    reply = server.request("GET", "/api/workers/evil/w/logs?grep=(0%7C0)%2B%24b")
    assert (reply.status, reply.body["error"]["code"]) == (400, "GREP_TOO_SLOW")
    assert time.monotonic() - began < 30
