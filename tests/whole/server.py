"""A real `wattle serve` on a directory of its own, for tests of the whole product. No mocks, no sleeps."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tests import forking
from tests.forking import WATTLE as WATTLE

T = TypeVar("T")


class Reply(NamedTuple):
    status: int
    body: Any
    headers: dict[str, str]

    @property
    def data(self) -> Any:
        assert self.status < 300, self.body
        return self.body["data"]


def eventually(look: Callable[[], T], within_seconds: float = 20.0) -> T:
    """The first true value of `look`; fails with the last one otherwise."""
    until = time.monotonic() + within_seconds
    while not (value := look()):
        if time.monotonic() > until:
            raise AssertionError(f"not within {within_seconds} s: {value!r}")
        time.sleep(0.02)
    return value


class Server:
    """One data directory; the daemon on it can be killed and started again. Ends its own keeper at the end."""

    def __init__(self, directory: Path, *options: str, before: Sequence[str] = ()) -> None:
        """`before`: a command that executes the server, such as a sandbox."""
        self.directory = directory
        self.data_dir = directory / "data"
        self.options = options
        self.before = before
        self.process: forking.Process | subprocess.Popen[Any] | None = None
        self.port = 0

    def start(self, port: int | None = None) -> "Server":
        listen = f"127.0.0.1:{self.port if port is None else port}"
        environ = os.environ | {"HOME": str(self.directory), "PYTHONPATH": str(Path(__file__).parents[2])}
        environ.pop("WATTLE_DATA_DIR", None)
        serve = ["serve", "--data-dir", str(self.data_dir), "--listen", listen, *self.options]
        with open(self.directory / "serve.log", "a") as log, open(os.devnull) as nothing:
            before = (self.directory / "serve.log").stat().st_size
            if self.before:
                command = [*self.before, *WATTLE, *serve]
                self.process = subprocess.Popen(command, cwd=self.directory, env=environ, stderr=log, stdout=log)
            else:
                streams = {"stdin": nothing.fileno(), "stdout": log.fileno(), "stderr": log.fileno()}
                self.process = forking.start(serve, cwd=self.directory, env=environ, **streams)

        def address() -> re.Match[str] | None:
            said = (self.directory / "serve.log").read_text()[before:]
            assert self.process is not None
            assert self.process.poll() is None, f"exit status {self.process.poll()}: {said}"
            return re.search(r"http://127\.0\.0\.1:(\d+)", said)

        self.port = int(eventually(address)[1])
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def end(self) -> int:
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(20)
        self.process = None
        return code

    def down(self) -> None:
        """Leave nothing behind."""
        if self.process is not None and self.process.poll() is None:
            self.request("POST", "/api/down")
            self.process.wait(30)
        else:
            self.wattle("down")
        eventually(lambda: not self.keeper_pids())

    def keeper_pids(self) -> list[int]:
        """Without a child of the keeper that has not executed its command yet: it looks like the keeper."""
        commands = {pid: command_of(pid) for pid in pids()}
        found = [pid for pid, text in commands.items() if "wattle-keeper" in text and str(self.data_dir) in text]
        return [pid for pid in found if parent_of(pid) not in found]

    def wattle(self, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run the command line on this data directory."""
        environ = os.environ | {"HOME": str(self.directory), "PYTHONPATH": str(Path(__file__).parents[2])}
        settings: dict[str, Any] = {"cwd": self.directory, "env": environ, **options}
        return forking.run(["--data-dir", str(self.data_dir), *arguments], **settings)

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return _reply(answer.status, answer.read(), dict(answer.headers))
        except urllib.error.HTTPError as error:
            return _reply(error.code, error.read(), dict(error.headers))

    def get(self, path: str) -> Any:
        return self.request("GET", path).data

    def post(self, path: str, body: Any = None) -> Any:
        return self.request("POST", path, body).data

    def create(self, name: str, workers: list[dict[str, Any]], **fields: Any) -> None:
        self.post("/api/workflows", {"name": name, "workers": workers, **fields})

    def run(self, name: str, workers: list[dict[str, Any]], **fields: Any) -> None:
        self.create(name, workers, **fields)
        self.post(f"/api/workflows/{name}/start")

    def status(self, name: str) -> str:
        return str(self.get(f"/api/workflows/{name}")["status"])

    def ended(self, name: str, within_seconds: float = 30.0) -> str:
        """The status once it is no longer running."""
        return eventually(lambda: (s := self.status(name)) not in ("running", "created") and s, within_seconds)  # type: ignore[return-value]

    def workers(self, name: str) -> dict[str, dict[str, Any]]:
        return {worker["name"]: worker for worker in self.get(f"/api/workflows/{name}/workers")}


def _reply(status: int, content: bytes, headers: dict[str, str]) -> Reply:
    try:
        body = json.loads(content) if content else None
    except ValueError:
        body = content.decode("utf-8", "replace")
    return Reply(status, body, {name.lower(): value for name, value in headers.items()})


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def parent_of(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def marked(text: str) -> list[int]:
    """Live processes (no zombies) whose command line holds the text."""
    found = []
    for pid in pids():
        if text in command_of(pid) and pid != os.getpid():
            try:
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if state != "Z":
                found.append(pid)
    return found
