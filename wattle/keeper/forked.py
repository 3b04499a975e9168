"""Starts the few workers that posix_spawn cannot: a fork in which the child makes itself what its order wants.

The keeper has one thread, so no lock can be held by another when it forks, which is what makes Python code
between fork and exec unsafe elsewhere; and its heap is small, so a fork costs a millisecond and not a
thousand. An executed prelude would cost ten times as much (Python) or could not tell why it failed (sh).

The child tells through a pipe why it could not execute; that it has, the pipe's end tells. The parent waits
for either, as it does in posix_spawn, but no longer than LONGEST_SECONDS.
"""

import fcntl
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterable

from wattle.keeper.protocol import encode_json
from wattle.keeper.refusals import Refusal

LONGEST_SECONDS = 10.0
ABOVE = 16  # the child's end of the pipe: clear of the descriptors that an order may name
_NO_ROOM = Refusal(
    "address_space_too_small", "its limit address_space_bytes leaves no room to pass its arguments and environment"
)


def fork(execute: Callable[[], Refusal], reset: Iterable[int]) -> int | Refusal:
    """Fork, and have the child call `execute`, which returns only with a Refusal; give the pid, or that.

    `reset` are the signals that the child gives their default action. The child begins with every signal
    blocked; `execute` calls `unblock` before it executes. Raises OSError where there can be no child.
    """
    reading, low = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            writing = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, ABOVE)
        finally:
            os.close(low)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = os.fork()
            if pid == 0:
                _be_the_child(execute, reset, writing)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(writing)
        return _outcome(pid, reading)
    finally:
        os.close(reading)


def unblock() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _be_the_child(execute: Callable[[], Refusal], reset: Iterable[int], writing: int) -> None:
    """Never returns."""
    try:
        signal.set_wakeup_fd(-1)  # the keeper's own pipe
        for number in reset:
            signal.signal(number, signal.SIG_DFL)
        no_room = said = _encoded(_NO_ROOM)
        try:
            said = _encoded(execute())
        except MemoryError:
            said = no_room
        except BaseException as error:
            said = _encoded(Refusal("spawn_failed", f"it cannot be started: {error}"))
        while said:
            said = said[os.write(writing, said) :]
    finally:
        os._exit(127)


def _encoded(refusal: Refusal) -> bytes:
    return encode_json([refusal.code, refusal.reason, refusal.retryable, refusal.waits])


def _outcome(pid: int, reading: int) -> int | Refusal:
    said = b""
    until = time.monotonic() + LONGEST_SECONDS
    waiting = select.poll()
    waiting.register(reading, select.POLLIN)
    while waiting.poll(max(0.0, until - time.monotonic()) * 1000):
        piece = os.read(reading, 65536)
        if piece:
            said += piece
            continue
        if not said:
            return pid
        os.waitpid(pid, 0)
        code, reason, retryable, waits = json.loads(said)
        return Refusal(code, reason, retryable, waits)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return Refusal("spawn_failed", f"it could not be prepared within {LONGEST_SECONDS:g} s", True)
