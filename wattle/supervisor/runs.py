"""What an event means for a run: the one place where the state table is applied.

Everything here is a decision: facts go to the ledger, deeds to the outbox. It reads no file and no socket.
"""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from wattle.engine.outcome import seconds_text
from wattle.engine.states import ORDERED_STATES, STOPPED_STATES, Action, Event, State, Status, status_of, step
from wattle.keeper.failpoints import reach
from wattle.supervisor import files, orders
from wattle.supervisor.ahead import Ahead
from wattle.supervisor.answers import together
from wattle.supervisor.clock import Clock, Timers
from wattle.supervisor.ledger import Ledger
from wattle.supervisor.links import Links
from wattle.supervisor.live import LiveRun, LiveWorker, Redefinition
from wattle.supervisor.observer import Observer
from wattle.supervisor.ordering import Places, order_of, refusal_of
from wattle.supervisor.outbox import Outbox
from wattle.supervisor.reports import Reports
from wattle.supervisor.services import Services
from wattle.supervisor.settling import Settling

logger = logging.getLogger(__name__)

# Orders ahead of free slots: the keeper fills them by itself while the daemon writes (design: Working ahead).
WINDOW = 64
PREPARE_AGAIN_SECONDS = 0.5  # on a full disk
NOT_AHEAD = (Event.STOP, Event.EXPIRE, Event.UPSTREAM_RENEWED)  # what makes an order ahead one like the others
JUDGED = (Action.ORDER, Action.SCHEDULE, Action.CONCLUDE)  # what follows once an attempt's status is final


class Runs:
    """All active runs. The loop's thread only."""

    def __init__(
        self,
        ledger: Ledger,
        outbox: Outbox,
        timers: Timers,
        clock: Clock,
        places: Places,
        captured: files.CaptureLookup,
        observer: Observer | None = None,
    ) -> None:
        self.active: dict[int, LiveRun] = {}
        self.held = True  # nothing is ordered until recovery knows what is there
        self._ledger = ledger
        self._outbox = outbox
        self._timers = timers
        self._clock = clock
        self._places = places
        self._observer = observer or Observer()
        self.ahead = Ahead(self, outbox, places)
        self.reports = Reports(self, ledger, self._observer)
        self.links = Links(self.active, self.reports.witnesses.hold, outbox, timers, clock, places.data_dir)
        self.settling = Settling(
            self.active, self.apply, ledger, outbox, timers, clock, places.data_dir, captured
        )
        launcher = (places.data_dir, places.launcher_dir)
        self.services = Services(self.apply, ledger.worker_changed, outbox, timers, clock, launcher)

    # --- a run's beginning and end

    def add(self, run: LiveRun) -> None:
        """Take in an active run: once its directories are made its ready workers are ordered (`prepare`)."""
        self.active[run.id] = run
        if run.row.kind == "workflow":
            self._outbox.limits({run.group: run.workflow.max_parallel})
        self._watch_time(run)

    def prepare(self, run: LiveRun, *, ahead: bool = False) -> None:
        """Have its files made. `ahead`: while it is committed, for that takes as long."""
        workers = [live.worker for live in run.workers.values() if live.own is None and not live.has_ended]
        data_dir = self._places.data_dir
        log_dir, directories = f"{data_dir}/logs/{run.id}", orders.directories(workers)
        job = partial(files.prepare, run.id, run.row.uuid, log_dir, directories, run.workflow, workers, data_dir)
        if ahead:
            self._outbox.ahead(job)
            return
        self._outbox.job(job)
        for live in run.workers.values():
            if live.own is not None and not live.has_ended:
                self._prepare_own(run, live.own)

    def _prepare_own(self, run: LiveRun, own: Redefinition) -> None:
        data_dir, workers = self._places.data_dir, [own.worker]
        log_dir, directories = f"{data_dir}/logs/{run.id}", orders.directories(workers)
        whose = (own.worker.position, own.version_id)
        what = (run.id, run.row.uuid, log_dir, directories, own.workflow, workers, data_dir)
        self._outbox.job(partial(files.prepare, *what, whose=whose))

    def prepared(self, message: files.Prepared) -> None:
        run = self.active.get(message.run_id)
        whose = None if run is None or run.row.uuid != message.uid else _whose(run, message)
        if run is None or whose is None:
            return
        if message.waits:
            self._timers.at(self._clock.monotonic() + PREPARE_AGAIN_SECONDS, partial(self._prepare_again, run, whose))
            return
        whose.prepared, whose.unusable = True, message.unusable
        whose.env_files, whose.unread = message.env_files, message.unread
        delayed, run.delayed = run.delayed, []
        for live in (run.workers[name] for name in delayed):
            if live.state is State.QUEUED:
                self.send_order(run, live)
            elif live.state is State.RECALLED:
                self.apply(run, live, Event.WITHDRAWN)
        self.advance(run)

    def _prepare_again(self, run: LiveRun, whose: LiveRun | Redefinition) -> None:
        if self.active.get(run.id) is not run:
            return
        if isinstance(whose, Redefinition):
            self._prepare_own(run, whose)
        else:
            self.prepare(run)

    def job_crashed(self, message: files.Crashed) -> None:
        """A defect of ours: whoever waits for the job's result goes on without it, and says so."""
        if message.prepared is not None:
            self.prepared(message.prepared)
        elif message.subject is not None:
            self.settling.take_in(files.LookFailed(message.subject))

    def advance(self, run: LiveRun) -> None:
        """Order what is ready and has room in the window; end the run when all have ended."""
        if run.plan.is_finished:
            self._end(run)
            return
        if self.held or not run.prepared or run.is_cancelled or run.timed_out:
            return
        for name in run.plan.take_ready(max(0, self._room(run))):
            self.apply(run, run.workers[name], Event.READY)
        if run.candidates:
            self.ahead.fill(run, self._room(run))

    def _room(self, run: LiveRun) -> int:
        """How many more may be ordered."""
        return run.workflow.max_parallel + WINDOW - run.slots_ordered

    def cancel(self, run: LiveRun, reason: str) -> None:
        """Bring every worker of a run to its end; what a user wants, so it is written first."""
        self._ledger.run_changed(run, wanted="cancel", cancel_reason=reason)
        self._ledger.urgent = True
        self.carry_out_cancel(run)

    def carry_out_cancel(self, run: LiveRun) -> None:
        self._end_all(run)
        self.advance(run)

    def _end_all(self, run: LiveRun) -> None:
        """Bring all workers to their end; services that others use follow when those have ended."""
        names = [name for name, live in run.workers.items() if not live.has_ended]
        for name in names:
            live = run.workers[name]
            if live.worker.service is None or not (live.is_live and run.plan.has_open_consumers(name)):
                self._end_one(run, live)

    def _end_one(self, run: LiveRun, live: LiveWorker) -> None:
        """As the run is ended: because its time is over, or because a user wants it."""
        if run.timed_out:
            self.apply(run, live, Event.EXPIRE, reason_code="workflow_timed_out", reason="workflow timed out")
        elif live.state is not State.STOPPING:
            self.apply(run, live, Event.STOP, reason_code="stopped", reason=run.row.cancel_reason)

    def _watch_time(self, run: LiveRun) -> None:
        limit = run.workflow.timeout_seconds if run.row.kind == "workflow" else None
        if limit is None:
            return
        left = min(limit, limit - (self._clock.now() - (run.row.started_at or run.row.queued_at)) / 1e6)
        self._timers.at(self._clock.monotonic() + max(0.0, left), partial(self._expire, run))

    def _expire(self, run: LiveRun) -> None:
        if self.active.get(run.id) is not run or run.is_cancelled:
            return
        if self.held:  # recovery first takes in what has ended in the meantime
            self._timers.at(self._clock.monotonic() + 0.05, partial(self._expire, run))
            return
        run.timed_out = True
        self._end_all(run)
        self.advance(run)

    def _end(self, run: LiveRun) -> None:
        if self.active.pop(run.id, None) is None:
            return
        status = Status.FAILED if run.timed_out else run.plan.result()
        reason_code, reason = self._run_reason(run, status)
        latest = max((live.ended_at or 0 for live in run.workers.values()), default=0)
        started_at = run.row.started_at or run.row.queued_at
        elapsed = round((self._clock.monotonic() - run.started_monotonic) * 1e6)
        ended_at = max(started_at + elapsed, latest)
        self._ledger.run_changed(run, status=status.value, reason_code=reason_code, reason=reason, ended_at=ended_at)
        payload = {"status": status.value, "reason": reason, "kind": run.row.kind}
        self._ledger.event(ended_at, run.subject(), f"run.{status.value}", run.id, payload)
        self._ledger.urgent = True
        self._observer.run_ended(run.row)
        logger.info("run %d of %s %s", run.id, run.row.workflow_name, status.value)
        if run.row.kind == "workflow":
            self._outbox.limits({run.group: None})
        unlinked = [live for name, live in run.workers.items() if live.row is not None and name not in run.linked]
        self.links.link(run, unlinked)
        view = together(run.stops)
        for waiter in run.waiters:
            self._outbox.answer(partial(waiter, view))
        run.waiters.clear()
        run.impatient.clear()

    def _run_reason(self, run: LiveRun, status: Status) -> tuple[str | None, str | None]:
        if run.timed_out:
            limit = seconds_text(run.workflow.timeout_seconds or 0)
            return "timed_out", f"workflow timed out after {limit}"
        if status is Status.CANCELLED and run.row.cancel_reason:
            return "stopped", run.row.cancel_reason
        if status is Status.COMPLETED:
            return None, None
        state = State.FAILED if status is Status.FAILED else State.CANCELLED
        names = [live.name for live in run.workers.values() if live.state is state]
        first = run.workers[names[0]]
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        reason = f": {first.reason}" if first.reason and not more else ""
        return f"worker_{status.value}", f"{', '.join(names[:1])}{more} {_was(status)}{reason}"

    # --- one worker

    def apply(
        self,
        run: LiveRun,
        live: LiveWorker,
        event: Event,
        *,
        reason_code: str | None = None,
        reason: str | None = None,
    ) -> None:
        """One step of the state table, with everything that follows from it."""
        if event in NOT_AHEAD and live.name in run.ahead:
            self._claim(run, live)
        before = live.state
        cell = step(before, event)
        live.state = cell.state
        if live.worker.service is None:
            if live.state in ORDERED_STATES:
                run.ordered.add(live.name)
            else:
                run.ordered.discard(live.name)
        else:
            self._service_moved(run, live, before)
        if reason is not None and cell.state is not before:
            live.reason_code, live.reason = reason_code, reason
        if cell.state is not before or cell.action is not Action.NONE:
            self._ledger.worker_changed(run, live)
            self._act(run, live, cell.action, before)

    def _act(self, run: LiveRun, live: LiveWorker, action: Action, before: State) -> None:
        if live.row is not None and action in JUDGED:
            self._observer.settled(live.row)
        match action:
            case Action.ORDER:
                _uncount(live, before)
                self._gone(live)
                self.begin_attempt(run, live)
                if not self.held:  # else reconciliation orders it, if it is not there already
                    self.send_order(run, live)
            case Action.WITHDRAW:
                self._outbox.withdraw(live.uid)
            case Action.SIGNAL:
                self.tell(run, live, "stopping", {"reason": live.reason})
                self._outbox.stop(live.uid)
                reach("daemon.stop.accepted")
            case Action.SETTLE:
                if not self.held:  # else the journal may tell of a later attempt: `resume` looks once that is known
                    self.settling.begin(run, live)
            case Action.SCHEDULE:
                self._schedule(run, live)
            case Action.PROVIDE:
                self._provide(run, live)
            case Action.CONCLUDE:
                _uncount(live, before)
                self._conclude(run, live)
            case Action.NONE:
                if live.state is State.WAITING and before is State.RECALLED:
                    live.attempt -= 1
                    lost_names, now = run.plan.put_back(live.name), self._clock.now()
                    freed = [service for name in lost_names for service in self._lose(run, run.workers[name], now)]
                    for name in freed:
                        self._free(run, run.workers[name])
                    self.advance(run)

    def begin_attempt(self, run: LiveRun, live: LiveWorker) -> None:
        self.reports.witnesses.release(live.uid)
        if live.next is not None:  # until now all was the former attempt's: its probes, its signal, its grace
            live.own, live.worker, live.next = live.next, live.next.worker, None
            live.restarts = ()
            self._prepare_own(run, live.own)
        live.attempt += 1
        live.uid = orders.uid_of(run.row, live.worker, live.attempt)
        live.reason_code = live.reason = live.exit_code = live.signal = None
        live.started_at = live.ended_at = live.due_at = None
        live.row = live.outcome = live.record = live.missing_until = None
        live.notices = ()
        live.was_ready = False
        run.linked.discard(live.name)
        live.queued_at = None if self.held else self._clock.now()

    def _claim(self, run: LiveRun, live: LiveWorker) -> None:
        """What was ordered ahead counts as queued from now on: the keeper may be about to begin it."""
        uid = run.ahead.pop(live.name, None)
        if uid is not None:
            self._outbox.hold_back(uid)
        run.plan.take(live.name)
        self.begin_attempt(run, live)
        live.state = State.QUEUED
        run.note_ordered(live)

    def send_order(self, run: LiveRun, live: LiveWorker) -> None:
        """Send the order for the worker's current attempt; harmless to repeat."""
        if self.ahead.release(run, live):
            return
        whose = live.surroundings(run)
        if not whose.prepared and (whose is not run or orders.needs_files(whose.workflow, live.worker)):
            run.delayed.append(live.name)
            return
        refusal = refusal_of(run, live, self._places)
        if refusal is not None:
            self._refuse(run, live, *refusal)
            return
        self._outbox.order(order_of(run, live, live.attempt, self._places))
        self.ahead.ordered(run, live)

    def _refuse(self, run: LiveRun, live: LiveWorker, reason_code: str, reason: str) -> None:
        tag = [run.id, live.worker.position, live.attempt]
        record = {"kind": "refused", "uid": live.uid, "tag": tag, "at": self._clock.now()}
        self.reports.record(record | {"reason_code": reason_code, "reason": reason, "retryable": False})

    def _schedule(self, run: LiveRun, live: LiveWorker) -> None:
        self.tell(run, live, "retrying", {"reason": live.reason, "due_at": live.due_at, "attempt": live.attempt})
        if live.worker.service is not None and (run.is_cancelled or run.timed_out):
            self._end_one(run, live)
        elif live.worker.service is not None and not run.plan.is_needed(live.name):
            self.apply(run, live, Event.UNNEEDED)
        else:
            self._watch_retry(run, live)

    def _watch_retry(self, run: LiveRun, live: LiveWorker) -> None:
        """From its end, never longer than it was to be: the wall clock may have been set back meanwhile."""
        due_at = live.due_at or 0
        delay_us = min(due_at - self._clock.now(), due_at - (live.ended_at or 0))
        self._timers.at(self._clock.monotonic() + max(0, delay_us) / 1e6, partial(self._retry, run, live, live.attempt))

    def _retry(self, run: LiveRun, live: LiveWorker, attempt: int) -> None:
        if self.active.get(run.id) is run and live.state is State.RETRYING and live.attempt == attempt:
            reach("daemon.retry.due")
            self.apply(run, live, Event.RETRY_DUE)

    def _conclude(self, run: LiveRun, live: LiveWorker) -> None:
        status = status_of(live.state)
        if live.ended_at is None:
            live.ended_at = max(self._clock.now(), live.started_at or 0)
        if status is Status.COMPLETED:
            live.reason_code = live.reason = None
        elif status is Status.CANCELLED and live.reason is None:
            live.reason_code, live.reason = "stopped", "stopped by a user"
        self.tell(run, live, status.value, self._end_payload(live))
        self._gone(live)
        lost_names = run.plan.finish(live.name, status, _detail(live))
        freed = run.plan.freed_by(live.name)
        for name in lost_names:
            freed += self._lose(run, run.workers[name], live.ended_at)
        for name in freed:
            self._free(run, run.workers[name])
        if run.ahead and status is Status.COMPLETED:
            self._follow(run, live)
        self.advance(run)

    def _follow(self, run: LiveRun, live: LiveWorker) -> None:
        """What was ordered ahead and waits for nothing any more needs no room: the keeper has it."""
        for name in (run.graph.names[position] for position in run.graph.consumers[run.index(live)]):
            if name in run.ahead and run.plan.lacks_nothing(name):
                run.plan.take(name)
                self.apply(run, run.workers[name], Event.READY)

    def _lose(self, run: LiveRun, lost: LiveWorker, at: int) -> list[str]:
        """It waits for what will never complete. Gives the services that nobody needs any more."""
        lost.ended_at = at
        if run.is_cancelled or run.timed_out:
            lost.reason_code, lost.reason = "stopped", run.row.cancel_reason or "workflow timed out"
        else:
            lost.reason_code, lost.reason = "upstream_failed", run.plan.why(lost.name).removeprefix("cancelled: ")
        self.ahead.take_back(run, lost)
        self.apply(run, lost, Event.UPSTREAM_LOST)
        self.tell(run, lost, "cancelled", {"reason": lost.reason, "reason_code": lost.reason_code})
        return run.plan.freed_by(lost.name)

    # --- services

    def _service_moved(self, run: LiveRun, live: LiveWorker, before: State) -> None:
        """What every step of a service means: who may use it, and who asks how it is."""
        run.note_ordered(live)
        if before is State.READY and live.state is not State.READY:
            run.plan.retract(live.name)
            for position in run.graph.consumers[run.index(live)]:
                consumer = run.workers[run.graph.names[position]]
                if consumer.state is State.QUEUED and live.state not in (State.STOPPING, State.EXPIRING):
                    self.apply(run, consumer, Event.UPSTREAM_RENEWED)
        if live.state is not before:
            self.services.forget(run, live)

    def _provide(self, run: LiveRun, live: LiveWorker) -> None:
        live.was_ready = True
        live.reason_code = live.reason = None
        self.tell(run, live, "ready", {"attempt": live.attempt})
        run.plan.provide(live.name)
        self.services.watch(run, live)
        self.advance(run)

    def _free(self, run: LiveRun, live: LiveWorker) -> None:
        """Nobody needs the service any more."""
        if live.has_ended:
            return
        if run.is_cancelled or run.timed_out:
            self._end_one(run, live)
        else:
            self.apply(run, live, Event.UNNEEDED, reason_code="unneeded", reason="no consumer of it is left")

    def _gone(self, live: LiveWorker) -> None:
        """Whoever waited for the process to be gone is told after the commit."""
        if not live.waiters:
            return
        reach("daemon.stop.answered")
        view = live.stop_view()
        for waiter in live.waiters:
            self._outbox.answer(partial(waiter, view))
        live.waiters.clear()
        self._ledger.urgent = True

    def renew(self, run: LiveRun, live: LiveWorker, event: Event, force: bool) -> None:
        """An ended or waiting worker begins again by a user's wish; what was cancelled on its account waits again."""
        live.forced = force
        consumers = [run.graph.names[position] for position in run.graph.consumers[run.index(live)]]
        if live.has_ended:
            for name in run.plan.renew(live.name):
                waiting = run.workers[name]
                self.apply(run, waiting, Event.UPSTREAM_RENEWED)
                waiting.reason_code = waiting.reason = waiting.ended_at = None
                self.tell(run, waiting, "waiting", {})
            for name in consumers:
                if run.workers[name].state is State.QUEUED or name in run.ahead:
                    self.apply(run, run.workers[name], Event.UPSTREAM_RENEWED)
        else:
            run.plan.take(live.name)
        self.apply(run, live, event)
        self._ledger.urgent = True

    # --- after a crash

    def resume(self, run: LiveRun, live: LiveWorker) -> None:
        """Set going again what a worker was about when the former daemon ended: its settling, its retry."""
        if live.state is State.SETTLING and live.looked_at != live.attempt:
            self.settling.begin(run, live, again=True)
        elif live.state is State.RETRYING:
            self._watch_retry(run, live)
        elif live.worker.service is not None:
            self.services.watch(run, live)

    # --- small things

    def tell(
        self, run: LiveRun, live: LiveWorker, kind: str, payload: Mapping[str, Any], at: int | None = None
    ) -> None:
        instant = at if at is not None else live.ended_at if live.has_ended and live.ended_at else self._clock.now()
        self._ledger.event(instant, run.subject(live), f"worker.{kind}", run.id, payload)

    def _end_payload(self, live: LiveWorker) -> dict[str, Any]:
        payload: dict[str, Any] = {"attempt": live.attempt, "exit_code": live.exit_code}
        if live.signal is not None:
            payload["signal"] = live.signal
        if live.reason is not None:
            payload |= {"reason": live.reason, "reason_code": live.reason_code}
        if live.notices:
            payload["notices"] = list(live.notices)
        return payload


def _whose(run: LiveRun, message: files.Prepared) -> LiveRun | Redefinition | None:
    """What was prepared: the run, or a worker's own definition; None where it has another one by now."""
    if message.whose is None:
        return run
    position, version_id = message.whose
    own = run.by_position[position].own
    return own if own is not None and own.version_id == version_id else None


def _uncount(live: LiveWorker, before: State) -> None:
    """An attempt whose order was taken back never was."""
    if before in STOPPED_STATES and live.row is None and live.record is None:
        live.attempt -= 1


def _detail(live: LiveWorker) -> str | None:
    if live.state is State.COMPLETED or live.reason is None:
        return None
    return live.reason


def _was(status: Status) -> str:
    return "failed" if status is Status.FAILED else "was cancelled"
