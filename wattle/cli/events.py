"""`wattle events` and `wattle history`: what happened, line by line and run by run."""

import json
import shlex
import time
from collections.abc import Iterable, Iterator
from typing import Any

import click

from wattle.cli.output import LOOKS, cut, duration, elapsed_seconds, instant, pad, plain, state_word, width
from wattle.cli.server import connect_or_read, find
from wattle.cli.session import Session, json_option, pass_session, shared_options
from wattle.cli.target import WORKFLOW, Target
from wattle.client import Client, NoServer

PATIENCE_SECONDS = 60.0
PAGE = 1000
LEAST_NAME_COLUMNS = 8


@click.command("events")
@click.argument("target", type=WORKFLOW, metavar="[WF]", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on, until Ctrl-C.")
@click.option("-n", "lines", type=click.IntRange(0), metavar="N", help="The last N [20; with -f: 0].")
@click.option("--after", type=click.IntRange(0), metavar="ID", help="Those after the event of that number.")
@click.option("--jsonl", "as_json", is_flag=True, help="Each event as a line of JSON.")
@shared_options
@pass_session
def events_verb(
    session: Session, target: Target | None, follow: bool, lines: int | None, after: int | None, as_json: bool
) -> None:
    """What happened, oldest first: starts, ends, changes of definitions. -f goes on over a restart of the server."""
    workflow = None if target is None else target.workflow
    with connect_or_read(session.config) as client:
        if workflow is not None:
            client.get_workflow(workflow)  # says so if there is none
        newest = client.last_event_id()
        wanted = lines if lines is not None else 0 if follow else 20
        found = list(_stored(client, after or 0, newest, workflow)) if after is not None or wanted else []
        if after is None:
            found = found[-wanted:] if wanted else []
        _print(session, found, as_json)
        if not found and not follow and not as_json:
            session.note("nothing has happened yet" if after is None else f"nothing has happened after {after}")
        if follow:
            for event in _to_come(session, client, newest, workflow):
                _print(session, [event], as_json)


def _stored(client: Client, after: int, newest: int, workflow: str | None) -> Iterator[dict[str, Any]]:
    """Those after `after` up to `newest`."""
    while after < newest:
        page = client.read_events(after=after, workflow=workflow)
        yield from (event for event in page if event["id"] <= newest)
        if not page:
            return
        after = page[-1]["id"]


def _to_come(session: Session, client: Client, after: int, workflow: str | None) -> Iterator[dict[str, Any]]:
    heard_at = time.monotonic()
    if find(session.config) is None:
        raise NoServer("no server runs, so nothing will happen. Start one with `wattle serve`")
    while True:
        try:
            events = client.read_events(after=after, wait=10, workflow=workflow)
            heard_at = time.monotonic()
        except NoServer:
            if time.monotonic() - heard_at > PATIENCE_SECONDS:
                raise
            time.sleep(0.3)
            continue
        for event in events:
            after = event["id"]
            yield event


def _print(session: Session, events: Iterable[dict[str, Any]], as_json: bool) -> None:
    out = session.out
    for event in events:
        if as_json:
            out.say(json.dumps(event, ensure_ascii=not out.has_glyphs))
            continue
        subject, _, word = event["kind"].partition(".")
        what = out.state(word, 12) if word in LOOKS else f"  {word:<10}"
        payload = event.get("payload") or {}
        reason = f"  {out.dim(plain(payload['reason']))}" if payload.get("reason") else ""
        run = f" run {event['run_id']}" if event.get("run_id") is not None else ""
        out.say(f"{instant(event['at'])}  {subject:<8} {what} {plain(event['subject'])}{run}{reason}")


@click.command("history")
@click.argument("target", type=WORKFLOW, metavar="WF")
@click.option("-n", "limit", type=click.IntRange(1, 200), metavar="N", default=10, help="How many runs [10].")
@json_option
@shared_options
@pass_session
def history_verb(session: Session, target: Target, limit: int, as_json: bool) -> None:
    """The last runs of a workflow side by side: a column for each run, a row for each worker."""
    with connect_or_read(session.config) as client:
        runs = [client.get_run(run["id"]) for run in client.list_runs(target.workflow, limit=limit)][::-1]
    if as_json:
        session.out.json(runs)
    elif not runs:
        session.note(f"'{target}' has never run. Start it with `wattle start {shlex.quote(str(target))}`")
    else:
        _grid(session, runs)


def _grid(session: Session, runs: list[dict[str, Any]]) -> None:
    """As many of the newest runs as the terminal has room for; a mark for each worker, and a key below."""
    out = session.out
    names = list(dict.fromkeys(worker["name"] for run in reversed(runs) for worker in run["workers"]))
    wide = max([width("took"), *(width(plain(name)) for name in names)])
    cells = max([4, *(len(str(run["id"])) for run in runs), *(len(_took(run)) for run in runs)])
    if out.columns is not None:
        wide = min(wide, max(LEAST_NAME_COLUMNS, out.columns - cells - 2))
        runs = runs[-max(1, (out.columns - wide) // (cells + 2)) :]
    out.say(out.bold(pad("RUN", wide) + "".join(f"  {run['id']:>{cells}}" for run in runs)))
    seen: dict[str, None] = {}
    for name in names:
        row = pad(cut(plain(name), wide), wide)
        for run in runs:
            word = _word(next((worker for worker in run["workers"] if worker["name"] == name), None))
            seen[word] = None
            row += "  " + " " * (cells - 1) + _mark(session, word)
        out.say(row)
    out.say(pad("run", wide) + "".join("  " + " " * (cells - 1) + _mark(session, run["status"]) for run in runs))
    out.say(out.dim(pad("took", wide) + "".join(f"  {_took(run):>{cells}}" for run in runs)))
    seen.update(dict.fromkeys(run["status"] for run in runs))
    out.say()
    out.say(", ".join(f"{_mark(session, word)} {word}" for word in sorted(seen)))


def _word(worker: dict[str, Any] | None) -> str:
    if worker is None or worker.get("reason_code") == "not_in_run":
        return "not part of it"
    return state_word(worker)


def _mark(session: Session, word: str) -> str:
    look = LOOKS.get(word)
    if look is None:
        return "·" if session.out.has_glyphs else " "
    return session.out.paint(look.glyph if session.out.has_glyphs else look.ascii, look.colour)


def _took(run: dict[str, Any]) -> str:
    seconds = run.get("duration_seconds")
    return duration(elapsed_seconds(run) if seconds is None else seconds)
