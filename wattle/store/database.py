"""Connections to the SQLite file: exactly one that writes, any number that read, and what their errors mean.

SQLite before 3.51.3 can corrupt a WAL when two connections write or checkpoint at the same instant (Debian
12 ships 3.40.1). So the writer is the only one that checkpoints: readers open `mode=ro`, which cannot take
the locks that a checkpoint needs, not even when the last of them closes. Nothing here opens the file by
hand once it exists: closing any descriptor of it would drop the process's POSIX locks on it.
"""

import errno
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol
from weakref import WeakSet

from wattle.errors import OutOfSpace, Refused, Unavailable, WattleError
from wattle.store import migrations

BUSY_TIMEOUT_SECONDS = 5.0
OLDEST_SQLITE = (3, 35, 0)  # RETURNING
CHECKPOINT_PAGES = 8000  # 32 MB: a checkpoint holds up the one thread that writes
CHECK_SECONDS = 1.0
NO_ROOM_BYTES = 128 * 1024  # with less, an I/O error is taken for want of room: shared memory has no error of its own

_FOR_NOW = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PROTOCOL,
}
_FOR_WANT_OF_ROOM = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
_FOR_GOOD = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_NO_TEXT = "Could not decode to UTF-8"  # Python's, which has no code


class Source(Protocol):
    """Where queries read from: the calling thread's connection, None where there is no database yet."""

    path: Path

    def connection(self) -> sqlite3.Connection | None: ...


class _Connection(sqlite3.Connection):
    """A connection that a WeakSet can hold."""


class Writer:
    """The one writing connection. Only the thread that opened it may use it (sqlite3 enforces that)."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._inode = os.stat(path).st_ino

    def connection(self) -> sqlite3.Connection:
        return self._connection

    def require_file(self) -> None:
        """Unavailable where the file was deleted or replaced: nobody would read what is written now. Any thread."""
        if _inode_of(self.path) != self._inode:
            raise _replaced(self.path)

    def close(self) -> None:
        """Checkpoint and close. Without it nothing is lost: the next open continues from the WAL."""
        self._connection.close()


class Reader:
    """One read-only connection per thread, opened at its first read, on a database that may not exist yet."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self._of_thread = threading.local()
        self._opened: WeakSet[_Connection] = WeakSet()
        self._opening = threading.Lock()
        self._inode: int | None = None  # of the file that was opened first: all threads read the same

    def connection(self) -> sqlite3.Connection | None:
        """This thread's connection, None as long as there is no database. Refused: newer or corrupt. Unavailable: it
        is not the one any more that another thread reads."""
        connection: sqlite3.Connection | None = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = self._of_thread.connection = self._open()
        return connection

    def close(self) -> None:
        """Close every thread's connection; a later read opens a new one."""
        with self._opening:
            self._of_thread = threading.local()
            for connection in list(self._opened):
                connection.close()
            self._opened.clear()

    def _open(self) -> sqlite3.Connection | None:
        with meaning(self.path):
            if self._inode is not None and _inode_of(self.path) != self._inode:
                raise _replaced(self.path)
            if not _exists(self.path):
                return None
            connection = _connect(self.path, "ro", shared=True)
            try:
                connection.execute("PRAGMA query_only = ON")
                version = migrations.check(connection, self.path)
            except sqlite3.OperationalError as error:
                connection.close()
                if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
                    raise
                return None  # whoever made it was killed before anything of ours was in it; the next writer goes on
            except BaseException:
                connection.close()
                raise
        if version == 0:
            connection.close()
            return None
        if version < migrations.LATEST:
            connection.close()
            raise Refused(
                "SCHEMA_OLDER",
                f"{self.path} has schema {version}, this Wattle reads {migrations.LATEST}; "
                "start `wattle serve` once, it brings the database up to date",
            )
        with self._opening:
            self._opened.add(connection)
            self._inode = self._inode or _inode_of(self.path)
        return connection


def open_writer(path: Path | str) -> Writer:
    """Open the database for writing: create it (0600) where there is none, else check it, then migrate it.

    Refused: STORE_CORRUPT, SCHEMA_NEWER (the file is then untouched), STORE_UNREADABLE, SQLITE_OLDER.
    OutOfSpace, or Unavailable: locked. Whether another daemon holds the directory is for the caller to know.
    """
    path = Path(path).absolute()
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise Refused("SQLITE_OLDER", f"SQLite {sqlite3.sqlite_version} is too old: Wattle needs 3.35 or newer")
    with meaning(path):
        if not _create_private(path):
            _check(path)
        connection = _connect(path, "rw")
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA journal_size_limit = 67108864")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            migrations.migrate(connection, path)
        except BaseException:
            connection.close()
            raise
    return Writer(path, connection)


@contextmanager
def meaning(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours: OutOfSpace, Unavailable (locked, I/O) or Refused (corrupt). Others pass."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        ours = _meaning(error, path)
        if ours is None:
            raise
        raise ours from error
    except OSError as error:
        if error.errno not in (errno.EIO, errno.ENOSPC, errno.EDQUOT):
            raise
        raise Unavailable("STORE_UNAVAILABLE", f"The database {path} cannot be used now: {error}") from error


def _meaning(error: sqlite3.DatabaseError, path: Path) -> WattleError | None:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _FOR_GOOD:
        return corrupt(path, str(error))
    if str(error).startswith(_NO_TEXT):
        return corrupt(path, "a text in it is none")
    if code == sqlite3.SQLITE_FULL or (code in _FOR_WANT_OF_ROOM and _free_bytes(path) < NO_ROOM_BYTES):
        return no_room(path.parent)
    if code in _FOR_NOW:
        return Unavailable("STORE_UNAVAILABLE", f"The database {path} cannot be used now: {error}")
    return None


def no_room(directory: Path | str) -> OutOfSpace:
    message = f"The disk of {directory} is full; free some of it, and Wattle goes on by itself"
    return OutOfSpace("INSUFFICIENT_STORAGE", message)


def _free_bytes(path: Path) -> float:
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return float("inf")
    return found.f_bavail * found.f_frsize


def corrupt(path: Path, what: str) -> Refused:
    """The error for a database whose pages or values are not what was written."""
    return Refused(
        "STORE_CORRUPT",
        f"{path} is damaged or no database ({what}). It has been left as it is. To restore: move it and its "
        f"-wal and -shm files away, then put a backup in its place, or save what is readable with "
        f"`sqlite3 {path.name}.damaged .recover | sqlite3 {path.name}`; with no file there, Wattle starts anew",
    )


def _connect(path: Path, mode: str, *, shared: bool = False) -> _Connection:
    connection: _Connection = sqlite3.connect(
        f"{path.as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_SECONDS,
        isolation_level=None,
        check_same_thread=not shared,
        factory=_Connection,
    )
    return connection


def _create_private(path: Path) -> bool:
    """Create the empty file, or say False: it is there. Either way its mode is 0600, whatever the umask;

    SQLite gives -wal and -shm the same mode.
    """
    try:
        if _exists(path):
            if stat.S_IMODE(os.stat(path).st_mode) != 0o600:
                os.chmod(path, 0o600)
            return False
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unreadable(path, error) from error
    return True


def _exists(path: Path) -> bool:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _unreadable(path, error) from error
    return True


def _inode_of(path: Path) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


def _replaced(path: Path) -> Unavailable:
    return Unavailable(
        "STORE_UNAVAILABLE",
        f"The database {path} was deleted or replaced while the server runs; put it back as it was, and it goes on, "
        "or end the server before you use another",
    )


def _unreadable(path: Path, error: OSError) -> Refused:
    return Refused("STORE_UNREADABLE", f"{path} cannot be opened ({error.strerror}); name another --data-dir")


def _check(path: Path) -> None:
    """Refuse what must not be written to, through a connection that cannot write."""
    try:
        _check_as_it_is(path)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
            raise
        # Whoever made it was killed before it was in WAL mode: half a transaction is in the file, and has to go first.
        with closing(_connect(path, "rw")) as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        _check_as_it_is(path)


def _check_as_it_is(path: Path) -> None:
    with closing(_connect(path, "ro")) as connection:
        migrations.check(connection, path)
        deadline = time.monotonic() + CHECK_SECONDS
        # A large database is checked as far as a second gets: starting matters more than certainty.
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
        try:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
        else:
            if verdict != "ok":
                raise corrupt(path, verdict)
