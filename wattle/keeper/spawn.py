"""An order becomes a process, or a refusal in words.

Always posix_spawn, so that no Python runs in the child; but for orders with settings (settings.py), which it
cannot carry out: they are forked (forked.py).

The log files are created by the spawn's own file actions, so an attempt without a stdout file was never
executed. The umask and the working directory are the keeper's own for the moment of the spawn.
"""

import errno
import os
import signal
import time
from collections.abc import Callable

from wattle.keeper import forked
from wattle.keeper.failpoints import reach
from wattle.keeper.refusals import (
    LOG_FLAGS,
    Refusal,
    directory_refusal,
    is_file,
    machine_refusal,
    nul_refusal,
    refusal_of,
)
from wattle.keeper.settings import CannotBecome, become
from wattle.keeper.worker import Order

SHELL = "/bin/sh"
DEFAULT_PATH = b"/usr/local/bin:/usr/bin:/bin"
REMEMBER_SECONDS = 1.0

_STDIN = (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
_Start = Callable[[Order, str, list[str], dict[bytes, bytes]], int]


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
            return directory_refusal(order.cwd, error)
        try:
            env = self._environment(order)
            if order.settings is not None:
                return self._fork(order, env)
            return self._start_in(order, env, self._posix_spawn)
        except ValueError as error:
            return nul_refusal(order, error)

    def _environment(self, order: Order) -> dict[bytes, bytes]:
        base = self._base
        if order.inherit is None:
            env = base.copy()
        else:
            env = {name: base[name] for name in map(_encode, order.inherit) if name in base}
        for name, value in order.env.items():
            if value is None:
                env.pop(_encode(name), None)
            else:
                env[_encode(name)] = _encode(value)
        return env

    def _start_in(self, order: Order, env: dict[bytes, bytes], start: _Start, user: str = "") -> int | Refusal:
        """Find the command and start it; a start that succeeds in the child of a fork does not return."""
        name = order.argv[0]
        search = env.get(b"PATH", DEFAULT_PATH)
        for fresh in (False, True):
            path = name if "/" in name else self._look_up(name, search, fresh)
            if path is None:
                return Refusal("command_not_found", f"command {name!r} was not found in PATH ({os.fsdecode(search)})")
            try:
                return start(order, path, order.argv, env)
            except OSError as error:
                if error.errno == errno.ENOEXEC and order.direct:
                    return self._start_by_shell(order, path, env, start, user)
                if error.errno == errno.ENOENT and path != name and not fresh and not os.path.exists(path):
                    continue
                return refusal_of(order, path, error, env, user)
        raise AssertionError("a fresh look-up is never repeated")

    def _start_by_shell(
        self, order: Order, path: str, env: dict[bytes, bytes], start: _Start, user: str
    ) -> int | Refusal:
        try:
            return start(order, SHELL, [SHELL, path, *order.argv[1:]], env)
        except OSError as error:
            return refusal_of(order, SHELL, error, env, user)

    def _fork(self, order: Order, env: dict[bytes, bytes]) -> int | Refusal:
        try:
            return forked.fork(lambda: self._execute(order, env), self._reset)
        except OSError as error:
            return machine_refusal(order.argv[0], error) or refusal_of(order, order.argv[0], error, env)

    def _execute(self, order: Order, env: dict[bytes, bytes]) -> Refusal:
        """In the child: become what the order wants, then its program. The user may find other commands than we."""
        self._found.clear()
        try:
            user = become(order, env)
            refusal = self._start_in(order, env, _execve, user)
        except CannotBecome as error:
            return error.refusal
        except ValueError as error:
            return nul_refusal(order, error)
        assert isinstance(refusal, Refusal)
        return refusal

    def _posix_spawn(self, order: Order, path: str, argv: list[str], env: dict[bytes, bytes]) -> int:
        files = [
            _STDIN,
            (os.POSIX_SPAWN_OPEN, 1, order.stdout, LOG_FLAGS, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, order.stderr, LOG_FLAGS, 0o600),
        ]
        for number, file in order.descriptors.items():
            files.append((os.POSIX_SPAWN_OPEN, number, file, LOG_FLAGS, 0o600))
        reach("keeper.spawn.before")
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


def _execve(order: Order, path: str, argv: list[str], env: dict[bytes, bytes]) -> int:
    forked.unblock()
    os.execve(path, argv, env)


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
        if not is_file(path):
            continue
        if os.access(path, os.X_OK):
            return path, absolute
        second_best = second_best or path
    return second_best, False
