"""Rows as plain frozen values: what the store takes and gives. Instants are integer microseconds UTC.

`phase` and `status` are the words of the API (`wattle.engine.states`), kept as text here. A run-worker is
one worker's state within one run; its row is written when it first leaves `waiting`, so an absent row
means: waiting. An attempt is one process of it.

Those of which a run makes thousands are named tuples: they are made and changed four times as fast.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    id: int
    uuid: str
    name: str
    version_id: int
    created_at: int
    updated_at: int
    deleted_at: int | None = None
    namespace: str = "default"
    kind: str = "workflow"
    origin: str = "api"
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One definition, pinned: `document` is the normalised JSON text, `digest` its SHA-256."""

    id: int
    uuid: str
    workflow_id: int
    digest: str
    document: str
    created_at: int


@dataclass(frozen=True, slots=True)
class RunRow:
    """One execution. `kind` is `workflow` or `worker` (then `worker` names it).

    `wanted` is what the user wants: `run` or `cancel` (then `cancel_reason` is the sentence to give).
    `key` is the run's random secret: attempt uids are derived from it, so that an attempt's identity is
    on disk before its process exists.
    """

    id: int
    uuid: str
    workflow_id: int
    workflow_name: str
    version_id: int
    kind: str
    status: str
    key: str
    queued_at: int
    worker: str | None = None
    wanted: str = "run"
    cancel_reason: str | None = None
    reason_code: str | None = None
    reason: str | None = None
    started_at: int | None = None
    ended_at: int | None = None
    params: str | None = None
    input: str | None = None
    priority: int = 0
    trigger: str = "api"
    retry_of: int | None = None
    scheduled_at: int | None = None
    created_by: str | None = None
    idempotency_key: str | None = None
    forced: bool = False
    logs_removed_at: int | None = None  # its attempts' output is gone: retention needed the space


class RunWorkerRow(NamedTuple):
    """One worker in one run. `attempt` is the number of its newest attempt, 0 before the first.

    `wanted` is `run`, `stop` or `restart`: set by a user, kept until it has been brought about.
    `due_at` is when a retry is due. `forced` starts it regardless of its inputs.
    `notices` are sentences that are no failure (a captured output, processes left behind).
    `version_id` is the version by which its newest attempt is defined (None: the run's), `next_version_id` the one
    that its next attempt will have (None: the same).
    """

    run_id: int
    position: int
    name: str
    phase: str
    status: str
    attempt: int = 0
    wanted: str = "run"
    reason_code: str | None = None
    reason: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    started_at: int | None = None
    ended_at: int | None = None
    due_at: int | None = None
    forced: bool = False
    notices: tuple[str, ...] = ()
    version_id: int | None = None
    next_version_id: int | None = None


class AttemptRow(NamedTuple):
    """One process. `uuid` is its WATTLE_ATTEMPT_UID. `status` is `running` until it has ended."""

    uuid: str
    run_id: int
    position: int
    worker: str
    number: int
    status: str
    agent: str = "local"
    keeper_id: str | None = None
    boot_id: str | None = None
    pid: int | None = None
    inode: int | None = None
    start_ticks: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    reason_code: str | None = None
    reason: str | None = None
    started_at: int | None = None
    ended_at: int | None = None
    duration_us: int | None = None
    metrics: str | None = None  # JSON: wattle.metrics.usage
    id: int | None = None  # given by the store
    logs_removed_at: int | None = None  # its output alone is gone, while its run was active; retention's to write


class EventRow(NamedTuple):
    """One row of the append-only history. `subject` is `workflow` or `workflow/worker`."""

    at: int
    subject: str
    kind: str
    run_id: int | None = None
    payload: Mapping[str, Any] = MappingProxyType({})
    actor: str | None = None
    id: int | None = None  # given by the store


@dataclass(frozen=True, slots=True)
class CaptureRow:
    """A file that Wattle itself wrote from a worker's standard output, so that it may replace it later.

    `state` is `copied` (the temporary file is complete, the rename may be outstanding) or `placed`.
    """

    path: str
    attempt_uuid: str
    temporary_path: str
    size: int
    mtime_ns: int
    inode: int
    state: str


def names_of(row: Any) -> list[str]:
    """The fields of a kind of row, in their order."""
    named: tuple[str, ...] | None = getattr(row, "_fields", None)
    return list(named) if named is not None else [field.name for field in fields(row)]
