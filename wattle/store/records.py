"""Writes: one method per fact, each inside `transaction()`, by the one thread that opened the writer.

A turn of the supervisor is one transaction (group commit). The hot facts (workers, attempts, events,
captures) are prepared `executemany` on the raw connection, because building a query with peewee costs more
than executing it; the others are built by peewee. What is written was decided elsewhere: nothing here
judges, but for what the schema itself forbids.
"""

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from typing import Any

import peewee as pw

from wattle.errors import run_not_found, workflow_already_exists
from wattle.store import models
from wattle.store.database import Writer, meaning
from wattle.store.ids import uuid7
from wattle.store.rows import AttemptRow, CaptureRow, EventRow, RunRow, RunWorkerRow, VersionRow, WorkflowRow

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_CHANGEABLE = frozenset(field.name for field in fields(RunRow)) - {"id", "uuid"}


def storable(text: str | None) -> str | None:
    """Text as the database can hold it: NUL and lone surrogates (bytes that were no UTF-8) become U+FFFD."""
    if text is None or text.isprintable():
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def _upsert(table: str, key: str, columns: str, fixed: str = "") -> str:
    """An insert that, where `key` exists, replaces every column but those of `key` and `fixed`."""
    names = columns.split()
    kept = {*key.split(), *fixed.split()}
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in kept)
    return (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
        f"ON CONFLICT ({', '.join(key.split())}) DO UPDATE SET {changes}"
    )


_PUT_WORKER = _upsert(
    "run_worker",
    "run_id position",
    "run_id position name phase status attempt wanted reason_code reason exit_code signal "
    "started_at ended_at due_at forced notices version_id next_version_id",
    fixed="name",
)
_PUT_ATTEMPT = _upsert(
    "attempt",
    "uuid",
    "uuid run_id position worker number status agent keeper_id boot_id pid inode start_ticks "
    "exit_code signal reason_code reason started_at ended_at duration_us metrics",
    fixed="run_id position worker number",
)
_PUT_CAPTURE = _upsert("capture", "path", "path attempt_uuid temporary_path size mtime_ns inode state")
_ADD_OUTPUT = "INSERT INTO declared_output (version_id, path) VALUES (?, ?)"
_ADD_EVENT = "INSERT INTO event (at, run_id, subject, kind, payload, actor) VALUES (?, ?, ?, ?, ?, ?)"
_LAST_EVENT = "SELECT coalesce(max(id), 0) FROM event"
_KEEPER_IMPORTED = _upsert("keeper", "keeper_id", "keeper_id imported") + " WHERE excluded.imported > keeper.imported"


class Records:
    """What the supervisor writes. Every method but `transaction` raises RuntimeError outside one."""

    def __init__(self, writer: Writer) -> None:
        self._path = writer.path
        self._connection = writer.connection()
        self._require_file = writer.require_file

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is durable when this returns, or none of it is when it raises. Does not nest.

        OutOfSpace; Unavailable (STORE_UNAVAILABLE): locked, I/O error, file replaced. Refused (STORE_CORRUPT).
        """
        self._require_file()
        with meaning(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk has rolled back already; where the rollback fails too, the first error is the one to tell.
                with suppress(sqlite3.Error):
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                raise

    # Definitions

    def create_workflow(
        self,
        *,
        name: str,
        document: str,
        digest: str,
        at: int,
        working_dir: str,
        description: str | None = None,
        outputs: Sequence[str] = (),
        origin: str = "api",
    ) -> WorkflowRow:
        """A new workflow with its first version. Conflict, before any change: a live one has that name.

        `outputs` are the paths its workers declare.
        """
        live = models.Workflow.select(models.Workflow.id).where(
            models.Workflow.namespace == "default",
            models.Workflow.name == name,
            models.Workflow.deleted_at.is_null(),
        )
        if self._execute(live).fetchone():
            raise workflow_already_exists(name)
        row = WorkflowRow(0, uuid7(at), name, 0, created_at=at, updated_at=at, origin=origin)
        workflow_id = self._insert(models.Workflow, row, version_id=None)
        version = self._insert_version(workflow_id, document, digest, at, working_dir, description, outputs)
        self._point_at(version, at)
        return replace(row, id=workflow_id, version_id=version.id)

    def add_version(
        self,
        workflow_id: int,
        document: str,
        digest: str,
        at: int,
        *,
        working_dir: str,
        description: str | None = None,
        outputs: Sequence[str] = (),
    ) -> VersionRow:
        """The workflow's new current version, or the current one where it has the same digest."""
        current = (
            models.Version.select(*models.columns(models.Version, VersionRow))
            .join(models.Workflow, on=(models.Workflow.version_id == models.Version.id))
            .where(models.Workflow.id == workflow_id, models.Version.digest == digest)
        )
        if found := self._execute(current).fetchone():
            return VersionRow(*found)
        version = self._insert_version(workflow_id, document, digest, at, working_dir, description, outputs)
        self._point_at(version, at)
        return version

    def delete_workflow(self, workflow_id: int, at: int) -> bool:
        """Mark it deleted: its name is free again, its runs stay. False: it is not there or deleted already."""
        query = models.Workflow.update(deleted_at=at, updated_at=at).where(
            models.Workflow.id == workflow_id, models.Workflow.deleted_at.is_null()
        )
        return self._execute(query).rowcount == 1

    # Runs

    def create_run(self, **values: Any) -> RunRow | None:
        """A new run from the fields of RunRow (without id and uuid). None: its idempotency_key is taken.

        The run that took the key is `Queries.run_by_key`.
        """
        row = RunRow(id=0, uuid="", **_storable(values))
        row = replace(row, uuid=uuid7(row.queued_at))
        if row.idempotency_key is not None:
            taken = models.Run.select(models.Run.id).where(models.Run.idempotency_key == row.idempotency_key)
            if self._execute(taken).fetchone():
                return None
        return replace(row, id=self._insert(models.Run, row))

    def update_run(self, run_id: int, **changes: Any) -> None:
        """Set some of its columns. NotFound where there is no such run; TypeError for a column that is fixed."""
        if unknown := changes.keys() - _CHANGEABLE:
            raise TypeError(f"a run has nothing to change named {', '.join(sorted(unknown))}")
        self._require_transaction()
        text, names = models.update_statement(models.Run, frozenset(changes))
        values = _storable(changes)
        if self._connection.execute(text, [*(values[name] for name in names), run_id]).rowcount == 0:
            raise run_not_found(run_id)

    # Hot: several thousand of these a second

    def put_workers(self, rows: Sequence[RunWorkerRow]) -> None:
        """Write the state of workers within their runs: (run_id, position) has one row, the latest wins."""
        self._executemany(
            _PUT_WORKER,
            (
                (
                    row.run_id,
                    row.position,
                    row.name,
                    row.phase,
                    row.status,
                    row.attempt,
                    row.wanted,
                    row.reason_code,
                    storable(row.reason),
                    row.exit_code,
                    row.signal,
                    row.started_at,
                    row.ended_at,
                    row.due_at,
                    row.forced,
                    storable(_encode(row.notices)) if row.notices else None,
                    row.version_id,
                    row.next_version_id,
                )
                for row in rows
            ),
        )

    def put_attempts(self, rows: Sequence[AttemptRow]) -> None:
        """Write attempts: a uuid has one row, the latest wins. `id` and `logs_removed_at` are not read."""
        self._executemany(
            _PUT_ATTEMPT,
            (
                (
                    row.uuid,
                    row.run_id,
                    row.position,
                    row.worker,
                    row.number,
                    row.status,
                    row.agent,
                    row.keeper_id,
                    row.boot_id,
                    row.pid,
                    row.inode,
                    row.start_ticks,
                    row.exit_code,
                    row.signal,
                    row.reason_code,
                    storable(row.reason),
                    row.started_at,
                    row.ended_at,
                    row.duration_us,
                    row.metrics,
                )
                for row in rows
            ),
        )

    def add_events(self, rows: Sequence[EventRow]) -> int:
        """Append to the history, in this order; the id of the last event there is (0: none). `id` is not read."""
        self._executemany(
            _ADD_EVENT,
            (
                (
                    row.at,
                    row.run_id,
                    row.subject,
                    row.kind,
                    storable(_encode(row.payload)) if row.payload else "{}",
                    storable(row.actor),
                )
                for row in rows
            ),
        )
        last: int = self._connection.execute(_LAST_EVENT).fetchone()[0]
        return last

    def put_captures(self, rows: Sequence[CaptureRow]) -> None:
        """Write what Wattle itself put at a path: a path has one row, the latest wins."""
        self._executemany(
            _PUT_CAPTURE,
            (
                (row.path, row.attempt_uuid, row.temporary_path, row.size, row.mtime_ns, signed(row.inode), row.state)
                for row in rows
            ),
        )

    def keeper_imported(self, keeper_id: str, seq: int) -> None:
        """Its journal has been taken in up to `seq`. Never goes back."""
        self._executemany(_KEEPER_IMPORTED, [(keeper_id, seq)])

    def _insert_version(
        self,
        workflow_id: int,
        document: str,
        digest: str,
        at: int,
        working_dir: str,
        description: str | None,
        outputs: Sequence[str],
    ) -> VersionRow:
        row = VersionRow(0, uuid7(at), workflow_id, digest, document, created_at=at)
        version_id = self._insert(models.Version, row, working_dir=working_dir, description=storable(description))
        self._executemany(_ADD_OUTPUT, [(version_id, path) for path in dict.fromkeys(outputs)])
        return replace(row, id=version_id)

    def _point_at(self, version: VersionRow, at: int) -> None:
        query = models.Workflow.update(version_id=version.id, updated_at=at)
        self._execute(query.where(models.Workflow.id == version.workflow_id))

    def _insert(self, model: type[pw.Model], row: WorkflowRow | VersionRow | RunRow, **others: Any) -> int:
        """Insert the row's fields but `id`, changed and completed by `others`; the id it got."""
        values = {field.name: getattr(row, field.name) for field in fields(row) if field.name != "id"} | others
        self._require_transaction()
        text, names = models.insert_statement(model, frozenset(values))
        inserted: int = self._connection.execute(text, [values[name] for name in names]).fetchone()[0]
        return inserted

    def _execute(self, query: pw.Query) -> sqlite3.Cursor:
        self._require_transaction()
        return self._connection.execute(*models.sql(query))

    def _executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        self._require_transaction()
        self._connection.executemany(statement, rows)

    def _require_transaction(self) -> None:
        # Outside one, each statement would be a commit with an fsync of its own, and half a fact could stand.
        if not self._connection.in_transaction:
            raise RuntimeError("the store writes inside `with records.transaction()` only")


def signed(inode: int) -> int:
    """An inode as a signed 64-bit integer: some file systems (overlayfs, NFS) use the highest bit."""
    return inode - 2**64 if inode >= 2**63 else inode


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _storable(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: storable(value) if isinstance(value, str) else value for name, value in values.items()}
