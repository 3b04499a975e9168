"""What retention reads and deletes. Decides nothing: the limits come from the caller, and so does the time.

A run is removed in this order: its events, then its attempts and workers from the last position down, then the run
itself. So a pass that was cut off at any point finds the same run again and goes on. Finding is for any thread;
deleting is for the writer's, inside its transaction, a bounded number of rows at a time.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from wattle.store.database import Source, Writer, meaning

EVENTS_A_LOOK = 20_000


class LoggedRun(NamedTuple):
    """An ended run whose logs are there. `is_latest`: they are those of its workers' present state."""

    id: int
    ended_at: int
    is_latest: bool


class LoggedAttempt(NamedTuple):
    """An ended attempt of an active run whose logs are there. `newer`: how many its worker has in that run since."""

    id: int
    run_id: int
    position: int
    number: int
    ended_at: int
    newer: int


# The latest run of kind `workflow`, and of each single worker, is the state that the workflow shows.
_LATEST = "SELECT max(id) FROM run GROUP BY workflow_id, kind, worker"
_OUTDATED = f"""
    SELECT id FROM (
        SELECT r.id, r.ended_at, w.deleted_at,
            row_number() OVER (PARTITION BY r.workflow_id ORDER BY r.id DESC) AS place
        FROM run r JOIN workflow w ON w.id = r.workflow_id
    ) ranked
    WHERE ended_at IS NOT NULL AND ended_at < :before
        AND (deleted_at IS NOT NULL OR (place > :keep AND id NOT IN ({_LATEST})))
    ORDER BY ended_at, id LIMIT :limit
"""
_LOGGED = f"""
    SELECT r.id, r.ended_at, w.deleted_at IS NULL AND r.id IN ({_LATEST})
    FROM run r JOIN workflow w ON w.id = r.workflow_id
    WHERE r.ended_at IS NOT NULL AND r.logs_removed_at IS NULL
    ORDER BY r.ended_at, r.id
"""
# CROSS JOIN: SQLite keeps to this order, and would else begin with every attempt there ever was.
_LOGGED_ATTEMPTS = """
    SELECT a.id, a.run_id, a.position, a.number, a.ended_at, newest.number - a.number
    FROM (
        SELECT run_id, position, max(number) AS number FROM attempt
        WHERE run_id IN (SELECT id FROM run WHERE ended_at IS NULL) GROUP BY run_id, position
    ) newest CROSS JOIN attempt a
    WHERE a.run_id = newest.run_id AND a.position = newest.position
        AND a.ended_at IS NOT NULL AND a.logs_removed_at IS NULL
    ORDER BY a.ended_at, a.id
"""
_RUNS_WITHOUT_SOME = "SELECT DISTINCT run_id FROM attempt WHERE logs_removed_at IS NOT NULL"
_WITHOUT_LOGS = "SELECT position, number FROM attempt WHERE run_id = ? AND logs_removed_at IS NOT NULL"
_LAST_EVENT = "SELECT coalesce(max(id), 0) FROM event"
_EVENTS = "SELECT id FROM event WHERE id > ? AND id <= ? AND run_id IN ({})"
_WITH_LOGS = "SELECT id FROM run WHERE logs_removed_at IS NULL"
_LAST_RUN = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'run'"
_CUT_ATTEMPTS = (
    "DELETE FROM attempt WHERE run_id = ? AND id IN "
    "(SELECT id FROM attempt WHERE run_id = ? ORDER BY position DESC, number DESC LIMIT ?)"
)
_CUT_WORKERS = (
    "DELETE FROM run_worker WHERE run_id = ? AND position IN "
    "(SELECT position FROM run_worker WHERE run_id = ? ORDER BY position DESC LIMIT ?)"
)


class Outdated:
    """What retention asks. Any thread."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def runs(self, *, keep: int, before: int, limit: int) -> list[int]:
        """Runs that ended before the instant and are not among their workflow's newest `keep`, oldest first.

        A latest run is never among them; of a deleted workflow neither number nor being the latest counts.
        """
        found = self._fetch(_OUTDATED, {"keep": keep, "before": before, "limit": limit})
        return [run for (run,) in found]

    def logged(self) -> list[LoggedRun]:
        """The ended runs that have logs, the one that ended first first."""
        return [LoggedRun(run, ended_at, bool(latest)) for run, ended_at, latest in self._fetch(_LOGGED, ())]

    def logged_attempts(self) -> list[LoggedAttempt]:
        """The ended attempts of active runs that have logs, the one that ended first first."""
        return [LoggedAttempt(*found) for found in self._fetch(_LOGGED_ATTEMPTS, ())]

    def runs_without_some_logs(self) -> list[int]:
        """The runs of which single attempts have lost their logs."""
        return [run for (run,) in self._fetch(_RUNS_WITHOUT_SOME, ())]

    def attempts_without_logs(self, run: int) -> set[tuple[int, int]]:
        """Position and number of the attempts of the run that are to have no logs any more."""
        return {(position, number) for position, number in self._fetch(_WITHOUT_LOGS, (run,))}

    def events(self, runs: Sequence[int]) -> Iterator[list[int]]:
        """The ids of the events of these runs, but for the very last event there is: ids grow by it.

        In pieces, so that no read lasts long; there is no index, and the history is long.
        """
        last = self._number(_LAST_EVENT)
        statement = _EVENTS.format(",".join("?" * len(runs)))
        for after in range(0, last - 1, EVENTS_A_LOOK):
            found = self._fetch(statement, (after, min(after + EVENTS_A_LOOK, last - 1), *runs))
            if found:
                yield [event for (event,) in found]

    def with_logs(self) -> set[int]:
        """Every run whose logs are to be there."""
        return {run for (run,) in self._fetch(_WITH_LOGS, ())}

    def last_run_id(self) -> int:
        """The highest id that a run was ever given, 0 for none."""
        return self._number(_LAST_RUN)

    def _number(self, statement: str) -> int:
        found = self._fetch(statement, ())
        return int(found[0][0]) if found else 0

    def _fetch(self, statement: str, values: object) -> list[tuple[int, ...]]:
        with meaning(self._source.path):
            connection = self._source.connection()
            return [] if connection is None else connection.execute(statement, values).fetchall()  # type: ignore[arg-type]


class Removals:
    """What retention writes. The writer's thread, inside `Records.transaction`."""

    def __init__(self, writer: Writer) -> None:
        self._connection = writer.connection()

    def delete_events(self, ids: Sequence[int]) -> None:
        self._connection.executemany("DELETE FROM event WHERE id = ?", ((event,) for event in ids))

    def delete_run(self, run_id: int, rows: int) -> bool:
        """Delete the run, or, where more than so many rows belong to it, that many of these. Whether it is gone."""
        for statement in (_CUT_ATTEMPTS, _CUT_WORKERS):
            rows -= self._connection.execute(statement, (run_id, run_id, rows)).rowcount
            if rows <= 0:
                return False
        self._connection.execute("DELETE FROM run WHERE id = ? AND ended_at IS NOT NULL", (run_id,))
        return True

    def logs_removed(self, runs: Sequence[int], at: int) -> None:
        """Write down that the logs of these runs are to be gone."""
        self._connection.executemany(
            "UPDATE run SET logs_removed_at = ? WHERE id = ? AND ended_at IS NOT NULL", ((at, run) for run in runs)
        )

    def attempt_logs_removed(self, attempts: Sequence[int], at: int) -> None:
        """Write down that the logs of the attempts of these ids are to be gone."""
        self._connection.executemany(
            "UPDATE attempt SET logs_removed_at = ? WHERE id = ? AND ended_at IS NOT NULL",
            ((at, attempt) for attempt in attempts),
        )
