"""A `wattle serve` of our own on a new data directory, asked over HTTP as any user would."""

import http.client
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import process
from benchmarks.process import Memory

START_SECONDS = 30.0
DOWN_SECONDS = 30.0
RUN_SECONDS = 300.0
LOOK_SECONDS = 0.01
QUIET_SECONDS = 10.0
WATTLE = [sys.executable, "-P", "-m", "wattle.cli"]


class ServerFailed(Exception):
    """The server did not do what it was asked; the message has what it said."""


@dataclass(frozen=True, slots=True)
class Timing:
    """One run. Seconds, from just before `POST …/start` to …

    `recorded`: the run's `completed_at`, the figure that is compared; `observed`: `GET /api/workflows/{n}` told of
    it, asked every 10 ms. `own`: the run's `completed_at` − `started_at`. CPU is that of the whole run, the links
    to its logs (made after the end) included; it has a resolution of 10 ms.
    """

    recorded: float
    observed: float
    own: float
    daemon_cpu: float
    keeper_cpu: float


class Served:
    """One daemon and its keeper. `down` ends both."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self._log = directory / "serve.log"
        self._names = 0
        environ = {name: value for name, value in os.environ.items() if not name.startswith("WATTLE_")}
        command = [*WATTLE, "serve", "--data-dir", str(self.data_dir), "--listen", "127.0.0.1:0", *options]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                command, cwd=directory, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self._port = self._wait_for_port()
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
            self.keeper_pid = self._find_keeper()
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def port(self) -> int:
        return self._port

    def _wait_for_port(self) -> int:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            said = self._log.read_text()
            if "http://127.0.0.1:" in said:
                return int(said.partition("http://127.0.0.1:")[2].split(",")[0].split()[0])
            time.sleep(0.02)
        raise ServerFailed(f"wattle serve did not start: {self._log.read_text()[-2000:]}")

    def _find_keeper(self) -> int:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if found := process.find("wattle-keeper", str(self.data_dir)):
                return found[0]
            time.sleep(0.02)
        raise ServerFailed("wattle serve has no keeper")

    def request(self, method: str, path: str, body: bytes | None = None) -> Any:
        """The answer's object; ServerFailed where it is no success. One connection, kept alive."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        for again in (True, False):
            try:
                self._connection.request(method, path, body, headers)
                answer = self._connection.getresponse()
                content = answer.read()
                break
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self._connection.close()  # it was idle for too long; the next request connects again
                if not again:
                    raise
        if answer.status >= 300:
            raise ServerFailed(f"{method} {path}: {answer.status} {content[:2000].decode('utf-8', 'replace')}")
        return json.loads(content)

    def get(self, path: str) -> Any:
        return self.request("GET", path)["data"]

    def new_name(self, stem: str) -> str:
        self._names += 1
        return f"{stem}-{self._names}"

    def create(self, definition: dict[str, Any]) -> float:
        """Create a workflow; how many seconds the POST took, its body being ready and the connection open."""
        body = json.dumps(definition).encode()
        self.get("/healthz")
        began = time.monotonic()
        self.request("POST", "/api/workflows", body)
        return time.monotonic() - began

    def run(self, name: str, expected_seconds: float) -> Timing:
        """Run a workflow to its end; ServerFailed unless it completes.

        Nobody looks at it for the first `expected_seconds`, so that it is the run that is measured and not its
        being watched; then its status is asked for until it has ended.
        """
        daemon_cpu, keeper_cpu = process.cpu_seconds(self.pid), process.cpu_seconds(self.keeper_pid)
        began, began_monotonic = time.time(), time.monotonic()
        self.request("POST", f"/api/workflows/{name}/start")
        time.sleep(max(0.0, expected_seconds - (time.monotonic() - began_monotonic)))
        while True:
            state = self.get(f"/api/workflows/{name}")
            observed = time.monotonic() - began_monotonic
            if state["status"] != "running":
                break
            if observed > RUN_SECONDS:
                raise ServerFailed(f"the run of {name} did not end within {RUN_SECONDS:.0f} s")
            time.sleep(LOOK_SECONDS)
        if state["status"] != "completed":
            raise ServerFailed(f"the run of {name} ended {state['status']}: {state['reason']}")
        self.settle()
        completed_at = instant(state["completed_at"])
        return Timing(
            recorded=completed_at - began,
            observed=observed,
            own=completed_at - instant(state["started_at"]),
            daemon_cpu=process.cpu_seconds(self.pid) - daemon_cpu,
            keeper_cpu=process.cpu_seconds(self.keeper_pid) - keeper_cpu,
        )

    def settle(self) -> None:
        """Wait until daemon and keeper have nothing more to do: they must not work during another's measurement."""
        until = time.monotonic() + QUIET_SECONDS
        quiet, before = 0, -1.0
        while quiet < 3 and time.monotonic() < until:
            time.sleep(0.05)
            used = process.cpu_seconds(self.pid) + process.cpu_seconds(self.keeper_pid)
            quiet = quiet + 1 if used == before else 0
            before = used

    def memory(self) -> tuple[Memory, Memory]:
        """Of the daemon, of the keeper."""
        return process.memory(self.pid), process.memory(self.keeper_pid)

    def wake_ups(self, seconds: float) -> tuple[int, int]:
        """How often daemon and keeper were woken in so many seconds in which nobody wants anything."""
        before = process.wake_ups(self.pid), process.wake_ups(self.keeper_pid)
        time.sleep(seconds)
        return process.wake_ups(self.pid) - before[0], process.wake_ups(self.keeper_pid) - before[1]

    def down(self) -> None:
        """Leave no process behind: `POST /api/down`, and only where that does not help, SIGKILL."""
        if self._process.poll() is None:
            try:
                self._connection.close()
                self.request("POST", "/api/down")
                self._process.wait(DOWN_SECONDS)
            except (ServerFailed, OSError, http.client.HTTPException, subprocess.TimeoutExpired):
                self._process.kill()
                self._process.wait()
        self._connection.close()
        until = time.monotonic() + DOWN_SECONDS  # the keeper goes by itself: at once, or some seconds after its daemon
        while time.monotonic() < until and process.find("wattle-keeper", str(self.data_dir)):
            time.sleep(0.05)


def instant(text: str) -> float:
    """Unix seconds of an instant as the API writes it."""
    return datetime.fromisoformat(text).timestamp()
