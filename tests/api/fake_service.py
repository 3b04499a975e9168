"""The service in memory, with the interface of `service.reading.Reading` and `service.changing.Changing`.

Definitions are read by the real `definition/`; nothing is executed: a started worker runs until it is told to end.
"""

import itertools
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from wattle.definition.document import parse_json
from wattle.definition.graph import build_graph
from wattle.definition.model import Workflow
from wattle.definition.paths import Context
from wattle.definition.validate import read_workflow
from wattle.errors import (
    Conflict,
    Invalid,
    run_not_found,
    worker_not_found,
    workflow_already_exists,
    workflow_not_found,
)
from wattle.service.views import (
    AttemptView,
    CreatedView,
    DagView,
    EdgeView,
    EventView,
    LogState,
    RunView,
    StartedView,
    StopView,
    WorkerView,
    WorkflowView,
)
from wattle.store.rows import AttemptRow
from wattle.supervisor.answers import SignalView, Told
from wattle.supervisor.signals import not_running

DAY = 1_725_012_000_000_000  # 2024-08-30T10:00:00.000Z
SECOND = 1_000_000
TOLD = Told("uid-1", "data_fetcher", 4711, 3, 2, 1_795_248_723_155_000, 1_795_248_733_156_000)


@dataclass
class Kept:
    """One stored workflow."""

    definition: Workflow
    view: WorkflowView
    workers: dict[str, WorkerView]
    runs: list[RunView] = field(default_factory=list)


class FakeService:
    """Both halves. `held` keeps the futures of stops open until `release`; `checks` is what `ready` answers."""

    def __init__(self, directory: str) -> None:
        self.context = Context(directory, directory, f"{directory}/work", "")
        self.kept: dict[str, Kept] = {}
        self.history: list[EventView] = []
        self.logs: dict[tuple[str, str], LogState] = {}
        self.checks = {"store": True, "loop": True, "keeper": True}
        self.keys: dict[str, StartedView] = {}
        self.attempts: dict[tuple[str, str, int], AttemptRow] = {}
        self.hold = False
        self.held: list[tuple[Future[Any], Any]] = []
        self._ids = itertools.count(1)

    def answer(self, value: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if self.hold:
            self.held.append((future, value))
        else:
            future.set_result(value)
        return future

    def release(self, error: BaseException | None = None) -> None:
        for future, value in self.held:
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)
        self.held.clear()

    def happened(self, subject: str, kind: str, run_id: int | None = None) -> None:
        number = len(self.history) + 1
        self.history.append(EventView(number, DAY + number * SECOND, subject, kind, run_id, {"n": number}, "api"))

    def set_worker(self, workflow: str, worker: str, **changes: Any) -> None:
        workers = self._workflow(workflow).workers
        workers[worker] = replace(workers[worker], **changes)

    # --- reading

    def workflows(self) -> list[WorkflowView]:
        return [kept.view for kept in self.kept.values()]

    def workflow(self, name: str) -> WorkflowView:
        return self._workflow(name).view

    def workers(self, workflow: str) -> list[WorkerView]:
        return list(self._workflow(workflow).workers.values())

    def worker(self, workflow: str, worker: str) -> WorkerView:
        found = self._workflow(workflow).workers.get(worker)
        if found is None:
            raise worker_not_found(workflow, worker)
        return found

    def attempt(self, workflow: str, worker: str, number: int | None = None) -> tuple[WorkerView, AttemptRow | None]:
        found = self.worker(workflow, worker)
        return found, self.attempts.get((workflow, worker, number or found.attempt))

    def why(self, workflow: str, worker: str) -> WorkerView:
        found = self.worker(workflow, worker)
        return replace(found, reason=found.reason or "its workflow was not started")

    def runs(self, workflow: str, *, limit: int = 100, offset: int = 0) -> tuple[list[RunView], int]:
        runs = self._workflow(workflow).runs[::-1]
        return runs[offset : offset + limit], len(runs)

    def run(self, run: str) -> RunView:
        if run.isascii() and run.isdigit() and int(run) >= 2**63:
            raise OverflowError("no integer of SQLite")
        for kept in self.kept.values():
            for view in kept.runs:
                if run in (str(view.id), view.uuid):
                    started = AttemptView(
                        "0191a2b3-0000-7000-8000-000000000001", "a", 1, "running", 77, None, None, None, None,
                        view.started_at, None, None, None, None, None, "/logs/1.out", "/logs/1.err",
                    )  # fmt: skip
                    return replace(view, workers=tuple(kept.workers.values()), attempts=(started,))
        raise run_not_found(run)

    def dag(self, workflow: str) -> DagView:
        kept = self._workflow(workflow)
        graph = build_graph(kept.definition)
        edges = tuple(EdgeView(e.producer, e.consumer, e.input, e.output, e.path) for e in graph.edges)
        levels = tuple(tuple(level) for level in graph.levels())
        return DagView(tuple(kept.workers[name] for name in graph.names), edges, levels)

    def events(self, *, after: int, limit: int = 1000, workflow: str | None = None) -> list[EventView]:
        found = [e for e in self.history if e.id > after and workflow in (None, e.subject.partition("/")[0])]
        return found[:limit]

    def last_event_id(self) -> int:
        return len(self.history)

    def log_state(
        self, workflow: str, worker: str, *, attempt: int | None = None, uid: str | None = None
    ) -> LogState:
        found = self.worker(workflow, worker)
        absent = LogState(None, 0, None, None, False, False, found.status, None)
        state = self.logs.get((workflow, worker), absent)
        return state if attempt in (None, state.attempt) else absent

    def log_paths(self, workflow: str, worker: str) -> tuple[str, str]:
        self.worker(workflow, worker)
        directory = f"{self.workflow(workflow).working_dir}/{worker}"
        return f"{directory}/stdout.log", f"{directory}/stderr.log"

    def ready(self) -> dict[str, str | None]:
        return {name: None if passed else f"{name} does not answer" for name, passed in self.checks.items()}

    def active_summary(self) -> tuple[int, int]:
        return sum(view.active for view in self.workflows()), 0

    # --- changing

    def create_workflow(self, text: bytes) -> CreatedView:
        definition = self._read(text)
        name = definition.name
        if name in self.kept:
            raise workflow_already_exists(name)
        self._store(definition)
        taken = {w.working_dir for other, kept in self.kept.items() if other != name for w in kept.definition.workers}
        warnings = tuple(sorted(f"workflow shares {d}" for d in taken & {w.working_dir for w in definition.workers}))
        return CreatedView(name, warnings)

    def replace_workflow(self, name: str, text: bytes) -> tuple[CreatedView, bool]:
        definition = self._read(text)
        if definition.name != name:
            raise Invalid("VALIDATION_ERROR", f"The definition is named '{definition.name}', the address says '{name}'")
        before = self._workflow(name).definition
        self._store(definition)
        return CreatedView(name), before.digest != definition.digest

    def delete_workflow(self, name: str, *, force: bool = False) -> Future[StopView]:
        if self._workflow(name).view.active and not force:
            raise Conflict("WORKFLOW_RUNNING", f"Workflow '{name}' is running; stop it, or force it")
        del self.kept[name]
        return self.answer(StopView(""))

    def start_workflow(
        self,
        name: str,
        *,
        params: dict[str, Any] | None = None,
        idempotency_key: str | None = None,
        trigger: str = "api",
        only: Sequence[str] = (),
        starts: Sequence[str] = (),
        force: bool = False,
    ) -> StartedView:
        kept = self._workflow(name)
        for worker in (*only, *starts):
            self.worker(name, worker)
        if params:
            raise Invalid("INVALID_PARAMS", f"Workflow '{name}' declares no params")
        if idempotency_key in self.keys:
            return replace(self.keys[idempotency_key], repeated=True)
        if kept.view.active:
            raise Conflict("WORKFLOW_ALREADY_RUNNING", f"Workflow '{name}' is already running")
        if not kept.workers:
            raise Invalid("WORKFLOW_EMPTY", f"Workflow '{name}' has no workers")
        started = self._begin(kept, "workflow")
        if idempotency_key is not None:
            self.keys[idempotency_key] = started
        return started

    def stop_workflow(self, name: str) -> Future[StopView]:
        return self._stop(self._workflow(name), name)

    def restart_workflow(self, name: str, *, params: dict[str, Any] | None = None) -> Future[StartedView]:
        return self.answer(self._begin(self._workflow(name), "workflow"))

    def start_worker(
        self, workflow: str, worker: str, *, force: bool = False, params: dict[str, Any] | None = None
    ) -> StartedView:
        if self.worker(workflow, worker).status == "running" and not force:
            raise Conflict("WORKER_ALREADY_RUNNING", f"Worker '{workflow}/{worker}' is already running")
        return self._begin(self._workflow(workflow), "worker", worker)

    def stop_worker(self, workflow: str, worker: str) -> Future[StopView]:
        self.worker(workflow, worker)
        return self._stop(self._workflow(workflow), worker)

    def restart_worker(
        self, workflow: str, worker: str, *, force: bool = False, params: dict[str, Any] | None = None
    ) -> Future[StartedView]:
        self.worker(workflow, worker)
        return self.answer(self._begin(self._workflow(workflow), "worker", worker))

    def signal_worker(self, workflow: str, worker: str, number: int, scope: str) -> Future[SignalView]:
        if self.worker(workflow, worker).status != "running":
            raise not_running(f"{workflow}/{worker}", None)
        return self.answer(SignalView(worker, "uid-1", 1, 1, number, scope, (4711, 4712), ()))

    def delete_worker(self, workflow: str, worker: str, *, force: bool = False) -> Future[StopView]:
        if self.worker(workflow, worker).status == "running" and not force:
            raise Conflict("WORKER_RUNNING", f"Worker '{workflow}/{worker}' is running; stop it, or force it")
        del self._workflow(workflow).workers[worker]
        return self.answer(StopView(""))

    def down(self) -> Future[StopView]:
        return self.answer(StopView("", ("uid-1",), True, 0, (TOLD,)))

    # --- helpers

    def _workflow(self, name: str) -> Kept:
        if name not in self.kept:
            raise workflow_not_found(name)
        return self.kept[name]

    def _read(self, text: bytes) -> Workflow:
        document = parse_json(text, max_bytes=64 * 1024 * 1024)
        return read_workflow(document, self.context, text=text.decode())

    def _store(self, definition: Workflow) -> None:
        at = DAY + len(self.kept) * SECOND
        name = definition.name
        view = WorkflowView(name, definition.working_dir, "created", "waiting", None, at, None, None, None)
        workers = {
            node.name: WorkerView(
                name, node.name, node.document, node.working_dir, "created", "waiting", None, None, at,
                position=node.position,
            )
            for node in definition.workers
        }  # fmt: skip
        self.kept[name] = Kept(definition, view, workers)
        self.happened(name, "workflow.created")

    def _begin(self, kept: Kept, kind: str, worker: str | None = None) -> StartedView:
        number = next(self._ids)
        uuid = f"0191a2b3-0000-7000-9000-{number:012d}"
        at = DAY + 1800 * SECOND
        name = kept.view.name
        counts = {"running": 1}
        run = RunView(number, uuid, name, kind, worker, "running", None, None, "api", at, at, None, None, 1, counts)
        kept.runs.append(run)
        if kind == "workflow":
            kept.view = replace(kept.view, status="running", phase="running", started_at=at, run_id=number, active=True)
        for each in kept.workers if worker is None else [worker]:
            begun = {"status": "running", "phase": "running", "started_at": at, "run_id": number, "attempt": 1}
            kept.workers[each] = replace(kept.workers[each], **begun)
        self.happened(name if worker is None else f"{name}/{worker}", "run.started", number)
        return StartedView(name, number)

    def _stop(self, kept: Kept, name: str) -> Future[StopView]:
        at = DAY + 2100 * SECOND
        signalled = []
        for each, worker in kept.workers.items():
            if name in (each, kept.view.name) and worker.status == "running":
                signalled.append(f"uid-{each}")
                kept.workers[each] = replace(
                    worker, status="cancelled", phase="ended", reason="stopped by a user", completed_at=at
                )
        if name == kept.view.name:
            kept.view = replace(kept.view, status="cancelled", phase="ended", completed_at=at, active=False)
        return self.answer(StopView("", tuple(signalled), False, 0))
