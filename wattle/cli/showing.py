"""`wattle show` and `wattle why`."""

from collections.abc import Mapping
from typing import Any

import click

from wattle.cli.output import Screen, duration, elapsed_seconds, instant, plain, reason_of, state_word
from wattle.cli.server import connect_or_read
from wattle.cli.session import Session, json_option, pass_session, shared_options
from wattle.cli.target import EITHER, Target
from wattle.client import Client
from wattle.errors import worker_not_found


@click.command("show")
@click.argument("target", type=EITHER, metavar="WF[/WORKER]")
@json_option
@shared_options
@pass_session
def show_verb(session: Session, target: Target, as_json: bool) -> None:
    """Show a workflow or worker: definition and state."""
    with connect_or_read(session.config) as client:
        shown = _workflow(client, target.workflow) if target.worker is None else _worker(client, target)
    if as_json:
        session.out.json(shown)
        return
    _show_head(session.out, shown, str(target))
    for worker in shown.get("workers", ()):
        session.out.say()
        _show_head(session.out, worker, worker["name"])


@click.command("why")
@click.argument("target", type=EITHER, metavar="WF[/WORKER]")
@json_option
@shared_options
@pass_session
def why_verb(session: Session, target: Target, as_json: bool) -> None:
    """Why a worker is in the state it is in, in one sentence; of a workflow, each that has not completed.

    --json of a workflow is a list.
    """
    with connect_or_read(session.config) as client:
        if target.worker is not None:
            answers = [client.why(target.workflow, target.worker)]
        else:
            left = [node["name"] for node in client.dag(target.workflow)["nodes"] if node["status"] != "completed"]
            answers = [client.why(target.workflow, name) for name in left]
    if as_json:
        session.out.json(answers if target.worker is None else answers[0])
        return
    for answer in answers:
        name = f"{target.workflow}/{answer['name']}"
        session.out.say(f"{name}: {session.out.state(state_word(answer))}: {plain(reason_of(answer))}")
    if not answers:
        session.note(f"every worker of '{target}' has completed")


def _workflow(client: Client, name: str) -> dict[str, Any]:
    """The workflow with its workers, each with what it depends on without a file."""
    workflow = client.get_workflow(name)
    order: dict[str, list[str]] = {}
    for edge in client.dag(name)["edges"]:
        if edge.get("input") is None:
            order.setdefault(edge["to"], []).append(edge["from"])
    workers = [worker | {"depends_on": order.get(worker["name"], [])} for worker in client.list_workers(name)]
    return workflow | {"workers": workers}


def _worker(client: Client, target: Target) -> dict[str, Any]:
    assert target.worker is not None
    for worker in _workflow(client, target.workflow)["workers"]:
        if worker["name"] == target.worker:
            return dict(worker)
    raise worker_not_found(target.workflow, target.worker)


def _show_head(out: Screen, thing: Mapping[str, Any], title: str) -> None:
    """A title with its state, then a line for each field that says something."""
    took = elapsed_seconds(thing)
    since = f", started {instant(thing['started_at'])}, {duration(took)}" if took is not None else ""
    out.say(f"{out.bold(title)}  {out.state(state_word(thing))}{since}")
    reason = reason_of(thing) or thing.get("error_message")
    for label, value in (
        ("why", reason),
        ("about", thing.get("description")),
        ("directory", thing.get("working_dir")),
        ("command", _command(thing)),
        ("env", _pairs(thing.get("env_vars"), "=")),
        ("inputs", _pairs(thing.get("inputs"), " <- ")),
        ("after", thing.get("depends_on")),
        ("outputs", _pairs(thing.get("outputs"), " -> ")),
    ):
        lines = [value] if isinstance(value, str) else value or []
        for position, line in enumerate(lines):
            out.say(f"  {label if position == 0 else '':<10}{plain(str(line))}")


def _command(thing: Mapping[str, Any]) -> list[str]:
    if thing.get("command") is None:
        return []
    import shlex

    return [str(thing["command"]) + "".join(f" {shlex.quote(arg)}" for arg in thing.get("args") or ())]


def _pairs(values: Mapping[str, Any] | None, arrow: str) -> list[str]:
    return [f"{name}{arrow}{output_path(value)}" for name, value in (values or {}).items()]


def output_path(value: Any) -> str:
    """An output is a path or `{"path": …, "optional": …}`."""
    return str(value["path"]) if isinstance(value, Mapping) else str(value)
