"""A document becomes a `Workflow`, or every problem it has is raised at once, in the documented order.

Decided from the document and the `Context` alone: no file is looked at.
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from wattle.definition.canonical import digest
from wattle.definition.model import Worker, Workflow
from wattle.definition.names import nfc, why_not_workflow
from wattle.definition.paths import Context, absolute, why_not_path
from wattle.definition.problems import Problems, Stage, shown
from wattle.definition.references import Known, Needs, check_cycles, check_references
from wattle.definition.workers import WorkerReader, check_variables

if TYPE_CHECKING:
    from wattle.definition.schema import WorkflowHeader
    from wattle.definition.shape import Shape

__all__ = ["Context", "check", "read_workflow", "without_worker"]

_ANYWHERE = Context("/", "/", "/", data_dir="")  # for documents whose paths are all absolute


def read_workflow(document: object, context: Context, *, text: str | None = None) -> Workflow:
    """The Workflow that a JSON value means.

    Raises Malformed where the first problem is one of shape (types, fields, names), else Invalid; `details`
    holds every problem, with line and column where `text`, the document's own text, is given.
    """
    from wattle.definition.shape import read_shape

    problems = Problems()
    shape = read_shape(document, problems)
    name = _name(shape)
    directory = _directory(shape, name, context, problems)
    if shape.header:
        check_variables(shape.header.env_vars, (), "", problems)
    workers = _workers(shape, WorkerReader(name, directory, set(shape.worker_names()), context, problems))
    problems.raise_any(text)
    assert shape.header and name and directory  # had they been malformed, there were problems
    return _assembled(shape.header, name, directory, workers, shape.raw)


def check(document: Mapping[str, Any]) -> Workflow:
    """A stored, normalised document once more: an equal Workflow, or Invalid where a worker has gone since."""
    return read_workflow(document, _ANYWHERE)


def without_worker(document: Mapping[str, Any], worker_name: str) -> dict[str, Any]:
    """The normalised document without that worker, unchecked: what needs it makes the next start Invalid."""
    name = nfc(worker_name)
    return {**document, "workers": [worker for worker in document["workers"] if worker["name"] != name]}


def _name(shape: "Shape") -> str | None:
    """The workflow's name where it has a good one, whatever else is wrong with the header."""
    name = shape.raw.get("name")
    return nfc(name) if isinstance(name, str) and not why_not_workflow(name) else None


def _directory(shape: "Shape", name: str | None, context: Context, problems: Problems) -> str | None:
    """The workflow's working directory, None where it cannot be known."""
    given = shape.raw.get("working_dir")
    if given is None and name is not None:
        directory = absolute(f"./{name}", context.work_dir, context.home)
    elif isinstance(given, str) and given:
        directory = absolute(given, context.base_dir, context.home)
    else:
        return None
    if reason := why_not_path(directory):
        problems.add(Stage.VALUE, ("working_dir",), f"working_dir '{shown(directory)}' {reason}")
    return directory


def _workers(shape: "Shape", reader: WorkerReader) -> list[Worker]:
    """The well-formed workers; everything that is wrong with them and between them is in the reader's problems."""
    from wattle.definition.shape import read_worker

    names = shape.worker_names()
    outputs: dict[str, Collection[str] | None] = {}
    everyone: list[Needs] = []
    for position, (name, raw) in enumerate(zip(names, shape.raw_workers, strict=True)):
        if name is not None and name in outputs:
            message = f"worker '{shown(name)}' stands twice; names must be unique in a workflow"
            reader.problems.add(Stage.VALUE, ("workers", position, "name"), message)
        model = read_worker(raw, position, reader.problems)
        worker = reader.read(position, model, raw) if model else None
        if name is not None:
            outputs.setdefault(name, worker.outputs if worker else None)
        if worker:
            everyone.append(Needs(position, worker, raw.get("inputs") or {}, raw.get("depends_on") or []))
    known = Known(outputs, complete=None not in names)
    for needs in everyone:
        check_references(needs, known, reader.problems)
    check_cycles(everyone, reader.problems)
    return [needs.worker for needs in everyone]


def _assembled(
    header: "WorkflowHeader", name: str, directory: str, workers: list[Worker], raw: Mapping[str, Any]
) -> Workflow:
    document = {key: value for key, value in raw.items() if key != "$schema"}
    document |= {"name": name, "working_dir": directory, "workers": [worker.document for worker in workers]}
    if header.env_vars is not None:
        document["env_vars"] = header.env_vars
    return Workflow(
        name=name,
        working_dir=directory,
        workers=tuple(workers),
        document=document,
        digest=digest(document),
        description=header.description,
        env_vars=header.env_vars or {},
        max_parallel=10 if header.max_parallel is None else header.max_parallel,
        timeout_seconds=header.timeout_seconds,
    )
