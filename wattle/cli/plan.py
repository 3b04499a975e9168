"""`wattle run --dry-run`: what would run, in which order, and why. Decided as a run decides it; nothing is started."""

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import click

from wattle.cli.exits import Exit
from wattle.cli.output import pad, width
from wattle.cli.session import Session
from wattle.definition.graph import build_graph, graph_of
from wattle.definition.model import Worker, Workflow
from wattle.definition.params import bind
from wattle.definition.resolve import resolve
from wattle.definition.selection import chosen_workers, lacking_inputs
from wattle.engine.plan import RunPlan
from wattle.engine.states import Status


def check_names(workflow: Workflow, only: Collection[str], starts: Collection[str]) -> None:
    """A worker that is not there is a mistake of usage."""
    for name in (*only, *starts):
        if workflow.worker(name) is None:
            import difflib

            close = difflib.get_close_matches(name, [worker.name for worker in workflow.workers], 1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise click.UsageError(f"'{workflow.name}' has no worker '{name}'{hint}", click.get_current_context())


def show_plan(
    session: Session,
    workflow: Workflow,
    values: Mapping[str, Any],
    only: Sequence[str],
    starts: Sequence[str],
    *,
    force: bool,
) -> int:
    """Each worker on a line: in which step, its name, why. REFUSED where a run would be."""
    if workflow.has_path_placeholders:
        workflow = resolve(workflow, bind(workflow.params, values), None)
    chosen = chosen_workers(workflow, build_graph(workflow), only, starts)
    names = {worker.name for worker in chosen}
    left_out = [worker for worker in workflow.workers if worker.name not in names]
    lacking = [need for need in lacking_inputs(workflow, chosen) if not os.path.exists(need[2])]
    missing = {consumer: (producer, path) for consumer, producer, path in lacking}
    wide = max(map(width, (worker.name for worker in workflow.workers)), default=0)
    for step, worker in steps(workflow, chosen):
        why = _why(worker, names, only, starts)
        if worker.name in missing:
            producer, path = missing[worker.name]
            why += f"; {path} of {producer} does not exist"
        session.out.say(f"{step:>4}  {pad(worker.name, wide)}  {why}")
    for worker in left_out:
        session.out.say(f"   -  {pad(worker.name, wide)}  not part of this run")
    session.note(f"a dry run: nothing was stored or started. At most {workflow.max_parallel} workers run at a time")
    if lacking and not force:
        session.note("files of workers left out are missing, so it would be refused: run those too, or --force")
        return Exit.REFUSED
    return Exit.DONE


def steps(workflow: Workflow, chosen: Sequence[Worker]) -> list[tuple[int, Worker]]:
    """The workers in the order in which they would start if all took equally long; those of a step start together."""
    by_name = {worker.name: worker for worker in chosen}
    services = [worker.name for worker in chosen if worker.service is not None]
    priorities = {worker.name: worker.priority for worker in chosen if worker.priority}
    plan = RunPlan(graph_of(list(chosen)), priorities=priorities, services=services)
    found: list[tuple[int, Worker]] = []
    step = 0
    while ready := plan.take_ready(workflow.max_parallel):
        step += 1
        found += [(step, by_name[name]) for name in ready]
        for name in ready:
            if name in services:
                plan.provide(name)
            else:
                plan.finish(name, Status.COMPLETED)
    return found


def _why(worker: Worker, names: Collection[str], only: Sequence[str], starts: Sequence[str]) -> str:
    """What it comes after, and why it is part of the run."""
    producers = dict.fromkeys([*(ref.producer for ref in worker.inputs.values()), *worker.depends_on])
    after = [name for name in producers if name in names]
    others = [name for name in producers if name not in names]
    said = f"after {', '.join(after)}" if after else "needs nothing" if not others else "at once"
    if others:
        said += f", with what {', '.join(others)} left"
    if worker.name in only or worker.name in starts:
        return f"{said} (chosen)"
    if only or starts:
        is_descendant = worker.service is None or bool(starts and after)
        return f"{said} ({'descends from what was chosen' if is_descendant else 'a service that is needed'})"
    return said
