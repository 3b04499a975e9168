"""`wattle` started quickly: forked from a process that has imported it, instead of by a new Python.

Real processes all the same, each with its own environment, directory, descriptors, signals and end. It spares four
fifths of the time until Wattle has read its arguments. Only `/proc/<pid>/cmdline` and `environ` are those of the
process forked from (tests/forked.py). What Python looks at when it starts cannot be changed afterwards: where a test
sets such a thing, a new Python is started.
"""

import atexit
import contextlib
import fcntl
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
WATTLE = [sys.executable, "-m", "wattle.cli"]
AT_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_", "GLIBC_")  # what only a new Python takes notice of
LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
USUAL = ("PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")


class Process:
    """A started `wattle`, with what tests use of `subprocess.Popen`."""

    def __init__(self, args: list[str], status: int, pid: int) -> None:
        self.args = args
        self.pid = pid
        self.returncode: int | None = None
        self._status = status
        self._waiting = threading.Lock()

    def poll(self) -> int | None:
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, negative for a signal; `subprocess.TimeoutExpired` where it does not end."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        until = None if timeout is None else time.monotonic() + timeout
        if self._waiting.acquire(timeout=-1 if timeout is None else timeout):  # one waits, others wait for that
            try:
                left = None if until is None else max(0.0, until - time.monotonic())
                if self.returncode is None and select.select([self._status], [], [], left)[0]:
                    self.returncode = int(_line(self._status))
                    os.close(self._status)
            finally:
                self._waiting.release()
        return self.returncode


class _Forker:
    """The process with these settings of Python, started with the first `wattle` that has them."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours = (*AT_START, "WATTLE_")  # a fault asked for by the test that comes first is not for all after it
        environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        environ |= {**settings, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tests.forked"]
        self._process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.DEVNULL, cwd=ROOT, env=environ)
        theirs.close()

    def close(self) -> None:
        """It ends; who was forked from it does not."""
        self._socket.close()
        self._process.wait()

    def fork(self, request: Mapping[str, Any], streams: Sequence[int]) -> Process:
        ours, theirs = os.pipe()
        document = os.memfd_create("request")
        try:
            os.write(document, json.dumps(request).encode())
            socket.send_fds(self._socket, [b"f"], [document, *streams, theirs])
        finally:
            os.close(document)
            os.close(theirs)
        return Process([*WATTLE, *request["arguments"]], ours, int(_line(ours)))


_forkers: dict[frozenset[tuple[str, str]], _Forker] = {}
_making = threading.Lock()


def start(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str | Path,
    stdin: int,
    stdout: int,
    stderr: int,
    terminal: bool = False,
) -> "Process | subprocess.Popen[bytes]":
    """`wattle ARGUMENTS` with these descriptors. `terminal`: in a session of its own, controlled by its stdin."""
    settings = {name: value for name, value in env.items() if name.startswith(AT_START)}
    if not _is_usual(settings):
        control = (lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)) if terminal else None
        command, streams = [*WATTLE, *arguments], {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        return subprocess.Popen(command, env=env, cwd=cwd, start_new_session=terminal, preexec_fn=control, **streams)
    with _making:
        key = frozenset(settings.items())
        if key not in _forkers:
            _forkers[key] = _Forker(settings)
            atexit.register(_forkers[key].close)
    limits = [(what, *resource.getrlimit(what)) for what in LIMITS]
    request = {"arguments": list(arguments), "env": dict(env), "cwd": str(cwd), "root": str(ROOT)}
    request |= {"terminal": terminal, "limits": limits}
    return _forkers[key].fork(request, (stdin, stdout, stderr))


def run(
    arguments: Sequence[str], *, env: Mapping[str, str], cwd: str | Path, input: str = "", timeout: float = 60.0
) -> "subprocess.CompletedProcess[str]":
    """As `subprocess.run` with captured output, as text."""
    command = [*WATTLE, *arguments]
    (stdin, feed), (said, stdout), (told, stderr) = os.pipe(), os.pipe(), os.pipe()
    try:
        process = start(arguments, env=env, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr)
    finally:
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)
    until = time.monotonic() + timeout
    with ThreadPoolExecutor(3) as pool:
        fed, out, err = pool.submit(_feed, feed, input), pool.submit(_read, said), pool.submit(_read, told)
        try:
            for done in (fed, out, err):
                done.result(max(0.0, until - time.monotonic()))
            code = process.wait(max(0.1, until - time.monotonic()))
        except (FutureTimeout, subprocess.TimeoutExpired):
            process.kill()
            raise subprocess.TimeoutExpired(command, timeout) from None
    return subprocess.CompletedProcess(command, code, out.result(), err.result())


def _is_usual(settings: Mapping[str, str]) -> bool:
    """Nothing that only one test sets."""
    locale = {name: value for name, value in settings.items() if not name.startswith("PYTHON")}
    ours = {name: value for name, value in os.environ.items() if name.startswith(AT_START)}
    ours = {name: value for name, value in ours.items() if not name.startswith("PYTHON")}
    python = [name for name in settings if name.startswith("PYTHON")]
    return set(python) <= {*USUAL} and settings.get("PYTHONPATH") == str(ROOT) and locale in ({"LANG": "C.UTF-8"}, ours)


def _line(descriptor: int) -> str:
    """What comes up to the end of a line."""
    said = b""
    while not said.endswith(b"\n"):
        piece = os.read(descriptor, 1)
        if not piece:
            raise RuntimeError("the process that `wattle` is forked from has died")
        said += piece
    return said.decode()


def _feed(descriptor: int, text: str) -> None:
    with open(descriptor, "w", encoding="utf-8", newline="") as file:
        try:
            file.write(text)
            file.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)  # so that closing it fails for nothing


def _read(descriptor: int) -> str:
    with open(descriptor, encoding="utf-8") as file:
        return file.read()
