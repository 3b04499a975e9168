"""What is stored and a definition file, side by side: apply, diff, export."""

import json
from collections.abc import Collection, Mapping
from typing import Any

import click

from wattle.cli.definition import checked
from wattle.cli.exits import Exit, exit_of
from wattle.cli.output import Screen
from wattle.cli.server import connect, connect_or_read
from wattle.cli.session import Session, pass_session, shared_options
from wattle.cli.target import WORKFLOW, Target
from wattle.client import Client, ClientError


@click.command("apply")
@click.argument("file", metavar="FILE")
@shared_options
@pass_session
def apply_verb(session: Session, file: str) -> int:
    """Make the stored workflow the one in a definition file ("-": standard input), whether it is there or not.

    Running services whose definition changed are restarted, alone or in an active run of the workflow, and nothing else
    is run again: the other workers of a run keep the definition that it began with. So does a service whose inputs,
    depends_on, or outputs that are used, are others; it is said which. `wattle restart WF` ends the run and begins a
    new one.
    """
    definition = checked(file, session.config, session.talk.say)
    with connect(session.config) as client:
        before = stored_definition(client, definition.name)
        stored = client.put_workflow(definition.name, definition.content)
        for warning in stored.warnings:
            session.note(f"warning: {warning}")
        word = "created" if before is None else "updated" if stored.changed else "unchanged"
        session.out.say(f"Workflow '{definition.name}' {word}")
        return Exit.DONE if before is None else _carry_over(session, client, definition.name, before)


@click.command("diff")
@click.argument("file", metavar="FILE")
@shared_options
@pass_session
def diff_verb(session: Session, file: str) -> int:
    """What `wattle apply FILE` would change ("-": standard input). Exit status 1 where there is a difference.

    Both sides are shown as they are stored: fields in order, directories absolute.
    """
    import difflib

    definition = checked(file, session.config, session.talk.say)
    with connect_or_read(session.config) as client:
        before = stored_definition(client, definition.name)
    new = definition.workflow.document
    if before == new:
        session.note(f"'{definition.name}' is stored as it is in {definition.label}")
        return Exit.DONE
    lines = difflib.unified_diff(
        [] if before is None else _text(before, session.out).splitlines(),
        _text(new, session.out).splitlines(),
        "nothing stored" if before is None else f"stored {definition.name}",
        definition.label,
        lineterm="",
    )
    colours = {"+": "32", "-": "31", "@": "36"}
    for line in lines:
        session.out.say(session.out.paint(line, colours.get(line[:1], "")) if line[:1] in colours else line)
    return Exit.FAILED


@click.command("export")
@click.argument("target", type=WORKFLOW, metavar="WF")
@click.option("--yaml", "as_yaml", is_flag=True, help="As YAML, not JSON.")
@shared_options
@pass_session
def export_verb(session: Session, target: Target, as_yaml: bool) -> None:
    """Print a stored workflow as a definition file, which `wattle apply` takes."""
    with connect_or_read(session.config) as client:
        document = client.definition(target.workflow)
    if as_yaml:
        from wattle.definition.yaml_text import write_yaml

        session.out.say(write_yaml(document, is_ascii=not session.out.has_glyphs), end="")
    else:
        session.out.json(document)


def stored_definition(client: Client, workflow: str) -> dict[str, Any] | None:
    """None where there is no such workflow."""
    try:
        return client.definition(workflow)
    except ClientError as error:
        if error.status != 404:
            raise
        return None


def _carry_over(session: Session, client: Client, workflow: str, before: dict[str, Any]) -> int:
    """Have the services of active runs take their new definition; one that is refused keeps no other from it.

    All are asked for, also where nothing changed just now: an earlier `apply` may have come no further.
    """
    active = [run for run in client.list_runs(workflow, limit=20) if run["status"] == "running"]
    if not active:
        return Exit.DONE
    now = client.definition(workflow)
    code, bound = Exit.DONE, set()
    for name in _services(client, workflow, before, now):
        subject = f"{workflow}/{name}"
        try:
            applied = client.apply_worker(workflow, name)
        except ClientError as error:
            if error.code == "NEEDS_NEW_RUN":
                bound.add(name)
                session.out.say(error.message)
            elif error.code != "WORKER_NOT_FOUND":  # it was removed, and no active run has it
                session.note(f"service '{subject}' could not be restarted, it is as it was: {error.message}")
                code = code or exit_of(error)
            continue
        if applied.effect == "restarted":
            session.out.say(f"Service '{subject}' restarted with its new definition")
        elif applied.effect == "to_come":
            session.out.say(f"Service '{subject}' has not started yet; it will with its new definition")
        elif applied.effect == "ended":
            session.note(f"service '{subject}' has ended in run {applied.run_id} and is not started again")
    for run in active:
        if run["kind"] == "workflow" and _rest(before, bound) != _rest(now, bound):
            session.out.say(
                f"Run {run['id']} is active and keeps the rest of the definition that it began with. "
                f"`wattle restart {workflow}` ends it and begins a new one"
            )
    return code


def _services(client: Client, workflow: str, before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The services of both, producers first; those that are there no longer come last."""
    found = {worker["name"] for document in (now, before) for worker in document["workers"] if is_service(worker)}
    if not found:
        return []
    order = [name for level in client.dag(workflow)["levels"] for name in level]
    gone = [worker["name"] for worker in before["workers"] if worker["name"] not in order]
    return [name for name in (*order, *gone) if name in found]


def is_service(worker: Mapping[str, Any]) -> bool:
    return worker.get("kind") == "service"


def _rest(document: Mapping[str, Any], bound: Collection[str]) -> dict[str, Any]:
    """What an active run does not take: all but its services, and of those the ones that are bound to it."""
    workers = [worker for worker in document["workers"] if not is_service(worker) or worker["name"] in bound]
    return {**document, "workers": workers}


def _text(document: Mapping[str, Any], screen: Screen) -> str:
    return json.dumps(document, indent=2, ensure_ascii=not screen.has_glyphs)
