"""The JSON Schemas of what verbs print with `--json` (and, an item a line, with `--jsonl`), and of their errors.

Stable: what is required here stays, with its type; new keys may come. Tests compare them with what the verbs print.
"""

from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEXT: Schema = {"type": "string"}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_WHOLE: Schema = {"type": "integer"}
_WHOLE_OR_NULL: Schema = {"type": ["integer", "null"]}
_NUMBER_OR_NULL: Schema = {"type": ["number", "null"]}
_INSTANT: Schema = {"type": "string", "format": "date-time", "description": "UTC, YYYY-MM-DDTHH:MM:SS.mmmZ"}
_INSTANT_OR_NULL: Schema = {**_INSTANT, "type": ["string", "null"]}
_STATUS: Schema = {"enum": ["created", "running", "completed", "failed", "cancelled"]}
_PHASE: Schema = {
    "enum": ["waiting", "queued", "starting", "running", "ready", "stopping", "retrying", "ended", None],
    "description": "what the status leaves out",
}
_COUNTS: Schema = {"type": "object", "additionalProperties": _WHOLE, "description": "workers by status"}


def _object(what: str, /, **properties: Schema) -> Schema:
    """All of them are required."""
    return {"type": "object", "description": what, "properties": properties, "required": list(properties)}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


_WORKFLOW = _object(
    "a workflow",
    name=_TEXT, working_dir=_TEXT_OR_NULL, status=_STATUS, created_at=_INSTANT, started_at=_INSTANT_OR_NULL,
    completed_at=_INSTANT_OR_NULL, deleted_at=_INSTANT_OR_NULL, phase=_PHASE, reason=_TEXT_OR_NULL,
)  # fmt: skip
_RUN = _object(
    "a run",
    id=_WHOLE, uuid=_TEXT, workflow_name=_TEXT, kind={"enum": ["workflow", "worker"]}, worker=_TEXT_OR_NULL,
    status=_STATUS, reason_code=_TEXT_OR_NULL, reason=_TEXT_OR_NULL, trigger=_TEXT, queued_at=_INSTANT,
    started_at=_INSTANT_OR_NULL, completed_at=_INSTANT_OR_NULL, duration_seconds=_NUMBER_OR_NULL, version=_WHOLE,
    counts=_COUNTS,
)  # fmt: skip
_STATE = {
    "name": _TEXT, "status": _STATUS, "phase": _PHASE, "reason": _TEXT_OR_NULL, "reason_code": _TEXT_OR_NULL,
    "started_at": _INSTANT_OR_NULL, "completed_at": _INSTANT_OR_NULL, "attempt": _WHOLE,
    "exit_code": _WHOLE_OR_NULL, "signal": _WHOLE_OR_NULL, "pid": _WHOLE_OR_NULL, "due_at": _INSTANT_OR_NULL,
    "notices": _list(_TEXT), "version": _WHOLE_OR_NULL,
}  # fmt: skip
_WHY = _object("a worker and why it is so", workflow_name=_TEXT, run_id=_WHOLE_OR_NULL, **_STATE)
_LINE_TYPE: Schema = {
    "enum": ["stdout", "stderr", "gap", "truncated"],
    "description": "of the last two, which tell what of the log is gone, there is no content (docs/streams.md)",
}
_LINE: Schema = {
    "type": "object",
    "description": "a line of a log",
    "properties": {"type": _LINE_TYPE, "content": _TEXT},
    "required": ["type"],
    "if": {"properties": {"type": {"enum": ["stdout", "stderr"]}}},
    "then": {"required": ["content"]},
}
_NAMED_LINE: Schema = {
    **_LINE, "properties": {"worker": _TEXT, **_LINE["properties"]}, "required": ["worker", "type"],
}  # fmt: skip
_FOLLOWED_LINE: Schema = {
    **_NAMED_LINE,
    "description": "a line of a log, or what befell it",
    "properties": {
        "worker": _TEXT,
        "type": {"enum": ["stdout", "stderr", "attempt", "gap", "truncated", "end", "error"]},
        "content": _TEXT,
        "time": _INSTANT_OR_NULL,
    },
}
_TEXTS: Schema = {"type": ["object", "null"], "additionalProperties": _TEXT}
_WORKER = _object(
    "a worker: definition and state",
    workflow_name=_TEXT, name=_TEXT, command=_TEXT, args={"type": ["array", "null"], "items": _TEXT},
    working_dir=_TEXT_OR_NULL, env_vars=_TEXTS, inputs=_TEXTS, outputs={"type": ["object", "null"]}, status=_STATUS,
    error_message=_TEXT_OR_NULL, created_at=_INSTANT, started_at=_INSTANT_OR_NULL, completed_at=_INSTANT_OR_NULL,
    deleted_at=_INSTANT_OR_NULL, phase=_PHASE, reason=_TEXT_OR_NULL, depends_on=_list(_TEXT),
)  # fmt: skip
_KIND: Schema = {"enum": ["task", "service"]}
_METRICS = _object(
    "what its process tree uses (docs/metrics.md)",
    cpu_usage=_TEXT, memory_usage=_TEXT, runtime=_TEXT, status=_STATUS, cpu_percent=_NUMBER_OR_NULL,
    memory_bytes=_WHOLE_OR_NULL, runtime_seconds=_NUMBER_OR_NULL, pid=_WHOLE_OR_NULL, num_processes=_WHOLE_OR_NULL,
    num_threads=_WHOLE_OR_NULL, num_descriptors=_WHOLE_OR_NULL, attempt=_WHOLE_OR_NULL, cpu_seconds=_NUMBER_OR_NULL,
    read_bytes=_WHOLE_OR_NULL, written_bytes=_WHOLE_OR_NULL, peak_memory_bytes=_WHOLE_OR_NULL,
    peak_num_processes=_WHOLE_OR_NULL, peak_num_threads=_WHOLE_OR_NULL, peak_num_descriptors=_WHOLE_OR_NULL,
)  # fmt: skip
_DEFECT = _object("a finding", check=_TEXT, where=_TEXT, what=_TEXT, remedy=_TEXT)
_REMARK = _object("what became of it", worker=_TEXT_OR_NULL, count=_WHOLE_OR_NULL, text=_TEXT)
_PROBLEM = _object(
    "a problem of a definition",
    code=_TEXT, message=_TEXT, pointer={**_TEXT, "description": "JSON Pointer (RFC 6901)"},
    suggestion=_TEXT_OR_NULL, line=_WHOLE_OR_NULL, column=_WHOLE_OR_NULL,
)  # fmt: skip
_FINDING = _object(
    "a finding",
    subject=_TEXT, level={"enum": ["ok", "degraded", "broken"]}, found=_TEXT, instead=_TEXT_OR_NULL,
)  # fmt: skip


def _with(schema: Schema, /, **more: Schema) -> Schema:
    return _object(schema["description"], **schema["properties"], **more)


_ATTEMPT = _object(
    "an attempt: one process of a worker",
    uuid=_TEXT, worker=_TEXT, number=_WHOLE, status=_STATUS, pid=_WHOLE_OR_NULL, exit_code=_WHOLE_OR_NULL,
    signal=_WHOLE_OR_NULL, reason_code=_TEXT_OR_NULL, reason=_TEXT_OR_NULL, started_at=_INSTANT_OR_NULL,
    completed_at=_INSTANT_OR_NULL, duration_seconds=_NUMBER_OR_NULL, user_seconds=_NUMBER_OR_NULL,
    system_seconds=_NUMBER_OR_NULL, max_rss_bytes=_WHOLE_OR_NULL, stdout=_TEXT_OR_NULL, stderr=_TEXT_OR_NULL,
)  # fmt: skip
_WHOLE_RUN = _with(_RUN, workers=_list(_object("a worker", **_STATE)), attempts=_list(_ATTEMPT))
_EVENT = _object(
    "an event",
    id=_WHOLE, at=_INSTANT, subject={**_TEXT, "description": "workflow or workflow/worker"},
    kind={**_TEXT, "description": "what it is of and what became of it: run.started, worker.failed, …"},
    run_id=_WHOLE_OR_NULL, payload={"type": ["object", "null"]}, actor=_TEXT_OR_NULL,
)  # fmt: skip


ANSWERS: dict[str, tuple[str, Callable[[], Schema]]] = {
    "list": ("wattle list --json", lambda: _list(_WORKFLOW)),
    "runs": ("wattle runs WF --json", lambda: _list(_RUN)),
    "status": ("wattle status --json", lambda: _list(_with(_WORKFLOW, counts=_or_null(_COUNTS)))),
    "status-workflow": (
        "wattle status WF --json",
        lambda: _with(_WORKFLOW, run=_or_null(_RUN), workers=_list(_object("a worker", **_STATE))),
    ),
    "status-worker": (
        "wattle status WF/WORKER --json",
        lambda: _with(_WHY, kind=_KIND, metrics=_or_null(_METRICS), log=_list(_LINE)),
    ),
    "show-workflow": ("wattle show WF --json", lambda: _with(_WORKFLOW, workers=_list(_WORKER))),
    "show-worker": ("wattle show WF/WORKER --json", lambda: _WORKER),
    "why": ("wattle why WF/WORKER --json", lambda: _WHY),
    "kill": (
        "wattle kill WF/WORKER --json",
        lambda: _list(
            _object(
                "a signal that was sent",
                worker=_TEXT, signal=_TEXT, number=_WHOLE, scope={"enum": ["tree", "leader"]}, run_id=_WHOLE,
                attempt=_WHOLE, processes=_WHOLE, pids=_list(_WHOLE), refused=_list(_WHOLE),
            )
        ),
    ),
    "why-workflow": ("wattle why WF --json", lambda: _list(_WHY)),
    "logs": ("wattle logs WF --json", lambda: _list(_NAMED_LINE)),
    "logs-follow": (
        "wattle logs WF -f --json, each line; docs/streams.md has what else is in it",
        lambda: _FOLLOWED_LINE,
    ),
    "wait": ("wattle wait RUN|WF --json", lambda: _WHOLE_RUN),
    "history": ("wattle history WF --json, oldest first", lambda: _list(_WHOLE_RUN)),
    "events": ("wattle events --jsonl, each line", lambda: _EVENT),
    "top": (
        "wattle top --json",
        lambda: _list(
            _with(
                _METRICS,
                name={**_TEXT, "description": "workflow/worker"}, state=_TEXT, elapsed=_NUMBER_OR_NULL,
            )
        ),
    ),
    "validate": (
        "wattle validate FILE --json",
        lambda: _list(_object("a file", file=_TEXT, valid={"type": "boolean"}, problems=_list(_PROBLEM))),
    ),
    "import": (
        "wattle import KIND FILE --json, on stderr",
        lambda: _object("the report", kept=_list(_REMARK), changed=_list(_REMARK), left_out=_list(_REMARK)),
    ),
    "doctor": (
        "wattle doctor --json",
        lambda: _object("the machine", level=_FINDING["properties"]["level"], version=_TEXT, findings=_list(_FINDING)),
    ),
    "fsck": (
        "wattle fsck --json",
        lambda: _object(
            "the data directory",
            ok={"type": "boolean"}, runs=_WHOLE, daemon={}, keeper={}, defects=_list(_DEFECT), notes=_list(_DEFECT),
        ),
    ),
    "error": (
        "any verb with --json or --jsonl that could not do its work: a line on stderr, nothing on stdout",
        lambda: _object(
            "an error",
            code=_TEXT, message=_TEXT, exit_status={"enum": [2, 3, 4, 5, 124]},
            next={**_TEXT_OR_NULL, "description": "the command to try"}, details=_list(_PROBLEM),
        ),
    ),
}  # fmt: skip


def schema_of(answer: str) -> Schema:
    """`answer` is a key of ANSWERS."""
    title, make = ANSWERS[answer]
    return {"$schema": DIALECT, "title": title, **make()}
