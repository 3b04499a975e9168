"""What the keeper says: records of its journal become facts about attempts, and events for the state table.

Stale and repeated records change nothing. Decisions only: it reads no file and no socket.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wattle.engine.outcome import Outcome, judge
from wattle.engine.states import ORDERED_STATES, Event, State
from wattle.metrics import usage
from wattle.store.rows import AttemptRow
from wattle.supervisor import orders
from wattle.supervisor.ahead import has_ended_well
from wattle.supervisor.ledger import Ledger
from wattle.supervisor.live import REDEFINED, LiveRun, LiveWorker
from wattle.supervisor.observer import Observer
from wattle.supervisor.witnesses import Witnesses

if TYPE_CHECKING:
    from wattle.supervisor.runs import Runs

STUCK = "its processes "


class Reports:
    """Of the keeper `keeper_id` on the machine as it was booted as `boot_id`. The loop's thread only."""

    def __init__(self, runs: "Runs", ledger: Ledger, observer: Observer) -> None:
        self.keeper_id = ""
        self.boot_id = ""
        self.witnesses = Witnesses()
        self._runs = runs
        self._ledger = ledger
        self._observer = observer

    def record(self, record: Mapping[str, Any]) -> None:
        """Take in a record of the keeper's journal; stale and repeated ones change nothing."""
        found = self._find(record)
        if found is None:
            return
        run, live = found
        number = record["tag"][2]
        if number < 0:
            self._runs.services.record(record)
        elif record["kind"] == "started":
            self._started(run, live, number, record)
        elif record["kind"] == "exited":
            self._exited(live, number, record)
        elif number == live.attempt and live.state in ORDERED_STATES:
            self._ended(run, live, record)
        elif number > live.attempt and record["kind"] in ("refused", "ended"):  # adopted, its start was told to nobody
            self.overtake(run, live, number)
            self._ended(run, live, record)

    def witness(self) -> None:
        """Hold on to the processes of all workers that live: their keeper may be unable to tell how they end."""
        for run in self._runs.active.values():
            for name in run.ordered:
                self.witnesses.hold(run.workers[name].row)

    def gone(self, uid: str) -> None:
        """The keeper never spawned it and never will, or reported its end before."""
        for run in self._runs.active.values():
            for name in run.ordered:
                live = run.workers[name]
                if live.uid == uid and live.state not in (State.RUNNING, State.READY):
                    if live.state is State.AILING:
                        live.outcome = Outcome(False, live.reason_code, live.reason)
                    if live.state is not State.QUEUED:
                        self._runs.apply(run, live, Event.WITHDRAWN)
                    return

    def _find(self, record: Mapping[str, Any]) -> tuple[LiveRun, LiveWorker] | None:
        run_id, position, _ = record["tag"]
        run = self._runs.active.get(run_id)
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
        self._observer.started(run.row, live.row, live.queued_at, live.defined_in(run))
        self._runs.apply(run, live, Event.STARTED)
        self._ledger.worker_changed(run, live)
        self._runs.tell(run, live, "running", {"attempt": number, "pid": record["pid"]}, at)
        self._runs.links.later(run, live)
        if live.worker.service is not None:
            self._runs.services.watch(run, live)
        if live.next is not None and live.state in (State.RUNNING, State.READY):
            self._runs.apply(run, live, Event.RESTART, reason_code="restarted", reason=REDEFINED)

    def _exited(self, live: LiveWorker, number: int, record: Mapping[str, Any]) -> None:
        """Its leader has ended, not yet its tree. The row keeps the status for a keeper that has to adopt the rest."""
        if number == live.attempt and live.row is not None and live.row.ended_at is None:
            live.row = live.row._replace(exit_code=record["exit_code"], signal=record["signal"])
            self._ledger.attempt_changed(live.row)

    def overtake(self, run: LiveRun, live: LiveWorker, number: int) -> None:
        """The journal is ahead of the store: a daemon that is dead ordered this attempt. That proves that the
        producers had completed, even if the look at their outputs was not written down."""
        for position in run.graph.producers[run.index(live)]:
            producer = run.workers[run.graph.names[position]]
            if producer.state is State.SETTLING and producer.outcome is not None and producer.outcome.succeeded:
                self._runs.apply(run, producer, Event.SUCCESS)
            elif producer.state is State.RUNNING and producer.worker.service is not None:
                self._runs.apply(run, producer, Event.PASSED)
        run.plan.take(live.name)
        run.ahead.pop(live.name, None)
        self._runs.begin_attempt(run, live)
        live.attempt = number
        live.uid = orders.uid_of(run.row, live.worker, number)
        live.state = State.QUEUED
        run.note_ordered(live)

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
            self._tell_of_left(run, live, record)
        is_spared = live.state in (State.STOPPING, State.EXPIRING) and has_ended_well(live.worker, record)
        self._write_end(run, live, outcome, record, is_spared=is_spared)
        if record.get("cause") == "stopped" and live.state not in (State.ENDING, State.AILING):
            run.stops.append(live.stop_view())
        if live.state is State.EXPIRING:
            live.reason_code, live.reason = "workflow_timed_out", "workflow timed out"
        event = Event.REFUSED if record["kind"] == "refused" else Event.SPARED if is_spared else Event.ENDED
        self._runs.apply(run, live, event)

    def _tell_of_left(self, run: LiveRun, live: LiveWorker, record: Mapping[str, Any]) -> None:
        """What outlived its first process: a daemon that it made, say (supervision: T3, T6)."""
        if left := record.get("left"):
            live.notices += (f"{_processes(left)} left behind by it had to be ended",)
        if detached := record.get("detached"):
            were = "was" if detached == 1 else "were"
            live.notices += (f"{_processes(detached)} {were} left running (allow_detached)",)
        if left or detached:
            told = {"attempt": live.attempt, "ended": left or 0, "left_running": detached or 0}
            self._runs.tell(run, live, "daemonised", told, live.ended_at)

    def _write_end(
        self, run: LiveRun, live: LiveWorker, outcome: Outcome, record: Mapping[str, Any], *, is_spared: bool
    ) -> None:
        row = live.row
        if row is None:
            row = AttemptRow(live.uid, run.id, live.worker.position, live.name, live.attempt, "failed")
            row = row._replace(keeper_id=self.keeper_id, boot_id=self.boot_id, started_at=live.started_at)
        stopped = live.state in (State.STOPPING, State.RESTARTING, State.ENDING) and not is_spared
        status = "cancelled" if stopped else "completed" if outcome.succeeded else "failed"
        if live.state is State.ENDING:
            status = "completed"
        live.row = row._replace(
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

    def stuck(self, uid: str, pids: list[int]) -> tuple[LiveRun, LiveWorker] | None:
        """The worker whose tree is not empty 5 s after SIGKILL, and its run."""
        for run in self._runs.active.values():
            for name in run.ordered:
                live = run.workers[name]
                if live.uid == uid:
                    self._show_stuck(run, live, pids)
                    return run, live
        return None

    def used(self, found: Mapping[tuple[int, int, int], Mapping[str, Any]]) -> None:
        """What living attempts {(run, position, number)} have used so far: written down, for the next daemon."""
        for (run_id, position, number), tree in found.items():
            run = self._runs.active.get(run_id)
            live = run.by_position.get(position) if run is not None else None
            if live is not None and live.row is not None and live.attempt == number and live.row.ended_at is None:
                live.row = live.row._replace(metrics=usage.stored(None, tree))
                self._ledger.attempt_changed(live.row)

    def _show_stuck(self, run: LiveRun, live: LiveWorker, pids: list[int]) -> None:
        """The first time it is an event; afterwards other pids may be left."""
        before = _before_stuck(live.reason)
        stuck = f"{STUCK}{', '.join(map(str, pids))} do not die"
        reason = f"{before}, but {stuck}" if before else stuck
        if live.reason == before:
            self._runs.tell(run, live, "stuck", {"reason": reason})
        if live.reason != reason:
            live.reason = reason
            self._ledger.worker_changed(run, live)


def _before_stuck(reason: str | None) -> str | None:
    """A worker's reason without that something of it does not die; also of one that a former daemon wrote."""
    head, is_stuck, _ = (reason or "").partition(STUCK)
    return head.removesuffix(", but ") or None if is_stuck else reason


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"
