"""What a watcher of a run's or a workflow's logs must know: which attempts there are and where they write."""

from collections.abc import Sequence

from wattle.errors import Malformed, run_not_found
from wattle.logs.files import attempt_files
from wattle.service.definitions import Definitions
from wattle.service.views import LogsState, WrittenLog
from wattle.store.queries import Queries
from wattle.store.rows import AttemptRow, RunRow

AT_ONCE = 1000
LARGEST_ID = 2**63 - 1


class MergedLogs:
    """Any thread. `known` is what a watcher has got to, (its first run, the highest attempt), None: nothing yet.

    The attempts given are those of `ids`, and at most AT_ONCE of those that came after `known`.
    """

    def __init__(self, queries: Queries, definitions: Definitions, data_dir: str) -> None:
        self._queries = queries
        self._definitions = definitions
        self._data_dir = data_dir

    def of_run(self, run: str, known: tuple[int, int] | None = None, ids: Sequence[int] = ()) -> LogsState:
        """NotFound; Malformed (`INVALID_EVENT_ID`) where `known` is of another run."""
        with self._queries.snapshot():
            row = self._queries.run(int(run) if run.isascii() and run.isdigit() else run)
            if row is None:
                raise run_not_found(run)
            if known is not None and known[0] != row.id:
                raise _foreign(f"run {row.id}")
            return self._state(row.workflow_id, row.id, row, known, ids, over=row.ended_at is not None)

    def of_workflow(self, name: str, known: tuple[int, int] | None = None, ids: Sequence[int] = ()) -> LogsState:
        """From the start of the latest run, or of that of a single worker where there is no other."""
        with self._queries.snapshot():
            workflow = self._definitions.state(name).workflow
            newest = self._newest_run(workflow.id)
            if newest is None:
                return LogsState(0, (), False, "created")
            if known is None:
                latest = self._queries.latest_run(workflow.id)
                first = latest.id if latest is not None else newest.id
            else:
                first = known[0]
                run = self._queries.run(first)
                if run is not None and run.workflow_id != workflow.id:
                    raise _foreign(f"workflow '{name}'")
            is_over = not self._queries.active_runs(workflow.id)
            return self._state(workflow.id, first, newest, known, ids, over=is_over)

    def _newest_run(self, workflow_id: int) -> RunRow | None:
        runs, _ = self._queries.runs(workflow_id, 1)
        return runs[0] if runs else None

    def _state(
        self,
        workflow_id: int,
        first_run: int,
        last: RunRow,
        known: tuple[int, int] | None,
        ids: Sequence[int],
        *,
        over: bool,
    ) -> LogsState:
        after = known[1] if known is not None else 0
        asked = [row for row in self._queries.attempts_among(ids) if (row.id or 0) <= after]
        came = self._queries.attempts_since(workflow_id, first_run, last.id, after, AT_ONCE)
        found = tuple(self._written(row, last) for row in (*asked, *came) if first_run <= row.run_id <= last.id)
        return LogsState(first_run, found, over and len(came) < AT_ONCE, last.status)

    def _written(self, row: AttemptRow, last: RunRow) -> WrittenLog:
        files = attempt_files(self._data_dir, row.run_id, row.position, row.number)
        what = (row.id or 0, row.uuid, row.worker, row.number, row.run_id)
        is_removed = row.logs_removed_at is not None or (row.run_id == last.id and last.logs_removed_at is not None)
        return WrittenLog(*what, *files, row.ended_at is None, row.started_at, row.ended_at, is_removed)


def _foreign(what: str) -> Malformed:
    return Malformed("INVALID_EVENT_ID", f"Last-Event-ID is not of {what}; leave it out to read from the start")
