"""`wattle status`: one screen. Of all workflows, of one with its workers, or of one worker with its last lines."""

from collections.abc import Mapping
from typing import Any

import click

from wattle.cli.matching import expand, is_pattern
from wattle.cli.output import (
    NO_WORKFLOWS,
    Screen,
    count_of,
    counts_text,
    cut,
    duration,
    elapsed_seconds,
    instant,
    plain,
    reason_of,
    size,
    state_word,
    width,
)
from wattle.cli.printing import told
from wattle.cli.server import connect_or_read
from wattle.cli.session import Session, json_option, pass_session, shared_options
from wattle.cli.target import EITHER, Target
from wattle.client import Client

LAST_LINES = 10
ENDED = ("completed", "failed", "cancelled")


@click.command("status")
@click.argument("targets", type=EITHER, nargs=-1, metavar="[WF[/WORKER]]...")
@json_option
@shared_options
@pass_session
def status_verb(session: Session, targets: tuple[Target, ...], as_json: bool) -> None:
    """What runs, and how far it is: all workflows, some, or workers, each with its last lines.

    --json is the answer for one target, and a list where several are asked for, or a pattern.
    """
    with connect_or_read(session.config) as client:
        wanted: list[Target | None] = [*expand(client, targets)] if targets else [None]
        shown = [_status(client, target) for target in wanted]
        trouble = client.why_not_ready()
    if trouble is not None:
        session.note(f"the server is not ready: {trouble}")
    if as_json:
        is_one = len(targets) < 2 and len(wanted) == 1 and not any(map(_has_pattern, targets))
        session.out.json(shown[0] if is_one else shown)
        return
    for position, (target, each) in enumerate(zip(wanted, shown, strict=True)):
        if position:
            session.out.say()
        if target is None:
            _show_overview(session, each)
        elif target.worker is None:
            _show_workflow(session.out, each)
        else:
            _show_worker(session.out, target, each)


def _has_pattern(target: Target) -> bool:
    return is_pattern(target.workflow) or is_pattern(target.worker)


def _status(client: Client, target: Target | None) -> Any:
    if target is None:
        return overview(client)
    if target.worker is None:
        return workflow_status(client, target.workflow)
    return worker_status(client, target.workflow, target.worker)


def overview(client: Client) -> list[dict[str, Any]]:
    """The workflows; running ones with `counts` of their workers by status."""
    shown = []
    for workflow in client.list_workflows():
        run = latest_whole_run(client, workflow["name"]) if workflow["status"] == "running" else None
        shown.append(workflow | {"counts": client.get_run(run["id"])["counts"] if run else None})
    return shown


def workflow_status(client: Client, name: str) -> dict[str, Any]:
    """The workflow, its latest run as a whole (None before the first), and its workers with attempt and reason."""
    return client.get_workflow(name) | {"run": latest_whole_run(client, name), "workers": client.dag(name)["nodes"]}


def worker_status(client: Client, workflow: str, name: str) -> dict[str, Any]:
    """The worker, why it is so, its last lines, and what it uses while it runs (`metrics`, else None)."""
    worker = client.why(workflow, name)
    worker["metrics"] = client.metrics(workflow, name) if worker["status"] == "running" else None
    lines = client.log_tail(workflow, name, LAST_LINES)[-LAST_LINES:] if worker["attempt"] else []
    parts = client.definition(workflow)["workers"]
    worker["kind"] = next((part.get("kind") for part in parts if part["name"] == name), None) or "task"
    return worker | {"log": lines}


def latest_run(client: Client, workflow: str) -> dict[str, Any] | None:
    runs = client.list_runs(workflow, limit=1)
    return runs[0] if runs else None


def latest_whole_run(client: Client, workflow: str) -> dict[str, Any] | None:
    """The one that the workflow's status is of: runs of one worker alone are passed over."""
    latest = latest_run(client, workflow)
    if latest is None or latest["kind"] == "workflow":
        return latest
    return next((run for run in client.list_runs(workflow, limit=1000) if run["kind"] == "workflow"), None)


def _show_overview(session: Session, workflows: list[dict[str, Any]]) -> None:
    if not workflows:
        session.note(NO_WORKFLOWS)
        return
    rows = [
        [
            workflow["name"],
            state_word(workflow),
            instant(workflow["started_at"]),
            duration(elapsed_seconds(workflow)),
            counts_text(workflow["counts"]) if workflow["counts"] else reason_of(workflow),
        ]
        for workflow in workflows
    ]
    session.out.table(["NAME", "STATE", "STARTED", "TOOK", "WHY"], rows, state_column=1, spare=(2, 3))


def _show_workflow(out: Screen, workflow: Mapping[str, Any]) -> None:
    run, took = workflow["run"], elapsed_seconds(workflow)
    head = f"{out.bold(workflow['name'])}  {out.state(state_word(workflow))}"
    if took is not None:
        head += f", started {instant(workflow['started_at'])}, {duration(took)}"
    out.say(head + (f" (run {run['id']})" if run else ""))
    if reason := reason_of(workflow):
        out.say(f"  why        {plain(reason)}")
    out.say(f"  directory  {plain(workflow['working_dir'] or '-')}")
    out.say(f"  workers    {counts_text(_counts(workflow['workers'])) or count_of(0, 'worker')}")
    if workflow["workers"]:
        out.say()
        rows = [
            [
                worker["name"],
                state_word(worker),
                duration(elapsed_seconds(worker)),
                str(worker["attempt"] or "-"),
                reason_of(worker),
            ]
            for worker in workflow["workers"]
        ]
        out.table(["WORKER", "STATE", "TOOK", "ATTEMPT", "WHY"], rows, state_column=1, spare=(3, 2))


def _counts(workers: list[dict[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for worker in workers:
        counts[worker["status"]] = counts.get(worker["status"], 0) + 1
    return counts


def _show_worker(out: Screen, target: Target, worker: Mapping[str, Any]) -> None:
    word = state_word(worker)
    since = worker["completed_at"] or worker["started_at"]
    # When it became ready, or was told to stop, is not said here: when it started is.
    began = " since" if word in ("running", *ENDED) else ", started"
    of_run = f" (run {worker['run_id']})" if worker["run_id"] is not None else ""
    head = f"{out.bold(str(target))}  {out.state(word)}"
    out.say(head + (f"{began} {instant(since)}" if since else "") + of_run)
    if reason := reason_of(worker):
        out.say(f"  why        {plain(reason)}")
    if worker["attempt"]:
        took = [f"took {duration(elapsed_seconds(worker))}"] if worker["started_at"] else []
        ended = [f"exit code {worker['exit_code']}"] if worker["exit_code"] is not None else []
        pid = [f"pid {worker['pid']}"] if worker["pid"] and worker["status"] == "running" else []
        out.say(f"  attempt    {', '.join([str(worker['attempt']), *took, *pid, *ended])}")
    if (used := worker["metrics"]) is not None and used["num_processes"]:
        of = [f"{used['cpu_percent'] or 0:.0f}% now", f"{used['cpu_seconds'] or 0:.1f} s in all"]
        out.say(f"  cpu        {', '.join(of)}")
        peak = f", {size(used['peak_memory_bytes'])} at most" if used["peak_memory_bytes"] else ""
        out.say(f"  memory     {size(used['memory_bytes'] or 0)}{peak}")
        tree = [count_of(used["num_processes"], "process"), count_of(used["num_threads"], "thread")]
        out.say(f"  tree       {', '.join(tree)}")
    if worker["phase"] in ("ready", "running") and worker.get("kind") == "service":
        out.say(f"  readiness  {'ready: its consumers may use it' if worker['phase'] == 'ready' else 'not ready yet'}")
    for notice in worker["notices"]:
        out.say(f"  note       {plain(notice)}")
    if worker["log"]:
        out.say()
    for line in worker["log"]:
        text = told(line, colours=False)
        if out.columns is None or width(text) <= out.columns - 4:
            text = told(line, colours=out.has_colour)
        else:
            text = cut(text, out.columns - 4)  # one screen, however long a line is
        out.say(f"  {out.dim('|')} {text}".rstrip())
