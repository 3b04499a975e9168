"""What the use cases answer: frozen values, instants in integer microseconds UTC, None for absent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wattle.supervisor.answers import RedefinedView, SignalView, StartedView, StopView

__all__ = [
    "AttemptView",
    "CreatedView",
    "DagView",
    "EdgeView",
    "EventView",
    "LogState",
    "LogsState",
    "RedefinedView",
    "RunView",
    "SignalView",
    "StartedView",
    "StopView",
    "WorkerView",
    "WorkflowView",
    "WrittenLog",
]


@dataclass(frozen=True, slots=True)
class WorkflowView:
    """A workflow and the state of its latest run of kind `workflow` (W-10, W-11)."""

    name: str
    working_dir: str
    status: str
    phase: str
    reason: str | None
    created_at: int
    started_at: int | None
    completed_at: int | None
    deleted_at: int | None
    description: str | None = None
    run_id: int | None = None
    active: bool = False  # a run of it is active


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker and its newest state (W-14, W-15, W-16).

    `document` holds the worker's fields as given (`command`, `args`, `env_vars`, `inputs`, `outputs`, …),
    directories and output paths absolute. `error_message` is the reason of `failed` and `cancelled`.
    """

    workflow_name: str
    name: str
    document: Mapping[str, Any]
    working_dir: str
    status: str
    phase: str
    reason: str | None
    reason_code: str | None
    created_at: int
    started_at: int | None = None
    completed_at: int | None = None
    run_id: int | None = None
    position: int = 0
    attempt: int = 0
    exit_code: int | None = None
    signal: int | None = None
    pid: int | None = None
    due_at: int | None = None
    notices: tuple[str, ...] = ()
    version: int | None = None  # by which its newest attempt in the run is defined

    @property
    def error_message(self) -> str | None:
        """The reason, where the worker has failed or was cancelled."""
        return self.reason if self.status in ("failed", "cancelled") else None


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One process of one worker in one run."""

    uuid: str
    worker: str
    number: int
    status: str
    pid: int | None
    exit_code: int | None
    signal: int | None
    reason_code: str | None
    reason: str | None
    started_at: int | None
    completed_at: int | None
    duration_seconds: float | None
    user_seconds: float | None
    system_seconds: float | None
    max_rss_bytes: int | None
    stdout: str | None = ""  # None: retention has removed it
    stderr: str | None = ""


@dataclass(frozen=True, slots=True)
class RunView:
    """One run. `workers` and `attempts` are filled in only where a single run is asked for."""

    id: int
    uuid: str
    workflow_name: str
    kind: str
    worker: str | None
    status: str
    reason_code: str | None
    reason: str | None
    trigger: str
    queued_at: int
    started_at: int | None
    completed_at: int | None
    duration_seconds: float | None
    version: int
    counts: Mapping[str, int] = field(default_factory=dict)  # {status: number of workers}
    workers: tuple[WorkerView, ...] = ()
    attempts: tuple[AttemptView, ...] = ()


@dataclass(frozen=True, slots=True)
class EdgeView:
    """`producer` before `consumer`; an edge of `depends_on` has no input, output and path."""

    producer: str
    consumer: str
    input: str | None
    output: str | None
    path: str | None


@dataclass(frozen=True, slots=True)
class DagView:
    nodes: tuple[WorkerView, ...]
    edges: tuple[EdgeView, ...]
    levels: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class EventView:
    id: int
    at: int
    subject: str
    kind: str
    run_id: int | None
    payload: Mapping[str, Any]
    actor: str | None


@dataclass(frozen=True, slots=True)
class CreatedView:
    """A stored definition; `warnings` are sentences (a path that another workflow declares too)."""

    name: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogState:
    """Where a worker's newest (or a named) attempt writes, and whether more can come.

    `attempt` 0: it has not been started. `live`: its process may still write. `over`: the worker's part in
    its run is over, so that no further attempt follows by itself. `next_uid` is the attempt after this one.
    `logs_removed`: by retention.
    """

    attempt_uid: str | None
    attempt: int
    stdout: str | None
    stderr: str | None
    live: bool
    over: bool
    status: str
    exit_code: int | None
    started_at: int | None = None
    ended_at: int | None = None
    next_uid: str | None = None
    logs_removed: bool = False


@dataclass(frozen=True, slots=True)
class WrittenLog:
    """One attempt (`id` is the database's) and the files it writes. `logs_removed`: by retention."""

    id: int
    uid: str
    worker: str
    number: int
    run_id: int
    stdout: str
    stderr: str
    live: bool
    started_at: int | None = None
    ended_at: int | None = None
    logs_removed: bool = False


@dataclass(frozen=True, slots=True)
class LogsState:
    """Attempts of a run, or of a workflow's runs from `first_run` on (0: there is none), by id.

    `over`: the run has ended, or no run of the workflow is active. `status` is that of the (latest) run.
    """

    first_run: int
    attempts: tuple[WrittenLog, ...]
    over: bool
    status: str
