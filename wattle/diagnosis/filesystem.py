"""What the file system of the data directory offers, each thing tried in a temporary directory that is removed."""

import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from wattle.config import SOCKET_NAME
from wattle.diagnosis.probe import Finding, broken, degraded, ok, words
from wattle.logs.holes import punch
from wattle.store.inspection import has_wal_defect, sqlite_version, try_database

PIECE_BYTES = 1 << 20
LITTLE_ROOM_BYTES = 1 << 30
NO_ROOM_BYTES = 16 << 20
FEW_INODES = 10_000
CLOCK_SECONDS = 2.0
MARK = "user.wattle.doctor"


def filesystem_findings(data_dir: str) -> Iterator[Finding]:
    """Of the data directory, or, before there is one, of the directory that it will be made in."""
    place = _nearest(data_dir)
    is_there = place == data_dir
    yield _directory(data_dir, place)
    yield _room(place)
    if not os.access(place, os.W_OK | os.X_OK):
        return
    try:
        with tempfile.TemporaryDirectory(prefix=".wattle-doctor-", dir=place) as temporary:
            yield from _tried(Path(temporary))
    except OSError as error:
        yield broken("writing", f"nothing can be written in {place}: {words(error)}", "free space, or mend its rights")
    if is_there:
        yield ok("socket", os.path.join(data_dir, SOCKET_NAME))


def _nearest(path: str) -> str:
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _directory(data_dir: str, place: str) -> Finding:
    if place != data_dir:
        if os.access(place, os.W_OK | os.X_OK):
            return ok("data directory", f"{data_dir} is not there yet; it will be made in {place}")
        return broken("data directory", f"{data_dir} cannot be made in {place}", "choose another with --data-dir")
    facts = os.stat(data_dir)
    if not os.access(data_dir, os.R_OK | os.W_OK | os.X_OK):
        return broken("data directory", f"{data_dir} cannot be written to", f"chmod 700 {data_dir}")
    if facts.st_mode & 0o077:
        mode = f"{stat.S_IMODE(facts.st_mode):04o}"
        return degraded("data directory", f"{data_dir}, mode {mode}", f"others have rights on it: chmod 700 {data_dir}")
    return ok("data directory", data_dir)


def _room(place: str) -> Finding:
    facts = os.statvfs(place)
    room, inodes = facts.f_bavail * facts.f_frsize, facts.f_favail
    found = f"{_size(room)} for data" + (f", {inodes} files" if facts.f_files else "")
    if room < NO_ROOM_BYTES or (facts.f_files and inodes == 0):
        return broken("free space", found, "free some: nothing can be written down (docs/operations.md, Disk full)")
    if room < LITTLE_ROOM_BYTES or (facts.f_files and inodes < FEW_INODES):
        return degraded("free space", found, "free some before it is full (docs/operations.md, Disk full)")
    return ok("free space", found)


def _tried(directory: Path) -> Iterator[Finding]:
    yield _hole_punching(directory / "hole")
    yield _attributes(directory / "attributes")
    yield _clock(directory / "clock")
    yield from _sqlite(directory / "tried.db")


def _hole_punching(path: Path) -> Finding:
    subject = "hole punching"
    if _punch(path):
        return ok(subject, "the start of a file can be given back (fallocate PUNCH_HOLE)")
    instead = "no log is bounded (log.max_bytes, --live-logs): logs go as a whole, when their run is old"
    return degraded(subject, "the start of a file cannot be given back", instead)


def _punch(path: Path) -> bool:
    """Whether a file takes less room afterwards, at the same length."""
    with open(path, "wb") as file:
        file.write(b"x" * PIECE_BYTES)
        file.flush()
        os.fsync(file.fileno())
        before = os.fstat(file.fileno())
        try:
            punch(file.fileno(), 0, PIECE_BYTES // 2)
        except OSError:
            return False
        os.fsync(file.fileno())
        after = os.fstat(file.fileno())
    return after.st_blocks < before.st_blocks and after.st_size == before.st_size


def _attributes(path: Path) -> Finding:
    subject = "attributes"
    path.touch()
    try:
        os.setxattr(path, MARK, b"tried")
        works = os.getxattr(path, MARK) == b"tried"
    except OSError:
        works = False
    if works:
        return ok(subject, "files can be marked (extended attributes user.*)")
    instead = "the identity of a captured output is committed before it is moved to its place"
    return degraded(subject, "files cannot be marked (no extended attributes user.*)", instead)


def _clock(path: Path) -> Finding:
    """A file server has a clock of its own; outputs are judged by it."""
    before = time.time()
    path.write_bytes(b"x")
    age = path.stat().st_mtime - before
    if abs(age) <= CLOCK_SECONDS:
        return ok("times of files", "the file system's clock is this machine's")
    found = f"the file system's clock is {abs(age):.0f} s {'ahead' if age > 0 else 'behind'}"
    return degraded("times of files", found, "whether an output was written by this attempt may be misjudged")


def _sqlite(path: Path) -> Iterator[Finding]:
    found = sqlite_version()
    try:
        mode = try_database(path)
    except OSError as error:
        yield broken("SQLite", f"{found}: no database works here: {words(error)}", "choose another --data-dir")
        return
    if mode != "wal":
        yield broken("SQLite", f"{found}: no write-ahead log here, but '{mode}'", "choose a local file system")
    elif has_wal_defect():
        instead = "one connection alone writes and checkpoints, which keeps clear of it"
        yield degraded("SQLite", f"{found}, which has the defect in checkpoints mended in 3.51.3", instead)
    else:
        yield ok("SQLite", f"{found}, write-ahead log works")


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
