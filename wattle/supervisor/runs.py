"""What an event means for a run: the one place where the state table is applied.

Everything here is a decision: facts go to the ledger, deeds to the outbox. It reads no file and no socket.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from wattle.engine.outcome import Outcome, judge, seconds_text
from wattle.engine.states import ORDERED_STATES, Action, Event, State, Status, status_of, step
from wattle.keeper.failpoints import reach
from wattle.metrics import usage
from wattle.store.rows import AttemptRow
from wattle.supervisor import files, orders
from wattle.supervisor.answers import StopView, Told, together
from wattle.supervisor.clock import Clock, Timers
from wattle.supervisor.ledger import Ledger
from wattle.supervisor.live import LiveRun, LiveWorker
from wattle.supervisor.observer import Observer
from wattle.supervisor.outbox import Outbox
from wattle.supervisor.services import Services
from wattle.supervisor.settling import Settling
from wattle.supervisor.witnesses import Witnesses

logger = logging.getLogger(__name__)

# Orders ahead of free slots: the keeper fills them by itself while the daemon writes (design: Working ahead).
WINDOW = 64
LINK_AFTER_SECONDS = 0.1
PREPARE_AGAIN_SECONDS = 0.5  # on a full disk
JUDGED = (Action.ORDER, Action.SCHEDULE, Action.CONCLUDE)  # what follows once an attempt's status is final
STUCK = "its processes "


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are: the data directory, and the directory with the `python` launcher."""

    data_dir: str
    launcher_dir: str


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
        self.keeper_id = ""
        self.boot_id = ""
        self._ledger = ledger
        self._outbox = outbox
        self._timers = timers
        self._clock = clock
        self._places = places
        self._observer = observer or Observer()
        self.witnesses = Witnesses()
        self._unlinked: list[tuple[LiveRun, LiveWorker, int]] = []
        self.settling = Settling(
            self.active, self.apply, ledger, outbox, timers, clock, places.data_dir, captured
        )
        launcher = (places.data_dir, places.launcher_dir)
        self.services = Services(self.apply, ledger.worker_changed, outbox, timers, clock, launcher)

    # --- a run's beginning and end

    def add(self, run: LiveRun) -> None:
        """Take in an active run: its directories are made, then its ready workers are ordered."""
        self.active[run.id] = run
        if run.row.kind == "workflow":
            self._outbox.limits({run.group: run.workflow.max_parallel})
        self.prepare(run)
        self._watch_time(run)

    def prepare(self, run: LiveRun) -> None:
        workers = [live.worker for live in run.workers.values() if not live.has_ended]
        data_dir = self._places.data_dir
        log_dir, directories = f"{data_dir}/logs/{run.id}", orders.directories(workers)
        self._outbox.job(partial(files.prepare, run.id, log_dir, directories, run.workflow, workers, data_dir))

    def prepared(self, message: files.Prepared) -> None:
        run = self.active.get(message.run_id)
        if run is None:
            return
        if message.waits:
            self._timers.at(self._clock.monotonic() + PREPARE_AGAIN_SECONDS, partial(self._prepare_again, run))
            return
        run.prepared, run.unusable = True, message.unusable
        run.env_files, run.unread = message.env_files, message.unread
        delayed, run.delayed = run.delayed, []
        for live in (run.workers[name] for name in delayed):
            if live.state is State.QUEUED:
                self.send_order(run, live)
            elif live.state is State.RECALLED:
                self.apply(run, live, Event.WITHDRAWN)
        self.advance(run)

    def _prepare_again(self, run: LiveRun) -> None:
        if self.active.get(run.id) is run:
            self.prepare(run)

    def job_crashed(self, message: files.Crashed) -> None:
        """A defect of ours: whoever waits for the job's result goes on without it, and says so."""
        if message.run_id is not None:
            self.prepared(files.Prepared(message.run_id, {}))
        elif message.subject is not None:
            self.settling.take_in(files.LookFailed(message.subject))

    def advance(self, run: LiveRun) -> None:
        """Order what is ready and has room in the window; end the run when all have ended."""
        if run.plan.is_finished:
            self._end(run)
            return
        if self.held or not run.prepared or run.is_cancelled or run.timed_out:
            return
        room = run.workflow.max_parallel + WINDOW - run.slots_ordered
        for name in run.plan.take_ready(max(0, room)):
            self.apply(run, run.workers[name], Event.READY)

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
        left = limit - (self._clock.now() - (run.row.started_at or run.row.queued_at)) / 1e6
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
        self._link(run, [live for live in run.workers.values() if live.row is not None and live.name not in run.linked])
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
                self._gone(live)
                self._order(run, live)
            case Action.WITHDRAW:
                self._outbox.withdraw(live.uid)
            case Action.SIGNAL:
                self._event(run, live, "stopping", {"reason": live.reason})
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
                self._conclude(run, live)
            case Action.NONE:
                if live.state is State.WAITING and before is State.RECALLED:
                    live.attempt -= 1
                    run.plan.put_back(live.name)
                    self.advance(run)

    def _order(self, run: LiveRun, live: LiveWorker) -> None:
        self.witnesses.release(live.uid)
        live.attempt += 1
        live.uid = orders.uid_of(run.row, live.worker, live.attempt)
        live.reason_code = live.reason = live.exit_code = live.signal = None
        live.started_at = live.ended_at = live.due_at = None
        live.row = live.outcome = live.record = live.missing_until = None
        live.notices = ()
        live.was_ready = False
        run.linked.discard(live.name)
        live.queued_at = None if self.held else self._clock.now()
        if self.held:
            return  # reconciliation orders it, if it is not there already
        self.send_order(run, live)

    def send_order(self, run: LiveRun, live: LiveWorker) -> None:
        """Send the order for the worker's current attempt; harmless to repeat."""
        places = self._places
        if not run.prepared and orders.needs_files(run.workflow, live.worker):
            run.delayed.append(live.name)
            return
        if run.unusable or run.unread:
            refusal = orders.why_not(run.workflow, live.worker, run.id, places.data_dir, run.unusable, run.unread)
            if refusal is not None:
                self._refuse(run, live, *refusal)
                return
        data_dir, launcher_dir = places.data_dir, places.launcher_dir
        self._outbox.order(
            orders.order(run.row, run.workflow, live.worker, live.attempt, data_dir, launcher_dir, run.env_files)
        )

    def _refuse(self, run: LiveRun, live: LiveWorker, reason_code: str, reason: str) -> None:
        tag = [run.id, live.worker.position, live.attempt]
        record = {"kind": "refused", "uid": live.uid, "tag": tag, "at": self._clock.now()}
        self.record(record | {"reason_code": reason_code, "reason": reason, "retryable": False})

    def _schedule(self, run: LiveRun, live: LiveWorker) -> None:
        self._event(run, live, "retrying", {"reason": live.reason, "due_at": live.due_at, "attempt": live.attempt})
        if live.worker.service is not None and (run.is_cancelled or run.timed_out):
            self._end_one(run, live)
        elif live.worker.service is not None and not run.plan.is_needed(live.name):
            self.apply(run, live, Event.UNNEEDED)
        else:
            self._watch_retry(run, live)

    def _watch_retry(self, run: LiveRun, live: LiveWorker) -> None:
        delay = max(0.0, ((live.due_at or 0) - self._clock.now()) / 1e6)
        self._timers.at(self._clock.monotonic() + delay, partial(self._retry, run, live, live.attempt))

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
        self._event(run, live, status.value, self._end_payload(live))
        self._gone(live)
        lost_names = run.plan.finish(live.name, status, _detail(live))
        freed = run.plan.freed_by(live.name)
        for name in lost_names:
            lost = run.workers[name]
            lost.ended_at = live.ended_at
            if run.is_cancelled or run.timed_out:
                lost.reason_code, lost.reason = "stopped", run.row.cancel_reason or "workflow timed out"
            else:
                lost.reason_code, lost.reason = "upstream_failed", run.plan.why(name).removeprefix("cancelled: ")
            self.apply(run, lost, Event.UPSTREAM_LOST)
            self._event(run, lost, "cancelled", {"reason": lost.reason, "reason_code": lost.reason_code})
            freed += run.plan.freed_by(name)
        for name in freed:
            self._free(run, run.workers[name])
        self.advance(run)

    # --- services

    def _service_moved(self, run: LiveRun, live: LiveWorker, before: State) -> None:
        """What every step of a service means: who may use it, and who asks how it is."""
        run.note_ordered(live)
        if before is State.READY and live.state is not State.READY:
            run.plan.retract(live.name)
            for position in run.graph.consumers[_index(run, live)]:
                consumer = run.workers[run.graph.names[position]]
                if consumer.state is State.QUEUED and live.state not in (State.STOPPING, State.EXPIRING):
                    self.apply(run, consumer, Event.UPSTREAM_RENEWED)
        if live.state is not before:
            self.services.forget(run, live)

    def _provide(self, run: LiveRun, live: LiveWorker) -> None:
        live.was_ready = True
        live.reason_code = live.reason = None
        self._event(run, live, "ready", {"attempt": live.attempt})
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
        view = _stop_of(live)
        for waiter in live.waiters:
            self._outbox.answer(partial(waiter, view))
        live.waiters.clear()
        self._ledger.urgent = True

    def renew(self, run: LiveRun, live: LiveWorker, event: Event, force: bool) -> None:
        """An ended or waiting worker begins again by a user's wish; what was cancelled on its account waits again."""
        live.forced = force
        consumers = [run.graph.names[position] for position in run.graph.consumers[_index(run, live)]]
        if live.has_ended:
            for name in run.plan.renew(live.name):
                waiting = run.workers[name]
                self.apply(run, waiting, Event.UPSTREAM_RENEWED)
                waiting.reason_code = waiting.reason = waiting.ended_at = None
                self._event(run, waiting, "waiting", {})
            for name in consumers:
                if run.workers[name].state is State.QUEUED:
                    self.apply(run, run.workers[name], Event.UPSTREAM_RENEWED)
        else:
            run.plan.take(live.name)
        self.apply(run, live, event)
        self._ledger.urgent = True

    # --- what the keeper and the pool report

    def record(self, record: Mapping[str, Any]) -> None:
        """Take in a record of the keeper's journal; stale and repeated ones change nothing."""
        found = self._find(record)
        if found is None:
            return
        run, live = found
        number = record["tag"][2]
        if number < 0:
            self.services.record(record)
        elif record["kind"] == "started":
            self._started(run, live, number, record)
        elif record["kind"] == "exited":
            self._exited(live, number, record)
        elif number == live.attempt and live.state in ORDERED_STATES:
            self._ended(run, live, record)
        elif number > live.attempt and record["kind"] == "refused":
            self.overtake(run, live, number)
            self._ended(run, live, record)

    def witness(self) -> None:
        """Hold on to the processes of all workers that live: their keeper may be unable to tell how they end."""
        for run in self.active.values():
            for name in run.ordered:
                self.witnesses.hold(run.workers[name].row)

    def gone(self, uid: str) -> None:
        """The keeper never spawned it and never will, or reported its end before."""
        for run in self.active.values():
            for name in run.ordered:
                live = run.workers[name]
                if live.uid == uid and live.state not in (State.RUNNING, State.READY):
                    if live.state is State.AILING:
                        live.outcome = Outcome(False, live.reason_code, live.reason)
                    if live.state is not State.QUEUED:
                        self.apply(run, live, Event.WITHDRAWN)
                    return

    def _find(self, record: Mapping[str, Any]) -> tuple[LiveRun, LiveWorker] | None:
        run_id, position, _ = record["tag"]
        run = self.active.get(run_id)
        live = run.by_position.get(position) if run is not None else None
        return None if run is None or live is None else (run, live)

    def _started(self, run: LiveRun, live: LiveWorker, number: int, record: Mapping[str, Any]) -> None:
        if number < live.attempt or (number == live.attempt and live.row is not None):
            return
        if number > live.attempt or live.state not in ORDERED_STATES:
            self.overtake(run, live, number)
        at = int(record["at"])
        live.started_at = at
        live.row = AttemptRow(
            uuid=record["uid"],
            run_id=run.id,
            position=live.worker.position,
            worker=live.name,
            number=number,
            status="running",
            keeper_id=self.keeper_id,
            boot_id=self.boot_id,
            pid=record["pid"],
            inode=record.get("inode"),
            start_ticks=record.get("start_ticks"),
            started_at=at,
        )
        self._ledger.attempt_changed(live.row)
        self._observer.started(run.row, live.row, live.queued_at)
        self.apply(run, live, Event.STARTED)
        self._ledger.worker_changed(run, live)
        self._event(run, live, "running", {"attempt": number, "pid": record["pid"]}, at)
        self._link_later(run, live)
        if live.worker.service is not None:
            self.services.watch(run, live)

    def _exited(self, live: LiveWorker, number: int, record: Mapping[str, Any]) -> None:
        """Its leader has ended, not yet its tree. The row keeps the status for a keeper that has to adopt the rest."""
        if number == live.attempt and live.row is not None and live.row.ended_at is None:
            live.row = replace(live.row, exit_code=record["exit_code"], signal=record["signal"])
            self._ledger.attempt_changed(live.row)

    def overtake(self, run: LiveRun, live: LiveWorker, number: int) -> None:
        """The journal is ahead of the store: a daemon that is dead ordered this attempt. That proves that the
        producers had completed, even if the look at their outputs was not written down."""
        for position in run.graph.producers[_index(run, live)]:
            producer = run.workers[run.graph.names[position]]
            if producer.state is State.SETTLING and producer.outcome is not None and producer.outcome.succeeded:
                self.apply(run, producer, Event.SUCCESS)
            elif producer.state is State.RUNNING and producer.worker.service is not None:
                self.apply(run, producer, Event.PASSED)
        run.plan.take(live.name)
        self._order(run, live)
        live.attempt = number
        live.uid = orders.uid_of(run.row, live.worker, number)
        live.state = State.QUEUED
        run.ordered.add(live.name)

    def _ended(self, run: LiveRun, live: LiveWorker, record: Mapping[str, Any]) -> None:
        if not record.get("known", True) and live.row is not None:
            record = {**record, **self.witnesses.testimony(live.row)}
        self.witnesses.release(live.uid)
        live.reason = _before_stuck(live.reason)
        live.record = record
        outcome = judge(record, live.worker)
        if live.state is State.AILING:
            outcome = replace(outcome, succeeded=False, reason_code=live.reason_code, reason=live.reason)
        live.outcome = outcome
        live.exit_code, live.signal = outcome.exit_code, outcome.signal
        started_at = live.started_at or record.get("started_at")
        if record["kind"] == "refused":
            live.ended_at = int(record["at"])
        else:
            live.started_at = started_at
            live.ended_at = max(int(started_at or 0) + int(record["duration_us"]), int(started_at or 0))
            if record.get("left"):
                live.notices += (f"{_processes(record['left'])} left behind by it had to be ended",)
            if count := record.get("detached"):
                were = "was" if count == 1 else "were"
                live.notices += (f"{_processes(count)} {were} left running (allow_detached)",)
        self._write_end(run, live, outcome, record)
        if record.get("cause") == "stopped" and live.state not in (State.ENDING, State.AILING):
            run.stops.append(_stop_of(live))
        if live.state is State.EXPIRING:
            live.reason_code, live.reason = "workflow_timed_out", "workflow timed out"
        self.apply(run, live, Event.REFUSED if record["kind"] == "refused" else Event.ENDED)

    def _write_end(self, run: LiveRun, live: LiveWorker, outcome: Outcome, record: Mapping[str, Any]) -> None:
        row = live.row
        if row is None:
            row = AttemptRow(live.uid, run.id, live.worker.position, live.name, live.attempt, "failed")
            row = replace(row, keeper_id=self.keeper_id, boot_id=self.boot_id, started_at=live.started_at)
        stopped = live.state in (State.STOPPING, State.RESTARTING, State.ENDING)
        status = "cancelled" if stopped else "completed" if outcome.succeeded else "failed"
        if live.state is State.ENDING:
            status = "completed"
        live.row = replace(
            row,
            status=status,
            exit_code=outcome.exit_code,
            signal=outcome.signal,
            reason_code=(live.reason_code or "stopped") if stopped else outcome.reason_code,
            reason=(live.reason or "stopped by a user") if stopped else outcome.reason,
            ended_at=live.ended_at,
            duration_us=record.get("duration_us"),
            metrics=usage.stored(record, self._observer.ended(row)),
        )
        self._ledger.attempt_changed(live.row)

    def resume(self, run: LiveRun, live: LiveWorker) -> None:
        """Set going again what a worker was about when the former daemon ended: its settling, its retry."""
        if live.state is State.SETTLING and live.looked_at != live.attempt:
            self.settling.begin(run, live, again=True)
        elif live.state is State.RETRYING:
            self._watch_retry(run, live)
        elif live.worker.service is not None:
            self.services.watch(run, live)

    def stuck(self, uid: str, pids: list[int]) -> tuple[LiveRun, LiveWorker] | None:
        """The worker whose tree is not empty 5 s after SIGKILL, and its run."""
        for run in self.active.values():
            for name in run.ordered:
                live = run.workers[name]
                if live.uid == uid:
                    self._show_stuck(run, live, pids)
                    return run, live
        return None

    def used(self, found: Mapping[tuple[int, int, int], Mapping[str, Any]]) -> None:
        """What living attempts {(run, position, number)} have used so far: written down, for the next daemon."""
        for (run_id, position, number), tree in found.items():
            run = self.active.get(run_id)
            live = run.by_position.get(position) if run is not None else None
            if live is not None and live.row is not None and live.attempt == number and live.row.ended_at is None:
                live.row = replace(live.row, metrics=usage.stored(None, tree))
                self._ledger.attempt_changed(live.row)

    def _show_stuck(self, run: LiveRun, live: LiveWorker, pids: list[int]) -> None:
        """The first time it is an event; afterwards other pids may be left."""
        before = _before_stuck(live.reason)
        stuck = f"{STUCK}{', '.join(map(str, pids))} do not die"
        reason = f"{before}, but {stuck}" if before else stuck
        if live.reason == before:
            self._event(run, live, "stuck", {"reason": reason})
        if live.reason != reason:
            live.reason = reason
            self._ledger.worker_changed(run, live)

    # --- small things

    def _link_later(self, run: LiveRun, live: LiveWorker) -> None:
        """Once it has lived for a while; one timer looks at all that have started since the last look."""
        if not self._unlinked:
            self._timers.at(self._clock.monotonic() + LINK_AFTER_SECONDS, self._link_due)
        self._unlinked.append((run, live, live.attempt))

    def _link_due(self) -> None:
        """Each is linked between one and two spans after its start; those that have ended wait for the run's end."""
        seen, self._unlinked = self._unlinked, []
        by_run: dict[int, list[LiveWorker]] = {}
        young_from = self._clock.now() - round(LINK_AFTER_SECONDS * 1e6)
        for run, live, number in seen:
            if live.attempt != number or live.state not in ORDERED_STATES:
                continue
            self.witnesses.hold(live.row)
            if (live.started_at or 0) > young_from:
                self._link_later(run, live)
            else:
                by_run.setdefault(run.id, []).append(live)
        for run_id, workers in by_run.items():
            if run_id in self.active:
                self._link(self.active[run_id], workers)

    def _link(self, run: LiveRun, workers: list[LiveWorker]) -> None:
        if not workers:
            return
        run.linked.update(live.name for live in workers)
        subjects = [(live.name, self.settling.subject(run, live).files) for live in workers]
        job = partial(files.link_logs, run.workflow.working_dir, self._places.data_dir, subjects)
        self._outbox.job(job)

    def _event(
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


def _stop_of(live: LiveWorker) -> StopView:
    """What the end of its process says of the stop that brought it about."""
    record = live.record or {}
    signalled = (live.uid,) if record.get("cause") == "stopped" else ()
    told = record.get("told")
    signals = (Told(attempt=live.uid, worker=live.name, **told),) if signalled and told else ()
    return StopView("", signalled, bool(record.get("escalated")), int(record.get("unattributed", 0)), signals)


def _before_stuck(reason: str | None) -> str | None:
    """A worker's reason without that something of it does not die; also of one that a former daemon wrote."""
    head, is_stuck, _ = (reason or "").partition(STUCK)
    return head.removesuffix(", but ") or None if is_stuck else reason


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"


def _index(run: LiveRun, live: LiveWorker) -> int:
    """The worker's position in the run's graph (a run of one worker has a graph of one)."""
    return live.worker.position if run.row.kind == "workflow" else 0


def _detail(live: LiveWorker) -> str | None:
    if live.state is State.COMPLETED or live.reason is None:
        return None
    return live.reason


def _was(status: Status) -> str:
    return "failed" if status is Status.FAILED else "was cancelled"
