"""A small daemon for tests: starts a real keeper, orders real workers, collects what it reports."""

import contextlib
import json
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from wattle.keeper.journal import read_records
from wattle.keeper.launch import connect, start_keeper
from wattle.keeper.protocol import FrameReader, encode

LIMIT_SECONDS = 20.0
PYTHON = [sys.executable, "-I", "-S", "-c"]


def until(answer: Callable[[], object], what: str = "it", limit_seconds: float = LIMIT_SECONDS) -> object:
    """Ask until the answer is true; fail when it never is."""
    end = time.monotonic() + limit_seconds
    while True:
        found = answer()
        if found:
            return found
        assert time.monotonic() < end, f"{what} did not happen within {limit_seconds} s"
        time.sleep(0.005)


def is_alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


class HungUp(AssertionError):
    """The keeper closed the connection."""


class Client:
    """One data directory with a keeper, and a connection to it."""

    def __init__(self, data_dir: Path, linger_seconds: float = 2.0) -> None:
        self.data_dir = data_dir
        self.logs = data_dir / "logs"
        self.logs.mkdir(exist_ok=True)
        self.linger_seconds = linger_seconds
        self.pid = 0
        self.keepers: list[int] = []
        self.hello: dict = {}
        self.uids: list[str] = []
        self.records: list[dict] = []
        self.messages: list[dict] = []
        self._socket: socket.socket | None = None
        self._reader = FrameReader()

    # the keeper

    def start(self) -> "Client":
        self.pid = start_keeper(str(self.data_dir), self.linger_seconds)
        self.keepers.append(self.pid)
        self.connect()
        self.send(type="environment", id=1, vars={"PATH": os.environ["PATH"], "HOME": "/"}, umask=0o022)
        return self

    def connect(self) -> None:
        """Say hello, again where nobody answers: a child of a killed keeper holds its socket until it executes,
        so a connection may be made with a keeper that is dead (a daemon tries again too)."""
        end = time.monotonic() + LIMIT_SECONDS
        while True:
            self._socket = connect(str(self.data_dir), LIMIT_SECONDS)
            self._reader = FrameReader()
            self.hello = {}
            try:
                self.send(type="hello", protocol=1, pid=os.getpid())
                self.hello = self.wait_message("hello")
                return
            except HungUp:
                if time.monotonic() > end:
                    raise

    def disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def kill_keeper(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.disconnect()
        self.reap_keeper()

    def reap_keeper(self, limit_seconds: float = LIMIT_SECONDS) -> int:
        """Wait for the keeper's end and return its wait status."""
        pid, end = self.pid, time.monotonic() + limit_seconds
        while True:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self.pid = 0
                return status
            assert time.monotonic() < end, "the keeper does not end"
            time.sleep(0.005)

    def close(self) -> None:
        """End everything, by pid."""
        if self.pid:
            with contextlib.suppress(OSError, AssertionError):
                if self._socket is None:
                    self.connect()
                self.send(type="withdraw", uids=self.uids, request=0)
                for uid in self.uids:
                    self.send(type="stop", uid=uid, request=0, grace_seconds=0)
                self.send(type="quit")
                self.reap_keeper(8)
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.reap_keeper()
        self.disconnect()
        for pid in self.marked():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

        log = (self.data_dir / "keeper.log").read_text() if self.keepers else ""
        assert "Traceback" not in log, log

    def marked(self) -> list[int]:
        """Living processes that carry the marker of one of our workers."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError):
                    environment = Path(f"/proc/{name}/environ").read_bytes()
                    if any(uid.encode() in environment for uid in self.uids) and is_alive(int(name)):
                        found.append(int(name))
        return found

    # frames

    def send(self, **message: object) -> None:
        assert self._socket is not None
        try:
            self._socket.sendall(encode(message))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise HungUp("the keeper hung up") from error

    def send_bytes(self, data: bytes) -> None:
        assert self._socket is not None
        self._socket.sendall(data)

    def pump(self, seconds: float) -> bool:
        """Take in what arrives within so many seconds; False once the keeper has closed the connection."""
        assert self._socket is not None
        self._socket.settimeout(max(seconds, 0.001))
        try:
            data = self._socket.recv(1 << 20)
        except TimeoutError:
            return True
        except ConnectionResetError:
            return False
        finally:
            self._socket.settimeout(None)
        for message in self._reader.feed(data):
            if message["type"] == "report":
                self.records += message["records"]
            else:
                self.messages.append(message)
        return bool(data)

    def wait_message(self, kind: str, **fields: object) -> dict:
        def find() -> dict | None:
            for index, message in enumerate(self.messages):
                if message["type"] == kind and all(message.get(name) == value for name, value in fields.items()):
                    return self.messages.pop(index)
            return None

        return self._pump_until(find, f"message {kind}")

    def wait_record(self, kind: str, uid: str) -> dict:
        def find() -> dict | None:
            for record in self.records:
                if record["kind"] == kind and record["uid"] == uid:
                    return record
            return None

        return self._pump_until(find, f"record {kind} of {uid}")

    def wait_closed(self) -> None:
        end = time.monotonic() + LIMIT_SECONDS
        while self.pump(0.05):
            assert time.monotonic() < end, "the keeper did not close the connection"

    def _pump_until(self, find: Callable[[], dict | None], what: str) -> dict:
        end = time.monotonic() + LIMIT_SECONDS
        while True:
            found = find()
            if found is not None:
                return found
            assert time.monotonic() < end, f"{what} did not come within {LIMIT_SECONDS} s"
            if not self.pump(0.05):
                raise HungUp(f"the keeper hung up while {what} was awaited")

    # workers

    def entry(self, argv: list[str], **fields: object) -> dict:
        """An order, with the marker in its environment as the daemon does it."""
        uid = str(fields.pop("uid", None) or uuid.uuid4().hex)
        if uid not in self.uids:
            self.uids.append(uid)
        env = {"WATTLE_ATTEMPT_UID": uid, **fields.pop("env", {})}  # type: ignore[dict-item]
        return {
            "uid": uid,
            "tag": {"test": True},
            "group": "run",
            "argv": argv,
            "direct": True,
            "cwd": str(self.data_dir),
            "stdout": str(self.logs / f"{uid}.out"),
            "stderr": str(self.logs / f"{uid}.err"),
            "takes_slot": True,
            "priority": 0,
            "timeout_seconds": None,
            "stop": {"signal": 15, "grace_seconds": 10, "scope": "group"},
            **fields,
            "env": env,
        }

    def order(self, argv: list[str], **fields: object) -> str:
        entry = self.entry(argv, **fields)
        self.send(type="order", orders=[entry])
        return entry["uid"]

    def run(self, argv: list[str], **fields: object) -> dict:
        """Order a worker, wait for its end, return the record of it."""
        return self.wait_record("ended", self.order(argv, **fields))

    def refusal(self, argv: list[str], **fields: object) -> dict:
        return self.wait_record("refused", self.order(argv, **fields))

    def stop(self, uid: str, **fields: object) -> dict:
        self.send(type="stop", uid=uid, request=1, **fields)
        return self.wait_record("ended", uid)

    def output(self, uid: str) -> str:
        return (self.logs / f"{uid}.out").read_text()

    def errors(self, uid: str) -> str:
        return (self.logs / f"{uid}.err").read_text()

    def wait_output(self, uid: str, text: str) -> None:
        until(lambda: (self.logs / f"{uid}.out").exists() and text in self.output(uid), f"output {text!r}")

    def wait_pids(self, uid: str, count: int) -> list[int]:
        """The pids a worker has printed, one a line, as soon as there are so many."""
        until(lambda: (self.logs / f"{uid}.out").exists() and self.output(uid).count("\n") >= count, "pids printed")
        return [int(line) for line in self.output(uid).split()]

    def journal(self, after: dict[str, int] | None = None) -> list[dict]:
        return [record for _, record in read_records(str(self.data_dir / "journal"), after or {})]

    def adoption(self, uid: str, **fields: object) -> dict:
        """What a daemon would say of a worker to the next keeper, from the journal."""
        record = next(r for r in self.journal() if r["kind"] == "started" and r["uid"] == uid)
        return {
            "uid": uid,
            "tag": record["tag"],
            "group": "run",
            "pid": record["pid"],
            "inode": record["inode"],
            "start_ticks": record["start_ticks"],
            "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            "stdout": str(self.logs / f"{uid}.out"),
            "stderr": str(self.logs / f"{uid}.err"),
            "takes_slot": True,
            "started_at": record["at"],
            "timeout_seconds": None,
            "stop": {"signal": 15, "grace_seconds": 10, "scope": "group"},
            **fields,
        }


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]
