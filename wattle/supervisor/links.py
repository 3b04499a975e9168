"""The documented log paths lead to the newest attempts' files: made once an attempt has lived for a while, for those
that end sooner when the run does. The same look takes hold of the processes that live (witnesses.py)."""

from collections.abc import Callable
from functools import partial

from wattle.engine.states import ORDERED_STATES
from wattle.logs.files import attempt_files
from wattle.store.rows import AttemptRow
from wattle.supervisor import files
from wattle.supervisor.clock import Clock, Timers
from wattle.supervisor.live import LiveRun, LiveWorker
from wattle.supervisor.outbox import Outbox

LINK_AFTER_SECONDS = 0.1


class Links:
    """`hold` is called with the row of each attempt that is looked at. The loop's thread only."""

    def __init__(
        self,
        active: dict[int, LiveRun],
        hold: Callable[[AttemptRow | None], None],
        outbox: Outbox,
        timers: Timers,
        clock: Clock,
        data_dir: str,
    ) -> None:
        self._active = active
        self._hold = hold
        self._outbox = outbox
        self._timers = timers
        self._clock = clock
        self._data_dir = data_dir
        self._unlinked: list[tuple[LiveRun, LiveWorker, int]] = []

    def later(self, run: LiveRun, live: LiveWorker) -> None:
        """Once it has lived for a while; one timer looks at all that have started since the last look."""
        if not self._unlinked:
            self._timers.at(self._clock.monotonic() + LINK_AFTER_SECONDS, self._due)
        self._unlinked.append((run, live, live.attempt))

    def _due(self) -> None:
        """Each is linked between one and two spans after its start; those that have ended wait for the run's end."""
        seen, self._unlinked = self._unlinked, []
        by_run: dict[int, list[LiveWorker]] = {}
        now = self._clock.now()
        young_from = now - round(LINK_AFTER_SECONDS * 1e6)
        for run, live, number in seen:
            if live.attempt != number or live.state not in ORDERED_STATES:
                continue
            self._hold(live.row)
            if young_from < (live.started_at or 0) <= now:  # later than now: the clock was set back
                self.later(run, live)
            else:
                by_run.setdefault(run.id, []).append(live)
        for run_id, workers in by_run.items():
            if run_id in self._active:
                self.link(self._active[run_id], workers)

    def link(self, run: LiveRun, workers: list[LiveWorker]) -> None:
        if not workers:
            return
        run.linked.update(live.name for live in workers)
        data_dir = self._data_dir
        subjects = [(w.name, attempt_files(data_dir, run.id, w.worker.position, w.attempt)) for w in workers]
        job = partial(files.link_logs, run.workflow.working_dir, self._data_dir, subjects)
        self._outbox.job(job)
