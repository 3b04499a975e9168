"""The daemon's way to a keeper: start one, ask whether one lives, connect to it.

Never imported by the keeper itself. A keeper started here is a child of the caller, who must reap it.
"""

import fcntl
import os
import resource
import signal
import socket
import sys
import time

from wattle.keeper.place import LOCK, LOG, open_directory, socket_address

LINGER_SECONDS = 10.0

# Run with -I -S: no site directory, no user's PYTHONPATH. Wattle's own place goes last, so that nothing
# beside it can shadow the standard library. -X utf8: the protocol's text is UTF-8 whatever the locale.
_CODE = "import sys; sys.path.append(sys.argv[2]); from wattle.keeper.main import main; main(sys.argv[3:])"


def start_keeper(
    data_dir: str,
    linger_seconds: float = LINGER_SECONDS,
    *,
    open_files: tuple[int, int] | None = None,
    version: str | None = None,
) -> int:
    """Start a keeper for the data directory and return its pid, without waiting for it.

    Where one lives already the new one ends by itself within seconds. It exits `linger_seconds` after it
    has had neither worker, queue nor daemon. `open_files` is its limit (soft, hard), where that is not to be the
    caller's: it holds before the first worker, since only the caller will connect. `version` is written in its
    command line, for those who ask what runs.
    """
    data_dir = os.path.abspath(data_dir)
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    command = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _CODE]
    argv = [*command, "wattle-keeper", source, "--data-dir", data_dir, "--linger-seconds", str(linger_seconds)]
    argv += ["--version", version] if version is not None else []
    log = os.path.join(data_dir, LOG)
    files = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
    ]
    signals = signal.valid_signals()
    pid = os.posix_spawn(
        sys.executable, argv, os.environ, file_actions=files, setsid=True, setsigmask=[], setsigdef=signals
    )
    if open_files is not None:
        try:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, open_files)
        except (ProcessLookupError, PermissionError):  # it ended at once; or the kernel does not let us
            pass
    return pid


def probe(data_dir: str) -> bool:
    """Say whether a keeper is alive for the data directory: it holds the lock for life."""
    try:
        descriptor = os.open(os.path.join(data_dir, LOCK), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def connect(data_dir: str, timeout_seconds: float) -> socket.socket:
    """Return a blocking stream socket to the keeper; raise TimeoutError if none answers in time."""
    until = time.monotonic() + timeout_seconds
    pause = 0.002
    while True:
        connection = _try_connect(data_dir)
        if connection is not None:
            return connection
        if time.monotonic() >= until:
            raise TimeoutError(f"no keeper answers in {data_dir}; see {os.path.join(data_dir, LOG)}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def _try_connect(data_dir: str) -> socket.socket | None:
    directory = open_directory(data_dir)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(socket_address(directory))
    except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise
    finally:
        os.close(directory)
    return connection
