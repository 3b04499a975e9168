"""docs/streams.md against a real server and real clients."""

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.documents import DOCS, Block, blocks, examples, section, table
from tests.docs.shells import answered, compared
from tests.whole.server import Server, eventually

PAGE = DOCS / "streams.md"
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (\w+) (.*)")
SAID = [("stdout", "tick 1"), ("stderr", "tock 1"), ("stdout", "tick 2"), ("stderr", "tock 2")]

# What browsers have, for the page's script to run in Node: the WHATWG rules as far as the script uses them.
EVENT_SOURCE = """
class EventSource extends EventTarget {
  constructor(url) {
    super()
    this.aborted = new AbortController()
    this.run(url).catch(error => { if (error.name !== 'AbortError') throw error })
  }
  close() { this.aborted.abort() }
  async run(url) {
    const answer = await fetch(url, {signal: this.aborted.signal})
    let rest = ''
    for await (const text of answer.body.pipeThrough(new TextDecoderStream())) {
      const blocks = (rest + text).split('\\n\\n')
      rest = blocks.pop()
      for (const block of blocks) {
        const field = Object.fromEntries(block.split('\\n').map(line => line.split(/: (.*)/s)))
        if (!field.data) continue
        const event = new MessageEvent(field.event ?? 'message', {data: field.data, lastEventId: field.id})
        if (field.event) this.dispatchEvent(event)
        else this.onmessage(event)
      }
    }
  }
}
"""


def scripts(language: str) -> list[Block]:
    return [block for block in blocks(PAGE) if block.language == language]


def printed(server: Server, command: list[str], script: str) -> list[tuple[str, str]]:
    script = script.replace("localhost:9240", f"127.0.0.1:{server.port}")
    done = subprocess.run([*command, script], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return [match.groups() for line in done.stdout.splitlines() if (match := LINE.fullmatch(line))]


def test_the_examples_are_answered_and_the_scripts_print_the_log(server: Server) -> None:
    """L5: stdout and stderr in turn; W-22."""
    for block, answer in examples(PAGE):
        found = answered(server, block, answer)
        if answer is None:
            assert found[0] in (200, 201), f"{block}: {found[1]}"
        else:
            came, said = compared(found, answer)
            assert came == said, f"{block}: {block.text}"
    for block in scripts("python"):
        assert printed(server, [sys.executable, "-c"], block.text) == SAID, block
    if (node := shutil.which("node")) is not None:  # where it is not, the page's scripts are not run
        in_a_page, alone = scripts("js")
        run = [node, "--input-type=module", "-e"]
        assert printed(server, run, EVENT_SOURCE + in_a_page.text) == SAID
        assert printed(server, run, alone.text) == SAID


def test_a_client_that_finds_no_place_is_told_what_is_shown(tmp_path: Path) -> None:
    server = Server(tmp_path, "--max-streams", "1").start()
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(b"GET /api/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
            reply = server.request("GET", "/api/events/stream?follow=false", Last_Event_ID="2")
        (shown,) = [block for block in blocks(PAGE) if "TOO_MANY_STREAMS" in block.text]
        assert (reply.status, reply.body.strip()) == (200, shown.text.strip())
        eventually(lambda: "retry" not in server.request("GET", "/api/events/stream?follow=false").body)
    finally:
        server.down()


def test_every_named_event_is_documented() -> None:
    """The names that `sse.encode` gives, and those of the two other kinds of events."""
    source = (DOCS.parent / "wattle/api/sse.py").read_text() + (DOCS.parent / "wattle/api/streaming.py").read_text()
    names = set(re.findall(r'name="(\w+)"', source))
    documented = {row[0].strip("`") for row in table(section(PAGE, "The events of logs"))} - {"(none)"}
    of_changes = {"start", "change"}
    assert names == documented | of_changes
    assert all(f"`{name}`" in section(PAGE, "Changes of state") for name in of_changes)


@pytest.mark.parametrize("name", ["last_event_id", "follow", "tail", "stream", "workflow"])
def test_parameters_are_those_that_are_read(name: str) -> None:
    source = (DOCS.parent / "wattle/api/streams.py").read_text()
    assert f'("{name}"' in source
    assert any(name in row[0] for row in table(section(PAGE, "Parameters")))
