"""The verbs that change what is stored or runs: create, delete, start, stop, restart. All need a server."""

from collections.abc import Sequence

import click

from wattle.cli.definition import checked
from wattle.cli.matching import each, target_arguments
from wattle.cli.params import param_option, values_of
from wattle.cli.server import connect
from wattle.cli.session import Session, pass_session, shared_options
from wattle.cli.target import Target
from wattle.client import Client, Started


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
@target_arguments
@click.option("--force", is_flag=True, help="Stop it first if it runs.")
@shared_options
@pass_session
def delete_verb(session: Session, targets: tuple[Target, ...], force: bool) -> int:
    """Delete workflows or workers."""

    def delete(target: Target) -> None:
        if target.worker is None:
            session.out.say(client.delete_workflow(target.workflow, force=force))
        else:
            session.out.say(client.delete_worker(target.workflow, target.worker, force=force))

    with connect(session.config) as client:
        return each(session, client, targets, delete)


@click.command("start")
@target_arguments
@click.option("--force", is_flag=True, help="A worker: now, whatever its inputs.")
@param_option
@shared_options
@pass_session
def start_verb(session: Session, targets: tuple[Target, ...], force: bool, params: tuple[str, ...]) -> int:
    """Start workflows, or workers alone."""
    _only_workers(targets, force)
    with connect(session.config) as client:
        return each(session, client, targets, lambda t: _say_started(session, _start(client, t, force, params)))


@click.command("stop")
@target_arguments
@shared_options
@pass_session
def stop_verb(session: Session, targets: tuple[Target, ...]) -> int:
    """Stop workflows or workers; comes back when nothing of them is left."""

    def stop(target: Target) -> None:
        if target.worker is None:
            session.out.say(client.stop_workflow(target.workflow).text)
        else:
            session.out.say(client.stop_worker(target.workflow, target.worker).text)

    with connect(session.config) as client:
        return each(session, client, targets, stop)


@click.command("restart")
@target_arguments
@click.option("--force", is_flag=True, help="A worker: now, whatever its inputs.")
@param_option
@shared_options
@pass_session
def restart_verb(session: Session, targets: tuple[Target, ...], force: bool, params: tuple[str, ...]) -> int:
    """Stop workflows or workers and start them again.

    Without --param the new run of a workflow has the params of the one that it ends.
    """
    _only_workers(targets, force)
    with connect(session.config) as client:
        return each(session, client, targets, lambda t: _say_started(session, _restart(client, t, force, params)))


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


def _only_workers(targets: Sequence[Target], force: bool) -> None:
    for target in targets:
        if force and target.worker is None:
            raise click.UsageError(f"--force is for a worker: '{target}/WORKER'", click.get_current_context())


def _say_started(session: Session, started: Started) -> None:
    session.out.say(started.text + (f" (run {started.run_id})" if started.run_id is not None else ""))
