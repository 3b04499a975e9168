"""A document becomes a `Workflow`, or every problem it has is raised at once, in the documented order.

Decided from the document and the `Context` alone: no file is looked at.
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from wattle.definition.canonical import digest
from wattle.definition.model import Param, Template, Worker, Workflow
from wattle.definition.names import nfc, why_not_workflow
from wattle.definition.params import LIMIT_BYTES, as_json, why_not_value
from wattle.definition.paths import Context, absolute, why_not_path
from wattle.definition.placeholders import OPENING, read_template, scope_of_run
from wattle.definition.problems import Problems, Stage, shown
from wattle.definition.references import Known, Needs, check_cycles, check_references
from wattle.definition.workers import WorkerReader, check_variables, why_not_template

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
    params: dict[str, Param] | None = None
    env_templates: dict[str, Template] = {}
    env_file = None
    if shape.header:
        params = _params(shape.header, problems)
        check_variables(shape.header.env_vars, (), "", problems)
        env_templates = _env_templates(shape.header, params, problems)
        env_file = _env_file(shape.header, context, problems)
    reader = WorkerReader(name, directory, set(shape.worker_names()), context, problems, params)
    workers = _workers(shape, reader)
    problems.raise_any(text)
    assert shape.header and name and directory and params is not None  # had they been malformed, there were problems
    document = _document(shape.header, name, directory, env_file, workers, shape.raw)
    return Workflow(
        name=name,
        working_dir=directory,
        workers=tuple(workers),
        document=document,
        digest=digest(document),
        description=shape.header.description,
        env_vars=shape.header.env_vars or {},
        max_parallel=10 if shape.header.max_parallel is None else shape.header.max_parallel,
        timeout_seconds=shape.header.timeout_seconds,
        params=params,
        env_file=env_file,
        env_templates=env_templates,
        has_placeholders=reader.has_placeholders or bool(env_templates),
        has_path_placeholders=reader.has_path_placeholders,
    )


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
    if reason := why_not_path(directory) or why_not_template(directory):  # the name may be a part of it
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


def _params(header: "WorkflowHeader", problems: Problems) -> dict[str, Param]:
    params: dict[str, Param] = {}
    for raw_name, given in (header.params or {}).items():
        name, at = nfc(raw_name), ("params", raw_name)
        kind, default = given.type or "string", given.default
        if name in params:
            problems.add(Stage.VALUE, at, f"param '{shown(name)}' stands twice")
        if default is not None:
            if reason := why_not_value(kind, default):
                problems.add(Stage.VALUE, (*at, "default"), f"param '{shown(name)}': its default {reason}")
            if given.required:
                message = f"param '{shown(name)}' is required and has a default, which would never be used"
                problems.add(Stage.VALUE, (*at, "required"), message, suggestion="remove one of the two")
        required = default is None if given.required is None else given.required
        params[name] = Param(kind, default, required, given.description)
    defaults = as_json({name: param.default for name, param in params.items()})
    if (size := len(defaults.encode("utf-8", "surrogatepass"))) > LIMIT_BYTES:
        message = f"the defaults of the params have {size} bytes together; the limit is {LIMIT_BYTES}"
        problems.add(Stage.VALUE, ("params",), message)
    return params


def _env_templates(header: "WorkflowHeader", params: Mapping[str, Param], problems: Problems) -> dict[str, Template]:
    templates = {}
    scope = scope_of_run(params, "a variable of the workflow", problems.did_you_mean)
    for name, value in (header.env_vars or {}).items():
        if OPENING in value:

            def complain(message: str, suggestion: str | None, name: str = name) -> None:
                text = f"'env_vars.{shown(name)}' {message}"
                problems.add(Stage.VALUE, ("env_vars", name), text, suggestion=suggestion)

            templates[name] = read_template(value, scope, complain)
    return templates


def _env_file(header: "WorkflowHeader", context: Context, problems: Problems) -> str | None:
    if not header.env_file:
        return None
    path = absolute(header.env_file, context.base_dir, context.home)
    if reason := why_not_path(path) or why_not_template(header.env_file):
        problems.add(Stage.VALUE, ("env_file",), f"env_file '{shown(path)}' {reason}")
    return path


def _document(
    header: "WorkflowHeader",
    name: str,
    directory: str,
    env_file: str | None,
    workers: list[Worker],
    raw: Mapping[str, Any],
) -> dict[str, Any]:
    document = {key: value for key, value in raw.items() if key != "$schema"}
    document |= {"name": name, "working_dir": directory, "workers": [worker.document for worker in workers]}
    if header.env_vars is not None:
        document["env_vars"] = header.env_vars
    if header.params is not None:
        document["params"] = {nfc(name): dict(given) for name, given in raw["params"].items()}
    if env_file is not None:
        document["env_file"] = env_file
    return document
