"""Who holds a data directory: the daemon, the keeper, and what can be seen of them. It takes no lock, not even for a
moment: a daemon that starts at that moment would be refused.
"""

import os
from dataclasses import dataclass

from wattle.config import DAEMON_LOCK
from wattle.keeper import place, proc


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds one of the locks. `version` is the keeper's, as its command line tells it."""

    pid: int
    version: str | None
    children: int
    descriptors: int | None  # None: it is another user's
    open_files: int | None  # its soft limit; None: unlimited, or not to be seen


def daemon_of(data_dir: str) -> Holder | None:
    """The daemon that holds the data directory now."""
    return _holder(os.path.join(data_dir, DAEMON_LOCK))


def keeper_of(data_dir: str) -> Holder | None:
    """The keeper that holds the data directory now. `children` are its workers, and what they left to it."""
    return _holder(os.path.join(data_dir, place.LOCK))


def _holder(lock: str) -> Holder | None:
    """The process whose pid is in the lock file, if it has that very file open: it holds the lock for life."""
    try:
        with open(lock, encoding="ascii") as file:
            pid = int(file.read(32))
        locked = os.stat(lock)
    except (OSError, ValueError):
        return None
    facts = proc.read_stat(pid)
    if facts is None or facts.is_zombie or not _has_open(pid, locked):
        return None
    return Holder(pid, _version(pid), len(proc.children(pid)), _descriptors(pid), _open_files(pid))


def _has_open(pid: int, wanted: os.stat_result) -> bool:
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False
    for name in names:
        try:
            found = os.stat(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
            return True
    return False


def _version(pid: int) -> str | None:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except OSError:
        return None
    return os.fsdecode(words[words.index(b"--version") + 1]) if b"--version" in words[:-1] else None


def _descriptors(pid: int) -> int | None:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None


def _open_files(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/limits", encoding="ascii") as file:
            soft = next((line.split()[3] for line in file if line.startswith("Max open files")), "")
    except OSError:
        return None
    return int(soft) if soft.isdecimal() else None
