"""The schema's history: an ordered list of migrations, each applied once, in a transaction of its own.

A migration that has been released is never edited; a change is a new one at the end. The text keeps to
what SQLite and PostgreSQL share, but for `{identity}`: a growing integer key that is never given twice
(logs are named by run id). `check` reads only: what is refused is left exactly as it was found.
"""

import sqlite3
from pathlib import Path
from typing import NamedTuple

from wattle.errors import Refused


class Migration(NamedTuple):
    """`statements` are separated by `;` at the end of a line."""

    description: str
    statements: str


MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        "the first schema",
        """
        CREATE TABLE workflow (
            id {identity},
            uuid TEXT NOT NULL UNIQUE,
            namespace TEXT NOT NULL DEFAULT 'default',
            name TEXT NOT NULL,
            kind TEXT NOT NULL,
            origin TEXT NOT NULL,
            enabled BOOLEAN NOT NULL,
            version_id INTEGER,
            created_at BIGINT NOT NULL,
            updated_at BIGINT NOT NULL,
            deleted_at BIGINT
        );
        CREATE UNIQUE INDEX workflow_live_name ON workflow (namespace, name) WHERE deleted_at IS NULL;
        CREATE TABLE version (
            id {identity},
            uuid TEXT NOT NULL UNIQUE,
            workflow_id INTEGER NOT NULL REFERENCES workflow (id),
            digest TEXT NOT NULL,
            document TEXT NOT NULL,
            working_dir TEXT NOT NULL,
            description TEXT,
            created_at BIGINT NOT NULL
        );
        CREATE INDEX version_of_workflow ON version (workflow_id, id);
        CREATE TABLE declared_output (
            version_id INTEGER NOT NULL REFERENCES version (id) ON DELETE CASCADE,
            path TEXT NOT NULL,
            PRIMARY KEY (version_id, path)
        );
        CREATE INDEX declared_output_path ON declared_output (path);
        CREATE TABLE run (
            id {identity},
            uuid TEXT NOT NULL UNIQUE,
            workflow_id INTEGER NOT NULL REFERENCES workflow (id),
            workflow_name TEXT NOT NULL,
            version_id INTEGER NOT NULL REFERENCES version (id),
            kind TEXT NOT NULL,
            worker TEXT,
            status TEXT NOT NULL,
            wanted TEXT NOT NULL,
            cancel_reason TEXT,
            reason_code TEXT,
            reason TEXT,
            key TEXT NOT NULL,
            forced BOOLEAN NOT NULL,
            params TEXT,
            input TEXT,
            priority INTEGER NOT NULL,
            trigger TEXT NOT NULL,
            retry_of INTEGER,
            scheduled_at BIGINT,
            queued_at BIGINT NOT NULL,
            started_at BIGINT,
            ended_at BIGINT,
            created_by TEXT,
            idempotency_key TEXT UNIQUE
        );
        CREATE INDEX run_of_workflow ON run (workflow_id, id);
        CREATE INDEX run_of_kind ON run (workflow_id, kind, id);
        CREATE INDEX run_of_version ON run (version_id);
        CREATE INDEX run_active ON run (id) WHERE ended_at IS NULL;
        CREATE TABLE run_worker (
            run_id INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            name TEXT NOT NULL,
            phase TEXT NOT NULL,
            status TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            wanted TEXT NOT NULL,
            reason_code TEXT,
            reason TEXT,
            exit_code INTEGER,
            signal INTEGER,
            started_at BIGINT,
            ended_at BIGINT,
            due_at BIGINT,
            forced BOOLEAN NOT NULL,
            notices TEXT,
            PRIMARY KEY (run_id, position)
        );
        CREATE TABLE attempt (
            id {identity},
            uuid TEXT NOT NULL UNIQUE,
            run_id INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            worker TEXT NOT NULL,
            number INTEGER NOT NULL,
            status TEXT NOT NULL,
            agent TEXT NOT NULL,
            keeper_id TEXT,
            boot_id TEXT,
            pid INTEGER,
            inode BIGINT,
            start_ticks BIGINT,
            exit_code INTEGER,
            signal INTEGER,
            reason_code TEXT,
            reason TEXT,
            started_at BIGINT,
            ended_at BIGINT,
            duration_us BIGINT,
            metrics TEXT
        );
        CREATE UNIQUE INDEX attempt_of_worker ON attempt (run_id, position, number);
        CREATE TABLE event (
            id {identity},
            at BIGINT NOT NULL,
            run_id INTEGER,
            subject TEXT NOT NULL,
            kind TEXT NOT NULL,
            payload TEXT NOT NULL,
            actor TEXT
        );
        CREATE TABLE capture (
            path TEXT NOT NULL PRIMARY KEY,
            attempt_uuid TEXT NOT NULL,
            temporary_path TEXT NOT NULL,
            size BIGINT NOT NULL,
            mtime_ns BIGINT NOT NULL,
            inode BIGINT NOT NULL,
            state TEXT NOT NULL
        );
        CREATE TABLE keeper (
            keeper_id TEXT NOT NULL PRIMARY KEY,
            imported BIGINT NOT NULL
        );
        """,
    ),
    Migration(
        "when a run's logs were removed",
        """
        ALTER TABLE run ADD COLUMN logs_removed_at BIGINT;
        """,
    ),
    Migration(
        "whose definition a worker has within a run",
        """
        ALTER TABLE run_worker ADD COLUMN version_id INTEGER REFERENCES version (id);
        ALTER TABLE run_worker ADD COLUMN next_version_id INTEGER REFERENCES version (id);
        """,
    ),
    Migration(
        "when an attempt's logs were removed",
        """
        ALTER TABLE attempt ADD COLUMN logs_removed_at BIGINT;
        CREATE INDEX attempt_without_logs ON attempt (run_id, position, number) WHERE logs_removed_at IS NOT NULL;
        """,
    ),
)
LATEST = len(MIGRATIONS)

_IDENTITY = "INTEGER PRIMARY KEY AUTOINCREMENT"  # BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY elsewhere


def version_of(connection: sqlite3.Connection) -> int | None:
    """The number of the last migration applied; 0 for an empty database, None for somebody else's."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "schema_version" not in tables:
        return None if tables else 0
    (version,) = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    return version or 0


def check(connection: sqlite3.Connection, path: Path, latest: int = LATEST) -> int:
    """The schema's version, where this Wattle may use it; else Refused (SCHEMA_NEWER, STORE_CORRUPT)."""
    version = version_of(connection)
    if version is None:
        raise Refused(
            "STORE_CORRUPT",
            f"{path} is a database, but not one of Wattle's; move it away or name another --data-dir",
        )
    if version > latest:
        raise Refused(
            "SCHEMA_NEWER",
            f"{path} was written by a newer Wattle (schema {version}, this one knows {latest}); "
            "install that Wattle again, or name another --data-dir",
        )
    return version


def migrate(connection: sqlite3.Connection, path: Path, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Apply what is missing. A migration that fails leaves the schema of the one before it."""
    latest = len(migrations)
    for number in range(check(connection, path, latest) + 1, latest + 1):
        _apply(connection, number, migrations[number - 1])


def _apply(connection: sqlite3.Connection, number: int, migration: Migration) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_version "
            "(version INTEGER NOT NULL PRIMARY KEY, description TEXT NOT NULL)"
        )
        for statement in migration.statements.format(identity=_IDENTITY).split(";\n"):
            connection.execute(statement)
        connection.execute("INSERT INTO schema_version VALUES (?, ?)", (number, migration.description))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
