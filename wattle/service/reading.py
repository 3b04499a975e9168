"""Answers from the store: any thread, no loop needed, and the same without a daemon (read-only)."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from wattle.definition.graph import build_graph
from wattle.engine.plan import RunPlan
from wattle.engine.states import Status
from wattle.errors import NotFound, WattleError, run_not_found, worker_not_found
from wattle.logs.files import LogFiles, attempt_files
from wattle.logs.links import ensure_links
from wattle.service.definitions import Definitions
from wattle.service.instants import instant
from wattle.service.merged import MergedLogs
from wattle.service.views import (
    AttemptView,
    DagView,
    EdgeView,
    EventView,
    LogState,
    RunView,
    WorkerView,
    WorkflowView,
)
from wattle.store.queries import Queries, WorkflowState
from wattle.store.rows import AttemptRow, EventRow, RunRow, RunWorkerRow

P = ParamSpec("P")
T = TypeVar("T")


def _at_one_instant(
    look: Callable[Concatenate["Reading", P], T],
) -> Callable[Concatenate["Reading", P], T]:
    """All that it reads is of one moment: what ended in between would leave a worker that waits for what is over."""

    @wraps(look)
    def looked(self: "Reading", *args: P.args, **options: P.kwargs) -> T:
        with self._queries.snapshot():
            return look(self, *args, **options)

    return looked


class Reading:
    """The use cases that only look. Unknown names raise NotFound. `checks` are the readiness checks by name."""

    def __init__(
        self,
        queries: Queries,
        definitions: Definitions,
        data_dir: str,
        checks: Mapping[str, Callable[[], bool]] | None = None,
    ) -> None:
        self._queries = queries
        self._definitions = definitions
        self._data_dir = data_dir
        self._checks = dict(checks or {})
        self.merged = MergedLogs(queries, definitions, data_dir)

    # --- workflows and workers

    def workflows(self) -> list[WorkflowView]:
        """All live workflows, oldest first."""
        return [_workflow_view(state) for state in self._queries.workflows()]

    def workflow(self, name: str) -> WorkflowView:
        return _workflow_view(self._definitions.state(name))

    def definition(self, name: str) -> Mapping[str, Any]:
        """The normalised document of the current version."""
        return self._definitions.document(self._definitions.state(name).workflow.version_id)

    @_at_one_instant
    def workers(self, workflow: str) -> list[WorkerView]:
        """The workers of the current version in definition order, then those that only the active run has."""
        state = self._definitions.state(workflow)
        latest = self._queries.worker_states(state.workflow.id)
        document = self._definitions.document(state.workflow.version_id)
        active = state.run if state.run is not None and state.run.ended_at is None else None
        views = [self._worker_view(state, part, latest.get(part["name"])) for part in document["workers"]]
        if active is not None:
            views += self._dropped(state, active, {part["name"] for part in document["workers"]}, latest)
            return self._explained(active, views)
        return views

    @_at_one_instant
    def worker(self, workflow: str, worker: str) -> WorkerView:
        """One worker, with the pid of its process while it has one."""
        view = self._find(workflow, worker)
        if view.run_id is None or not view.attempt:
            return view
        attempt = self._queries.latest_attempt(view.run_id, view.position)
        if attempt is None or attempt.ended_at is not None:
            return view
        return replace(view, pid=attempt.pid)

    @_at_one_instant
    def attempt(self, workflow: str, worker: str, number: int | None = None) -> tuple[WorkerView, AttemptRow | None]:
        """A worker, and its newest attempt or the one of that number; None where there is none."""
        view = self._find(workflow, worker)
        return view, self._attempt(view, number or view.attempt)

    def census(self) -> tuple[Counter[str], Counter[str]]:
        """How many workflows, and how many of their workers, have each status."""
        with self._queries.snapshot():
            states, left = self._queries.workflows(), self._queries.status_of_workers()
        workflows = Counter(_workflow_view(state).status for state in states)
        workers: Counter[str] = Counter()
        for state in states:
            counts = left.get(state.workflow.id, {})
            workers.update(counts)
            size = len(self._definitions.worker_names(state.workflow.version_id))
            workers["created"] += max(0, size - sum(counts.values()))
        return workflows, workers

    def why(self, workflow: str, worker: str) -> WorkerView:
        """A worker whose `reason` is always a sentence."""
        view = self.worker(workflow, worker)
        if view.reason is not None:
            return view
        reasons = {
            ("completed", "ended"): "it ended well and every declared output is there",
            ("running", "running"): f"its attempt {view.attempt} runs{self._by_which(view)}",
            ("running", "ready"): f"its attempt {view.attempt} runs and is ready{self._by_which(view)}",
            ("created", "queued"): "ready, waits for a free slot",
        }
        return replace(view, reason=reasons.get((view.status, view.phase), "its workflow has not been started"))

    def _by_which(self, view: WorkerView) -> str:
        """Whether its run has it by another definition than the one that is shown."""
        parts = [] if view.version is None else self._definitions.document(view.version)["workers"]
        is_shown = view.document in parts
        return "" if is_shown else ", with an older definition than the stored one"

    def dag(self, workflow: str) -> DagView:
        views = {view.name: view for view in self.workers(workflow)}
        graph = build_graph(self._definitions.current(workflow).workflow)
        edges = tuple(EdgeView(e.producer, e.consumer, e.input, e.output, e.path) for e in graph.edges)
        levels = tuple(tuple(level) for level in graph.levels())
        return DagView(tuple(views[name] for name in graph.names if name in views), edges, levels)

    # --- runs and history

    def runs(self, workflow: str, *, limit: int = 100, offset: int = 0) -> tuple[list[RunView], int]:
        """A page of the workflow's runs, newest first, and how many there are."""
        state = self._definitions.state(workflow)
        with self._queries.snapshot():
            rows, total = self._queries.runs(state.workflow.id, limit, offset)
            counted = self._queries.status_counts([row.id for row in rows])
        return [replace(_run_view(row), counts=self._all_counted(row, counted.get(row.id, {}))) for row in rows], total

    def _all_counted(self, row: RunRow, counts: dict[str, int]) -> dict[str, int]:
        """With the workers that wait, which have no row yet."""
        size = 1 if row.kind == "worker" else len(self._definitions.worker_names(row.version_id))
        waiting = size - sum(counts.values())
        return counts | {"created": counts.get("created", 0) + waiting} if waiting > 0 else counts

    @_at_one_instant
    def run(self, run: str) -> RunView:
        """One run by its id or uuid, with workers and attempts."""
        row = self._queries.run(int(run) if run.isascii() and run.isdigit() else run)
        if row is None:
            raise run_not_found(run)
        workers = {stored.name: stored for stored in self._queries.run_workers(row.id)}
        attempts = self._queries.attempts(row.id)
        document = self._definitions.document(row.version_id)
        parts = [
            self._part_in_run(part, workers.get(part["name"]))
            for part in document["workers"]
            if row.worker in (None, part["name"])
        ]
        positions = {part["name"]: position for position, part in enumerate(document["workers"])}
        views = [_view(row.workflow_name, part, row.queued_at, row, workers.get(part["name"])) for part in parts]
        views = [replace(view, position=positions[view.name]) for view in views]
        if row.ended_at is None:
            views = self._explained(row, views)
        counts = Counter(view.status for view in views)
        shown = tuple(self._attempt_view(attempt, row.logs_removed_at is None) for attempt in attempts)
        return replace(_run_view(row), counts=dict(counts), workers=tuple(views), attempts=shown)

    def events(self, *, after: int, limit: int = 1000, workflow: str | None = None) -> list[EventView]:
        """Events with an id greater than `after`, oldest first."""
        return [_event_view(row) for row in self._queries.events(after, limit, workflow)]

    def last_event_id(self) -> int:
        return self._queries.last_event_id()

    # --- logs

    @_at_one_instant
    def log_state(self, workflow: str, worker: str, *, attempt: int | None = None, uid: str | None = None) -> LogState:
        """Where the newest attempt writes, or that number of its run, or the one of that uid if it is known."""
        view = self._find(workflow, worker)
        over = view.phase == "ended" or (view.phase == "waiting" and not self._is_active(view))
        row = self._attempt_named(view, uid) if uid is not None else None
        if row is None:
            row = self._attempt(view, attempt) if attempt is not None else self._latest_attempt(view)
        if row is None:
            return LogState(None, 0, None, None, False, over and view.attempt == 0, view.status, view.exit_code)
        files = attempt_files(self._data_dir, row.run_id, row.position, row.number)
        return LogState(
            attempt_uid=row.uuid,
            attempt=row.number,
            stdout=files.stdout,
            stderr=files.stderr,
            live=row.ended_at is None,
            over=over,
            status=view.status,
            exit_code=row.exit_code if row.run_id == view.run_id else view.exit_code,
            next_uid=self._next_uid(view, row) if attempt is None else None,
            started_at=row.started_at,
            ended_at=row.ended_at,
            logs_removed=row.logs_removed_at is not None,
        )

    @_at_one_instant
    def attempt_state(self, workflow: str, worker: str, number: int, uid: str | None = None) -> LogState:
        """Where that attempt writes, of the newest run or of the one that the uid is of; over once it has ended."""
        view = self._find(workflow, worker)
        row = self._attempt_named(view, uid) if uid is not None else None
        if row is None or row.number != number:
            row = self._attempt(view, number)
        if row is None:
            message = f"Worker '{workflow}/{worker}' has no attempt {number} in its newest run"
            raise NotFound("ATTEMPT_NOT_FOUND", message)
        files, live = attempt_files(self._data_dir, row.run_id, row.position, row.number), row.ended_at is None
        what = (row.uuid, number, *files, live, not live, row.status, row.exit_code, row.started_at, row.ended_at)
        return LogState(*what, logs_removed=row.logs_removed_at is not None)

    def log_files(self, workflow: str, worker: str) -> LogFiles:
        """The newest started attempt's files; of a worker that never started, a pair that stays empty.

        Never those of an attempt to come: that its file exists is what says that it may have been started.
        """
        view = self._find(workflow, worker)
        row = self._queries.latest_attempt(view.run_id, view.position) if view.run_id is not None else None
        if row is not None:
            return attempt_files(self._data_dir, row.run_id, row.position, row.number)
        state = self._definitions.state(workflow)
        empty = f"{self._data_dir}/logs/unstarted/{state.workflow.id}.{view.position}"
        return LogFiles(f"{empty}.out", f"{empty}.err")

    def log_paths(self, workflow: str, worker: str) -> tuple[str, str]:
        """The documented paths, ensured to lead to the newest attempt's files; the real ones where that fails."""
        directory = self.workflow(workflow).working_dir
        return ensure_links(directory, worker, self.log_files(workflow, worker), data_dir=self._data_dir)

    # --- the server

    def ready(self) -> dict[str, str | None]:
        """The readiness checks: why each fails, None where it passes. Asked for at most a second."""
        results: dict[str, str | None] = {}
        for name, check in self._checks.items():
            try:
                results[name] = None if check() else f"{name} does not answer"
            except WattleError as error:
                results[name] = error.message
        return results

    def active_summary(self) -> tuple[int, int]:
        """How many runs are active, and how many workers run."""
        return len(self._queries.active_runs()), len(self._queries.live_attempts())

    # --- helpers

    def _find(self, workflow: str, worker: str) -> WorkerView:
        state = self._definitions.state(workflow)
        document = self._definitions.document(state.workflow.version_id)
        part = next((part for part in document["workers"] if part["name"] == worker), None)
        latest = self._queries.worker_state(state.workflow.id, worker)
        active = state.run if state.run is not None and state.run.ended_at is None else None
        if part is None:
            dropped = self._dropped(state, active, set(), {}) if active is not None else []
            view = next((view for view in dropped if view.name == worker), None)
            if view is None:
                raise worker_not_found(workflow, worker)
            part = dict(view.document)
        view = self._worker_view(state, part, latest)
        return self._explained(active, [view])[0] if active is not None else view

    def _worker_view(
        self, state: WorkflowState, part: Mapping[str, Any], latest: tuple[RunRow, RunWorkerRow] | None
    ) -> WorkerView:
        run, stored = latest if latest is not None else (None, None)
        return _view(state.workflow.name, part, state.workflow.created_at, run, stored)

    def _dropped(
        self,
        state: WorkflowState,
        active: RunRow,
        present: set[str],
        latest: Mapping[str, tuple[RunRow, RunWorkerRow]],
    ) -> list[WorkerView]:
        """Workers of the active run that the current version lacks: listed and stoppable until it ends."""
        if active.version_id == state.workflow.version_id:
            return []
        parts = self._definitions.document(active.version_id)["workers"]
        return [
            self._worker_view(state, part, latest.get(part["name"])) for part in parts if part["name"] not in present
        ]

    def _explained(self, run: RunRow, views: list[WorkerView]) -> list[WorkerView]:
        """The views with a reason for each that waits or is queued in this run."""
        if run.kind != "workflow" or all(view.phase not in ("waiting", "queued") for view in views):
            return views
        definition = self._definitions.definition(run.version_id)
        stored = {row.name: row for row in self._queries.run_workers(run.id)}
        ended = {name: Status(row.status) for name, row in stored.items() if row.phase == "ended"}
        services = [worker.name for worker in definition.workflow.workers if worker.service is not None]
        finished = {name: status for name, status in ended.items() if status is not Status.CANCELLED}
        plan = RunPlan(definition.graph, finished, services=services)
        for name, row in stored.items():
            if row.phase not in ("ended", "waiting"):
                plan.take(name)
            if row.phase == "ready":
                plan.provide(name)
        names = set(definition.graph.names)
        slots = definition.workflow.max_parallel
        return [_explain(view, plan, slots) if view.name in names else view for view in views]

    def _part_in_run(self, part: Mapping[str, Any], stored: RunWorkerRow | None) -> Mapping[str, Any]:
        """The worker as it is defined in the run, which is by a newer version than the run's where it took one."""
        if stored is None or stored.version_id is None:
            return part
        parts = self._definitions.document(stored.version_id)["workers"]
        return next(each for each in parts if each["name"] == stored.name)

    def _is_active(self, view: WorkerView) -> bool:
        run = self._queries.run(view.run_id) if view.run_id is not None else None
        if run is None:
            state = self._definitions.state(view.workflow_name)
            run = state.run
        return run is not None and run.ended_at is None

    def _attempt(self, view: WorkerView, number: int) -> AttemptRow | None:
        if view.run_id is None or not number:
            return None
        rows = self._queries.attempts(view.run_id, view.position)
        return next((row for row in rows if row.number == number), None)

    def _latest_attempt(self, view: WorkerView) -> AttemptRow | None:
        return self._queries.latest_attempt(view.run_id, view.position) if view.run_id is not None else None

    def _attempt_named(self, view: WorkerView, uid: str) -> AttemptRow | None:
        """The worker's attempt of that uid, in whichever run."""
        row = self._queries.attempt(uid)
        if row is None or row.worker != view.name:
            return None
        run = self._queries.run(row.run_id)
        return row if run is not None and run.workflow_name == view.workflow_name else None

    def _next_uid(self, view: WorkerView, row: AttemptRow) -> str | None:
        """The attempt after it: of its own run, else the first of the worker's newest run."""
        if row.run_id == view.run_id and row.number >= view.attempt:
            return None
        rows = [each for each in self._queries.attempts(row.run_id, row.position) if each.number > row.number]
        if not rows and view.run_id is not None and view.run_id > row.run_id:
            rows = self._queries.attempts(view.run_id, view.position)
        return rows[0].uuid if rows else None

    def _attempt_view(self, row: AttemptRow, has_logs: bool) -> AttemptView:
        usage = _usage_of(row)
        has_logs = has_logs and row.logs_removed_at is None
        files = attempt_files(self._data_dir, row.run_id, row.position, row.number)
        return AttemptView(
            uuid=row.uuid,
            worker=row.worker,
            number=row.number,
            status=row.status,
            pid=row.pid,
            exit_code=row.exit_code,
            signal=row.signal,
            reason_code=row.reason_code,
            reason=row.reason,
            started_at=row.started_at,
            completed_at=row.ended_at,
            duration_seconds=_seconds(row.duration_us),
            user_seconds=_seconds(usage.get("user_us")),
            system_seconds=_seconds(usage.get("system_us")),
            max_rss_bytes=usage.get("max_rss_bytes"),
            stdout=files.stdout if has_logs else None,
            stderr=files.stderr if has_logs else None,
        )


def _explain(view: WorkerView, plan: RunPlan, slots: int) -> WorkerView:
    if view.phase == "waiting":
        return replace(view, reason=plan.why(view.name))
    if view.phase == "queued":
        return replace(view, reason=f"all {slots} slots of the workflow (max_parallel) or the machine's are taken")
    return view


def _view(
    workflow: str, part: Mapping[str, Any], created_at: int, run: RunRow | None, stored: RunWorkerRow | None
) -> WorkerView:
    if run is None or stored is None:
        status, phase = "created", "waiting"
        return WorkerView(workflow, part["name"], part, part["working_dir"], status, phase, None, None, created_at)
    return WorkerView(
        workflow_name=workflow,
        name=part["name"],
        document=part,
        working_dir=part["working_dir"],
        status=stored.status,
        phase=stored.phase,
        reason=_told(stored),
        reason_code=stored.reason_code,
        created_at=created_at,
        started_at=stored.started_at,
        completed_at=stored.ended_at,
        run_id=run.id,
        position=stored.position,
        attempt=stored.attempt,
        exit_code=stored.exit_code,
        signal=stored.signal,
        due_at=stored.due_at,
        notices=stored.notices,
        version=run.version_id if stored.version_id is None else stored.version_id,
    )


def _told(stored: RunWorkerRow) -> str | None:
    if stored.phase == "retrying" and stored.due_at is not None:
        return f"attempt {stored.attempt} failed ({stored.reason}); the next one is due at {instant(stored.due_at)}"
    return stored.reason


def _workflow_view(state: WorkflowState) -> WorkflowView:
    row, run = state.workflow, state.run
    active = run is not None and run.ended_at is None
    if run is None:
        phase, reason = "waiting", None
    elif active:
        phase, reason = ("stopping", run.cancel_reason) if run.wanted == "cancel" else ("running", None)
    else:
        phase, reason = "ended", run.reason
    return WorkflowView(
        name=row.name,
        working_dir=state.working_dir,
        status=run.status if run is not None else "created",
        phase=phase,
        reason=reason,
        created_at=row.created_at,
        started_at=run.started_at if run is not None else None,
        completed_at=run.ended_at if run is not None else None,
        deleted_at=row.deleted_at,
        description=state.description,
        run_id=run.id if run is not None else None,
        active=active,
    )


def _run_view(row: RunRow) -> RunView:
    lasted = None if row.ended_at is None or row.started_at is None else row.ended_at - row.started_at
    return RunView(
        id=row.id,
        uuid=row.uuid,
        workflow_name=row.workflow_name,
        kind=row.kind,
        worker=row.worker,
        status=row.status,
        reason_code=row.reason_code,
        reason=row.reason,
        trigger=row.trigger,
        queued_at=row.queued_at,
        started_at=row.started_at,
        completed_at=row.ended_at,
        duration_seconds=_seconds(lasted),
        version=row.version_id,
    )


def _event_view(row: EventRow) -> EventView:
    return EventView(row.id or 0, row.at, row.subject, row.kind, row.run_id, row.payload, row.actor)


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1e6


def _usage_of(row: AttemptRow) -> dict[str, Any]:
    """Nothing where it is damaged: figures are no reason to show no run."""
    try:
        usage = json.loads(row.metrics or "{}")
    except ValueError:
        return {}
    return usage if isinstance(usage, dict) else {}
