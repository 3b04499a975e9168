"""`wattle logs`: what workers printed; with `-f` also what they will print, until the run ends.

Both of a worker's streams go to stdout, for they are the data here; in a terminal a `!` marks stderr.
"""

import re
from datetime import datetime, timedelta
from typing import Any

import click

from wattle.cli.following import Followed
from wattle.cli.following import follow as follow_one
from wattle.cli.log_lines import Tail, Wanted, Worker, read_tail
from wattle.cli.matching import expand, target_arguments
from wattle.cli.printing import Printer
from wattle.cli.server import connect_or_read
from wattle.cli.session import Session, json_option, pass_session, shared_options
from wattle.cli.target import Target
from wattle.client import Client, ClientError

DEFAULT_LINES = 1000
MOST_REASONS = 3  # told one by one
CUT = "1 MiB"  # of a stream, which a server gives as a tail
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class WhenType(click.ParamType):
    """An instant: `10m` (that long ago; s m h d), `09:30` (today), `2026-11-21`, `2026-11-21T09:30:00Z`."""

    name = "when"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        text, now = str(value), datetime.now().astimezone()
        if span := _SPAN.fullmatch(text):
            return now - timedelta(seconds=float(span[1]) * _SECONDS[span[2]])
        try:
            if re.fullmatch(r"\d\d?:\d\d(:\d\d)?", text):
                text = f"{now.date()}T{text.zfill(5)}"
            at = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"'{value}' is no instant: give 10m, 2h, 09:30, 2026-11-21 or 2026-11-21T09:30:00Z", param, ctx)
        return at if at.tzinfo is not None else at.astimezone()


class PatternType(click.ParamType):
    name = "regex"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> "re.Pattern[str]":
        try:
            return re.compile(str(value))
        except re.error as error:
            self.fail(f"'{value}' is no regular expression: {error}", param, ctx)


@click.command("logs")
@target_arguments
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
@click.option(
    "-n", "--tail", "lines", type=click.IntRange(0), help=f"Last lines of each stream [{DEFAULT_LINES}; -f: all]."
)
@click.option("--since", type=WhenType(), metavar="WHEN", help="From then on: 10m, 09:30, 2026-11-21T09:30:00Z.")
@click.option("--until", type=WhenType(), metavar="WHEN", help="Up to then.")
@click.option("-t", "--timestamps", "with_times", is_flag=True, help="When each line was written.")
@click.option("--stdout", "stream", flag_value="stdout", help="Only standard output.")
@click.option("--stderr", "stream", flag_value="stderr", help="Only standard error.")
@click.option(
    "--attempt", type=click.IntRange(1), metavar="K", help="That attempt's, not the newest one's; -f: to its end."
)
@click.option("--grep", type=PatternType(), metavar="REGEX", help="Only lines in which it is found.")
@click.option("--raw", is_flag=True, help="To a terminal too: every byte, escape sequences included.")
@json_option
@shared_options
@pass_session
def logs_verb(
    session: Session,
    targets: tuple[Target, ...],
    follow: bool,
    lines: int | None,
    since: datetime | None,
    until: datetime | None,
    with_times: bool,
    stream: str | None,
    attempt: int | None,
    grep: "re.Pattern[str] | None",
    raw: bool,
    as_json: bool,
) -> None:
    """What workers printed, the newest attempt of each.

    With --json one document, and with -f one line of JSON for each line. -f goes on over a restart of the server.

    \b
    wattle logs etl -f                  all workers, until the run ends
    wattle logs etl/load etl/clean      two of them
    wattle logs 'etl/*' --grep ERROR    lines of all in which it is found
    """
    wanted = Wanted(stream, since, until, grep)
    with connect_or_read(session.config) as client:
        workers, whole = _workers(client, targets)
        if follow and attempt is not None:
            workers = _with_attempt(client, workers, attempt)
        names = _names(workers)
        options: dict[str, Any] = {"with_times": with_times, "raw": raw, "as_json": as_json}
        if not follow:
            _print_tails(session, client, dict(zip(names, workers)), lines, wanted, attempt, options)
            return
        printer = Printer(session.out, names, **options)
        if len(workers) == 1:
            for line in follow_one(client, workers[0], lines, wanted, attempt=attempt):
                printer.line(names[0], line)
        else:
            # JSON tells of the end of each worker
            at_once = () if as_json or wanted.is_part or attempt is not None else whole
            Followed(client, workers, tail=lines, wanted=wanted, whole=at_once, attempt=attempt).print(printer)


def _workers(client: Client, targets: tuple[Target, ...]) -> tuple[list[Worker], list[str]]:
    """Those of whole workflows too, each once; and the workflows of which all are wanted."""
    found: dict[Worker, None] = {}
    known: dict[str, list[Worker]] = {}
    for target in expand(client, targets):
        if target.worker is not None:
            client.get_worker(target.workflow, target.worker)  # says so if there is none
            found[target.workflow, target.worker] = None
        else:
            known[target.workflow] = _all_of(client, target.workflow)
            found.update(dict.fromkeys(known[target.workflow]))
    for workflow in dict.fromkeys(workflow for workflow, _ in found):
        if workflow not in known and len(targets) < len(found):  # of a pattern, which may mean all
            known[workflow] = _all_of(client, workflow)
    return list(found), [workflow for workflow, workers in known.items() if workers and found.keys() >= set(workers)]


def _all_of(client: Client, workflow: str) -> list[Worker]:
    return [(workflow, summary["name"]) for summary in client.list_worker_summaries(workflow)]


def _names(workers: list[Worker]) -> list[str]:
    """By worker alone where all are of one workflow."""
    is_one = len({workflow for workflow, _ in workers}) < 2
    return [worker if is_one else f"{workflow}/{worker}" for workflow, worker in workers]


def _print_tails(
    session: Session,
    client: Client,
    workers: dict[str, Worker],
    lines: int | None,
    wanted: Wanted,
    attempt: int | None,
    options: dict[str, Any],
) -> None:
    most = DEFAULT_LINES if lines is None else lines
    tails = _tails(client, workers, most, wanted, attempt, options["with_times"]) if most else {}
    _tell_unstarted(session, client, {name: workers[name] for name, tail in tails.items() if not tail.lines})
    if options["as_json"]:
        session.out.json([{"worker": name, **line} for name, tail in tails.items() for line in tail.lines])
        return
    printer = Printer(session.out, list(workers), **options)
    for name, tail in tails.items():
        for line in tail.lines:
            printer.line(name, line)
        if not tail.complete:
            session.note(f"these are the last {CUT} of each stream of '{name}'. --since WHEN shows all from then on")
        elif lines is None and not wanted.is_part and len(tail.lines) >= DEFAULT_LINES:
            session.note(f"these are the last {DEFAULT_LINES} lines of '{name}'. -n N shows more")


def _tell_unstarted(session: Session, client: Client, silent: dict[str, Worker]) -> None:
    """Why there is nothing of those that never started; of many only that there are such."""
    unstarted: dict[str, Worker] = {}
    for workflow in dict.fromkeys(workflow for workflow, _ in silent.values()):
        states = {one["name"]: one for one in client.list_worker_summaries(workflow)}
        mine = {name: worker for name, (of, worker) in silent.items() if of == workflow}
        unstarted |= {name: (workflow, worker) for name, worker in mine.items() if not states[worker]["started_at"]}
    if len(unstarted) > MOST_REASONS:
        names = ", ".join(f"'{name}'" for name in list(unstarted)[:MOST_REASONS])
        whose = "` and `wattle why ".join(dict.fromkeys(workflow for workflow, _ in unstarted.values()))
        more = len(unstarted) - MOST_REASONS
        session.note(f"{names} and {more} more have not started; `wattle why {whose}` says why")
        return
    for name, worker in unstarted.items():
        state = client.why(*worker)
        if not state["attempt"]:
            session.note(f"'{name}' has not started: {state['reason']}")


def _with_attempt(client: Client, workers: list[Worker], attempt: int) -> list[Worker]:
    """Those that have that attempt; ClientError where none has."""
    kept, lacking = [], None
    for worker in workers:
        try:
            client.log_tail(*worker, 0, attempt=attempt)
            kept.append(worker)
        except ClientError as error:
            if error.code != "ATTEMPT_NOT_FOUND":
                raise
            lacking = error
    if lacking is not None and not kept:
        raise lacking
    return kept


def _tails(
    client: Client, workers: dict[str, Worker], most: int, wanted: Wanted, attempt: int | None, with_times: bool
) -> dict[str, Tail]:
    """Of several workers those that have that attempt; ClientError where none has."""
    tails: dict[str, Tail] = {}
    lacking: ClientError | None = None
    for name, worker in workers.items():
        try:
            tails[name] = read_tail(client, worker, most, wanted, attempt=attempt, with_times=with_times)
        except ClientError as error:
            if error.code != "ATTEMPT_NOT_FOUND":
                raise
            lacking = lacking or error
    if lacking is not None and not tails:
        raise lacking
    return tails
