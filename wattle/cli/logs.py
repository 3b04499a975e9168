"""`wattle logs`: what workers printed; with `-f` also what they will print, until the run ends.

Both of a worker's streams go to stdout, for they are the data here; in a terminal a `!` marks stderr.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from wattle.cli.following import Followed, Worker
from wattle.cli.matching import expand, target_arguments
from wattle.cli.printing import Printer, instant_of
from wattle.cli.server import connect_or_read
from wattle.cli.session import Session, json_option, pass_session, shared_options
from wattle.cli.target import Target
from wattle.client import Client

DEFAULT_LINES = 1000
MOST_LINES = 100_000  # that a server gives
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


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines. `stream` None: both; a line whose time is not known is outside every span."""

    stream: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    grep: "re.Pattern[str] | None" = None

    @property
    def is_everything(self) -> bool:
        return self == Wanted()

    def keeps(self, line: dict[str, Any]) -> bool:
        """Also what is no line of the log, but where a single stream or a pattern is asked for."""
        if line["type"] not in ("stdout", "stderr"):
            return self.is_everything
        if self.stream not in (None, line["type"]):
            return False
        if self.since is not None or self.until is not None:
            at = (instant_of(line) or datetime.min).astimezone(UTC) if instant_of(line) else None
            if (
                at is None
                or (self.since is not None and at < self.since)
                or (self.until is not None and at > self.until)
            ):
                return False
        return self.grep is None or self.grep.search(line["content"]) is not None


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
@click.option("--attempt", type=click.IntRange(1), metavar="K", help="That attempt's, not the newest one's.")
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
    if follow and attempt is not None:
        raise click.UsageError(
            "--attempt is of the past and -f of the present; leave one out", click.get_current_context()
        )
    wanted = Wanted(stream, since, until, grep)
    with connect_or_read(session.config) as client:
        workers = _workers(client, targets)
        names = _names(workers)
        options: dict[str, Any] = {"with_times": with_times, "raw": raw, "as_json": as_json}
        if not follow:
            _print_tails(session, client, dict(zip(names, workers)), lines, wanted, attempt, options)
            return
        printer = Printer(session.out, names, **options)
        if len(workers) == 1:
            for line in client.stream_logs(*workers[0], tail=lines):
                if wanted.keeps(line):
                    printer.line(names[0], line)
        else:
            Followed(client, workers, tail=lines, keeps=wanted.keeps).print(printer)


def _workers(client: Client, targets: tuple[Target, ...]) -> list[Worker]:
    """Those of whole workflows too, each once."""
    found: dict[Worker, None] = {}
    for target in expand(client, targets):
        if target.worker is not None:
            client.get_worker(target.workflow, target.worker)  # says so if there is none
            found[target.workflow, target.worker] = None
        else:
            summaries = client.list_worker_summaries(target.workflow)
            found.update(dict.fromkeys((target.workflow, summary["name"]) for summary in summaries))
    return list(found)


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
    tails = {name: read_lines(client, workers[name], most, wanted, attempt) if most else [] for name in workers}
    if options["as_json"]:
        session.out.json([{"worker": name, **line} for name, tail in tails.items() for line in tail])
        return
    printer = Printer(session.out, list(workers), **options)
    for name, tail in tails.items():
        for line in tail:
            printer.line(name, line)
        if lines is None and len(tail) >= DEFAULT_LINES and wanted.is_everything:
            session.note(f"these are the last {DEFAULT_LINES} lines of '{name}'. -n N shows more")


def read_lines(
    client: Client, worker: Worker, most: int, wanted: Wanted, attempt: int | None = None
) -> list[dict[str, Any]]:
    """The last `most` wanted lines of each stream. The one place that knows what is chosen here and what there."""
    read = most if wanted.is_everything else MOST_LINES
    lines = client.log_tail(*worker, read, attempt=attempt)
    if wanted.is_everything:
        return lines
    left: dict[str, int] = {}
    kept = []
    for line in reversed([line for line in lines if wanted.keeps(line)]):
        left[line["type"]] = left.get(line["type"], 0) + 1
        if left[line["type"]] <= most:
            kept.append(line)
    return kept[::-1]
