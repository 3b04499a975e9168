"""Reads: what is written down, as rows. Any thread may ask; nothing here changes or decides anything.

Reads that are asked often are SQL text, which costs nothing to build; the others are built by peewee. Each
fetches everything at once, so that no read is left open to hold up a checkpoint. Where there is no database
yet, there is nothing: empty answers, no errors. A value that no row can hold (an id beyond 64 bits, a name
with lone surrogates) matches nothing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import peewee as pw

from wattle.store import models
from wattle.store.database import Source, corrupt, meaning
from wattle.store.rows import (
    AttemptRow,
    CaptureRow,
    EventRow,
    RunRow,
    RunWorkerRow,
    VersionRow,
    WorkflowRow,
    names_of,
)

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class WorkflowState:
    """A workflow, the listed parts of its current version, and its latest run of kind `workflow`."""

    workflow: WorkflowRow
    working_dir: str
    run: RunRow | None
    description: str | None = None


def _select(row: Any, alias: str) -> str:
    """The columns of `alias` in the order of the row's fields."""
    return ", ".join(f"{alias}.{name}" for name in names_of(row))


def _reading(row: Callable[..., Row], **kept: Callable[[Any], Any]) -> Callable[[Sequence[Any]], Row]:
    """What turns the selected values into a row; `kept` names the fields that are stored in another form."""
    names = names_of(row)
    changes = [(names.index(name), change) for name, change in kept.items()]

    def read(values: Sequence[Any]) -> Row:
        values = list(values)
        for place, change in changes:
            values[place] = change(values[place])
        return row(*values)

    return read


def _notices(text: str | None) -> tuple[str, ...]:
    return tuple(json.loads(text)) if text else ()


def _unsigned(inode: int) -> int:
    return inode % 2**64


_workflow = _reading(WorkflowRow, enabled=bool)
_version = _reading(VersionRow)
_run = _reading(RunRow, forced=bool)
_run_worker = _reading(RunWorkerRow, forced=bool, notices=_notices)
_attempt = _reading(AttemptRow)
_event = _reading(EventRow, payload=json.loads)
_capture = _reading(CaptureRow, inode=_unsigned)


_N_WORKFLOW = len(names_of(WorkflowRow))


def _state(values: Sequence[Any]) -> WorkflowState:
    working_dir, description, *run = values[_N_WORKFLOW:]
    return WorkflowState(
        _workflow(values[:_N_WORKFLOW]), working_dir, _run(run) if run[0] is not None else None, description
    )


_LATEST = "SELECT max(id) FROM run WHERE workflow_id = {} AND kind = 'workflow'"

_STATES = (
    f"SELECT {_select(WorkflowRow, 'w')}, v.working_dir, v.description, {_select(RunRow, 'r')} FROM workflow w "
    f"JOIN version v ON v.id = w.version_id LEFT JOIN run r ON r.id = ({_LATEST.format('w.id')}) "
    "WHERE w.deleted_at IS NULL AND w.namespace = 'default'"
)
_ALL_STATES = f"{_STATES} ORDER BY w.id"
_ONE_STATE = f"{_STATES} AND w.name = ?"

_SHARED_OUTPUTS = (
    "SELECT mine.path, other.name FROM workflow w JOIN declared_output mine ON mine.version_id = w.version_id "
    "JOIN declared_output theirs ON theirs.path = mine.path AND theirs.version_id <> mine.version_id "
    "JOIN workflow other ON other.version_id = theirs.version_id AND other.deleted_at IS NULL "
    "WHERE w.id = :workflow AND other.id <> w.id ORDER BY mine.path, other.name"
)

_RUNS = f"SELECT {_select(RunRow, 'r')} FROM run r WHERE"
# Each worker's newest row since the latest run of its workflow; the workers that wait have none.
_STATUS_OF_WORKERS = (
    "SELECT workflow_id, status, count(*) FROM (SELECT r.workflow_id AS workflow_id, w.status AS status, "
    "row_number() OVER (PARTITION BY r.workflow_id, w.name ORDER BY r.id DESC) AS place FROM workflow f "
    "JOIN run r ON r.workflow_id = f.id "
    "AND r.id >= coalesce((SELECT max(id) FROM run WHERE workflow_id = f.id AND kind = 'workflow'), 0) "
    "JOIN run_worker w ON w.run_id = r.id WHERE f.deleted_at IS NULL AND f.namespace = 'default') newest "
    "WHERE place = 1 GROUP BY workflow_id, status"
)
_RUN_BY_ID = f"{_RUNS} id = ?"
_RUN_BY_UUID = f"{_RUNS} uuid = ?"
_LATEST_RUN = f"{_RUNS} workflow_id = ? AND kind = ? ORDER BY id DESC LIMIT 1"
_ACTIVE_RUNS = f"{_RUNS} ended_at IS NULL AND (:workflow IS NULL OR workflow_id = :workflow) ORDER BY id"

_RUN_WORKERS = f"SELECT {_select(RunWorkerRow, 'w')} FROM run_worker w WHERE run_id = ? ORDER BY position"

# The latest run of kind `workflow`, then the later ones of single workers, which override it.
_SINCE_LATEST = f"r.workflow_id = :workflow AND r.id >= coalesce(({_LATEST.format(':workflow')}), 0)"
_DECIDING_RUNS = f"{_RUNS} {_SINCE_LATEST} ORDER BY r.id"
_WORKER_STATE = (
    f"SELECT {_select(RunRow, 'r')}, {_select(RunWorkerRow, 'w')} FROM run r JOIN run_worker w ON w.run_id = r.id "
    f"WHERE {_SINCE_LATEST} AND w.name = :name ORDER BY r.id DESC LIMIT 1"
)
_N_RUN = len(names_of(RunRow))

_ATTEMPT = f"SELECT {_select(AttemptRow, 'a')} FROM attempt a"
_ATTEMPTS_OF_RUN = f"{_ATTEMPT} WHERE run_id = ? ORDER BY position, number"
_ATTEMPTS_OF_WORKER = f"{_ATTEMPT} WHERE run_id = ? AND position = ? ORDER BY number"
_LATEST_ATTEMPT = f"{_ATTEMPT} WHERE run_id = ? AND position = ? ORDER BY number DESC LIMIT 1"
_ATTEMPT_BY_UUID = f"{_ATTEMPT} WHERE uuid = ?"
_ATTEMPTS_SINCE = (
    f"SELECT {_select(AttemptRow, 'a')} FROM run r JOIN attempt a ON a.run_id = r.id "
    "WHERE r.workflow_id = :workflow AND r.id BETWEEN :first AND :last AND a.id > :after ORDER BY a.id LIMIT :limit"
)
# IN, not a join: SQLite would begin the join with every attempt there ever was.
_LIVE_ATTEMPTS = (
    f"{_ATTEMPT} WHERE run_id IN (SELECT id FROM run WHERE ended_at IS NULL) AND ended_at IS NULL "
    "ORDER BY run_id, position, number"
)

_EVENTS = f"SELECT {_select(EventRow, 'e')} FROM event e WHERE id > :after ORDER BY id LIMIT :limit"
# By prefix and length, not LIKE: `%` and `_` are good characters of a name.
_EVENTS_OF_WORKFLOW = (
    f"SELECT {_select(EventRow, 'e')} FROM event e WHERE id > :after "
    "AND (subject = :name OR substr(subject, 1, :length) = :prefix) ORDER BY id LIMIT :limit"
)
_CAPTURE = f"SELECT {_select(CaptureRow, 'c')} FROM capture c WHERE path = ?"
_NEWEST_AT = "SELECT at FROM event WHERE run_id = ? AND subject = ? AND kind = ? ORDER BY id DESC LIMIT 1"
_LAST_EVENT = "SELECT coalesce(max(id), 0) FROM event"


class Queries:
    """Reads from a Reader (any thread), or from the Writer (its own thread, its open transaction included)."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All reads of this thread inside see the database as of one moment. Keep it short; nests."""
        with meaning(self._source.path):
            connection = self._source.connection()
            if connection is None or connection.in_transaction:
                yield
                return
            connection.execute("BEGIN")
            try:
                yield
            finally:
                connection.execute("ROLLBACK")

    # Definitions

    def workflows(self) -> list[WorkflowState]:
        """All live workflows, oldest first."""
        return self._all(_state, _ALL_STATES)

    def workflow(self, name: str) -> WorkflowState | None:
        """The live workflow of that name (NFC)."""
        return self._one(_state, _ONE_STATE, (name,))

    def version(self, version_id: int) -> VersionRow | None:
        query = models.Version.select(*models.columns(models.Version, VersionRow)).where(
            models.Version.id == version_id
        )
        return self._one(_version, *models.sql(query))

    def shared_outputs(self, workflow_id: int) -> list[tuple[str, str]]:
        """(path, name of another live workflow that declares it as an output too), in order."""
        return self._all(_text_pair, _SHARED_OUTPUTS, {"workflow": workflow_id})

    # Runs

    def run(self, run: int | str) -> RunRow | None:
        """By its id, or by its uuid where `run` is text."""
        return self._one(_run, _RUN_BY_UUID if isinstance(run, str) else _RUN_BY_ID, (run,))

    def run_by_key(self, idempotency_key: str) -> RunRow | None:
        return self._one(_run, *models.sql(_runs().where(models.Run.idempotency_key == idempotency_key)))

    def runs(self, workflow_id: int, limit: int, offset: int = 0, kind: str | None = None) -> tuple[list[RunRow], int]:
        """One page of a workflow's runs, newest first, and how many there are in all."""
        wanted = models.Run.workflow == workflow_id
        if kind is not None:
            wanted &= models.Run.kind == kind
        page = _runs().where(wanted).order_by(models.Run.id.desc()).limit(limit).offset(offset)
        count = models.Run.select(pw.fn.COUNT(models.Run.id)).where(wanted)
        with self.snapshot():
            total = self._one(_number, *models.sql(count)) or 0
            return self._all(_run, *models.sql(page)), total

    def latest_run(self, workflow_id: int, kind: str = "workflow") -> RunRow | None:
        return self._one(_run, _LATEST_RUN, (workflow_id, kind))

    def active_runs(self, workflow_id: int | None = None) -> list[RunRow]:
        """The runs that have not ended, oldest first: of one workflow, or of all (None)."""
        return self._all(_run, _ACTIVE_RUNS, {"workflow": workflow_id})

    def active_run(self, workflow_id: int, kind: str | None = "workflow") -> RunRow | None:
        """The newest run of that kind (None: any) that has not ended."""
        runs = [run for run in self.active_runs(workflow_id) if kind in (None, run.kind)]
        return runs[-1] if runs else None

    # Workers within runs

    def run_workers(self, run_id: int) -> list[RunWorkerRow]:
        """The workers of a run that have left `waiting`, by position."""
        return self._all(_run_worker, _RUN_WORKERS, (run_id,))

    def status_counts(self, run_ids: Sequence[int]) -> dict[int, dict[str, int]]:
        """{run id: {status: how many of its workers that have left `waiting` have it}}."""
        query = (
            models.RunWorker.select(models.RunWorker.run, models.RunWorker.status, pw.fn.COUNT(models.RunWorker.name))
            .where(models.RunWorker.run.in_(list(run_ids)))
            .group_by(models.RunWorker.run, models.RunWorker.status)
        )
        counts: dict[int, dict[str, int]] = {}
        for run_id, status, count in self._all(tuple, *models.sql(query)):
            counts.setdefault(run_id, {})[status] = count
        return counts

    def status_of_workers(self) -> dict[int, dict[str, int]]:
        """{workflow id: {status: how many of its workers have it}}, of those that have left `waiting`."""
        counts: dict[int, dict[str, int]] = {}
        for workflow_id, status, count in self._all(tuple, _STATUS_OF_WORKERS):
            counts.setdefault(workflow_id, {})[status] = count
        return counts

    def worker_states(self, workflow_id: int) -> dict[str, tuple[RunRow, RunWorkerRow]]:
        """Each worker's newest state: {name: (its run, its row)}; a name that is missing waits or never ran.

        That of the latest run of kind `workflow`, unless a later run of that worker alone has one.
        """
        with self.snapshot():
            runs = self._all(_run, _DECIDING_RUNS, {"workflow": workflow_id})
            return {row.name: (run, row) for run in runs for row in self.run_workers(run.id)}

    def worker_state(self, workflow_id: int, name: str) -> tuple[RunRow, RunWorkerRow] | None:
        """One worker's entry of `worker_states`."""
        return self._one(
            lambda values: (_run(values[:_N_RUN]), _run_worker(values[_N_RUN:])),
            _WORKER_STATE,
            {"workflow": workflow_id, "name": name},
        )

    def attempts(self, run_id: int, position: int | None = None) -> list[AttemptRow]:
        """The attempts of a run by position and number, of one worker or of all."""
        if position is None:
            return self._all(_attempt, _ATTEMPTS_OF_RUN, (run_id,))
        return self._all(_attempt, _ATTEMPTS_OF_WORKER, (run_id, position))

    def attempt(self, uuid: str) -> AttemptRow | None:
        return self._one(_attempt, _ATTEMPT_BY_UUID, (uuid,))

    def attempts_since(
        self, workflow_id: int, first_run: int, last_run: int, after: int, limit: int
    ) -> list[AttemptRow]:
        """The attempts of a workflow's runs from one to another that have an id greater than `after`, by id."""
        values = {"workflow": workflow_id, "first": first_run, "last": last_run, "after": after, "limit": limit}
        return self._all(_attempt, _ATTEMPTS_SINCE, values)

    def attempts_among(self, ids: Sequence[int]) -> list[AttemptRow]:
        """Those of these ids that are there, by id."""
        found: list[AttemptRow] = []
        for start in range(0, len(ids), 500):
            query = models.Attempt.select(*models.columns(models.Attempt, AttemptRow))
            query = query.where(models.Attempt.id.in_(list(ids[start : start + 500])))
            found += self._all(_attempt, *models.sql(query))
        return sorted(found, key=lambda row: row.id or 0)

    def latest_attempt(self, run_id: int, position: int) -> AttemptRow | None:
        return self._one(_attempt, _LATEST_ATTEMPT, (run_id, position))

    def live_attempts(self) -> list[AttemptRow]:
        """The attempts that have not ended, of runs that have not ended."""
        return self._all(_attempt, _LIVE_ATTEMPTS)

    # History

    def events(self, after: int, limit: int, workflow: str | None = None) -> list[EventRow]:
        """The events with an id greater than `after`, in order; of one workflow and its workers, or of all."""
        values = {"after": after, "limit": limit}
        if workflow is None:
            return self._all(_event, _EVENTS, values)
        prefix = f"{workflow}/"
        return self._all(
            _event, _EVENTS_OF_WORKFLOW, {**values, "name": workflow, "prefix": prefix, "length": len(prefix)}
        )

    def newest_at(self, run_id: int, subject: str, kind: str) -> int | None:
        """When that last happened to the subject in the run, in microseconds. Quick where it is not long ago."""
        return self._one(lambda values: int(values[0]), _NEWEST_AT, (run_id, subject, kind))

    def last_event_id(self) -> int:
        """0 where there is none."""
        return self._one(_number, _LAST_EVENT) or 0

    # Files and keepers

    def capture(self, path: str) -> CaptureRow | None:
        return self._one(_capture, _CAPTURE, (path,))

    def captures_in(self, state: str) -> list[CaptureRow]:
        """The captures in that state, by path."""
        query = _captures().where(models.Capture.state == state).order_by(models.Capture.path)
        return self._all(_capture, *models.sql(query))

    def imported(self) -> dict[str, int]:
        """{keeper id: the last entry of its journal that has been taken in}."""
        query = models.Keeper.select(models.Keeper.keeper_id, models.Keeper.imported)
        return dict(self._all(_pair, *models.sql(query)))

    def _all(self, row: Callable[[Sequence[Any]], Row], statement: str, values: Any = ()) -> list[Row]:
        with meaning(self._source.path):
            connection = self._source.connection()
            if connection is None:
                return []
            rows = _fetch(connection, statement, values)
        try:
            return [row(found) for found in rows]
        except (ValueError, TypeError) as error:
            raise corrupt(self._source.path, f"a value in it cannot be read: {error}") from error

    def _one(self, row: Callable[[Sequence[Any]], Row], statement: str, values: Any = ()) -> Row | None:
        found = self._all(row, statement, values)
        return found[0] if found else None


def _fetch(connection: sqlite3.Connection, statement: str, values: Any) -> list[Sequence[Any]]:
    try:
        return connection.execute(statement, values).fetchall()
    except (OverflowError, UnicodeEncodeError):
        return []


def _number(values: Sequence[Any]) -> int:
    return int(values[0])


def _pair(values: Sequence[Any]) -> tuple[str, int]:
    return values[0], values[1]


def _text_pair(values: Sequence[Any]) -> tuple[str, str]:
    return values[0], values[1]


def _runs() -> pw.ModelSelect[models.Run]:
    return models.Run.select(*models.columns(models.Run, RunRow))


def _captures() -> pw.ModelSelect[models.Capture]:
    return models.Capture.select(*models.columns(models.Capture, CaptureRow))
