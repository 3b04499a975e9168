"""`wattle logs`: what workers printed; with `-f` also what they will print, until the run ends.

Both of a worker's streams go to stdout, for they are the data here; in a terminal a `!` marks stderr.
"""

import json
import queue
import threading
import time
from typing import Any

import click

from wattle.cli.output import Screen, pad, width
from wattle.cli.server import connect_or_read
from wattle.cli.session import Session, json_option, pass_session, shared_options
from wattle.cli.target import EITHER, Target
from wattle.client import Client, NoServer

DEFAULT_LINES = 1000
MOST_STREAMS = 64
PATIENCE_SECONDS = 60.0


@click.command("logs")
@click.argument("target", type=EITHER, metavar="WF[/WORKER]")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
@click.option(
    "-n", "--tail", "lines", type=click.IntRange(0), help=f"Last lines of each stream [{DEFAULT_LINES}; -f: all]."
)
@json_option
@shared_options
@pass_session
def logs_verb(session: Session, target: Target, follow: bool, lines: int | None, as_json: bool) -> None:
    """What workers printed, the newest attempt of each.

    With --json one document, and with -f one line of JSON for each line.
    """
    with connect_or_read(session.config) as client:
        names = _workers(client, target)
        if not follow:
            _print_tails(session, client, target.workflow, names, DEFAULT_LINES if lines is None else lines, as_json)
            return
        printer = Printer(session.out, names if len(names) > 1 else [], as_json)
        if target.worker is not None:
            for line in client.stream_logs(target.workflow, target.worker, tail=lines):
                printer.line(target.worker, line)
        else:
            Followed(client, target.workflow, lines).print(printer)


def _workers(client: Client, target: Target) -> list[str]:
    if target.worker is None:
        return [worker["name"] for worker in client.list_worker_summaries(target.workflow)]
    client.get_worker(target.workflow, target.worker)  # says so if there is none
    return [target.worker]


def _print_tails(session: Session, client: Client, workflow: str, names: list[str], lines: int, as_json: bool) -> None:
    tails = {name: client.log_tail(workflow, name, lines) if lines else [] for name in names}
    if as_json:
        session.out.json([{"worker": name, **line} for name, tail in tails.items() for line in tail])
        return
    printer = Printer(session.out, names if len(names) > 1 else [], as_json)
    for name, tail in tails.items():
        for line in tail:
            printer.line(name, line)
        if lines == DEFAULT_LINES <= len(tail):
            session.note(f"these are the last {lines} lines of '{name}'. -n N shows more")


class Printer:
    """Log lines, each behind its worker's name where `names` holds several."""

    def __init__(self, out: Screen, names: list[str], as_json: bool) -> None:
        self._out, self._as_json = out, as_json
        self._wide = max(map(width, names), default=0)
        self._unfinished: tuple[str, str] | None = None  # (worker, stream) of a line that goes on

    def line(self, worker: str, line: dict[str, Any]) -> None:
        """What is not a line of the log (`end`, `attempt`, …) is told in JSON only, but for what was lost."""
        if self._as_json:
            self._out.say(json.dumps({"worker": worker, **line}, ensure_ascii=not self._out.has_glyphs))
        elif line["type"] in ("stdout", "stderr"):
            self._log_line(worker, line)
        elif line["type"] in ("gap", "truncated", "error"):
            said = {"truncated": "the log was cut down to nothing", "gap": "a part of the log was dropped"}
            self._out.say(f"{self._prefix(worker)}[{said.get(line['type']) or line.get('message')}]")

    def _log_line(self, worker: str, line: dict[str, Any]) -> None:
        """A very long line comes in pieces; alone on the screen they are put together again."""
        key = (worker, line["type"])
        if self._unfinished not in (None, key):
            self._out.say()
        goes_on = self._unfinished == key
        self._unfinished = key if line.get("continued") and not self._wide else None
        mark = ("! " if line["type"] == "stderr" else "  ") if self._out.is_terminal else ""
        head = "" if goes_on else f"{self._prefix(worker)}{self._out.paint(mark, '33')}"
        self._out.say(f"{head}{line['content']}", end="" if self._unfinished else "\n")

    def _prefix(self, worker: str) -> str:
        return self._out.dim(f"{pad(worker, self._wide)} | ") if self._wide else ""


class Followed:
    """All workers of a workflow, each from its start on, until no run of it is active.

    One thread watches for workers that start, one more reads each stream; the caller's thread prints.
    """

    def __init__(self, client: Client, workflow: str, lines: int | None) -> None:
        self._client, self._workflow, self._lines = client, workflow, lines
        self._arrived: queue.SimpleQueue[tuple[str, dict[str, Any]] | Exception | None] = queue.SimpleQueue()
        self._places = threading.Semaphore(MOST_STREAMS)
        self._streams: dict[str, threading.Thread] = {}

    def print(self, printer: Printer) -> None:
        threading.Thread(target=self._guarded, args=(self._watch,), daemon=True).start()
        while (arrived := self._arrived.get()) is not None:
            if isinstance(arrived, Exception):
                raise arrived
            printer.line(*arrived)

    def _guarded(self, work: Any, *arguments: Any) -> None:
        try:
            work(*arguments)
        except Exception as error:  # the printing thread raises it
            self._arrived.put(error)

    def _watch(self) -> None:
        after, heard_at = self._client.last_event_id(), time.monotonic()
        while True:
            try:
                is_running = self._client.get_workflow(self._workflow)["status"] == "running"
                self._open_streams()
                if not is_running:
                    break
                for event in self._client.read_events(after=after, wait=5, workflow=self._workflow):
                    after = event["id"]
                heard_at = time.monotonic()
            except NoServer:
                if time.monotonic() - heard_at > PATIENCE_SECONDS:
                    raise
                time.sleep(0.5)
        for thread in self._streams.values():
            thread.join()
        self._arrived.put(None)

    def _open_streams(self) -> None:
        for worker in self._client.list_worker_summaries(self._workflow):
            name = worker["name"]
            if name in self._streams or worker["started_at"] is None:
                continue
            self._places.acquire()
            self._streams[name] = threading.Thread(target=self._guarded, args=(self._stream, name), daemon=True)
            self._streams[name].start()

    def _stream(self, name: str) -> None:
        try:
            for line in self._client.stream_logs(self._workflow, name, tail=self._lines):
                self._arrived.put((name, line))
        finally:
            self._places.release()
