"""Views to the documented JSON: which keys, in which order (A33).

The keys of W-10, W-11, W-15 and W-16 are exactly the documented ones, then `phase` and `reason`.
"""

import json
from typing import Any

from wattle.api.envelope import instant
from wattle.engine.outcome import signal_name
from wattle.service.views import (
    AttemptView,
    DagView,
    EventView,
    RedefinedView,
    RunView,
    SignalView,
    StopView,
    WorkerView,
    WorkflowView,
)

_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_OUTPUT = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "optional": {"type": "boolean"}},
    "required": ["path"],
}
# W-17, A27: the documented properties, then what a worker has besides.
WORKER_SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "workflow_name": {"type": "string"},
        "command": {"type": "string"},
        "args": {"type": "array", "items": {"type": "string"}},
        "working_dir": {"type": "string"},
        "env_vars": _TEXTS,
        "inputs": _TEXTS,
        "outputs": {"type": "object", "additionalProperties": {"anyOf": [{"type": "string"}, _OUTPUT]}},
    },
    "required": ["name", "command"],
}


def workflow(view: WorkflowView) -> dict[str, Any]:
    """W-10, W-11, W-32."""
    return {
        "name": view.name,
        "working_dir": view.working_dir,
        "status": view.status,
        "created_at": instant(view.created_at),
        "started_at": instant(view.started_at),
        "completed_at": instant(view.completed_at),
        "deleted_at": instant(view.deleted_at),
        "phase": view.phase,
        "reason": view.reason,
    }


def worker_entity(view: WorkerView) -> dict[str, Any]:
    """W-14, W-33: four fields are JSON texts."""
    return {
        "workflow_name": view.workflow_name,
        "name": view.name,
        "command": view.document["command"],
        "args": _json_text(view.document.get("args")),
        "working_dir": view.working_dir,
        "env_vars": _json_text(view.document.get("env_vars")),
        "inputs": _json_text(view.document.get("inputs")),
        "outputs": _json_text(view.document.get("outputs")),
        "status": view.status,
        "error_message": view.error_message,
        "created_at": instant(view.created_at),
        "started_at": instant(view.started_at),
        "completed_at": instant(view.completed_at),
        "deleted_at": None,  # a deleted worker is in no list
        "phase": view.phase,
        "reason": view.reason,
    }


def worker_summary(view: WorkerView) -> dict[str, Any]:
    """W-15."""
    return {
        "name": view.name,
        "workflow_name": view.workflow_name,
        "status": view.status,
        "command": view.document["command"],
        "created_at": instant(view.created_at),
        "started_at": instant(view.started_at),
        "completed_at": instant(view.completed_at),
        "phase": view.phase,
        "reason": view.reason,
    }


def worker_detail(view: WorkerView) -> dict[str, Any]:
    """W-16: a real array and a real object, empty where the definition gives none."""
    return {
        "name": view.name,
        "workflow_name": view.workflow_name,
        "command": view.document["command"],
        "args": view.document.get("args") or [],
        "working_dir": view.working_dir,
        "env_vars": view.document.get("env_vars") or {},
        "status": view.status,
        "phase": view.phase,
        "reason": view.reason,
    }


def worker_state(view: WorkerView) -> dict[str, Any]:
    """A worker as a part of a run or a node of a graph: how it stands, not how it is defined."""
    return {
        "name": view.name,
        "status": view.status,
        "phase": view.phase,
        "reason": view.reason,
        "reason_code": view.reason_code,
        "started_at": instant(view.started_at),
        "completed_at": instant(view.completed_at),
        "attempt": view.attempt,
        "exit_code": view.exit_code,
        "signal": view.signal,
        "pid": view.pid,
        "due_at": instant(view.due_at),
        "notices": list(view.notices),
        "version": view.version,
    }


def why(view: WorkerView) -> dict[str, Any]:
    """Why a worker is where it is: the answer first, then whose it is."""
    state = worker_state(view)
    told = {key: state.pop(key) for key in ("status", "phase", "reason", "reason_code")}
    return told | {"workflow_name": view.workflow_name, "run_id": view.run_id} | state


def run(view: RunView) -> dict[str, Any]:
    return {
        "id": view.id,
        "uuid": view.uuid,
        "workflow_name": view.workflow_name,
        "kind": view.kind,
        "worker": view.worker,
        "status": view.status,
        "reason_code": view.reason_code,
        "reason": view.reason,
        "trigger": view.trigger,
        "queued_at": instant(view.queued_at),
        "started_at": instant(view.started_at),
        "completed_at": instant(view.completed_at),
        "duration_seconds": view.duration_seconds,
        "version": view.version,
        "counts": dict(view.counts),
    }


def run_with_workers(view: RunView) -> dict[str, Any]:
    workers = [worker_state(worker) for worker in view.workers]
    return run(view) | {"workers": workers, "attempts": [attempt(each) for each in view.attempts]}


def attempt(view: AttemptView) -> dict[str, Any]:
    return {
        "uuid": view.uuid,
        "worker": view.worker,
        "number": view.number,
        "status": view.status,
        "pid": view.pid,
        "exit_code": view.exit_code,
        "signal": view.signal,
        "reason_code": view.reason_code,
        "reason": view.reason,
        "started_at": instant(view.started_at),
        "completed_at": instant(view.completed_at),
        "duration_seconds": view.duration_seconds,
        "user_seconds": view.user_seconds,
        "system_seconds": view.system_seconds,
        "max_rss_bytes": view.max_rss_bytes,
        "stdout": view.stdout,
        "stderr": view.stderr,
    }


def dag(view: DagView) -> dict[str, Any]:
    return {
        "nodes": [worker_state(node) for node in view.nodes],
        "edges": [
            {
                "from": edge.producer,
                "to": edge.consumer,
                "input": edge.input,
                "output": edge.output,
                "path": edge.path,
            }
            for edge in view.edges
        ],
        "levels": [list(level) for level in view.levels],
    }


def event(view: EventView) -> dict[str, Any]:
    """Instants in the payload are text too."""
    payload = {key: instant(value) if key.endswith("_at") else value for key, value in view.payload.items()}
    return {
        "id": view.id,
        "at": instant(view.at),
        "subject": view.subject,
        "kind": view.kind,
        "run_id": view.run_id,
        "payload": payload,
        "actor": view.actor,
    }


def stop(view: StopView) -> dict[str, Any]:
    """What stands beside a stop's text. A stop that leaves survivors does not answer with success."""
    return {
        "signalled": list(view.signalled),
        "signals": [
            {
                "attempt": told.attempt,
                "worker": told.worker,
                "pid": told.pid,
                "processes": told.processes,
                "signal": signal_name(told.signal),
                "at": instant(told.at),
                "killed_at": instant(told.killed_at),
            }
            for told in view.signals
        ],
        "escalated": view.escalated,
        "survivors": 0,
        "unattributed": view.unattributed,
    }


def redefined(view: RedefinedView) -> dict[str, Any]:
    """What stands beside the sentence."""
    return {"run_id": view.run_id, "effect": view.effect}


def signal(view: SignalView) -> dict[str, Any]:
    """What stands beside a signal's text."""
    return {
        "signal": signal_name(view.number),
        "number": view.number,
        "scope": view.scope,
        "run_id": view.run_id,
        "attempt": view.attempt,
        "processes": len(view.pids),
        "pids": list(view.pids),
        "refused": list(view.refused),
    }


def _json_text(value: Any) -> str | None:
    """With the documented `, ` and `: ` between."""
    return None if value is None else json.dumps(value, ensure_ascii=False)
