"""The boot, which is also the crash path: rows, the keeper's hello, the journal up to it, and only then decisions.

| the former daemon died …                | what is found            | what is done                                  |
| --------------------------------------- | ------------------------ | --------------------------------------------- |
| before the commit of a run              | nothing                  | nothing; the caller had no answer             |
| after it, before any order              | a run, no attempt        | its ready workers are ordered                 |
| after an order was sent                 | the keeper knows the uid | it is taken as queued                         |
| after an order whose keeper died too    | a log nobody knows       | its process is looked for, none is started    |
| after a start or an end, not committed  | records in the journal   | they are imported, once                       |
| while outputs were looked at            | an ended attempt         | they are looked at again; a consumer that has |
|                                         |                          | started proves them good                      |
| between a capture's copy and its rename | the copy's identity      | the rename is repeated                        |
| after a stop was accepted               | `wanted`                 | the stop is sent again                        |
| together with the keeper                | pids and identities      | a new keeper adopts them                      |
| with the machine                        | another boot id          | "the machine restarted"                       |
"""

import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from wattle.definition.graph import graph_of
from wattle.definition.model import Workflow
from wattle.engine.outcome import Outcome, judge
from wattle.engine.restart import history_of
from wattle.engine.states import STOPPED_STATES, Event, State, Status, status_of
from wattle.errors import WattleError
from wattle.keeper.failpoints import reach
from wattle.keeper.keeper_ids import is_of_boot
from wattle.logs.files import attempt_files
from wattle.store.queries import Queries
from wattle.store.rows import AttemptRow, RunRow, RunWorkerRow
from wattle.supervisor import orders
from wattle.supervisor.commands import NOT_IN_RUN, as_run, live_run, nodes_of
from wattle.supervisor.keeper_link import KeeperGone
from wattle.supervisor.keepers import Keepers
from wattle.supervisor.live import LiveRun, LiveWorker, Redefinition
from wattle.supervisor.loop import Supervisor
from wattle.supervisor.redefining import redefinition

logger = logging.getLogger(__name__)

LEAST_GRACE_SECONDS = 1.0
EARLIER_BOOT = "earlier"  # journaled before the machine's last start
STATES = {
    ("queued", "run"): State.QUEUED,
    ("running", "run"): State.RUNNING,
    ("stopping", "stop"): State.STOPPING,
    ("stopping", "restart"): State.RESTARTING,
    ("stopping", "expire"): State.EXPIRING,
    ("stopping", "end"): State.ENDING,
    ("stopping", "mend"): State.AILING,
    ("ready", "run"): State.READY,
    ("retrying", "run"): State.RETRYING,
}


class Recovery:
    """Brings a Supervisor up, and back after it lost its keeper. Runs on the loop's thread."""

    def __init__(
        self,
        supervisor: Supervisor,
        queries: Queries,
        keepers: Keepers,
        data_dir: str,
        environment: Mapping[str, str],
        umask: int,
        max_processes: int,
        load: Callable[[int], Workflow],
    ) -> None:
        self._supervisor = supervisor
        self._runs = supervisor.runs
        self._queries = queries
        self._keepers = keepers
        self._data_dir = data_dir
        self._environment = environment
        self._umask = umask
        self._max_processes = max_processes
        self._load = load
        supervisor.reconnect = self.reconnect

    def boot(self) -> None:
        """Take in what is stored and what the keeper knows, then set everything going again."""
        supervisor, runs = self._supervisor, self._runs
        supervisor.imported.update(self._queries.imported())
        for row in self._queries.active_runs():
            run = self._live(row)
            if run is not None:
                runs.add(run)
                runs.prepare(run)
        reach("daemon.boot.rows")
        try:
            self._take_over()
        except KeeperGone as error:
            if supervisor.link is None:
                raise
            supervisor.lose_keeper(str(error))  # it died while it was being taken over: the next one follows

    def reconnect(self) -> None:
        """The keeper is gone: find or start another, and let it adopt what lives."""
        self._runs.held = True
        self._take_over()

    # --- rows

    def _live(self, row: RunRow) -> LiveRun | None:
        try:
            workflow = as_run(self._load(row.version_id), row)
            stored_workers = self._queries.run_workers(row.id)
            without = {stored.name for stored in stored_workers if stored.reason_code == NOT_IN_RUN}
            workers = nodes_of(row, workflow, without)
            redefined = {stored.position: self._redefined(row, workflow, stored) for stored in stored_workers}
        except WattleError as error:
            logger.error("run %d of %s cannot be read and is left as it is: %s", row.id, row.workflow_name, error)
            return None
        except Exception:  # a run that cannot be read must not keep the others from going on
            logger.exception("run %d of %s cannot be read and is left as it is", row.id, row.workflow_name)
            return None
        run = live_run(row, workflow, graph_of(workers), workers, self._started_monotonic(row))
        attempts = {(a.position, a.number): a for a in self._queries.attempts(row.id)}
        for stored in stored_workers:
            live = run.by_position.get(stored.position)
            if live is not None:
                live.own, live.next = redefined[stored.position]
                if live.own is not None:
                    live.worker = live.own.worker
                self._fill(run, live, stored, attempts.get((stored.position, stored.attempt)))
        _fill_lost(run)
        for live in run.workers.values():
            if live.state is State.QUEUED and not live.forced and run.plan.waits_for(live.name):
                live.state = State.RECALLED  # which is stored as queued
            if live.worker.service is not None:
                mine = [attempts[key] for key in sorted(attempts) if key[0] == live.worker.position]
                past = [(a.status, a.started_at, a.ended_at) for a in mine]
                pending = (live.due_at,) if live.state is State.RETRYING and live.due_at is not None else ()
                live.restarts = history_of(live.worker.service.restart, past) + pending
        return run

    def _redefined(
        self, row: RunRow, workflow: Workflow, stored: RunWorkerRow
    ) -> tuple[Redefinition | None, Redefinition | None]:
        """What its newest and its next attempt have instead of the run's definition."""
        own, following = [
            None
            if version is None
            else redefinition(row, workflow, version, self._load(version), stored.name, stored.position)
            for version in (stored.version_id, stored.next_version_id)
        ]
        return own, following

    def _started_monotonic(self, row: RunRow) -> float:
        """As if the run had been seen to start: durations over a restart go by the wall clock."""
        clock = self._supervisor.clock
        return clock.monotonic() - max(0, clock.now() - (row.started_at or row.queued_at)) / 1e6

    def _fill(self, run: LiveRun, live: LiveWorker, stored: RunWorkerRow, attempt: AttemptRow | None) -> None:
        live.attempt = stored.attempt
        if stored.phase == "waiting":
            return
        live.row = attempt
        live.uid = orders.uid_of(run.row, live.worker, stored.attempt) if stored.attempt else ""
        live.reason_code, live.reason = stored.reason_code, stored.reason
        live.exit_code, live.signal = stored.exit_code, stored.signal
        live.started_at, live.ended_at, live.due_at = stored.started_at, stored.ended_at, stored.due_at
        live.forced, live.notices = stored.forced, stored.notices
        if stored.phase == "ended":
            live.state = State(stored.status)
            if live.state is State.COMPLETED:
                run.plan.take(live.name)
                run.plan.finish(live.name, Status.COMPLETED)
            return
        run.plan.take(live.name)
        live.state = STATES[stored.phase, stored.wanted]
        if live.state in (State.RUNNING, State.READY) and attempt is not None and attempt.ended_at is not None:
            live.was_ready = live.state is State.READY
            live.state, live.outcome = State.SETTLING, _outcome_of(attempt, live)
        if live.state is State.READY:
            live.was_ready = True
            run.plan.provide(live.name)
        run.note_ordered(live)

    # --- the keeper

    def _take_over(self) -> None:
        supervisor, runs = self._supervisor, self._runs
        link = self._keepers.connect()
        hello = link.hello
        reach("daemon.import.connected")
        self._import(hello)
        reach("daemon.import.read")
        runs.reports.witness()
        runs.reports.keeper_id, runs.reports.boot_id = hello["keeper_id"], hello["boot_id"]
        dead = set(supervisor.imported) - {runs.reports.keeper_id}
        supervisor.outbox.after_commit(partial(self._keepers.discard, dead))
        supervisor.attach(link)
        link.send({"type": "environment", "id": 1, "vars": dict(self._environment), "umask": self._umask})
        groups = {run.group: run.workflow.max_parallel for run in runs.active.values() if run.row.kind == "workflow"}
        link.send({"type": "limits", "max_processes": self._max_processes, "groups": groups})
        known = {worker["uid"]: worker for worker in hello["live"]} | dict.fromkeys(hello["queued"])
        for run in list(runs.active.values()):
            self._find_unrecorded(run, known)  # before anything is ordered: it may be there already
        runs.held = False
        adopted: list[dict[str, Any]] = []
        for run in list(runs.active.values()):
            self._reconcile(run, known, adopted)
        reach("daemon.adopt.before")
        if adopted:
            link.send({"type": "adopt", "workers": adopted})
        reach("daemon.adopt.after")
        for uid in set(known) - {live.uid for run in runs.active.values() for live in run.workers.values()}:
            logger.warning("the keeper has a worker that belongs to no active run; it is stopped: %s", uid)
            link.send({"type": "stop", "uid": uid, "request": 0})
        for run in list(runs.active.values()):
            for live in list(run.workers.values()):
                runs.resume(run, live)
            if run.is_cancelled:
                runs.carry_out_cancel(run)
            else:
                runs.advance(run)
        supervisor.ledger.urgent = not supervisor.ledger.is_empty
        reach("daemon.boot.recovered")

    def _import(self, hello: Mapping[str, Any]) -> None:
        """Everything journaled before the connection; what comes after arrives as reports."""
        supervisor, booted_at = self._supervisor, _booted_at()
        for keeper_id, record in self._keepers.records(supervisor.imported):
            if keeper_id == hello["keeper_id"] and record["seq"] > hello["seq"]:
                continue
            is_recent = keeper_id == hello["keeper_id"] or is_of_boot(keeper_id, hello["boot_id"])
            if is_recent is None:
                is_recent = record["at"] >= booted_at
            self._runs.reports.keeper_id = keeper_id
            self._runs.reports.boot_id = hello["boot_id"] if is_recent else EARLIER_BOOT
            supervisor.take_record(keeper_id, record)
            reach("daemon.import.record")

    def _reconcile(self, run: LiveRun, known: Mapping[str, Any], adopted: list[dict[str, Any]]) -> None:
        for live in run.workers.values():
            if live.name in run.ordered:
                self._reconcile_ordered(run, live, known, adopted)

    def _reconcile_ordered(
        self, run: LiveRun, live: LiveWorker, known: Mapping[str, Any], adopted: list[dict[str, Any]]
    ) -> None:
        outbox = self._supervisor.outbox
        if live.state in STOPPED_STATES:
            outbox.stop(live.uid, None if live.uid in known else self._grace_left(run, live))
        if live.uid in known:
            if live.state is State.RECALLED:
                outbox.withdraw(live.uid)
        elif live.row is not None and live.row.boot_id != self._runs.reports.boot_id:
            self._runs.reports.record(_ended_with_the_machine(run, live, self._supervisor.clock.now()))
        elif live.row is not None:
            adopted.append(self._adoption(run, live, live.row))
        elif self._may_have_been_spawned(run, live, live.attempt):
            adopted.append(self._adoption(run, live, None))
        elif live.state is State.QUEUED:
            self._runs.send_order(run, live)
        else:
            self._runs.apply(run, live, Event.WITHDRAWN)

    def _grace_left(self, run: LiveRun, live: LiveWorker) -> float | None:
        """What is left of the grace that began when the stop was accepted; None where that is not known. It is asked
        once more all the same, and has a second for that: perhaps the dead keeper did not come to it."""
        asked_at = self._queries.newest_at(run.id, run.subject(live), "worker.stopping")
        if asked_at is None:
            return None
        whole, passed = live.worker.stop.grace_seconds, (self._supervisor.clock.now() - asked_at) / 1e6
        return min(whole, max(whole - passed, LEAST_GRACE_SECONDS))

    def _find_unrecorded(self, run: LiveRun, known: Mapping[str, Any]) -> None:
        """Orders that were sent and of which nothing was written down: the keeper still has them, or a keeper that
        is dead spawned them and came no further."""
        for live in run.workers.values():
            if live.name in run.ordered or live.state not in (State.WAITING, State.RETRYING, State.SETTLING):
                continue
            number = live.attempt + 1
            is_known = orders.uid_of(run.row, live.worker, number) in known
            if is_known or self._may_have_been_spawned(run, live, number):
                self._runs.reports.overtake(run, live, number)
                self._supervisor.ledger.worker_changed(run, live)

    def _may_have_been_spawned(self, run: LiveRun, live: LiveWorker, number: int) -> bool:
        """Of an attempt that the keeper does not know: its log is made by the spawn itself, and by nothing else."""
        return os.path.exists(attempt_files(self._data_dir, run.id, live.worker.position, number).stdout)

    def _status(self, row: AttemptRow) -> int | None:
        """How its process ended, where that is known though nobody recorded it."""
        status = self._runs.reports.witnesses.status(row)
        return _exited(row) if status is None else status

    def _adoption(self, run: LiveRun, live: LiveWorker, row: AttemptRow | None) -> dict[str, Any]:
        log_files = attempt_files(self._data_dir, run.id, live.worker.position, live.attempt)
        return {
            "uid": live.uid,
            "tag": [run.id, live.worker.position, live.attempt],
            "group": run.group,
            "pid": row.pid if row else None,
            "inode": row.inode if row else None,
            "start_ticks": row.start_ticks if row else None,
            "boot_id": (row.boot_id if row else None) or self._runs.reports.boot_id,
            "uncertain": row is None,
            "stdout": log_files.stdout,
            "stderr": log_files.stderr,
            "takes_slot": orders.takes_slot(run.row, live.worker),
            "started_at": row.started_at if row else None,
            "timeout_seconds": live.worker.timeout_seconds,
            "stop": orders.stop_settings(live.worker),
            "stopping": live.state in STOPPED_STATES,
            "status": self._status(row) if row else None,
            "memory_max_bytes": live.worker.limits.memory_max_bytes if live.worker.limits else None,
        }


def _fill_lost(run: LiveRun) -> None:
    """What failed or was cancelled, once it is known what has completed or begun in spite of it; last what follows
    from that."""
    lost = [live for live in run.workers.values() if live.state in (State.FAILED, State.CANCELLED)]
    for live in lost:
        if live.reason_code != "upstream_failed":
            run.plan.take(live.name)
            run.plan.finish(live.name, status_of(live.state), live.reason)
    for live in lost:
        run.plan.lose(live.name)


def _outcome_of(attempt: AttemptRow, live: LiveWorker) -> Outcome:
    """The judgement again, from the attempt's row."""
    if attempt.status == "failed":
        return Outcome(False, attempt.reason_code, attempt.reason, attempt.exit_code, attempt.signal)
    record = {"kind": "ended", "exit_code": attempt.exit_code, "signal": attempt.signal, "known": True}
    return judge(record, live.worker)


def _exited(row: AttemptRow) -> int | None:
    """The raw wait status of a leader that ended before its tree, None where it has not been told."""
    if row.exit_code is None and row.signal is None:
        return None
    return (row.exit_code or 0) << 8 | (row.signal or 0)


def _ended_with_the_machine(run: LiveRun, live: LiveWorker, now: int) -> dict[str, Any]:
    return {
        "kind": "ended",
        "uid": live.uid,
        "tag": [run.id, live.worker.position, live.attempt],
        "at": now,
        "duration_us": 0,
        "known": False,
        "reason_code": "machine_restarted",
        "reason": "the machine restarted",
    }


def _booted_at() -> int:
    """When the machine started, in microseconds."""
    with open("/proc/stat", encoding="ascii") as stat:
        for line in stat:
            if line.startswith("btime "):
                return int(line.split()[1]) * 1_000_000
    return 0
