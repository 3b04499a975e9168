"""Why an order did not become a process, in words. Looks at files, changes nothing but empty logs."""

import errno
import os
import stat
from collections.abc import Mapping
from contextlib import suppress

from wattle.keeper.ballast import NO_ROOM, UNWRITABLE
from wattle.keeper.worker import Order

LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND
LONGEST_STRING_BYTES = 32 * 4096  # MAX_ARG_STRLEN of the kernel, the NUL included


class Refusal:
    """`retryable`: the same order may succeed later. `waits`: it is no end of the order, which is tried again when
    Wattle's own disk takes its logs."""

    __slots__ = ("code", "reason", "retryable", "waits")

    def __init__(self, code: str, reason: str, retryable: bool = False, waits: bool = False) -> None:
        self.code = code
        self.reason = reason
        self.retryable = retryable
        self.waits = waits


def is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def directory_refusal(cwd: str, error: Exception, user: str = "") -> Refusal:
    """Why the directory cannot be entered; `user` names who may not, where it is not the server's."""
    number = getattr(error, "errno", None)
    if number == errno.ENOENT:
        return Refusal("working_dir_missing", f"working directory {cwd} does not exist")
    if number == errno.ENOTDIR:
        return Refusal("working_dir_not_directory", f"working directory {cwd} is not a directory")
    if number == errno.EACCES:
        return Refusal("working_dir_unreadable", f"working directory {cwd} may not be entered{_by(user)}")
    return Refusal("spawn_failed", f"working directory {cwd} cannot be entered: {words(error)}")


def nul_refusal(order: Order, error: ValueError) -> Refusal:
    return Refusal("spawn_failed", f"{order.argv[0]!r} cannot be started: {error}")


_BY_ERRNO = {
    errno.EAGAIN: ("process_limit", "the limit of processes is reached"),
    errno.EMFILE: ("descriptor_limit", "the keeper has no file descriptor left"),
    errno.ENFILE: ("descriptor_limit", "the machine has no file descriptor left"),
    errno.ENOMEM: ("out_of_memory", "there is not enough memory"),
    errno.ETXTBSY: ("command_busy", "its file is being written"),
}


def machine_refusal(name: str, error: OSError) -> Refusal | None:
    """What the machine lacks for now, so that a retry may help; None where that is not the reason."""
    if error.errno not in _BY_ERRNO:
        return None
    code, reason = _BY_ERRNO[error.errno]
    return Refusal(code, f"{name!r} cannot be started: {reason}", True)


def log_refusal(order: Order, log: str, error: OSError) -> Refusal:
    reason = f"log file {log} cannot be opened: {words(error)}"
    if error.errno not in UNWRITABLE:
        return machine_refusal(order.argv[0], error) or Refusal("log_unwritable", reason)
    # Nothing was executed, so no log may stay: that one exists says that its attempt may have been started.
    for path in (order.stdout, order.stderr):
        with suppress(OSError):
            if os.stat(path).st_size == 0:
                os.unlink(path)
    return Refusal("log_unwritable", reason, retryable=True, waits=True)


def refusal_of(order: Order, path: str, error: OSError, env: Mapping[bytes, bytes], user: str = "") -> Refusal:
    """Put in words why the spawn of `path` for the order failed; asked in the order's own directory, as its user."""
    name = order.argv[0]
    if error.errno in NO_ROOM:
        return log_refusal(order, order.stdout, error)  # nothing else of a spawn needs room
    if error.errno == errno.E2BIG:
        return _too_long(name, order.argv, env)
    return machine_refusal(name, error) or _logs_refusal(order, user) or _command_refusal(name, path, error, user)


def _too_long(name: str, argv: list[str], env: Mapping[bytes, bytes]) -> Refusal:
    """Which of the two is too large: one string of 128 KiB is, else what has the greater part of the whole."""
    arguments = [len(os.fsencode(argument)) + 1 for argument in argv]
    variables = {key: len(key) + len(value) + 2 for key, value in env.items()}
    longest, size = max(variables.items(), key=lambda pair: pair[1], default=(b"", 0))
    if max(arguments) <= LONGEST_STRING_BYTES and size > LONGEST_STRING_BYTES:
        shown = os.fsdecode(longest)[:100]
        reason = f"its environment variable {shown} has {size} bytes; the system passes {LONGEST_STRING_BYTES}"
        return Refusal("environment_too_large", f"{name[:200]!r} cannot be started: {reason}")
    if max(arguments) <= LONGEST_STRING_BYTES and sum(variables.values()) > sum(arguments):
        reason = f"its environment of {sum(variables.values())} bytes is too large"
        return Refusal("environment_too_large", f"{name[:200]!r} cannot be started: {reason}")
    reason = f"its arguments of {sum(arguments)} bytes are too long"
    return Refusal("argument_list_too_long", f"{name[:200]!r} cannot be started: {reason}")


def _logs_refusal(order: Order, user: str) -> Refusal | None:
    if user:  # its logs were opened before the user was changed
        return None
    for log in (order.stdout, order.stderr, *order.descriptors.values()):
        try:
            os.close(os.open(log, LOG_FLAGS | os.O_NONBLOCK | os.O_CLOEXEC, 0o600))
        except OSError as error:
            return log_refusal(order, log, error)
    return None


def _command_refusal(name: str, path: str, error: OSError, user: str) -> Refusal:
    runs = is_file(path) and os.access(path, os.X_OK)
    if runs and error.errno in (errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ELOOP):
        return Refusal("bad_interpreter", f"{path} names an interpreter that cannot be run: {_interpreter(path)}")
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP):
        return Refusal("command_not_found", f"command {name!r} was not found")
    if error.errno == errno.EACCES:
        return Refusal("not_executable", f"{path} is not executable{_by(user)}")
    return Refusal("spawn_failed", f"{name!r} cannot be started: {words(error)}")


def _interpreter(path: str) -> str:
    try:
        with open(path, "rb") as file:
            first = file.readline(256)
    except OSError:
        first = b""
    named = first[2:].split() if first.startswith(b"#!") else []
    return named[0].decode("utf-8", "replace") if named else "its loader is missing"


def _by(user: str) -> str:
    return f" by user {user!r}" if user else ""


def words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
