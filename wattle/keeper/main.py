"""The keeper as a program: start-up, signals, the loop.

`python -I -S -c … wattle-keeper SOURCE --data-dir D [--linger-seconds 10]`, started by `launch.start_keeper`.

Signals: INT, HUP, QUIT and PIPE are ignored; TERM means "quit": it exits as soon as no worker is live or
queued, at once if so. Only KILL ends it before, and then its workers go on.

The lock is also a gate. A keeper killed in the middle of a spawn leaves a child that has not executed yet;
that child holds a copy of the lock until it does. So whoever gets the lock finds every process of its
predecessor either under its own marker or never executed.
"""

import ctypes
import fcntl
import gc
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from functools import partial

from wattle.keeper import ballast, failpoints, proc
from wattle.keeper.connection import Connection
from wattle.keeper.failpoints import reach
from wattle.keeper.journal import RESERVE_BYTES, JournalWriter
from wattle.keeper.keeper import Keeper
from wattle.keeper.keeper_ids import new_keeper_id
from wattle.keeper.place import JOURNAL, LOCK, open_directory, socket_address
from wattle.keeper.poller import READ, Poller
from wattle.keeper.timers import Timer

LOCK_WAIT_SECONDS = 3.0
FAREWELL_SECONDS = 1.0
LINGER_SECONDS = 10.0
LISTEN_BACKLOG = 16
ACCEPT_PAUSE_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 3600.0  # epoll counts milliseconds in 31 bits
PR_SET_CHILD_SUBREAPER = 36


class Loop:
    """The one thread: waits for sockets, signals and timers, and gives the keeper its turns."""

    def __init__(
        self, keeper: Keeper, poller: Poller, listener: socket.socket, signals: int, linger_seconds: float
    ) -> None:
        self._keeper = keeper
        self._poller = poller
        self._listener = listener
        self._linger_seconds = linger_seconds
        self._linger: Timer | None = None
        self._is_over = False
        self._signals = signals
        poller.watch(self._signals, READ, lambda mask: None)
        self._listen()

    def run(self) -> None:
        has_more = False
        self._consider_the_end()  # whoever started it may be gone before it connects
        while not self._is_over:
            try:
                has_more = self._turn(has_more)
            except Exception:  # workers depend on this loop: it logs and goes on, ten times a second
                sys.excepthook(*sys.exc_info())
                time.sleep(0.1)
                has_more = True

    def _turn(self, has_more: bool) -> bool:
        ready = self._poller.wait(self._seconds_to_wait(has_more))
        reap_more = False
        if has_more or any(descriptor == self._signals for descriptor, _ in ready):
            self._drain_signals()
            reap_more = self._keeper.reap()
        self._poller.serve(ready)
        self._keeper.timers.run(time.monotonic())
        spawn_more = self._keeper.fill_slots()
        self._keeper.tell()
        self._consider_the_end()
        return reap_more or spawn_more

    def _seconds_to_wait(self, has_more: bool) -> float | None:
        if has_more:
            return 0
        at = self._keeper.timers.next_at()
        return None if at is None else min(max(0.0, at - time.monotonic()), LONGEST_WAIT_SECONDS)

    def _drain_signals(self) -> None:
        try:
            numbers = os.read(self._signals, 4096)
        except BlockingIOError:
            return
        if signal.SIGTERM in numbers:
            log("SIGTERM: will exit when no worker is left")
            self._keeper.is_quitting = True

    def _listen(self) -> None:
        self._poller.watch(self._listener.fileno(), READ, lambda mask: self._accept())

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:  # no descriptor left: it would be ready for ever
            log(f"a connection could not be accepted: {error}")
            self._poller.forget(self._listener.fileno())
            self._keeper.timers.arm(time.monotonic() + ACCEPT_PAUSE_SECONDS, self._listen)
            return
        Connection(peer, self._poller, self._keeper.receive, self._closed)

    def _closed(self, connection: Connection, reason: str) -> None:
        if connection.has_said_hello:
            log(f"daemon disconnected: {reason}")
        self._keeper.hung_up(connection)

    def _consider_the_end(self) -> None:
        keeper = self._keeper
        if keeper.is_idle and (keeper.is_quitting or keeper.daemon is None):
            if keeper.is_quitting:
                self._farewell()
            elif self._linger is None:
                self._linger = keeper.timers.arm(time.monotonic() + self._linger_seconds, self._leave)
        elif self._linger is not None:
            keeper.timers.cancel(self._linger)
            self._linger = None

    def _farewell(self) -> None:
        """Quit once the daemon has read the last reports, or after a second."""
        daemon = self._keeper.daemon
        if daemon is None or not daemon.has_unsent:
            self._leave()
        elif self._linger is None:
            self._linger = self._keeper.timers.arm(time.monotonic() + FAREWELL_SECONDS, self._leave)

    def _leave(self) -> None:
        self._is_over = True


def main(arguments: list[str]) -> None:
    """Run a keeper until it is not needed; `arguments` are --data-dir D and --linger-seconds S."""
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    data_dir = options["--data-dir"]
    if failpoints.problem is not None:
        log(failpoints.problem)
    _close_inherited()
    os.chdir("/")
    os.umask(0o077)
    directory = open_directory(data_dir)
    lock = _lock(data_dir)
    if lock is None:
        log(f"another keeper serves {data_dir}; this one is not needed")
        return
    reach("keeper.boot.locked")
    _become_subreaper()
    signals = _signal_pipe()
    journal_dir = os.path.join(data_dir, JOURNAL)
    os.makedirs(journal_dir, 0o700, exist_ok=True)
    poller = Poller()
    keeper_id = new_keeper_id(proc.boot_id())
    listener = _listen(directory)
    reach("keeper.boot.listening")
    log(f"keeper {keeper_id} serves {data_dir}")
    give_way = partial(ballast.give_up, data_dir)
    journal = JournalWriter(journal_dir, keeper_id, reserve_bytes=RESERVE_BYTES, give_way=give_way)
    keeper = Keeper(keeper_id, journal, poller)
    loop = Loop(keeper, poller, listener, signals, float(options.get("--linger-seconds", LINGER_SECONDS)))
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)  # what lives and dies here makes no cycles; looking for them cost a tenth
    loop.run()
    try:
        os.unlink(socket_address(directory))
    except FileNotFoundError:
        pass
    log(f"keeper {keeper_id} has nothing left to do")


def log(message: str) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with suppress(OSError):  # on a full disk the log is the least that is lost
        os.write(2, f"{stamp} keeper[{os.getpid()}] {message}\n".encode("utf-8", "surrogateescape"))


def _close_inherited() -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError:  # the listing's own descriptor
                pass


def _lock(data_dir: str) -> int | None:
    """Take the data directory's keeper lock for life, or None if another keeps it."""
    descriptor = os.open(os.path.join(data_dir, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + LOCK_WAIT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return None
            time.sleep(0.02)
            continue
        with suppress(OSError):  # the pid is for people; a full disk does not take it
            os.ftruncate(descriptor, 0)
            os.write(descriptor, b"%d\n" % os.getpid())
        return descriptor


def _become_subreaper() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot become a subreaper")


def _listen(directory: int) -> socket.socket:
    address = socket_address(directory)
    try:
        os.unlink(address)
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    listener.bind(address)
    os.chmod(address, 0o600)
    listener.listen(LISTEN_BACKLOG)
    return listener


def _signal_pipe() -> int:
    """Let signals arrive as bytes on a pipe, and return its reading end."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, _arrived)
    return reading


def _arrived(number: int, frame: object) -> None:
    """Its byte is on the pipe; without a handler Python would not put it there."""
