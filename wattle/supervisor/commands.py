"""What a caller's wish means. Each method runs on the loop's thread, checks first, raises before it changes
anything, and has written what it did when it returns.

A wish that takes time (`stop_…`, `restart_…`, forced deletes, `down`) takes `done`, called after the commit
of the turn that brought it about.
"""

import json
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from wattle.definition.graph import Graph, graph_of
from wattle.definition.model import Worker, Workflow
from wattle.definition.params import as_json
from wattle.definition.resolve import resolve
from wattle.engine.plan import RunPlan
from wattle.engine.states import Event, State
from wattle.errors import (
    Conflict,
    Invalid,
    Unavailable,
    WattleError,
    worker_not_found,
    workflow_already_exists,
    workflow_not_found,
)
from wattle.store.queries import Queries, WorkflowState
from wattle.store.records import Records
from wattle.store.rows import RunRow
from wattle.supervisor import redefining
from wattle.supervisor.answers import RedefinedView, StartedView, StopView, together
from wattle.supervisor.clock import Clock
from wattle.supervisor.ledger import Ledger
from wattle.supervisor.live import LiveRun, LiveWorker, Redefinition
from wattle.supervisor.runs import Runs
from wattle.supervisor.signals import not_running

Done = Callable[[Any], None]  # takes the answer, or the WattleError that came instead
NO_VALUES: Mapping[str, Any] = {}
NOT_IN_RUN = "not_in_run"  # the reason code of a worker that a run of chosen workers leaves out
FREE = (State.WAITING, State.QUEUED, State.RECALLED)  # neither running nor ended


class StaleDefinition(Exception):
    """The definition was replaced between its reading and the turn: read it again."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A stored version, read and validated on the caller's thread. `graph` spans the whole workflow."""

    version_id: int
    workflow: Workflow
    graph: Graph


@dataclass(frozen=True, slots=True)
class Alone:
    """With which params a worker runs by itself: what was `given`, the `values` of all, or the `error` that they have.

    The error counts only where it does run by itself, which the loop knows.
    """

    given: Mapping[str, Any]
    values: Mapping[str, Any]
    error: Invalid | None = None


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What a version row is made of. `document` is the normalised JSON text."""

    document: str
    digest: str
    working_dir: str
    description: str | None
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left of version `version_id` without one of its workers."""

    version_id: int
    version: NewVersion


class Commands:
    """The loop's thread only."""

    def __init__(
        self,
        runs: Runs,
        records: Records,
        queries: Queries,
        ledger: Ledger,
        clock: Clock,
        commit: Callable[[Callable[[], Any] | None], Any],
    ) -> None:
        self._runs = runs
        self._records = records
        self._queries = queries
        self._ledger = ledger
        self._clock = clock
        self._commit = commit
        self.is_ending = False  # `down` was asked for: nothing is started any more

    # --- definitions

    def create_workflow(self, name: str, version: NewVersion, origin: str) -> None:
        at = self._clock.now()
        if self._queries.workflow(name) is not None:
            raise workflow_already_exists(name)

        def write() -> None:
            self._records.create_workflow(name=name, **asdict(version), at=at, origin=origin)
            self._ledger.event(at, name, "workflow.created", None, {"digest": version.digest})

        self._commit(write)

    def replace_workflow(self, name: str, version: NewVersion) -> bool:
        """Store a new version for later runs; False where it is the same as the current one."""
        state = self._workflow(name)
        current = self._queries.version(state.workflow.version_id)
        if current is not None and current.digest == version.digest:
            return False
        self._add_version(state, version, name, "workflow.updated")
        return True

    def delete_workflow(self, name: str, force: bool, done: Done) -> None:
        state = self._workflow(name)
        active = self._active(state.workflow.id)
        if active and not force:
            raise Conflict("WORKFLOW_RUNNING", f"Workflow '{name}' is running; stop it first, or delete it by force")

        def delete(view: StopView) -> None:
            now = self._queries.workflow(name)
            if now is None or now.workflow.id != state.workflow.id:
                done(workflow_not_found(name))  # another delete waited for the same end and came first
                return
            begun = self._active(state.workflow.id)
            if begun:  # by somebody who came in between: nothing may run of what is not there any more
                self._when_ended(begun, "deleted by force", delete, done)
                return
            at = self._clock.now()

            def write() -> None:
                self._records.delete_workflow(state.workflow.id, at)
                self._ledger.event(at, name, "workflow.deleted", None, {})

            try:
                self._commit(write)
            except WattleError as error:
                done(error)
            else:
                done(view)

        self._when_ended(active, "deleted by force", delete, done)

    def delete_worker(self, name: str, worker: str, rest: Rest, force: bool, done: Done) -> None:
        """Store a new version without the worker. The version is not checked: the next start says what it lacks."""
        state = self._current(name, rest.version_id)
        running = self._running(state.workflow.id, worker)

        def delete(view: StopView) -> None:
            try:
                now = self._current(name, rest.version_id)
            except (StaleDefinition, WattleError):
                done(Conflict("WORKFLOW_CHANGED", f"Workflow '{name}' was changed meanwhile; delete again"))
                return
            begun = self._running(state.workflow.id, worker)
            if begun is not None:
                end(*begun)
                return
            try:
                self._add_version(now, rest.version, f"{name}/{worker}", "worker.deleted")
            except WattleError as error:
                done(error)
            else:
                done(view)

        def end(run: LiveRun, live: LiveWorker) -> None:
            live.waiters.append(delete)
            self._ledger.urgent = True
            self._runs.apply(run, live, Event.STOP, reason_code="stopped", reason="deleted by force")

        if running is None:
            delete(StopView(""))
            return
        if not force:
            message = f"Worker '{name}/{worker}' is running; stop it first, or delete it by force"
            raise Conflict("WORKER_RUNNING", message)
        end(*running)

    # --- runs of a workflow

    def start_workflow(
        self,
        name: str,
        definition: Definition,
        *,
        idempotency_key: str | None,
        trigger: str,
        values: Mapping[str, Any] = NO_VALUES,
        chosen: Sequence[Worker] | None = None,
    ) -> StartedView:
        """`values` are those of all its params (definition/params.py, `bind`). With `chosen` the run consists of these
        workers alone; the others count as completed."""
        if idempotency_key is not None:
            earlier = self._queries.run_by_key(idempotency_key)
            if earlier is not None:
                return self._repeated(earlier, name)
        state = self._current(name, definition.version_id)
        for run in self._active(state.workflow.id):
            if run.row.kind == "workflow":
                message = f"Workflow '{name}' is already running (run {run.id}); stop it or wait for its end"
                raise Conflict("WORKFLOW_ALREADY_RUNNING", message)
            message = f"Worker '{name}/{run.row.worker}' is running by itself; stop it or wait for its end"
            raise Conflict("WORKER_RUNNING", message)
        if not definition.workflow.workers:
            raise Invalid("WORKFLOW_EMPTY", f"Workflow '{name}' has no workers, so there is nothing to start")
        workers = list(definition.workflow.workers if chosen is None else chosen)
        run = self._new_run(state, definition, "workflow", workers, idempotency_key, trigger, values)
        return StartedView(name, run.id)

    def stop_workflow(self, name: str, done: Done) -> None:
        state = self._workflow(name)
        self._when_ended(self._active(state.workflow.id), "stopped by a user", done)

    def restart_workflow(
        self, name: str, definition: Definition, done: Done, values: Mapping[str, Any] = NO_VALUES
    ) -> None:
        """End what is active, then start a new run."""
        state = self._current(name, definition.version_id)

        def start(_: StopView) -> None:
            try:
                started = self.start_workflow(
                    name, definition, idempotency_key=None, trigger="restart", values=values
                )
            except StaleDefinition:
                done(Conflict("WORKFLOW_CHANGED", f"Workflow '{name}' was changed while it was being stopped"))
            except WattleError as error:
                done(error)
            else:
                done(started)

        self._when_ended(self._active(state.workflow.id), "restarted by a user", start, done)

    def down(self, done: Done) -> None:
        """End all active runs; what is being started is refused from now on."""
        self.is_ending = True
        self._when_ended(list(self._runs.active.values()), "stopped by wattle down", done)

    # --- one worker

    def start_worker(
        self,
        name: str,
        worker: str,
        definition: Definition,
        force: bool,
        alone: Alone | None = None,
    ) -> StartedView:
        """`alone` says with which params it runs where no run is active."""
        found = self._in_run(name, worker)
        if found is None:
            return self._run_alone(name, worker, definition, alone)
        run, live = found
        self._refuse_params(run, alone)
        if live.is_live or live.state is State.SETTLING:
            raise Conflict("WORKER_ALREADY_RUNNING", f"Worker '{name}/{worker}' is already running")
        _refuse_ending(run)
        self._begin(run, live, Event.START, force)
        return StartedView(name, run.id)

    def restart_worker(
        self,
        name: str,
        worker: str,
        definition: Definition,
        force: bool,
        done: Done,
        alone: Alone | None = None,
    ) -> None:
        found = self._in_run(name, worker)
        if found is None:
            done(self._run_alone(name, worker, definition, alone))
            return
        run, live = found
        self._refuse_params(run, alone)
        _refuse_ending(run)
        started = StartedView(name, run.id)
        if live.state is State.STOPPING and live.row is None and not force:
            self._check_inputs(run, live)  # it may have been stopped before it was its turn
        if live.is_live or live.state in (State.SETTLING, State.QUEUED):
            live.waiters.append(lambda told: done(told if isinstance(told, WattleError) else started))
            self._ledger.urgent = True
            self._runs.apply(run, live, Event.RESTART, reason_code="restarted", reason="restarted by a user")
        elif live.state is State.WAITING and not force and not run.plan.waits_for(live.name):
            done(started)  # it waits for room only, so that what comes is newer than the wish
        else:
            self._begin(run, live, Event.RESTART, force)
            done(started)

    def redefine_worker(
        self, name: str, worker: str, definition: Definition, error: WattleError | None, done: Done
    ) -> None:
        """Give a service of an active run the definition that is stored now (redefining.py). `error`: why the files
        that it needs cannot be used; it counts only where the definition is another one."""
        self._current(name, definition.version_id)
        version = definition.workflow
        found = self._in_run(name, worker)
        if found is None:
            if version.worker(worker) is None:
                raise worker_not_found(name, worker)
            done(RedefinedView(None, "none"))
            return
        run, live = found
        if not redefining.is_changed(run, live, version):
            done(RedefinedView(run.id, "unchanged"))
            return
        _refuse_ending(run)
        new, why = self._redefinition(run, live, definition)
        if new is None or why is not None:
            raise redefining.needs_new_run(run, live, why or "")
        if error is not None:
            raise error
        self._commit(_nothing)  # raises where nothing new may be begun
        redefining.redefine(self._runs, self._ledger, run, live, new, done)

    def stop_worker(self, name: str, worker: str, is_defined: bool, done: Done) -> None:
        """Stopping what does not run is no change (design: Stopping)."""
        found = self._in_run(name, worker)
        if found is None and not is_defined:
            raise worker_not_found(name, worker)
        if found is None or found[1].has_ended:
            done(StopView(""))
            return
        run, live = found
        live.waiters.append(done)
        self._ledger.urgent = True
        self._runs.apply(run, live, Event.STOP, reason_code="stopped", reason="stopped by a user")

    def in_active_run(self, name: str, worker: str, is_defined: bool) -> tuple[LiveRun, LiveWorker]:
        """The worker of whose process something is wanted; Conflict where no active run has it."""
        found = self._in_run(name, worker)
        if found is not None:
            return found
        raise not_running(f"{name}/{worker}", None) if is_defined else worker_not_found(name, worker)

    # --- helpers

    def _redefinition(
        self, run: LiveRun, live: LiveWorker, definition: Definition
    ) -> tuple[Redefinition | None, str | None]:
        """The worker as it would be, and why it cannot be so in this run."""
        version = definition.workflow
        if version.worker(live.name) is None:
            return None, redefining.why_not(run, live, None)
        what = (run.row, run.workflow, definition.version_id, version, live.name, live.worker.position)
        try:
            new = redefining.redefinition(*what)
        except Invalid as error:
            return None, error.message
        return new, redefining.why_not(run, live, new.worker)

    def _begin(self, run: LiveRun, live: LiveWorker, event: Event, force: bool) -> None:
        subject = run.subject(live)
        if live.state in FREE and not force:
            waits = run.plan.why(live.name) if live.state is State.WAITING else "it is queued"
            raise Conflict("WORKER_QUEUED", f"Worker '{subject}' will start by itself: {waits}; force it to start now")
        if not force:
            self._check_inputs(run, live)
        self._commit(_nothing)  # raises where nothing new may be begun
        if live.state in (State.QUEUED, State.RETRYING, State.RECALLED):
            live.forced = force
            self._runs.apply(run, live, event)
            self._ledger.urgent = True
        else:
            self._runs.renew(run, live, event, force)

    def _check_inputs(self, run: LiveRun, live: LiveWorker) -> None:
        waits_for = run.plan.waits_for(live.name)
        lacking = [f"'{producer}' has not completed" for producer in waits_for]
        ended = [name for name in run.plan.ended_services(live.name) if name not in waits_for]
        lacking += [f"service '{name}' has ended" for name in ended]
        if lacking:
            message = f"Worker '{run.subject(live)}' lacks its inputs: {', '.join(lacking)}; start that, or force it"
            raise Conflict("INPUT_NOT_READY", message)

    def _refuse_params(self, run: LiveRun, alone: Alone | None) -> None:
        if alone is not None and alone.given:
            message = f"Run {run.id} of '{run.row.workflow_name}' is active and has its params; leave them out"
            raise Invalid("INVALID_PARAMS", message)

    def _run_alone(self, name: str, worker: str, definition: Definition, alone: Alone | None) -> StartedView:
        state = self._current(name, definition.version_id)
        node = definition.workflow.worker(worker)
        if node is None:
            raise worker_not_found(name, worker)
        if alone is not None and alone.error is not None:
            raise alone.error
        values = NO_VALUES if alone is None else alone.values
        run = self._new_run(state, definition, "worker", [node], None, "api", values)
        return StartedView(name, run.id)

    def _new_run(
        self,
        state: WorkflowState,
        definition: Definition,
        kind: str,
        workers: list[Worker],
        idempotency_key: str | None,
        trigger: str,
        values: Mapping[str, Any],
    ) -> LiveRun:
        if self.is_ending:
            raise Unavailable("ENDING", "Wattle is being ended; nothing is started any more")
        at = self._clock.now()
        is_whole = kind == "workflow" and len(workers) == len(definition.workflow.workers)
        graph = definition.graph if is_whole else graph_of(workers)
        worker = None if kind == "workflow" else workers[0].name
        params = as_json(values) if values else None

        def write() -> LiveRun:
            created = self._create_run(
                state, definition.version_id, kind, worker, at, idempotency_key, trigger, params
            )
            if kind == "worker":  # else what is shown of it would be the end of the run before until it is queued
                self._records.put_workers([LiveWorker(workers[0]).to_row(created.id)])
            elif not is_whole:
                names = {node.name for node in workers}
                others = [node for node in definition.workflow.workers if node.name not in names]
                self._records.put_workers([left_out(node).to_row(created.id) for node in others])
            workflow = as_run(definition.workflow, created)
            nodes = workers
            if workflow is not definition.workflow:
                nodes = [workflow.workers[node.position] for node in workers]
            run = live_run(created, workflow, graph, nodes, self._clock.monotonic())
            self._runs.prepare(run, ahead=True)
            return run

        run: LiveRun = self._commit(write)
        self._runs.add(run)
        return run

    def _create_run(
        self,
        state: WorkflowState,
        version_id: int,
        kind: str,
        worker: str | None,
        at: int,
        key: str | None,
        trigger: str,
        params: str | None,
    ) -> RunRow:
        row = self._records.create_run(
            workflow_id=state.workflow.id,
            workflow_name=state.workflow.name,
            version_id=version_id,
            kind=kind,
            worker=worker,
            status="running",
            key=secrets.token_hex(16),
            queued_at=at,
            started_at=at,
            trigger=trigger,
            idempotency_key=key,
            params=params,
        )
        assert row is not None  # the key was looked up on this thread, the only one that writes
        subject = state.workflow.name if worker is None else f"{state.workflow.name}/{worker}"
        self._ledger.event(at, subject, "run.started", row.id, {"kind": kind, "trigger": trigger})
        return row

    def _repeated(self, earlier: RunRow, name: str) -> StartedView:
        if earlier.workflow_name != name:
            message = f"This Idempotency-Key already started a run of '{earlier.workflow_name}'"
            raise Invalid("IDEMPOTENCY_KEY_REUSED", message)
        return StartedView(name, earlier.id, repeated=True)

    def _when_ended(self, active: list[LiveRun], reason: str, done: Done, caller: Done | None = None) -> None:
        """Cancel runs; `done` is called once all have ended. Where something does not die, `caller` (else `done`) is
        told STOP_INCOMPLETE before, and the rest happens all the same."""
        left, stops = {run.id for run in active}, []
        if not left:
            done(StopView(""))
            return

        def ended(run_id: int, view: StopView) -> None:
            left.discard(run_id)
            stops.append(view)
            if not left:
                done(together(stops))

        for run in active:
            run.waiters.append(partial(ended, run.id))
            run.impatient.append(caller or done)
            if not run.is_cancelled:
                self._runs.cancel(run, reason)
        self._ledger.urgent = True

    def _workflow(self, name: str) -> WorkflowState:
        state = self._queries.workflow(name)
        if state is None:
            raise workflow_not_found(name)
        return state

    def _current(self, name: str, version_id: int) -> WorkflowState:
        state = self._workflow(name)
        if state.workflow.version_id != version_id:
            raise StaleDefinition
        return state

    def _active(self, workflow_id: int) -> list[LiveRun]:
        return [run for run in self._runs.active.values() if run.row.workflow_id == workflow_id]

    def _in_run(self, name: str, worker: str) -> tuple[LiveRun, LiveWorker] | None:
        """The worker in an active run: in one of the whole workflow rather than in one of its own."""
        active = self._active(self._workflow(name).workflow.id)
        for run in sorted(active, key=lambda run: run.row.kind != "workflow"):
            live = run.workers.get(worker)
            if live is not None:
                return run, live
        return None

    def _running(self, workflow_id: int, worker: str) -> tuple[LiveRun, LiveWorker] | None:
        for run in self._active(workflow_id):
            live = run.workers.get(worker)
            if live is not None and (live.state in (State.QUEUED, State.RECALLED, State.RETRYING) or live.is_live):
                return run, live
        return None

    def _add_version(self, state: WorkflowState, version: NewVersion, subject: str, event: str) -> None:
        at = self._clock.now()

        def write() -> None:
            self._records.add_version(state.workflow.id, **asdict(version), at=at)
            self._ledger.event(at, subject, event, None, {"digest": version.digest})

        self._commit(write)


def _refuse_ending(run: LiveRun) -> None:
    """What is begun in a run that is being ended would keep it from its end, and who waits for that from an answer."""
    if run.is_cancelled or run.timed_out:
        raise Conflict("WORKFLOW_STOPPING", f"Workflow '{run.row.workflow_name}' is being stopped")


def _nothing() -> None:
    """A commit of what has been gathered, and of nothing else."""


def as_run(workflow: Workflow, row: RunRow) -> Workflow:
    """The definition as that run sees it: itself where nothing in it depends on the run."""
    if row.params is None and not workflow.has_placeholders:
        return workflow
    return resolve(workflow, json.loads(row.params) if row.params else {}, row.id)


def live_run(
    row: RunRow, workflow: Workflow, graph: Graph, workers: list[Worker], started_monotonic: float
) -> LiveRun:
    priorities = {worker.name: worker.priority for worker in workers if worker.priority}
    services = [worker.name for worker in workers if worker.service is not None]
    plan = RunPlan(graph, priorities=priorities, services=services)
    live = {worker.name: LiveWorker(worker) for worker in workers}
    return LiveRun(row, workflow, graph, plan, live, started_monotonic)


def left_out(worker: Worker) -> LiveWorker:
    """How a worker is written down that is no part of a run: it counts as completed, and says why."""
    return LiveWorker(worker, State.COMPLETED, reason_code=NOT_IN_RUN, reason="not part of this run")


def nodes_of(row: RunRow, workflow: Workflow, without: Collection[str] = ()) -> list[Worker]:
    """The workers of a stored run: all but those left out, or the one that runs by itself, whatever its producers."""
    if row.kind == "workflow":
        return [worker for worker in workflow.workers if worker.name not in without]
    node = workflow.worker(row.worker or "")
    if node is None:
        raise worker_not_found(workflow.name, row.worker or "")
    return [node]
