"""`wattle wait`: until a run has ended, with its exit status."""

import shlex
import time
from typing import Any

import click

from wattle.cli.exits import Exit, exit_of_run
from wattle.cli.failing import tell
from wattle.cli.output import counts_text, duration, plain, reason_of
from wattle.cli.server import connect_or_read, find
from wattle.cli.session import Session, json_option, pass_session, shared_options
from wattle.cli.status import latest_run
from wattle.cli.target import complete_workflows
from wattle.client import Client, NoServer

POLL_SECONDS = 10.0
PATIENCE_SECONDS = 60.0
ENDED = ("completed", "failed", "cancelled")


@click.command("wait")
@click.argument("what", metavar="RUN|WF", shell_complete=complete_workflows)
@click.option("--timeout", "seconds", type=click.FloatRange(0), metavar="SECONDS", help="Give up after that long.")
@json_option
@shared_options
@pass_session
def wait_verb(session: Session, what: str, seconds: float | None, as_json: bool) -> int:
    """Wait for a run (its number), or for the latest run of a workflow, to end.

    The exit status is the run's: 0 completed, 1 failed or cancelled; 124 when the time is over first. A restart of the
    server is waited for too.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    run = _first(session, what)
    heard_at = time.monotonic()
    while run["status"] not in ENDED:
        if deadline is not None and time.monotonic() >= deadline:
            what = f"run {run['id']} of '{run['workflow_name']}' still runs after {duration(seconds)}"
            return tell(session, "WAIT_TIMEOUT", what, Exit.WAIT_TIMEOUT, f"wattle wait {run['id']}")
        client = find(session.config)
        try:
            if client is None:
                raise NoServer(f"no server runs, so run {run['id']} does not go on. Start one with `wattle serve`")
            with client:
                run = _next(client, run["id"], deadline)
            heard_at = time.monotonic()
        except NoServer:
            if time.monotonic() - heard_at > PATIENCE_SECONDS:
                raise
            time.sleep(0.2)
    if as_json:
        session.out.json(run)
    else:
        reason = f" ({plain(reason_of(run))})" if run["status"] != "completed" and reason_of(run) else ""
        counts, took = counts_text(run.get("counts") or {}), duration(run.get("duration_seconds"))
        state = session.out.state(run["status"])
        session.out.say(f"{state}: run {run['id']} of '{run['workflow_name']}' after {took}: {counts}{reason}")
    return exit_of_run(run["status"])


def _first(session: Session, what: str) -> dict[str, Any]:
    """The run that is waited for. One that has ended needs no server; what runs does, from the beginning."""
    with connect_or_read(session.config) as client:
        if what.isascii() and what.isdigit():  # no workflow is called so
            run = client.get_run(what)
        else:
            session.targets.append((what, None))
            client.get_workflow(what)  # says so if there is none
            latest = latest_run(client, what)
            if latest is None:
                start = f"wattle start {shlex.quote(what)}"
                raise click.UsageError(f"'{what}' has never run: `{start}`", click.get_current_context())
            run = client.get_run(latest["id"])
    if run["status"] not in ENDED and find(session.config) is None:
        raise NoServer(f"no server runs, so run {run['id']} does not go on. Start one with `wattle serve`")
    return run


def _next(client: Client, run_id: int, deadline: float | None) -> dict[str, Any]:
    """The run after something happened, or after a while. The events are asked before the run, so none is missed."""
    after = client.last_event_id()
    run = client.get_run(run_id)
    if run["status"] in ENDED:
        return run
    left = POLL_SECONDS if deadline is None else min(POLL_SECONDS, max(0.0, deadline - time.monotonic()))
    if left:
        client.read_events(after=after, wait=left, workflow=run["workflow_name"])
    return client.get_run(run_id)
