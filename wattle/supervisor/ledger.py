"""What a turn writes, gathered: a worker that starts and ends within one flush costs one row.

Nothing here decides. `urgent` means that somebody waits for the commit.

Facts that tell of captured files are committed once those files are on disk. So that newer captures cannot put
that off for ever, the facts gathered so far are sealed, their files synced on the pool, and then they are
written while others gather:

| sealed | synced | what a flush does                                           |
| ------ | ------ | ----------------------------------------------------------- |
| no     |        | with files to be synced: seal; else write everything        |
| yes    | no     | wait; after SYNC_SECONDS write everything all the same      |
| yes    | yes    | write what is sealed, and the rest if it has nothing to sync |
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from wattle.store.records import Records
from wattle.store.rows import AttemptRow, CaptureRow, EventRow, RunWorkerRow
from wattle.supervisor.live import LiveRun, LiveWorker

LAZY_SECONDS = 0.020
GATHER_SECONDS = 0.004
SYNC_SECONDS = 1.0  # a file system that does not answer must not keep everybody waiting


@dataclass(slots=True)
class _Facts:
    workers: dict[tuple[int, int], tuple[LiveRun, LiveWorker]] = field(default_factory=dict)
    worker_rows: list[RunWorkerRow] = field(default_factory=list)
    attempts: dict[str, AttemptRow] = field(default_factory=dict)
    events: list[EventRow] = field(default_factory=list)
    runs: dict[int, dict[str, Any]] = field(default_factory=dict)
    captures: list[CaptureRow] = field(default_factory=list)
    imported: dict[str, int] = field(default_factory=dict)
    unsynced: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not (
            self.workers
            or self.attempts
            or self.events
            or self.runs
            or self.captures
            or self.imported
            or self.worker_rows
        )

    def freeze(self) -> None:
        """From here on the workers' rows say what is true now."""
        self.worker_rows = [live.to_row(run.id) for run, live in self.workers.values()]
        self.workers = {}


class Ledger:
    """Facts not yet committed. The loop's thread only."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._facts = _Facts()
        self._sealed: _Facts | None = None
        self._sealed_at = 0.0  # monotonic
        self._is_synced = False
        self.urgent = False
        self.hurried = False  # something waits for the commit, but would rather share it
        self.since: float | None = None  # monotonic instant of the oldest fact that is neither committed nor sealed
        self.last_event_id = 0

    def worker_changed(self, run: LiveRun, live: LiveWorker) -> None:
        """Its row will be written as it is at the flush."""
        self._facts.workers[run.id, live.worker.position] = (run, live)

    def attempt_changed(self, row: AttemptRow) -> None:
        self._facts.attempts[row.uuid] = row

    def run_changed(self, run: LiveRun, **changes: Any) -> None:
        run.row = replace(run.row, **changes)
        self._facts.runs.setdefault(run.id, {}).update(changes)

    def captured(self, row: CaptureRow, *, is_synced: bool) -> None:
        """A file was written from a worker's standard output; unless `is_synced`, it is not on disk yet."""
        self._facts.captures.append(row)
        if not is_synced:
            self._facts.unsynced.append(row.path)

    def imported(self, keeper_id: str, seq: int) -> None:
        self._facts.imported[keeper_id] = seq

    def event(
        self,
        at: int,
        subject: str,
        kind: str,
        run_id: int | None,
        payload: Mapping[str, Any],
        actor: str | None = None,
    ) -> None:
        self._facts.events.append(EventRow(at, subject, kind, run_id, payload, actor))

    def mark(self) -> int:
        """Where `rewind` goes back to."""
        return len(self._facts.events)

    def rewind(self, mark: int) -> None:
        """Drop the events since the mark: what they tell of was not written."""
        del self._facts.events[mark:]

    @property
    def is_empty(self) -> bool:
        return self._sealed is None and self._facts.is_empty

    def due_at(self, monotonic: float) -> float | None:
        """When to flush: now where somebody waits, else soon after the oldest fact, None when there is none."""
        if self._sealed is not None:
            return monotonic if self._is_synced else self._sealed_at + SYNC_SECONDS
        if self._facts.is_empty:
            self.urgent = self.hurried = False
            self.since = None
            return None
        if self.since is None:
            self.since = monotonic
        if self.urgent:
            return monotonic
        return self.since + (GATHER_SECONDS if self.hurried else LAZY_SECONDS)

    # --- files to be synced first

    @property
    def wants_sync(self) -> bool:
        """What was gathered tells of files that are not on disk, and nothing is sealed."""
        return self._sealed is None and bool(self._facts.unsynced)

    def seal(self, monotonic: float) -> list[str]:
        """Set apart what was gathered so far; the paths are to be synced, then `synced` is to be called."""
        sealed = self._sealed = self._facts
        sealed.freeze()
        self._facts = _Facts()
        self._sealed_at, self._is_synced, self.since = monotonic, False, None
        return sealed.unsynced

    def synced(self) -> None:
        self._is_synced = True

    @property
    def writes_all(self) -> bool:
        """The next write leaves nothing out."""
        return not (self._sealed is not None and self._is_synced and self._facts.unsynced)

    def write(self, *, everything: bool) -> None:
        """Write what is sealed, and with `everything` the rest, inside the caller's transaction; `forget` follows
        once that is committed."""
        if self._sealed is not None:
            self._put(self._sealed)
        if everything:
            self._put(self._facts)

    def _put(self, facts: _Facts) -> None:
        records = self._records
        rows = [live.to_row(run.id) for run, live in facts.workers.values()] or facts.worker_rows
        if rows:
            records.put_workers(rows)
        if facts.attempts:
            records.put_attempts(list(facts.attempts.values()))
        for run_id, changes in facts.runs.items():
            records.update_run(run_id, **changes)
        if facts.captures:
            records.put_captures(facts.captures)
        for keeper_id, seq in facts.imported.items():
            records.keeper_imported(keeper_id, seq)
        if facts.events:
            self.last_event_id = records.add_events(facts.events)

    def forget(self, *, everything: bool) -> None:
        """What was written. Where something is left, whoever waits goes on waiting for all of it."""
        self._sealed = None
        if everything:
            self._facts = _Facts()
        if self._facts.is_empty:
            self.urgent = self.hurried = False
            self.since = None
