"""What an attempt that has ended amounts to: outputs looked at, standard output saved, last words read, retry or not.

The looks themselves are jobs of files.py; here is what their results mean. Results of an attempt that is no
longer the worker's newest change nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from wattle.definition.model import Service
from wattle.engine.outcome import Outcome
from wattle.engine.restart import REMEMBERED, is_well, restart_at
from wattle.engine.retry import retry_at
from wattle.engine.states import Event, State
from wattle.logs.files import attempt_files
from wattle.store.rows import CaptureRow
from wattle.supervisor import files
from wattle.supervisor.clock import Clock, Timers
from wattle.supervisor.ledger import Ledger
from wattle.supervisor.live import LiveRun, LiveWorker
from wattle.supervisor.outbox import Outbox

MISSING_OUTPUT_SECONDS = 1.0  # shared file systems are late
MISSING_OUTPUT_STEP_SECONDS = 0.1
Apply = Callable[[LiveRun, LiveWorker, Event], None]


class Settling:
    """From the end of a process to the judgement on its attempt. `apply` takes the judgement."""

    def __init__(
        self,
        active: dict[int, LiveRun],
        apply: Apply,
        ledger: Ledger,
        outbox: Outbox,
        timers: Timers,
        clock: Clock,
        data_dir: str,
        captured: files.CaptureLookup,
    ) -> None:
        self._active = active
        self._apply = apply
        self._ledger = ledger
        self._outbox = outbox
        self._timers = timers
        self._clock = clock
        self._data_dir = data_dir
        self._captured = captured

    def subject(self, run: LiveRun, live: LiveWorker) -> files.Subject:
        """Whose files a job is to look at: those of the worker's newest attempt."""
        log_files = attempt_files(self._data_dir, run.id, live.worker.position, live.attempt)
        return files.Subject(run.id, live.worker, live.attempt, live.uid, log_files, live.started_at or 0)

    def begin(self, run: LiveRun, live: LiveWorker, *, again: bool = False) -> None:
        """Look at what the attempt left; at once where there is nothing to look at. `again`: a daemon that is dead
        may have looked already."""
        outcome = live.outcome
        assert outcome is not None
        live.looked_at = live.attempt
        service = live.worker.service
        if service is not None and outcome.succeeded:
            outcome = live.outcome = _of_service(service, live, outcome)
            if outcome.succeeded:
                self._apply(run, live, Event.SUCCESS)
                return
        if outcome.succeeded and not live.worker.outputs:
            self._apply(run, live, Event.SUCCESS)
        elif outcome.succeeded:
            self._outbox.job(partial(files.look_at_outputs, self.subject(run, live), self._captured, again))
        elif live.started_at is None:
            self._fail(run, live, outcome, None)  # never started: it has no last words
        else:
            set_aside = service is None and self._retry_at(live) is not None
            self._outbox.job(partial(files.last_words, self.subject(run, live), set_aside))

    def take_in(self, message: files.OutputsSeen | files.Placed | files.LastWords | files.LookFailed) -> None:
        """The result of a look."""
        run = self._active.get(message.subject.run_id)
        live = run.workers.get(message.subject.worker.name) if run is not None else None
        if run is None or live is None or live.state is not State.SETTLING or live.attempt != message.subject.attempt:
            return
        match message:
            case files.OutputsSeen():
                self._outputs_seen(run, live, message)
            case files.Placed():
                self._placed(run, live, message)
            case files.LastWords():
                self._fail(run, live, live.outcome or Outcome(False), message.line)
            case files.LookFailed():
                reason = "Wattle could not look at its files, which is a defect of Wattle; its log says more"
                self._fail(run, live, Outcome(False, "internal_error", reason, live.exit_code), None)

    def _outputs_seen(self, run: LiveRun, live: LiveWorker, message: files.OutputsSeen) -> None:
        if message.placed is not None:
            self._saved(live, message.placed, is_synced=False)
        if message.copied is not None:
            self._ledger.captured(message.copied, is_synced=True)
            # Its identity is on disk before the rename; captures that come together share a commit.
            if run.ordered:
                self._ledger.hurried = True
            else:
                self._ledger.urgent = True
            place = partial(files.place, message.subject, message.copied)
            self._outbox.after_commit(partial(self._outbox.job, place))
        elif message.problem is not None:
            self._fail(run, live, Outcome(False, message.problem_code, message.problem), None)
        elif message.missing:
            self._look_again(run, live, message)
        else:
            live.notices += message.notices
            self._apply(run, live, Event.SUCCESS)

    def _look_again(self, run: LiveRun, live: LiveWorker, message: files.OutputsSeen) -> None:
        monotonic = self._clock.monotonic()
        if live.missing_until is None:
            live.missing_until = monotonic + MISSING_OUTPUT_SECONDS
        if monotonic < live.missing_until:
            again = (
                partial(files.look_at_others, message.subject, message.beside)
                if message.beside is not None
                else partial(files.look_at_outputs, message.subject, self._captured)
            )
            self._timers.at(monotonic + MISSING_OUTPUT_STEP_SECONDS, partial(self._outbox.job, again))
            return
        shown = ", ".join(message.missing[:5])
        more = f" and {len(message.missing) - 5} more" if len(message.missing) > 5 else ""
        reason = f"it ended well but did not write {shown}{more}"
        self._fail(run, live, Outcome(False, "OUTPUT_MISSING", reason, live.exit_code), None)

    def _placed(self, run: LiveRun, live: LiveWorker, message: files.Placed) -> None:
        if message.problem is not None:
            self._fail(run, live, Outcome(False, "capture_failed", message.problem), None)
            return
        self._saved(live, replace(message.capture, state="placed"), is_synced=True)
        if any(output.path != message.capture.path for output in live.worker.outputs.values()):
            self._outbox.job(partial(files.look_at_others, message.subject, message.capture.path))
        else:
            self._apply(run, live, Event.SUCCESS)

    def _saved(self, live: LiveWorker, capture: CaptureRow, *, is_synced: bool) -> None:
        self._ledger.captured(capture, is_synced=is_synced)
        live.notices += (f"its standard output was saved as {capture.path}",)

    def _fail(self, run: LiveRun, live: LiveWorker, outcome: Outcome, line: str | None) -> None:
        live.outcome = outcome
        live.reason_code = outcome.reason_code
        live.reason = f"{outcome.reason}: {line}" if line else outcome.reason
        if live.row is not None:
            live.row = live.row._replace(status="failed", reason_code=live.reason_code, reason=live.reason)
            self._ledger.attempt_changed(live.row)
        live.due_at = None
        if not (run.is_cancelled or run.timed_out):
            live.due_at = self._retry_at(live) if live.worker.service is None else self._restart_at(live)
        self._apply(run, live, Event.FAILURE if live.due_at is None else Event.PASSING_FAILURE)

    def _restart_at(self, live: LiveWorker) -> int | None:
        service, outcome = live.worker.service, live.outcome
        if service is None or outcome is None or not outcome.mendable or service.restart.policy == "never":
            return None
        restart, ended_at = service.restart, live.ended_at or self._clock.now()
        if is_well(restart, live.started_at, ended_at):
            live.restarts = ()
        due_at = restart_at(restart, live.restarts, ended_at, live.uid)
        if due_at is not None:
            live.restarts = (*live.restarts, due_at)[-REMEMBERED:]
            return due_at
        times = "once" if restart.limit == 1 else f"{restart.limit} times"
        budget = f"restarted {times} within {restart.window_seconds:g} s, which is its limit" if restart.limit else ""
        live.reason = "; ".join(filter(None, (live.reason, budget)))
        return None

    def _retry_at(self, live: LiveWorker) -> int | None:
        outcome = live.outcome
        if outcome is None or not outcome.mendable:
            return None
        return retry_at(live.worker.retry, live.attempt, live.ended_at or self._clock.now(), live.uid)


def _of_service(service: Service, live: LiveWorker, outcome: Outcome) -> Outcome:
    """A service that ended well of its own accord: has it done what it is for?"""
    ended = f"ended with exit code {outcome.exit_code}"
    if service.restart.policy == "always":
        return replace(outcome, succeeded=False, reason_code="ended", reason=f"it {ended}")
    if service.ready is not None and not live.was_ready:
        return replace(outcome, succeeded=False, reason_code="not_ready", reason=f"it {ended} before it was ready")
    return outcome
