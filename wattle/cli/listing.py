"""`wattle list` and `wattle runs`."""

import shlex

import click

from wattle.cli.output import NO_WORKFLOWS, duration, elapsed_seconds, instant, reason_of, state_word
from wattle.cli.server import connect_or_read
from wattle.cli.session import Session, json_option, jsonl_option, pass_session, shared_options
from wattle.cli.target import WORKFLOW, Target


@click.command("list")
@json_option
@jsonl_option
@shared_options
@pass_session
def list_verb(session: Session, as_json: bool, as_jsonl: bool) -> None:
    """List the workflows."""
    with connect_or_read(session.config) as client:
        workflows = client.list_workflows()
    if as_json:
        session.out.json(workflows)
    elif as_jsonl:
        session.out.jsonl(workflows)
    elif session.is_quiet:
        session.out.names(workflow["name"] for workflow in workflows)
    elif not workflows:
        session.note(NO_WORKFLOWS)
    else:
        rows = [
            [
                workflow["name"],
                state_word(workflow),
                instant(workflow["started_at"]),
                duration(elapsed_seconds(workflow)),
                workflow["working_dir"] or "-",
            ]
            for workflow in workflows
        ]
        session.out.table(["NAME", "STATE", "STARTED", "TOOK", "DIRECTORY"], rows, state_column=1, spare=(2, 3))


@click.command("runs")
@click.argument("target", type=WORKFLOW, metavar="WF")
@click.option("-n", "limit", type=click.IntRange(1, 1000), metavar="N", default=20, help="How many [20].")
@json_option
@jsonl_option
@shared_options
@pass_session
def runs_verb(session: Session, target: Target, limit: int, as_json: bool, as_jsonl: bool) -> None:
    """List the runs of a workflow, newest first."""
    with connect_or_read(session.config) as client:
        runs = client.list_runs(target.workflow, limit=limit)
    if as_json:
        session.out.json(runs)
    elif as_jsonl:
        session.out.jsonl(runs)
    elif session.is_quiet:
        session.out.names(str(run["id"]) for run in runs)
    elif not runs:
        session.note(f"'{target}' has never run. Start it with `wattle start {shlex.quote(str(target))}`")
    else:
        rows = [
            [
                str(run["id"]),
                run["kind"] if run.get("worker") is None else f"worker {run['worker']}",
                state_word(run),
                instant(run["started_at"] or run["queued_at"]),
                duration(run.get("duration_seconds") or elapsed_seconds(run)),
                reason_of(run),
            ]
            for run in runs
        ]
        session.out.table(["RUN", "KIND", "STATE", "STARTED", "TOOK", "WHY"], rows, state_column=2, spare=(3, 4, 1))
