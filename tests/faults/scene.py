"""One scene: a workflow whose workers end in every way there is, and a user who stops and restarts some of them,
played to its end on a real server while processes of Wattle are killed. The judge is checker.py.
"""

import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import forking
from tests.faults import checker

REPOSITORY = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("worker.sh")
LIMIT_SECONDS = 40.0
MISTAKEN_SECONDS = 5.0
EXCUSES = {  # a failure that an error of the file system may cause, by the point at which it was put in
    "daemon.prepare.before": ("directory_unusable", "log_unwritable", "working_dir_missing"),
    "daemon.capture": ("capture_failed",),
    "keeper.spawn.before": ("spawn_failed", "log_unwritable"),
}
# The status has been taken from the kernel and is not on disk yet: with the keeper dies the only one who knew it.
TAKES_STATUS = ("keeper.reap", "keeper.end.before", "keeper.journal.before", "keeper.segment")


class Unfinished(AssertionError):
    """The scene did not come to its end in time."""


@dataclass
class Played:
    """What came of a scene. `fired` are the texts of failpoints, `killed` the processes killed from outside."""

    directory: Path
    fired: list[str] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    unknown: int = 0  # exit statuses that nobody could tell, where that is allowed
    mistaken: int = 0  # processes left behind that were taken for their worker (docs/supervision.md)
    attempts: int = 0

    @property
    def faults(self) -> int:
        return len(self.fired) + len(self.killed)

    def forget(self) -> None:
        """Delete the directory of a scene that was in order."""
        shutil.rmtree(self.directory, ignore_errors=True)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=LIMIT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT_SECONDS)
        self.sock.connect(self._path)


def workflow(marker: str, witness: Path, work: Path, pauses: int) -> dict[str, Any]:
    """All kinds of ends; `pauses` more workers in a chain of pairs make it as long as wanted."""
    workers: list[dict[str, Any]] = []

    def add(name: str, kind: str, **fields: Any) -> None:
        workers.append({"name": name, "command": "sh", "args": [str(SCRIPT), str(witness), kind], **fields})

    add("bytes", "bytes", outputs={"out": "bytes.bin"})
    add("copied", "copy", inputs={"in": "bytes/out"}, outputs={"out": "copied.bin"})
    add("flaky", "flaky", outputs={"out": "flaky.txt"}, retry={"limit": 3, "delay_seconds": 0.05})
    add("after-flaky", "copy", inputs={"in": "flaky/out"}, outputs={"out": "after.txt"})
    add("fail", "fail")
    add("after-fail", "pause", depends_on=["fail"])
    add("left", "left")
    add("again", "again")
    add("after-again", "pause", depends_on=["again", "left"])
    add("hold", "hold")
    add("after-hold", "pause", depends_on=["hold"])
    add("stubborn", "stubborn", stop={"grace_seconds": 0.2})
    add("late", "hold", timeout_seconds=0.5)
    add("segv", "segv")
    for at in range(pauses):
        add(f"pause-{at}", "pause", depends_on=[f"pause-{at - 2}"] if at > 1 else [])
    ends = [f"pause-{at}" for at in range(max(0, pauses - 2), pauses)]
    add("final", "pause", depends_on=["copied", "after-flaky", *ends])
    return {
        "name": "scene",
        "working_dir": str(work),
        "max_parallel": 8,
        "env_vars": {"FAULT_SCENE": marker},
        "workers": workers,
    }


class Scene:
    """Plays once. `plan` says who is killed at the middle: "", "daemon", "keeper" or "daemon keeper"; with `chance`
    processes are killed at random instants until `kills` have been. `in_pause` is killed while a `sleep` lasts."""

    def __init__(
        self,
        directory: Path,
        failpoints: str = "",
        plan: str = "",
        *,
        pauses: int = 4,
        chance: random.Random | None = None,
        kills: int = 0,
        in_pause: str = "",
    ) -> None:
        self.directory = directory
        self.data_dir, self.work, self.witness = directory / "data", directory / "work", directory / "witness"
        self._fired_path = directory / "fired"
        self._failpoints, self._plan, self._pauses = failpoints, plan, pauses
        self._chance, self._kills, self._in_pause = chance, kills, in_pause
        self.marker = uuid.uuid4().hex
        self.process: forking.Process | subprocess.Popen[bytes] | None = None
        self.played = Played(directory)
        self._killing = threading.Lock()
        self._acknowledged: list[int] = []
        self._keeper_deaths: list[float] = []
        self._stopped = ["again", "hold", "stubborn"]
        self._is_going_down = False
        self._over = threading.Event()  # nobody is killed from outside any more
        self._until = 0.0

    # --- the play

    def play(self) -> Played:
        """To the end, through all faults, and judged. Leaves the directory; whatever still runs is killed."""
        self._until = time.monotonic() + LIMIT_SECONDS
        for directory in (self.work, self.witness):
            directory.mkdir(parents=True)
        os.mkfifo(self.witness / "never")
        (self.witness / "lines").touch()
        killer = threading.Thread(target=self._kill_in_pause if self._in_pause else self._kill_at_random)
        try:
            self.start()
            if self._chance is not None or self._in_pause:
                killer.start()
            self._act()
            self._over.set()
            self._down()
        except Unfinished as error:
            self.played.violations.append(str(error))
        finally:
            self._over.set()
            if killer.ident is not None:
                killer.join()
            self._write_expectations()
            judged = checker.check(self.directory)
            self._clear_away()
        self.played.fired = self._fired()
        self.played.violations += judged.violations
        self.played.unknown, self.played.attempts = judged.unknown, len(judged.starts)
        return self.played

    def _act(self) -> None:
        self.ask("POST", "/api/workflows", workflow(self.marker, self.witness, self.work, self._pauses), ok=(409,))
        self.ask("POST", "/api/workflows/scene/start", {}, headers={"Idempotency-Key": self.marker})
        self._acknowledged.append(1)
        for name in ("again", "hold", "stubborn"):
            self.wait(lambda n=name: self._has_started(n, 1) or self._has_failed(n), f"{name} starts")
        for victim in self._plan.split():
            self.kill(victim)
        if not self._has_ended():  # a run may fail as a whole, where its directories cannot be made
            self._restart("again")
            for name in ("hold", "stubborn"):
                self.ask("POST", f"/api/workers/scene/{name}/stop")
                self._no_process_of(name)
        self._await_the_end()
        if left := checker.processes_of(self.marker):
            self.played.violations.append(f"the run has ended and processes of it run: {left}")

    def _await_the_end(self) -> None:
        """A worker that has ended by its own witness and is shown running for seconds is stopped, and counted: what
        it left behind was taken for it."""
        patience = time.monotonic() + MISTAKEN_SECONDS
        while not self._has_ended():
            self._pause("the run ends")
            if time.monotonic() > patience and self._witnessed("end", "left", 1):
                shown = self.ask("GET", "/api/workers/scene/left", ok=(404,))
                if isinstance(shown, dict) and shown.get("status") == "running":
                    self.played.mistaken += 1
                    self._stopped.append("left")
                    self.ask("POST", "/api/workers/scene/left/stop")
                patience = time.monotonic() + MISTAKEN_SECONDS

    def _restart(self, name: str) -> None:
        """Until it is answered with success: 409 says that it is queued, where the witness is ahead of the server."""
        while True:
            answer = self.ask("POST", f"/api/workers/scene/{name}/restart", ok=(409,))
            if not isinstance(answer, dict) or "error" not in answer or self._has_ended():
                break
            self._pause(f"{name} can be restarted")
        # A restart whose answer was lost is asked for again, and may end the second before it says anything.
        self.wait(lambda: self._has_started_again(name) or self._has_failed(name), f"{name} starts again")

    def _down(self) -> None:
        """A server that ends everything; again where it is killed in the middle of that."""
        while True:
            self._is_going_down = True
            try:
                self._request("POST", "/api/down", None, {})
            except OSError:
                if self.process is not None and self.process.poll() is None:
                    self._pause("the server goes down")  # it does not listen yet, or any more
                    continue
            code = self._wait_for_exit()
            if code == 0:
                break
            self._is_going_down = False
            self._note_death(code)
            self.start()
        self.wait(lambda: self._keeper_pid() is None, "the keeper ends")

    def _wait_for_exit(self) -> int:
        assert self.process is not None
        try:
            return self.process.wait(max(1.0, self._until - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Unfinished("the server did not go down") from None

    # --- the server

    def start(self) -> None:
        """Start a daemon, again as often as it is killed while it boots."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("WATTLE_")}
        environ |= {"HOME": str(self.directory), "PYTHONPATH": str(REPOSITORY)}
        if self._failpoints:
            environ |= {"WATTLE_FAILPOINT": self._failpoints, "WATTLE_FAILPOINT_FIRED": str(self._fired_path)}
        serve = ["serve", "--data-dir", str(self.data_dir), "--listen", "127.0.0.1:0"]
        with open(self.directory / "serve.log", "ab") as log, open(os.devnull) as nothing:
            streams = {"stdin": nothing.fileno(), "stdout": log.fileno(), "stderr": log.fileno()}
            process = forking.start(serve, cwd=self.directory, env=environ, **streams)
        with self._killing:
            self.process = process

    def kill(self, victim: str) -> bool:
        """SIGKILL the daemon or the keeper; False where there is none."""
        with self._killing:
            if victim == "daemon":
                if self.process is None or self.process.poll() is not None:
                    return False
                self.process.kill()
                self.process.wait()
            else:
                pid = self._keeper_pid()
                if pid is None:
                    return False
                self._keeper_deaths.append(time.time())
                os.kill(pid, signal.SIGKILL)
            self.played.killed.append(victim)
            return True

    def mend(self) -> None:
        """Start the daemon again where it was killed."""
        if self.process is not None and (code := self.process.poll()) is not None:
            self._note_death(code)
            self.start()

    def _note_death(self, code: int) -> None:
        if code != -signal.SIGKILL:
            raise Unfinished(f"the server ended by itself with {code}: {self._last_words()}")

    def _last_words(self) -> str:
        return (self.directory / "serve.log").read_text(errors="replace")[-2000:]

    def _keeper_pid(self) -> int | None:
        """The keeper that holds the lock; None where it is dead."""
        try:
            pid = int((self.data_dir / "keeper.lock").read_text() or 0)
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if str(self.data_dir).encode() in command else None

    def _kill_at_random(self) -> None:
        chance = self._chance
        assert chance is not None
        while len(self.played.killed) < self._kills:
            if self._over.wait(chance.uniform(0.0, 0.7)):
                return
            for victim in chance.choice((["daemon"], ["keeper"], ["daemon", "keeper"], ["keeper", "daemon"])):
                self.kill(victim)

    def _kill_in_pause(self) -> None:
        while not self._over.wait(0.01):
            if self._fired():
                self.kill(self._in_pause)
                return

    # --- asking

    def ask(
        self, method: str, path: str, body: Any = None, *, ok: tuple[int, ...] = (), headers: Mapping[str, str] = {}
    ) -> Any:
        """The answer's data; the server is started again where it dies, and asked again where it did not answer."""
        while True:
            try:
                status, answer = self._request(method, path, body, headers)
            except OSError:
                pass
            else:
                if status < 300:
                    return answer["data"]
                if status in ok:
                    return answer
                if status != 503:
                    raise Unfinished(f"{method} {path}: {status} {answer}")
            self._pause(f"{method} {path} is answered")

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        while not condition():
            self._pause(what)

    def _pause(self, what: str) -> None:
        if time.monotonic() > self._until:
            raise Unfinished(f"not within {LIMIT_SECONDS:g} s: {what}; {self._last_words()}")
        if not self._is_going_down:
            self.mend()
        time.sleep(0.02)

    def _request(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> tuple[int, Any]:
        directory = os.open(self.data_dir, os.O_PATH | os.O_DIRECTORY)
        connection = _UnixConnection(f"/proc/self/fd/{directory}/http.sock")
        try:
            sent = dict(headers) | ({"Content-Type": "application/json"} if body is not None else {})
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read() or b"null")
        except (http.client.HTTPException, ValueError) as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
            os.close(directory)

    # --- looking

    def _has_started(self, worker: str, number: int) -> bool:
        return self._witnessed("start", worker, number)

    def _has_started_again(self, worker: str) -> bool:
        lines = (self.witness / "lines").read_text().splitlines()
        return any(line.startswith(f"start scene {worker} ") and int(line.split()[3]) > 1 for line in lines)

    def _witnessed(self, kind: str, worker: str, number: int) -> bool:
        lines = (self.witness / "lines").read_text().splitlines()
        return any(line.split()[:4] == [kind, "scene", worker, str(number)] for line in lines)

    def _has_failed(self, worker: str) -> bool:
        """Or its run as a whole: a fault at a spawn is the end of an attempt that never says anything."""
        shown = self.ask("GET", f"/api/workers/scene/{worker}", ok=(404,))
        return self._has_ended() or (isinstance(shown, dict) and shown.get("status") == "failed")

    def _has_ended(self) -> bool:
        return bool(self.ask("GET", "/api/workflows/scene")["status"] in checker.ENDED)

    def _no_process_of(self, worker: str) -> None:
        """I10: a stop that was answered leaves none."""
        uids = [line.split()[4] for line in (self.witness / "lines").read_text().splitlines() if f" {worker} " in line]
        for pid in checker.processes_of(self.marker):
            try:
                environ = Path(f"/proc/{pid}/environ").read_bytes()
            except OSError:
                continue
            if any(f"WATTLE_ATTEMPT_UID={uid}".encode() in environ for uid in uids):
                self.played.violations.append(f"{worker} was stopped and its process {pid} runs")

    def _fired(self) -> list[str]:
        try:
            return [line.split()[0] for line in self._fired_path.read_text().splitlines()]
        except FileNotFoundError:
            return []

    def _fired_keepers(self) -> list[float]:
        """When keepers died of a failpoint."""
        if not self._fired_path.exists():
            return []
        lines = [line.split() for line in self._fired_path.read_text().splitlines()]
        return [float(at) for text, _, at in lines if text.startswith("keeper.") and text.endswith("kill")]

    # --- the end

    def _write_expectations(self) -> None:
        fired = self._fired()
        excused = [
            code
            for text in fired
            if text.endswith(("eio", "enospc"))
            for point, codes in EXCUSES.items()
            if text.startswith(point)
            for code in codes
        ]
        keeper_died = any(text.startswith("keeper.") and text.endswith("kill") for text in fired)
        daemon_died = any(text.startswith("daemon.") and text.endswith("kill") for text in fired)
        both = (keeper_died or "keeper" in self.played.killed) and (daemon_died or "daemon" in self.played.killed)
        taken = any(text.startswith(TAKES_STATUS) and text.endswith("kill") for text in fired)
        expectations = {
            "marker": self.marker,
            "stopped": self._stopped,
            "acknowledged": self._acknowledged,
            "unknown_allowed": both or taken,
            "keeper_deaths": [*self._keeper_deaths, *self._fired_keepers()],
            "excused": excused,
        }
        (self.directory / "expect.json").write_text(json.dumps(expectations))

    def _clear_away(self) -> None:
        """After the judgement, whatever it was: only processes of this scene."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        keeper = self._keeper_pid()
        for pid in [*checker.processes_of(self.marker), *([keeper] if keeper else [])]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
