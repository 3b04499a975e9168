"""A definition as one run sees it: its params have values, its output paths no placeholders.

What stands in commands, arguments and variables is filled in later, worker by worker, when an order is made
(supervisor/orders.py): a workflow of 10,000 workers starts no slower for it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from wattle.definition.model import Output, Worker, Workflow
from wattle.definition.params import CODE, text_of
from wattle.definition.paths import Context, absolute, log_owner, why_not_output
from wattle.definition.placeholders import Values, fill
from wattle.definition.problems import shown
from wattle.errors import Invalid, Problem

_MOST_DETAILS = 100


def resolve(workflow: Workflow, values: Mapping[str, Any], run_id: int | None) -> Workflow:
    """The workflow in the run `run_id` (None: not known yet) with these values of its params (params.py, `bind`)."""
    shared = Values(params={name: text_of(value) for name, value in values.items()}, run_id=_text(run_id))
    workers = workflow.workers
    if workflow.has_path_placeholders:
        workers = tuple(_resolved(worker, shared) for worker in workers)
    env_vars = workflow.env_vars
    if workflow.env_templates:
        env_vars = {**env_vars, **{name: fill(text, shared) for name, text in workflow.env_templates.items()}}
    return replace(workflow, workers=workers, env_vars=env_vars, env_templates={}, values=values, run_id=_text(run_id))


def check_paths(workflow: Workflow, resolved: Workflow, context: Context) -> None:
    """Invalid `INVALID_PARAMS` where the values put an output where none may be (as at validation)."""
    if not workflow.has_path_placeholders:
        return
    problems: list[Problem] = []
    writers: dict[str, str] = {}
    names = {worker.name for worker in resolved.workers}
    for before, worker in zip(workflow.workers, resolved.workers):
        for name, output in worker.outputs.items():
            subject = f"{worker.name}/{name}"
            owner = log_owner(output.path, resolved.working_dir)
            writer = writers.setdefault(output.path, subject)
            given = before.outputs[name]
            reason = None
            if given.template is not None:
                written = fill(given.template, _shared(resolved))
                directories = (worker.working_dir, resolved.working_dir)
                reason = "holds NUL" if "\0" in written else why_not_output(written, output.path, directories, context)
            if reason is None and owner in names:
                reason = f"is the log of worker '{owner}'"
            if reason is None and writer != subject:
                reason = f"is also written by '{writer}'"
            if reason is not None and len(problems) < _MOST_DETAILS:
                message = f"with these params output '{shown(subject)}' at '{shown(output.path)}' {reason}"
                problems.append(Problem(CODE, message, "/params"))
    if problems:
        raise Invalid(CODE, problems[0].message, details=problems)


def _shared(workflow: Workflow) -> Values:
    return Values(params={name: text_of(value) for name, value in workflow.values.items()}, run_id=workflow.run_id)


def _resolved(worker: Worker, values: Values) -> Worker:
    if not any(output.template for output in worker.outputs.values()):
        return worker
    outputs = {name: _filled(output, worker.working_dir, values) for name, output in worker.outputs.items()}
    return replace(worker, outputs=outputs)


def _filled(output: Output, directory: str, values: Values) -> Output:
    if output.template is None:
        return output
    # `~` has been dealt with: what a value begins with is meant literally
    path = fill(output.template, values)
    return Output(absolute(path if path.startswith("/") else f"{directory}/{path}", directory, ""), output.optional)


def _text(run_id: int | None) -> str | None:
    return None if run_id is None else str(run_id)
