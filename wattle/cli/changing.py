"""The verbs that change what is stored or runs: create, apply, delete, start, stop, restart. All need a server."""

from collections.abc import Sequence

import click

from wattle.cli.definition import checked
from wattle.cli.params import param_option, values_of
from wattle.cli.server import connect
from wattle.cli.session import Session, pass_session, shared_options
from wattle.cli.target import EITHER, Target
from wattle.client import Client, ClientError, Started

target_argument = click.argument("target", type=EITHER, metavar="WF[/WORKER]")


@click.command("create")
@click.argument("file", metavar="FILE", type=click.Path(allow_dash=True))
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


@click.command("apply")
@click.argument("file", metavar="FILE", type=click.Path(allow_dash=True))
@shared_options
@pass_session
def apply_verb(session: Session, file: str) -> None:
    """Make the stored workflow the one in a definition file ("-": standard input), whether it is there or not.

    An active run keeps the definition that it began with.
    """
    definition = checked(file, session.config, session.talk.say)
    with connect(session.config) as client:
        is_new = not _is_there(client, definition.name)
        stored = client.put_workflow(definition.name, definition.content)
    for warning in stored.warnings:
        session.note(f"warning: {warning}")
    word = "created" if is_new else "updated" if stored.changed else "unchanged"
    session.out.say(f"Workflow '{definition.name}' {word}")


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
@param_option
@shared_options
@pass_session
def start_verb(session: Session, target: Target, force: bool, params: tuple[str, ...]) -> None:
    """Start a workflow, or one of its workers alone."""
    _only_workers(target, force)
    with connect(session.config) as client:
        _say_started(session, _start(client, target, force, params))


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
@param_option
@shared_options
@pass_session
def restart_verb(session: Session, target: Target, force: bool, params: tuple[str, ...]) -> None:
    """Stop a workflow or worker and start it again.

    Without --param the new run of a workflow has the params of the one that it ends.
    """
    _only_workers(target, force)
    with connect(session.config) as client:
        _say_started(session, _restart(client, target, force, params))


def _is_there(client: Client, workflow: str) -> bool:
    try:
        client.get_workflow(workflow)
    except ClientError as error:
        if error.status != 404:
            raise
        return False
    return True


def _start(client: Client, target: Target, force: bool, params: Sequence[str]) -> Started:
    values = values_of(client, target.workflow, params)
    if target.worker is None:
        return client.start_workflow(target.workflow, params=values)
    return client.start_worker(target.workflow, target.worker, force=force, params=values)


def _restart(client: Client, target: Target, force: bool, params: Sequence[str]) -> Started:
    values = values_of(client, target.workflow, params)
    if target.worker is None:
        return client.restart_workflow(target.workflow, params=values)
    return client.restart_worker(target.workflow, target.worker, force=force, params=values)


def _only_workers(target: Target, force: bool) -> None:
    if force and target.worker is None:
        raise click.UsageError(f"--force is for a worker: '{target}/WORKER'", click.get_current_context())


def _say_started(session: Session, started: Started) -> None:
    session.out.say(started.text + (f" (run {started.run_id})" if started.run_id is not None else ""))
