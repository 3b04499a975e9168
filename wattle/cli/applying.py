"""What is stored and a definition file, side by side: apply, diff, export."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

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

    Services that run alone (`wattle start WF/WORKER`) and whose definition changed are restarted, with the defaults of
    their params; nothing else is run again. An active run of the workflow keeps the definition that it began with, its
    services included, and it is said which: `wattle restart WF` ends it and begins a new one.
    """
    definition = checked(file, session.config, session.talk.say)
    with connect(session.config) as client:
        before = stored_definition(client, definition.name)
        running = [] if before is None else _running_services(client, definition.name, before)
        stored = client.put_workflow(definition.name, definition.content)
        for warning in stored.warnings:
            session.note(f"warning: {warning}")
        word = "created" if before is None else "updated" if stored.changed else "unchanged"
        session.out.say(f"Workflow '{definition.name}' {word}")
        if before is None or not stored.changed:
            return Exit.DONE
        return _carry_over(session, client, definition.name, running)


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


class Running(NamedTuple):
    """A service that runs, and with which definition. `is_alone`: in a run of its own."""

    name: str
    document: dict[str, Any]
    is_alone: bool


def stored_definition(client: Client, workflow: str) -> dict[str, Any] | None:
    """None where there is no such workflow."""
    try:
        return client.definition(workflow)
    except ClientError as error:
        if error.status != 404:
            raise
        return None


def _running_services(client: Client, workflow: str, document: dict[str, Any]) -> list[Running]:
    services = {worker["name"]: worker for worker in document["workers"] if worker.get("kind") == "service"}
    if not services:
        return []
    running = [worker["name"] for worker in client.list_workers(workflow) if worker["status"] == "running"]
    found = []
    for name in running:
        if name in services:
            run = client.get_run(client.why(workflow, name)["run_id"])
            found.append(Running(name, services[name], run["kind"] == "worker"))
    return found


def _carry_over(session: Session, client: Client, workflow: str, running: list[Running]) -> int:
    """Of the changed services those that run alone begin a run of their own again; one that is refused keeps no other
    from it. A run of the workflow is bound to the version that it began with: that it goes on as it was is said.
    """
    now = {worker["name"]: worker for worker in client.definition(workflow)["workers"]}
    code = Exit.DONE
    kept = []
    for service in running:
        subject = f"{workflow}/{service.name}"
        if not service.is_alone:
            kept += [service.name] if now.get(service.name) != service.document else []
        elif service.name not in now:
            session.note(
                f"service '{subject}' is in the definition no longer and runs on; `wattle stop {subject}` ends it"
            )
        elif now[service.name] != service.document:
            before = "its stop is not complete"
            try:
                client.stop_worker(workflow, service.name)
                before = "it is stopped"
                client.start_worker(workflow, service.name, force=True)
            except ClientError as error:
                session.note(f"service '{subject}' could not be restarted, {before}: {error.message}")
                code = code or exit_of(error)
                continue
            session.out.say(f"Service '{subject}' restarted with its new definition")
    active = [run for run in client.list_runs(workflow, limit=20) if run["status"] == "running"]
    for run in active:
        if run["kind"] == "workflow":
            _say_what_is_kept(session, workflow, run["id"], kept)
    return code


def _say_what_is_kept(session: Session, workflow: str, run: int, services: list[str]) -> None:
    """On stdout: it is a part of the answer that not all runs as the file says."""
    keeps = f"Run {run} is active and keeps the definition that it began with"
    if services:
        names = ", ".join(f"'{workflow}/{name}'" for name in services)
        keeps += f", so services {names} were" if services[1:] else f", so service {names} was"
        keeps += " not restarted"
    session.out.say(f"{keeps}. `wattle restart {workflow}` ends it and begins a new one")


def _text(document: Mapping[str, Any], screen: Screen) -> str:
    return json.dumps(document, indent=2, ensure_ascii=not screen.has_glyphs)
