"""What the supervisor's loop tells of runs and attempts, taken to the sampler and to the figures.

Every method is called on the loop's thread, waits for nothing and touches no file.
"""

from typing import Any

from wattle.metrics.figures import Figures
from wattle.metrics.log_bytes import LogBytes
from wattle.metrics.sampler import Sampler
from wattle.store.rows import AttemptRow, RunRow


class Watching:
    """The observer of wattle.supervisor.observer."""

    def __init__(self, sampler: Sampler, figures: Figures, log_bytes: LogBytes) -> None:
        self._sampler = sampler
        self._figures = figures
        self._log_bytes = log_bytes
        self._unsettled: dict[str, AttemptRow] = {}  # attempts that have not been judged yet, by uid

    def started(
        self, run: RunRow, attempt: AttemptRow, queued_at: int | None, defined_in: tuple[int, int] | None = None
    ) -> None:
        self._sampler.watch(run.workflow_name, attempt)
        self._unsettled[attempt.uuid] = attempt
        if attempt.number > 1:
            self._figures.restarts += 1
        if queued_at is not None and attempt.started_at is not None:
            self._figures.queue_seconds.observe(max(0, attempt.started_at - queued_at) / 1e6)

    def ended(self, attempt: AttemptRow) -> dict[str, Any] | None:
        """Its process tree is gone. Gives what was seen of it."""
        self._unsettled[attempt.uuid] = attempt
        return self._sampler.end(attempt)

    def settled(self, attempt: AttemptRow) -> None:
        """Its status is final. Told again, it changes nothing."""
        if self._unsettled.pop(attempt.uuid, None) is None or attempt.ended_at is None:
            return
        self._figures.attempts[attempt.status] += 1
        if attempt.duration_us is not None:
            self._figures.attempt_seconds.observe(attempt.duration_us / 1e6)
            self._log_bytes.ended(attempt)

    def turned(self, seconds: float) -> None:
        self._figures.turn_seconds.observe(seconds)

    def committed(self, seconds: float) -> None:
        self._figures.commit_seconds.observe(seconds)

    def run_ended(self, run: RunRow) -> None:
        self._figures.runs[run.kind, run.status] += 1
        self._sampler.forget(run.id)
        for uid in [uid for uid, attempt in self._unsettled.items() if attempt.run_id == run.id]:
            del self._unsettled[uid]
        if run.ended_at is not None:
            self._figures.run_seconds.observe((run.ended_at - (run.started_at or run.queued_at)) / 1e6)
