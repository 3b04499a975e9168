"""An order becomes a process, or a refusal in words. Always posix_spawn, never fork: no Python runs in the child.

The log files are created by the spawn's own file actions, so an attempt without a stdout file was never
executed. The umask and the working directory are the keeper's own for the moment of the spawn.
"""

import errno
import os
import signal
import stat
import time
from contextlib import suppress

from wattle.keeper.ballast import NO_ROOM, UNWRITABLE
from wattle.keeper.worker import Order

SHELL = "/bin/sh"
DEFAULT_PATH = b"/usr/local/bin:/usr/bin:/bin"
REMEMBER_SECONDS = 1.0

_LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_STDIN = (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)


class Refusal:
    """Why an order did not become a process. `retryable`: the same order may succeed later. `waits`: it is no
    end of the order, which is tried again when Wattle's own disk takes its logs."""

    __slots__ = ("code", "reason", "retryable", "waits")

    def __init__(self, code: str, reason: str, retryable: bool = False, waits: bool = False) -> None:
        self.code = code
        self.reason = reason
        self.retryable = retryable
        self.waits = waits


class Spawner:
    """Holds the base environment and remembers for a second where commands were found."""

    def __init__(self) -> None:
        self._base: dict[bytes, bytes] = {}
        # What the keeper catches is reset by executing; what it ignores is not.
        self._reset = [int(n) for n in signal.valid_signals() if signal.getsignal(n) is not signal.SIG_DFL]
        self._found: dict[tuple[str, bytes], tuple[str, float]] = {}

    def set_environment(self, variables: dict[str, str], umask: int | None) -> None:
        """The environment and umask of every spawn from now on. Raises before it changes anything."""
        self._base = {_encode(name): _encode(value) for name, value in variables.items()}
        if umask is not None:
            os.umask(umask & 0o777)

    def spawn(self, order: Order) -> int | Refusal:
        """Start the order's process and return its pid; the keeper is in the order's directory afterwards."""
        try:
            os.chdir(order.cwd)
        except (OSError, ValueError) as error:
            return _directory_refusal(order.cwd, error)
        try:
            env = self._environment(order)
            return self._spawn_in(order, env)
        except ValueError as error:
            return Refusal("spawn_failed", f"{order.argv[0]!r} cannot be started: {error}")

    def _environment(self, order: Order) -> dict[bytes, bytes]:
        env = self._base.copy()
        for name, value in order.env.items():
            if value is None:
                env.pop(_encode(name), None)
            else:
                env[_encode(name)] = _encode(value)
        return env

    def _spawn_in(self, order: Order, env: dict[bytes, bytes]) -> int | Refusal:
        name = order.argv[0]
        search = env.get(b"PATH", DEFAULT_PATH)
        for fresh in (False, True):
            path = name if "/" in name else self._look_up(name, search, fresh)
            if path is None:
                return Refusal("command_not_found", f"command {name!r} was not found in PATH ({os.fsdecode(search)})")
            try:
                return self._posix_spawn(order, path, order.argv, env)
            except OSError as error:
                if error.errno == errno.ENOEXEC and order.direct:
                    return self._spawn_by_shell(order, path, env)
                if error.errno == errno.ENOENT and path != name and not fresh and not os.path.exists(path):
                    continue
                return refusal_of(order, path, error)
        raise AssertionError("a fresh look-up is never repeated")

    def _spawn_by_shell(self, order: Order, path: str, env: dict[bytes, bytes]) -> int | Refusal:
        try:
            return self._posix_spawn(order, SHELL, [SHELL, path, *order.argv[1:]], env)
        except OSError as error:
            return refusal_of(order, SHELL, error)

    def _posix_spawn(self, order: Order, path: str, argv: list[str], env: dict[bytes, bytes]) -> int:
        files = [
            _STDIN,
            (os.POSIX_SPAWN_OPEN, 1, order.stdout, _LOG_FLAGS, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, order.stderr, _LOG_FLAGS, 0o600),
        ]
        for number, file in order.descriptors.items():
            files.append((os.POSIX_SPAWN_OPEN, number, file, _LOG_FLAGS, 0o600))
        return os.posix_spawn(path, argv, env, file_actions=files, setsid=True, setsigmask=[], setsigdef=self._reset)

    def _look_up(self, name: str, search: bytes, fresh: bool) -> str | None:
        now = time.monotonic()
        known = self._found.get((name, search))
        if known is not None and not fresh and now - known[1] < REMEMBER_SECONDS:
            return known[0]
        path, absolute = _search(name, os.fsdecode(search))
        if path is not None and absolute:
            if len(self._found) > 256:
                self._found.clear()
            self._found[name, search] = (path, now)
        return path


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # os.fsencode is the same under -X utf8, and six times slower


def _search(name: str, search: str) -> tuple[str | None, bool]:
    """Find a command as execvp does; also say whether every directory looked into was absolute.

    An empty entry is the current directory. What exists but may not be executed is returned only if nothing
    better comes, so that the refusal can say so.
    """
    absolute = True
    second_best = None
    for entry in search.split(":"):
        absolute = absolute and entry.startswith("/")
        path = f"{entry or '.'}/{name}"
        if not _is_file(path):
            continue
        if os.access(path, os.X_OK):
            return path, absolute
        second_best = second_best or path
    return second_best, False


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _directory_refusal(cwd: str, error: Exception) -> Refusal:
    number = getattr(error, "errno", None)
    if number in (errno.ENOENT, errno.ENOTDIR):
        return Refusal("working_dir_missing", f"working directory {cwd} does not exist")
    if number == errno.EACCES:
        return Refusal("working_dir_unreadable", f"working directory {cwd} may not be entered")
    return Refusal("spawn_failed", f"working directory {cwd} cannot be entered: {_words(error)}")


_BY_ERRNO = {
    errno.E2BIG: ("argument_list_too_long", "its arguments and environment are too long together", False),
    errno.EAGAIN: ("process_limit", "the limit of processes is reached", True),
    errno.EMFILE: ("descriptor_limit", "the keeper has no file descriptor left", True),
    errno.ENFILE: ("descriptor_limit", "the machine has no file descriptor left", True),
    errno.ENOMEM: ("out_of_memory", "there is not enough memory", True),
    errno.ETXTBSY: ("spawn_failed", "its file is being written", True),
}


def refusal_of(order: Order, path: str, error: OSError) -> Refusal:
    """Put in words why the spawn of `path` for the order failed; asked in the order's own directory."""
    name = order.argv[0]
    if error.errno in NO_ROOM:
        return _log_waits(order, order.stdout, error)  # nothing else of a spawn needs room
    return _machine_refusal(name, error) or _log_refusal(order) or _command_refusal(name, path, error)


def _machine_refusal(name: str, error: OSError) -> Refusal | None:
    if error.errno not in _BY_ERRNO:
        return None
    code, words, retryable = _BY_ERRNO[error.errno]
    return Refusal(code, f"{name!r} cannot be started: {words}", retryable)


def _log_refusal(order: Order) -> Refusal | None:
    for log in (order.stdout, order.stderr, *order.descriptors.values()):
        try:
            os.close(os.open(log, _LOG_FLAGS | os.O_NONBLOCK | os.O_CLOEXEC, 0o600))
        except OSError as error:
            if error.errno in UNWRITABLE:
                return _log_waits(order, log, error)
            words = f"log file {log} cannot be opened: {_words(error)}"
            return _machine_refusal(order.argv[0], error) or Refusal("log_unwritable", words)
    return None


def _log_waits(order: Order, log: str, error: OSError) -> Refusal:
    """Nothing was executed, so no log may stay: that one exists says that its attempt may have been started."""
    for path in (order.stdout, order.stderr):
        with suppress(OSError):
            if os.stat(path).st_size == 0:
                os.unlink(path)
    words = f"log file {log} cannot be opened: {_words(error)}"
    return Refusal("log_unwritable", words, retryable=True, waits=True)


def _command_refusal(name: str, path: str, error: OSError) -> Refusal:
    runs = _is_file(path) and os.access(path, os.X_OK)
    if runs and error.errno in (errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ELOOP):
        return Refusal("bad_interpreter", f"{path} names an interpreter that cannot be run: {_interpreter(path)}")
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP):
        return Refusal("command_not_found", f"command {name!r} was not found")
    if error.errno == errno.EACCES:
        return Refusal("not_executable", f"{path} is not executable")
    return Refusal("spawn_failed", f"{name!r} cannot be started: {_words(error)}")


def _interpreter(path: str) -> str:
    try:
        with open(path, "rb") as file:
            first = file.readline(256)
    except OSError:
        first = b""
    words = first[2:].split() if first.startswith(b"#!") else []
    return words[0].decode("utf-8", "replace") if words else "its loader is missing"


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
