"""The verbs that change what is stored or runs: create, delete, start, stop, restart. All need a server."""

import click

from wattle.cli.definition import checked
from wattle.cli.server import connect
from wattle.cli.session import Session, pass_session, shared_options
from wattle.cli.target import EITHER, Target
from wattle.client import Client, Started

target_argument = click.argument("target", type=EITHER, metavar="WF[/WORKER]")


@click.command("create")
@click.argument("file", metavar="FILE")
@shared_options
@pass_session
def create_verb(session: Session, file: str) -> None:
    """Store the workflow in a definition file ("-": standard input)."""
    definition = checked(file, session.config, session.talk.say)
    with connect(session.config) as client:
        stored = client.create_workflow(definition.content)
    for warning in stored.warnings:
        session.note(f"warning: {warning}")
    session.out.say(stored.text)


@click.command("delete")
@target_argument
@click.option("--force", is_flag=True, help="Stop it first if it runs.")
@shared_options
@pass_session
def delete_verb(session: Session, target: Target, force: bool) -> None:
    """Delete a workflow or one of its workers."""
    with connect(session.config) as client:
        if target.worker is None:
            session.out.say(client.delete_workflow(target.workflow, force=force))
        else:
            session.out.say(client.delete_worker(target.workflow, target.worker, force=force))


@click.command("start")
@target_argument
@click.option("--force", is_flag=True, help="A worker: now, whatever its inputs.")
@shared_options
@pass_session
def start_verb(session: Session, target: Target, force: bool) -> None:
    """Start a workflow, or one of its workers alone."""
    _only_workers(target, force)
    with connect(session.config) as client:
        _say_started(session, _start(client, target, force))


@click.command("stop")
@target_argument
@shared_options
@pass_session
def stop_verb(session: Session, target: Target) -> None:
    """Stop a workflow or worker; comes back when nothing of it is left."""
    with connect(session.config) as client:
        if target.worker is None:
            session.out.say(client.stop_workflow(target.workflow))
        else:
            session.out.say(client.stop_worker(target.workflow, target.worker))


@click.command("restart")
@target_argument
@click.option("--force", is_flag=True, help="A worker: now, whatever its inputs.")
@shared_options
@pass_session
def restart_verb(session: Session, target: Target, force: bool) -> None:
    """Stop a workflow or worker and start it again."""
    _only_workers(target, force)
    with connect(session.config) as client:
        _say_started(session, _restart(client, target, force))


def _start(client: Client, target: Target, force: bool) -> Started:
    if target.worker is None:
        return client.start_workflow(target.workflow)
    return client.start_worker(target.workflow, target.worker, force=force)


def _restart(client: Client, target: Target, force: bool) -> Started:
    if target.worker is None:
        return client.restart_workflow(target.workflow)
    return client.restart_worker(target.workflow, target.worker, force=force)


def _only_workers(target: Target, force: bool) -> None:
    if force and target.worker is None:
        raise click.UsageError(f"--force is for a worker: '{target}/WORKER'", click.get_current_context())


def _say_started(session: Session, started: Started) -> None:
    session.out.say(started.text + (f" (run {started.run_id})" if started.run_id is not None else ""))
