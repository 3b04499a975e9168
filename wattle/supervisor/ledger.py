"""What a turn writes, gathered: a worker that starts and ends within one flush costs one row.

Nothing here decides. `urgent` means that somebody waits for the commit.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from wattle.store.records import Records
from wattle.store.rows import AttemptRow, CaptureRow, EventRow
from wattle.supervisor.live import LiveRun, LiveWorker

LAZY_SECONDS = 0.020
GATHER_SECONDS = 0.004


class Ledger:
    """Facts not yet committed. The loop's thread only."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._workers: dict[tuple[int, int], tuple[LiveRun, LiveWorker]] = {}
        self._attempts: dict[str, AttemptRow] = {}
        self._events: list[EventRow] = []
        self._runs: dict[int, dict[str, Any]] = {}
        self._captures: list[CaptureRow] = []
        self._imported: dict[str, int] = {}
        self.urgent = False
        self.hurried = False  # something waits for the commit, but would rather share it
        self.since: float | None = None  # monotonic instant of the oldest fact not committed
        self.last_event_id = 0

    def worker_changed(self, run: LiveRun, live: LiveWorker) -> None:
        """Its row will be written as it is at the flush."""
        self._workers[run.id, live.worker.position] = (run, live)

    def attempt_changed(self, row: AttemptRow) -> None:
        self._attempts[row.uuid] = row

    def run_changed(self, run: LiveRun, **changes: Any) -> None:
        run.row = replace(run.row, **changes)
        self._runs.setdefault(run.id, {}).update(changes)

    def captured(self, row: CaptureRow) -> None:
        self._captures.append(row)

    def imported(self, keeper_id: str, seq: int) -> None:
        self._imported[keeper_id] = seq

    def event(self, at: int, subject: str, kind: str, run_id: int | None, payload: Mapping[str, Any]) -> None:
        self._events.append(EventRow(at, subject, kind, run_id, payload))

    def mark(self) -> int:
        """Where `rewind` goes back to."""
        return len(self._events)

    def rewind(self, mark: int) -> None:
        """Drop the events since the mark: what they tell of was not written."""
        del self._events[mark:]

    @property
    def is_empty(self) -> bool:
        return not (self._workers or self._attempts or self._events or self._runs or self._captures or self._imported)

    def due_at(self, monotonic: float) -> float | None:
        """When to flush: now where somebody waits, else soon after the oldest fact, None when there is none."""
        if self.is_empty:
            self.urgent = self.hurried = False
            self.since = None
            return None
        if self.since is None:
            self.since = monotonic
        if self.urgent:
            return monotonic
        return self.since + (GATHER_SECONDS if self.hurried else LAZY_SECONDS)

    def write(self) -> None:
        """Write everything inside the caller's transaction; `forget` follows once that is committed."""
        records = self._records
        if self._workers:
            records.put_workers([live.to_row(run.id) for run, live in self._workers.values()])
        if self._attempts:
            records.put_attempts(list(self._attempts.values()))
        for run_id, changes in self._runs.items():
            records.update_run(run_id, **changes)
        if self._captures:
            records.put_captures(self._captures)
        for keeper_id, seq in self._imported.items():
            records.keeper_imported(keeper_id, seq)
        if self._events:
            self.last_event_id = records.add_events(self._events)

    def forget(self) -> None:
        self._workers.clear()
        self._attempts.clear()
        self._events.clear()
        self._runs.clear()
        self._captures.clear()
        self._imported.clear()
        self.urgent = self.hurried = False
        self.since = None
