"""A WfCommons instance (schema 1.5, github.com/wfcommons/WfFormat): from bytes to plain values.

The models say what it may look like; fields that a replay does not need are neither read nor judged. What
they cannot say is checked after them: ids are unique, parents and children exist and agree, nothing needs
itself. Every problem is raised at once, with its place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wattle.definition.document import parse_json
from wattle.definition.graph import Graph
from wattle.definition.places import Path
from wattle.definition.problems import CYCLE_MESSAGE, CYCLE_ZH, Problems, Stage, shown

SCHEMA_VERSION = "1.5"
MAX_BYTES = 64 * 1024 * 1024
TASKS: Path = ("workflow", "specification", "tasks")
FILES: Path = ("workflow", "specification", "files")
EXECUTED: Path = ("workflow", "execution", "tasks")


@dataclass(frozen=True, slots=True)
class Task:
    """`inputs` and `outputs` are ids of files, each once; `runtime_seconds` is None where none is recorded."""

    id: str
    parents: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    runtime_seconds: float | None


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance without problems. `sizes`: `{file id: bytes}`; `strangers`: executed tasks that are none of its."""

    name: str
    description: str | None
    tasks: tuple[Task, ...]
    sizes: Mapping[str, int]
    strangers: int


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


_Id = Annotated[str, Field(min_length=1)]


class _Task(_Part):
    id: _Id
    parents: list[str]
    children: list[str]
    inputs: list[_Id] | None = Field(None, alias="inputFiles")
    outputs: list[_Id] | None = Field(None, alias="outputFiles")


class _File(_Part):
    id: _Id
    size: int = Field(alias="sizeInBytes", ge=0)


class _Executed(_Part):
    id: _Id
    runtime_seconds: float = Field(alias="runtimeInSeconds")


class _Specification(_Part):
    tasks: list[Any] = Field(min_length=1)
    files: list[Any] | None = None


class _Execution(_Part):
    tasks: list[Any]


class _Workflow(_Part):
    specification: _Specification
    execution: _Execution | None = None


class _Document(_Part):
    name: _Id
    description: str | None = None
    workflow: _Workflow


_Model = TypeVar("_Model", bound=BaseModel)
_TEXTS = {
    "missing": "is missing",
    "string_type": "must be a string",
    "string_unicode": "must be a string of valid Unicode",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "int_type": "must be an integer",
    "int_from_float": "must be an integer",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than_equal": "must not be negative",
    "list_type": "must be an array",
    "model_type": "must be an object",
}


def read_instance(data: bytes) -> Instance:
    """The instance in the bytes of a JSON file.

    Raises Malformed or Invalid, `details` holding every problem with line and column; TooLarge over MAX_BYTES.
    """
    document = parse_json(data, max_bytes=MAX_BYTES)
    problems = Problems()
    instance = _read_instance(document, problems)
    problems.raise_any(data.decode())
    assert instance is not None
    return instance


def _read_instance(document: object, problems: Problems) -> Instance | None:
    if not isinstance(document, dict):
        problems.add(Stage.SHAPE, (), "A WfCommons instance must be an object")
        return None
    version = document.get("schemaVersion")
    if version != SCHEMA_VERSION:  # others have their parts elsewhere: nothing more can be said about them
        problems.add(Stage.SHAPE, ("schemaVersion",), *_about_version(version))
        return None
    head = _read(_Document, document, (), problems)
    if head is None:
        return None
    parts = head.workflow
    tasks = _read_all(_Task, parts.specification.tasks, TASKS, problems)
    files = _read_all(_File, parts.specification.files or [], FILES, problems)
    executed = _read_all(_Executed, parts.execution.tasks if parts.execution else [], EXECUTED, problems)
    sizes = _sizes(files, problems)
    runtimes = _runtimes(executed, problems)
    if len(problems):
        return None
    _check_family(tasks, problems)
    if len(problems):
        return None
    return Instance(
        name=head.name,
        description=head.description,
        tasks=tuple(_task(task, runtimes.get(task.id)) for task in tasks),
        sizes=sizes,
        strangers=len(runtimes.keys() - {task.id for task in tasks}),
    )


def _about_version(version: object) -> tuple[str]:
    if version is None:
        return ("schemaVersion is missing: is this a WfCommons instance?",)
    return (
        f"schemaVersion is {shown(repr(version), 40)}; only '{SCHEMA_VERSION}' is read (WfFormat's "
        f"tools/wfcommons-migrate-instance.py turns older instances into it)",
    )


def _task(task: _Task, runtime_seconds: float | None) -> Task:
    return Task(
        id=task.id,
        parents=_distinct(task.parents),
        inputs=_distinct(task.inputs),
        outputs=_distinct(task.outputs),
        runtime_seconds=runtime_seconds,
    )


def _distinct(ids: Sequence[str] | None) -> tuple[str, ...]:
    """Each once. The schema allows an empty id among parents and children: it names nothing."""
    return tuple(dict.fromkeys(filter(None, ids or ())))


def _read_all(model: type[_Model], raw: Sequence[Any], at: Path, problems: Problems) -> list[_Model]:
    read = (_read(model, each, (*at, position), problems) for position, each in enumerate(raw))
    return [each for each in read if each is not None]


def _read(model: type[_Model], raw: object, at: Path, problems: Problems) -> _Model | None:
    """The part one by one, so that one that is malformed costs and hides no other."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        if problems.is_full(Stage.SHAPE):
            problems.count(error.error_count())
            return None
        for each in error.errors(include_url=False, include_input=False, include_context=False):
            path = (*at, *each["loc"])
            reason = _TEXTS.get(each["type"], each["msg"][:1].lower() + each["msg"][1:])
            problems.add(Stage.SHAPE, path, f"{_spoken(path)} {reason}")
        return None


def _spoken(path: Path) -> str:
    """`workflow.specification.tasks[3].parents[0]`"""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".") or "the instance"


def _sizes(files: Sequence[_File], problems: Problems) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for position, file in enumerate(files):
        if sizes.setdefault(file.id, file.size) != file.size:
            message = f"file '{shown(file.id)}' stands twice, with {sizes[file.id]} and {file.size} bytes"
            problems.add(Stage.VALUE, (*FILES, position, "id"), message)
    return sizes


def _runtimes(executed: Sequence[_Executed], problems: Problems) -> dict[str, float]:
    runtimes: dict[str, float] = {}
    for position, each in enumerate(executed):
        if each.id in runtimes:
            message = f"task '{shown(each.id)}' stands twice among the executed ones"
            problems.add(Stage.VALUE, (*EXECUTED, position, "id"), message)
        runtimes[each.id] = each.runtime_seconds
    return runtimes


def _check_family(tasks: Sequence[_Task], problems: Problems) -> None:
    """Parents and children: each exists, each says the same of the other, and no task comes before itself."""
    positions: dict[str, int] = {}
    for position, task in enumerate(tasks):
        if positions.setdefault(task.id, position) != position:
            message = f"task '{shown(task.id)}' stands twice; ids must be unique"
            problems.add(Stage.VALUE, (*TASKS, position, "id"), message)
    parents = [set(task.parents) for task in tasks]
    children = [set(task.children) for task in tasks]
    for position, task in enumerate(tasks):
        for one, other, theirs in (("parents", "children", children), ("children", "parents", parents)):
            for index, relative in enumerate(getattr(task, one)):
                if not relative:
                    continue
                at = (*TASKS, position, one, index)
                if relative not in positions:
                    message = f"task '{shown(task.id)}': '{shown(relative)}' of its {one} is no task of this instance"
                    hint = problems.did_you_mean(relative, positions)
                    problems.add(Stage.DEPENDENCY, at, message, suggestion=hint)
                elif task.id not in theirs[positions[relative]]:
                    message = (
                        f"task '{shown(task.id)}' has '{shown(relative)}' among its {one}, "
                        f"but is not among the {other} of '{shown(relative)}'"
                    )
                    problems.add(Stage.DEPENDENCY, at, message)
    if not len(problems):
        _check_cycles(tasks, positions, problems)


def _check_cycles(tasks: Sequence[_Task], positions: Mapping[str, int], problems: Problems) -> None:
    def these(ids: Sequence[str]) -> tuple[int, ...]:
        return tuple(sorted({positions[each] for each in ids if each}))

    names = tuple(shown(task.id) for task in tasks)
    parents = tuple(these(task.parents) for task in tasks)
    graph = Graph(names, parents, tuple(these(task.children) for task in tasks), ())
    for cycle in graph.cycles():
        path = " → ".join(names[at] for at in (*cycle, cycle[0]))
        at = (*TASKS, cycle[0], "parents")
        problems.add(Stage.CYCLE, at, f"{CYCLE_MESSAGE}: {path}", zh=f"{CYCLE_ZH}: {path}")
