"""The database looked at from outside, for `wattle fsck` and `wattle doctor`: is it whole, what is in it, does SQLite
work where it stands. Read-only, but for `try_database`, which makes a database of its own in a directory it is given.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from wattle.definition.canonical import digest
from wattle.store.database import Reader, meaning
from wattle.store.queries import Queries
from wattle.store.rows import CaptureRow, RunRow

WAL_MENDED = (3, 51, 3)  # before, two connections that checkpoint at one instant can damage a WAL
MOST_TOLD = 20
_ENDINGS = (
    "SELECT run_id, kind FROM event WHERE run_id IS NOT NULL "
    "AND kind IN ('run.completed', 'run.failed', 'run.cancelled') ORDER BY id"
)


class Inspection:
    """One data directory's database. `queries` reads it row by row."""

    def __init__(self, path: Path | str) -> None:
        self._reader = Reader(path)
        self.queries = Queries(self._reader)

    def close(self) -> None:
        self._reader.close()

    def is_there(self) -> bool:
        """Whether there is a database; Refused where it cannot be read (newer or older schema, damaged)."""
        return self._reader.connection() is not None

    def damages(self) -> list[str]:
        """What SQLite's own check of every page and index finds; at most MOST_TOLD of it."""
        try:
            found = [text for (text,) in self._rows(f"PRAGMA integrity_check({MOST_TOLD})")]
        except sqlite3.DatabaseError as error:  # so damaged that the check itself breaks off
            return [str(error)]
        return [] if found == ["ok"] else [str(text) for text in found]

    def dangling(self) -> list[str]:
        """References that lead nowhere, as `table row 7 -> parent`; at most MOST_TOLD."""
        found = self._rows("PRAGMA foreign_key_check")
        return [f"{table} row {row} -> {parent}" for table, row, parent, _ in found][:MOST_TOLD]

    def damaged_definitions(self) -> list[int]:
        """The ids of versions whose document is not the one that their digest is of; at most MOST_TOLD of them."""
        found = self._rows("SELECT id, document, digest FROM version ORDER BY id")
        return [int(number) for number, text, known in found if not _is_of(text, known)][:MOST_TOLD]

    def runs(self) -> Iterator[RunRow]:
        """Every run there is, oldest first."""
        for (run_id,) in self._rows("SELECT id FROM run ORDER BY id"):
            run = self.queries.run(run_id)
            if run is not None:
                yield run

    def endings(self) -> dict[int, list[str]]:
        """{run id: the statuses that its `run.…` events of an end tell, in order}."""
        found: dict[int, list[str]] = {}
        for run_id, kind in self._rows(_ENDINGS):
            found.setdefault(int(run_id), []).append(str(kind).removeprefix("run."))
        return found

    def captures(self) -> list[CaptureRow]:
        return [*self.queries.captures_in("copied"), *self.queries.captures_in("placed")]

    def last_run_id(self) -> int:
        """The highest id that a run was ever given, 0 for none."""
        found = self._rows("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'run'")
        return int(found[0][0]) if found else 0

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        with meaning(self._reader.path):
            connection = self._reader.connection()
            return [] if connection is None else connection.execute(statement).fetchall()


def _is_of(text: object, known: object) -> bool:
    """Is the document the one that has this digest."""
    try:
        return isinstance(text, str) and digest(json.loads(text)) == known
    except (ValueError, RecursionError):
        return False


def sqlite_version() -> str:
    return sqlite3.sqlite_version


def has_wal_defect() -> bool:
    """Whether this SQLite can damage a WAL when two connections checkpoint at one instant."""
    return sqlite3.sqlite_version_info < WAL_MENDED


def try_database(path: Path) -> str:
    """Write and read a new database as Wattle would; gives the journal mode that it got (`wal` is what is wanted).

    Raises sqlite3.Error, as OSError, where that does not work. The caller removes the file.
    """
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as writer:
            (mode,) = writer.execute("PRAGMA journal_mode = WAL").fetchone()
            writer.execute("PRAGMA synchronous = FULL")
            writer.execute("CREATE TABLE tried (id INTEGER PRIMARY KEY AUTOINCREMENT)")
            writer.execute("INSERT INTO tried DEFAULT VALUES")
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
                assert reader.execute("SELECT count(*) FROM tried").fetchone() == (1,)
    except sqlite3.Error as error:
        raise OSError(None, str(error)) from error
    return str(mode)
