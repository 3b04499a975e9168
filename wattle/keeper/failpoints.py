"""Failpoints: named places at which a fault can be asked for, to show that what comes after it is right.

`WATTLE_FAILPOINT=name:n:action`, several with commas between, in the server's environment: the n-th time a
process passes the point it is killed (`kill`), gets an error of the file system (`eio`, `enospc`) or pauses
for SLEEP_SECONDS (`sleep`). A point's name begins with the process that has it, `daemon` or `keeper`; each
process counts for itself. `WATTLE_FAILPOINT_FIRED` may name a file: a fault is appended to it before it
happens (`name:n:action pid unix-seconds`), and one that is in it when a process starts does not happen again,
so the successor of a killed keeper does not die of the same fault. Workers see neither variable.

While nothing is asked for, `reach` is a function that does nothing: 30 ns.
"""

import errno
import os
import signal
import time
from itertools import count

VARIABLE = "WATTLE_FAILPOINT"
FIRED = "WATTLE_FAILPOINT_FIRED"
SLEEP_SECONDS = 1.0
KILL, SLEEP = "kill", "sleep"
ERRORS = {"eio": errno.EIO, "enospc": errno.ENOSPC}

# Where the file system may fail: only there can an error be asked for.
FILE_POINTS = (
    "daemon.capture.copied",
    "daemon.capture.opened",
    "daemon.commit.before",
    "daemon.outputs.set_aside",
    "daemon.prepare.before",
    "keeper.journal.before",
    "keeper.segment.before",
    "keeper.segment.discarded",
    "keeper.spawn.before",
)
OTHER_POINTS = (
    "daemon.adopt.before",
    "daemon.adopt.after",
    "daemon.answer.before",
    "daemon.boot.locked",
    "daemon.boot.rows",
    "daemon.boot.recovered",
    "daemon.capture.renamed",
    "daemon.commit.after",
    "daemon.import.connected",
    "daemon.import.record",
    "daemon.import.read",
    "daemon.keeper.before",
    "daemon.keeper.started",
    "daemon.keeper.lost",
    "daemon.outputs.seen",
    "daemon.report.received",
    "daemon.retention.committed",
    "daemon.retry.due",
    "daemon.send.before",
    "daemon.send.after",
    "daemon.stop.accepted",
    "daemon.stop.answered",
    "keeper.adopt.before",
    "keeper.adopt.found",
    "keeper.adopt.after",
    "keeper.boot.locked",
    "keeper.boot.listening",
    "keeper.end.before",
    "keeper.follow.before",
    "keeper.hello.before",
    "keeper.hello.after",
    "keeper.journal.after",
    "keeper.kill.before",
    "keeper.kill.after",
    "keeper.left.before",
    "keeper.order.before",
    "keeper.order.after",
    "keeper.quit.before",
    "keeper.reap.before",
    "keeper.reap.after",
    "keeper.report.before",
    "keeper.report.after",
    "keeper.segment.after",
    "keeper.spawn.after",
    "keeper.stop.before",
    "keeper.stop.after",
    "keeper.withdraw.after",
)
POINTS = tuple(sorted(FILE_POINTS + OTHER_POINTS))


class Fault:
    """One fault asked for: `text` is `name:n:action` as it was given."""

    __slots__ = ("action", "name", "number", "text")

    def __init__(self, text: str) -> None:
        """Raises ValueError, which says what is wrong with the text."""
        self.text = text
        self.name, _, rest = text.partition(":")
        number, _, self.action = rest.partition(":")
        if self.name not in POINTS:
            raise ValueError(f"'{text}' names no failpoint; docs/supervision.md lists them")
        if not (number.isascii() and number.isdecimal() and int(number) > 0):
            raise ValueError(f"'{text}' does not say the how-manieth time as a number from 1: NAME:N:ACTION")
        self.number = int(number)
        if self.action in ERRORS and self.name not in FILE_POINTS:
            raise ValueError(f"'{text}' wants an I/O error where there is no I/O; use kill or sleep")
        if self.action not in (KILL, SLEEP, *ERRORS):
            raise ValueError(f"'{text}' names no action; they are kill, eio, enospc and sleep")

    def happen(self, fired_path: str | None) -> None:
        if fired_path is not None:
            descriptor = os.open(fired_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            os.write(descriptor, f"{self.text} {os.getpid()} {time.time():.6f}\n".encode())
            os.close(descriptor)
        if self.action == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.action in ERRORS:
            raise OSError(ERRORS[self.action], f"{os.strerror(ERRORS[self.action])} (failpoint {self.name})")
        time.sleep(SLEEP_SECONDS)


class Failpoints:
    """What is asked for. Any thread; a point's passes are counted from 1."""

    def __init__(self, wanted: str, fired_path: str | None) -> None:
        """Raises ValueError on what is no list of faults."""
        self._fired_path = fired_path
        self._faults: dict[str, list[Fault]] = {}
        self._passes: dict[str, count[int]] = {}
        fired = _fired(fired_path)
        for text in wanted.split(","):
            fault = Fault(text.strip())
            if fault.text not in fired:
                self._faults.setdefault(fault.name, []).append(fault)
                self._passes[fault.name] = count(1)

    def reach(self, name: str) -> None:
        faults = self._faults.get(name)
        if faults is None:
            return
        number = next(self._passes[name])
        for fault in faults:
            if fault.number == number:
                fault.happen(self._fired_path)


def _fired(path: str | None) -> set[str]:
    try:
        with open(path or "/dev/null", encoding="utf-8") as file:
            return {line.split()[0] for line in file if line.strip()}
    except FileNotFoundError:
        return set()


def reach(name: str) -> None:
    """Say that this process is at the named point. May not return; raises OSError at points of FILE_POINTS only."""


problem: str | None = None  # what is wrong with the variable: whoever starts a process says it
if os.environ.get(VARIABLE):
    try:
        reach = Failpoints(os.environ[VARIABLE], os.environ.get(FIRED)).reach
    except (ValueError, OSError) as error:
        problem = f"{VARIABLE}: {error}"
