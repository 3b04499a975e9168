"""Document to schema models, and the shape problems on the way: types, fields, names.

The header and each worker are read apart, so that one malformed worker does not hide what can be said about
the others. Unknown fields are set aside first: a worker with a field too many is still judged in full.
"""

import re
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from wattle.definition.names import nfc
from wattle.definition.places import Path
from wattle.definition.problems import Problems, Stage, it_is, shown
from wattle.definition.schema import (
    LogDocument,
    OutputDocument,
    ParamDocument,
    ProbeDocument,
    RestartDocument,
    RetryDocument,
    RlimitsDocument,
    StopDocument,
    WorkerDocument,
    WorkflowDocument,
    WorkflowHeader,
)
from wattle.definition.signals import NUMBERS

_TEXTS = {
    "string_type": "must be a string",
    "string_unicode": "must be a string of valid Unicode",
    "string_pattern_mismatch": "must not hold NUL",
    "string_too_short": "must not be empty",
    "int_type": "must be an integer",
    "int_from_float": "must be an integer",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be an array",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
}  # fmt: skip
# What other tools call the same thing, where the spelling alone does not tell.
_CALLED_ELSEWHERE = {
    "cmd": "command", "run": "command", "script": "command", "exec": "command",
    "env": "env_vars", "environment": "env_vars", "cwd": "working_dir", "workdir": "working_dir", "dir": "working_dir",
    "needs": "depends_on", "depends": "depends_on", "dependencies": "depends_on", "after": "depends_on",
    "timeout": "timeout_seconds", "retries": "retry", "max_retries": "retry", "attempts": "retry",
    "tasks": "workers", "steps": "workers", "jobs": "workers", "nodes": "workers",
    "parameters": "params", "arguments": "params", "envfile": "env_file", "dotenv": "env_file",
    "readiness_probe": "ready", "readiness": "ready", "healthcheck": "alive", "health_check": "alive",
    "liveness_probe": "alive", "liveness": "alive", "restart_policy": "restart", "type": "kind",
    "niceness": "nice", "ulimit": "rlimits", "ulimits": "rlimits", "memory": "memory_max_bytes",
    "mem_limit": "memory_max_bytes", "memory_limit": "memory_max_bytes", "run_as": "user",
    "logs": "log", "logging": "log", "log_max_bytes": "log",
    "concurrency": "max_parallel", "parallelism": "max_parallel", "id": "name", "title": "name",
}  # fmt: skip
_Model = TypeVar("_Model", bound=BaseModel)


def _fields(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(field.alias or name for name, field in model.model_fields.items())


_WORKFLOW_FIELDS = _fields(WorkflowDocument)
_WORKER_FIELDS = _fields(WorkerDocument)
_NESTED_FIELDS = {
    "retry": _fields(RetryDocument), "stop": _fields(StopDocument), "outputs": _fields(OutputDocument),
    "params": _fields(ParamDocument), "restart": _fields(RestartDocument), "ready": _fields(ProbeDocument),
    "alive": _fields(ProbeDocument), "rlimits": _fields(RlimitsDocument),
    "log": _fields(LogDocument),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """The parts of a document: `header` is None where it is malformed, `raw_workers` are not yet judged."""

    raw: dict[str, Any]
    header: WorkflowHeader | None
    raw_workers: list[Any]

    def worker_names(self) -> list[str | None]:
        """NFC names by position, of malformed workers too where they have one."""
        names = (raw.get("name") if isinstance(raw, dict) else None for raw in self.raw_workers)
        return [nfc(name) if isinstance(name, str) else None for name in names]


def read_shape(document: object, problems: Problems) -> Shape:
    """The parts of `document`, with its header judged; the workers follow one by one by `read_worker`."""
    if not isinstance(document, dict):
        problems.add(Stage.SHAPE, (), f"A workflow must be an object{it_is(document)}")
        return Shape({}, None, [])
    known = _known(document, _WORKFLOW_FIELDS, (), "", problems)
    raw_workers = known.get("workers")
    header = _read(WorkflowHeader, {key: known[key] for key in known if key != "workers"}, (), "", problems)
    if "workers" not in document:
        problems.add(Stage.SHAPE, ("workers",), "field 'workers' is missing")
    elif not isinstance(raw_workers, list):
        problems.add(Stage.SHAPE, ("workers",), f"'workers' must be an array{it_is(raw_workers)}")
    return Shape(document, header, raw_workers if isinstance(raw_workers, list) else [])


def read_worker(raw: object, position: int, problems: Problems) -> WorkerDocument | None:
    """The worker where it is well-formed (but for unknown fields, which are problems of their own)."""
    path: Path = ("workers", position)
    if not isinstance(raw, dict):
        problems.add(Stage.SHAPE, path, f"workers[{position}] must be an object{it_is(raw)}")
        return None
    name = raw.get("name")
    subject = f"worker '{shown(name)}': " if isinstance(name, str) and name else f"workers[{position}]: "
    return _read(WorkerDocument, _known(raw, _WORKER_FIELDS, path, subject, problems), path, subject, problems)


def _known(raw: dict[str, Any], fields: frozenset[str], path: Path, subject: str, problems: Problems) -> dict[str, Any]:
    if raw.keys() <= fields:
        return raw
    for key in raw:
        if key not in fields:
            _add_unknown(str(key), fields, (*path, key), subject, problems)
    return {key: value for key, value in raw.items() if key in fields}


def _add_unknown(key: str, fields: frozenset[str], path: Path, subject: str, problems: Problems) -> None:
    called = _CALLED_ELSEWHERE.get(key)
    hint = f"did you mean `{called}`?" if called in fields else problems.did_you_mean(key, sorted(fields))
    problems.add(Stage.SHAPE, path, f"{subject}field '{shown(key)}' is unknown", suggestion=hint)


def _read(model: type[_Model], raw: dict[str, Any], path: Path, subject: str, problems: Problems) -> _Model | None:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        if problems.is_full(Stage.SHAPE):
            problems.count(error.error_count())
            return None
        for each in error.errors(include_url=False, include_input=False):
            _add(each, raw, path, subject, problems)
        return None


def _add(error: Any, raw: dict[str, Any], path: Path, subject: str, problems: Problems) -> None:
    """One pydantic error in our words, at a path that is really in the document."""
    kind, location = error["type"], error["loc"]
    within, value = _resolve(raw, location)
    if kind == "missing":
        where = _spoken((*within, location[-1]))
        problems.add(Stage.SHAPE, (*path, *within, location[-1]), f"{subject}field {where} is missing")
    elif kind == "extra_forbidden":
        _add_unknown(str(within[-1]), _NESTED_FIELDS[str(within[0])], (*path, *within), subject, problems)
    elif kind in ("signal", "signal_type") and isinstance(value, str):
        hint = problems.did_you_mean(value.upper().removeprefix("SIG"), sorted(NUMBERS))
        problems.add(Stage.SHAPE, (*path, *within), f"{subject}'{shown(value)}' is not a signal", suggestion=hint)
    elif kind == "name":
        message = f"{subject or 'workflow '}{_spoken_name(within, value)} {error['ctx']['reason']}"
        problems.add(Stage.SHAPE, (*path, *within), message)
    else:
        problems.add(Stage.SHAPE, (*path, *within), f"{subject}{_spoken(within)} {_reason(error, within, value)}")


def _reason(error: Any, within: Path, value: object) -> str:
    kind = error["type"]
    if kind == "model_type" and within[0] == "outputs":
        return f"must be a path or an object{it_is(value)}"
    if kind == "model_type" and within[-1] == "restart":
        return f"must be a policy or an object{it_is(value)}"
    if kind == "literal_error":
        found = f" (it is '{shown(value)}')" if isinstance(value, str) else it_is(value)
        return f"must be {error['ctx']['expected']}{found}"
    if kind == "int_type" and isinstance(value, float):
        return f"must be an integer (it is {value})"
    if kind in _TEXTS:
        return _TEXTS[kind] + (it_is(value) if kind.endswith("_type") else "")
    return re.sub("^[A-Z][a-z]+ should", "must", error["msg"])


def _spoken_name(within: Path, value: object) -> str:
    """`output name 'a/b'`: the name is a key of the document, but for `name` itself."""
    kinds = {"inputs": "input ", "outputs": "output ", "env_vars": "variable ", "params": "param ",
             "inherit_env": "variable "}  # fmt: skip
    kind = kinds.get(str(within[0]), "")
    name = within[-1] if kind and len(within) > 1 and isinstance(within[-1], str) else value
    return f"{kind}name '{shown(str(name))}'" if kind == "" or len(within) > 1 else f"{kind}name"


def _resolve(raw: Any, location: tuple[int | str, ...]) -> tuple[Path, Any]:
    """The part of a pydantic location that the document has (tags such as `[key]` it has not), and what is there."""
    within: list[int | str] = []
    for part in location:
        if (isinstance(raw, dict) and part in raw) or (isinstance(raw, list) and isinstance(part, int)):
            within.append(part)
            raw = raw[part]  # type: ignore[index]  # an int where it is a list
    return tuple(within), raw


def _spoken(within: Path) -> str:
    """`'inputs.x'`, `'args[1]'`"""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in within)
    return f"'{shown(''.join(parts).removeprefix('.'))}'"
