"""Libraries that hear Server-Sent Events, used as their documentation says: what users have, not what we wrote.

Each is a `Listener` on a thread of its own. It comes back by the last id it has heard, until the server says that it
shall not (204), or tells the end.
"""

import contextlib
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest
import sseclient
from httpx_sse import connect_sse

from tests.whole.event_source import Heard

NODE_DIRECTORY = Path(__file__).parents[1] / "node"
NAMES = ("message", "attempt", "gap", "truncated", "end", "change", "start")
RETURN_SECONDS = 0.03
SILENCE_SECONDS = 0.7  # so a black hole is left before it ends; who waits for a quiet worker waits longer


def text_of(events: Iterable[Heard], stream: str, worker: str | None = None) -> str:
    """What the lines of a stream say together."""
    return "".join(
        heard.data["content"] + ("" if heard.data.get("continued") or heard.data.get("partial") else "\n")
        for heard in events
        if heard.name == "message" and heard.data["type"] == stream and heard.data.get("worker") == worker
    )


class Listener:
    """`events` is what has been heard, `failure` what went wrong in a way that no network explains."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.events: list[Heard] = []
        self.failure: BaseException | None = None
        self.is_over = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__)

    def start(self) -> "Listener":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def text(self, stream: str = "stdout", worker: str | None = None) -> str:
        return text_of(list(self.events), stream, worker)

    def _run(self) -> None:
        try:
            self._listen()
        except BaseException as failure:
            self.failure = failure

    def _listen(self) -> None:
        raise NotImplementedError

    def _hear(self, name: str, data: str, id: str) -> None:
        self.events.append(Heard(name, json.loads(data), id))
        self.is_over = self.is_over or name == "end"


class PythonListener(Listener):
    """The loop that both libraries leave to their user: connect, hear, and come back with the last id."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.last_id = ""

    def _listen(self) -> None:
        with httpx.Client(timeout=httpx.Timeout(10.0, read=SILENCE_SECONDS), trust_env=False) as client:
            while not self.is_over and not self._stopped.is_set():
                headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
                with contextlib.suppress(httpx.TransportError):
                    self._hear_one(client, headers)
                self._stopped.wait(RETURN_SECONDS)

    def _hear_one(self, client: httpx.Client, headers: Mapping[str, str]) -> None:
        raise NotImplementedError


class HttpxSse(PythonListener):
    """As its README says under "Handling reconnections". A comment after an id is given as an event without data."""

    def _hear_one(self, client: httpx.Client, headers: Mapping[str, str]) -> None:
        with connect_sse(client, "GET", self.url, headers=dict(headers)) as source:
            if source.response.status_code == 204:
                self.is_over = True
                return
            for event in source.iter_sse():
                if event.data:
                    self._hear(event.event, event.data, event.id)
                self.last_id = event.id
                if self._stopped.is_set():
                    return


class SseclientPy(PythonListener):
    """As its README says under "with_httpx", but for `whole_events`."""

    def _hear_one(self, client: httpx.Client, headers: Mapping[str, str]) -> None:
        with client.stream("GET", self.url, headers={"Accept": "text/event-stream", **headers}) as answer:
            if answer.status_code == 204:
                self.is_over = True
                return
            for event in sseclient.SSEClient(whole_events(answer.iter_bytes())).events():
                self._hear(event.event, event.data, event.id)
                self.last_id = event.id or self.last_id
                if self._stopped.is_set():
                    return


def whole_events(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Without what a cut left of an event: sseclient-py would take it for a whole one, half an id included."""
    rest = b""
    for chunk in chunks:
        whole, end, rest = (rest + chunk).rpartition(b"\n\n")
        yield whole + end


class NodeEventSource(Listener):
    """npm's `eventsource`, which comes back by itself."""

    def _listen(self) -> None:
        command = ["node", str(NODE_DIRECTORY / "listen.cjs"), self.url, *NAMES]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as node:
            ending = threading.Thread(target=self._end, args=(node,))
            ending.start()
            assert node.stdout is not None
            for line in node.stdout:
                heard = json.loads(line)
                if "closed" in heard:
                    assert heard["closed"] == 204, heard
                    self.is_over = True
                else:
                    self.events.append(Heard(heard["name"], heard["data"], heard["id"]))
            self._stopped.set()
            ending.join()

    def _end(self, node: "subprocess.Popen[str]") -> None:
        self._stopped.wait()
        node.kill()


LIBRARIES: dict[str, type[Listener]] = {
    "httpx-sse": HttpxSse,
    "sseclient-py": SseclientPy,
    "npm eventsource": NodeEventSource,
}


def missing(library: str) -> str | None:
    """What is not here to try a library with."""
    if library != "npm eventsource":
        return None
    if shutil.which("node") is None:
        return "NODE IS NOT HERE"
    if not (NODE_DIRECTORY / "node_modules" / "eventsource").is_dir():
        return "NPM'S EVENTSOURCE IS NOT HERE: npm ci --prefix tests/node"
    return None


def need(library: str) -> None:
    """On CI, where everything is to be tried, what is missing is a failure."""
    if reason := missing(library):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{reason}; {library} was not tried")
