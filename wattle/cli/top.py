"""`wattle top`: what the process trees of running workers use, live in a terminal and once in a pipe."""

import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from wattle.cli.matching import expand
from wattle.cli.output import Screen, cut, duration, elapsed_seconds, pad, plain, size, state_word, width
from wattle.cli.server import connect
from wattle.cli.session import Session, json_option, pass_session, shared_options
from wattle.cli.target import EITHER, Target
from wattle.client import Client, NoServer
from wattle.errors import WattleError

if TYPE_CHECKING:
    from rich.text import Text

PATIENCE_SECONDS = 60.0


class Order(NamedTuple):
    """`key` sorts by it in the live view."""

    key: str
    field: str
    descending: bool


ORDERS = {
    "cpu": Order("c", "cpu_percent", True),
    "memory": Order("m", "memory_bytes", True),
    "time": Order("t", "runtime_seconds", True),
    "processes": Order("p", "num_processes", True),
    "name": Order("n", "name", False),
}


@click.command("top")
@click.argument("targets", type=EITHER, nargs=-1, metavar="[WF[/WORKER]]...")
@click.option("--sort", "order", type=click.Choice(list(ORDERS)), default="cpu", show_default=True, help="By what.")
@click.option(
    "-i", "--interval", "seconds", type=click.FloatRange(0.2, 60), default=1.0, show_default=True,
    help="Seconds between two looks.",
)  # fmt: skip
@click.option("--once", is_flag=True, help="One table, in a terminal too.")
@json_option
@shared_options
@pass_session
def top_verb(
    session: Session, targets: tuple[Target, ...], order: str, seconds: float, once: bool, as_json: bool
) -> None:
    """What running workers use, each with all processes that descend from it.

    In a terminal it is drawn anew every second: c, m, t, p, n sort by CPU, memory, time, processes, name; q ends it.
    """
    with connect(session.config) as client:
        if as_json:
            session.out.json(usage(client, targets, order))
        elif once or not session.out.is_terminal:
            session.out.say("\n".join(lines_of(session.out, usage(client, targets, order), order, None)))
        else:
            _live(session, client, targets, order, seconds)


def usage(client: Client, targets: tuple[Target, ...], order: str) -> list[dict[str, Any]]:
    """The metrics of each running worker, with `name` ("workflow/worker") and `state`, in that order."""
    wanted = expand(client, targets) if targets else None
    if wanted is None:
        workflows = [workflow["name"] for workflow in client.list_workflows()]
    else:
        workflows = list(dict.fromkeys(target.workflow for target in wanted))
    found = []
    for workflow in workflows:
        names = None if wanted is None or Target(workflow, None) in wanted else {t.worker for t in wanted}
        for worker in client.list_worker_summaries(workflow):
            if worker["status"] != "running" or (names is not None and worker["name"] not in names):
                continue
            state = {"name": f"{workflow}/{worker['name']}", "state": state_word(worker)}
            found.append(state | client.metrics(workflow, worker["name"]) | {"elapsed": elapsed_seconds(worker)})
    by = ORDERS[order]
    found.sort(key=lambda one: str(one["name"]))
    if by.field != "name":
        found.sort(key=lambda one: one[by.field] or 0, reverse=by.descending)
    return found


def lines_of(out: Screen, found: list[dict[str, Any]], order: str, columns: int | None) -> list[str]:
    """A sum, a head and a line for each; none wider than `columns`, the least important columns go first."""
    cpu = sum(one["cpu_percent"] or 0 for one in found)
    memory, processes = (sum(one[field] or 0 for one in found) for field in ("memory_bytes", "num_processes"))
    lines = [f"{len(found)} running, {processes} processes, {cpu:.0f}% CPU, {size(memory)} memory, by {order}"]
    wide = max([width("WORKER"), *(width(plain(one["name"])) for one in found)])
    numbers = [("CPU", 6), ("MEMORY", 9), ("PROCS", 5), ("THREADS", 7), ("TIME", 12), ("PID", 8)]
    while columns is not None and len(numbers) > 2 and 14 + min(wide, 24) + sum(w + 2 for _, w in numbers) > columns:
        numbers.pop()
    room = None if columns is None else columns - sum(w + 2 for _, w in numbers)
    if room is not None and wide + 14 > room:
        wide = max(8, room - 14)
        if wide + 14 > room:
            wide = max(1, room)
    with_state = room is None or wide + 14 <= room
    head = f"{'STATE':<12}  " if with_state else ""
    head += pad("WORKER", wide) + "".join(f"  {title:>{w}}" for title, w in numbers)
    lines.append(out.bold(head))
    for one in found:
        cells = {
            "CPU": f"{one['cpu_percent'] or 0:.1f}%",
            "MEMORY": size(one["memory_bytes"] or 0),
            "PROCS": str(one["num_processes"]),
            "THREADS": str(one["num_threads"]),
            "TIME": duration(one["elapsed"]),
            "PID": str(one["pid"] or "-"),
        }
        line = out.state(one["state"], 12) + "  " if with_state else ""
        line += pad(cut(plain(one["name"]), wide), wide)
        lines.append(line + "".join(f"  {cells[title]:>{w}}" for title, w in numbers))
    return lines


def _live(session: Session, client: Client, targets: tuple[Target, ...], order: str, seconds: float) -> None:
    from rich.console import Console
    from rich.live import Live

    out = session.out
    console = Console(file=out.stream, force_terminal=True, no_color=not out.has_colour, highlight=False, markup=False)
    keys = {by.key: name for name, by in ORDERS.items()}
    found, heard_at, trouble = usage(client, targets, order), time.monotonic(), ""
    with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            columns, height = console.size
            lines = lines_of(out, found, order, columns)
            over = len(lines) - (height - 1)
            if over > 0:
                lines = [*lines[: height - 2], out.dim(f"and {over + 1} more")]
            lines.append(trouble or out.dim(cut("sort: c m t p n   end: q", columns)))
            live.update(_text(lines), refresh=True)
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                key = pressed(left)
                if key in ("q", "\x03", "\x1b"):
                    return
                if key in keys:
                    order = keys[key]
                    break
            try:
                found, heard_at, trouble = usage(client, targets, order), time.monotonic(), ""
            except NoServer as error:
                if time.monotonic() - heard_at > PATIENCE_SECONDS:
                    raise
                trouble = cut(f"{error.message}; waiting", columns)
            except WattleError as error:
                found, trouble = [], cut(error.message, columns)


def _text(lines: list[str]) -> "Text":
    from rich.text import Text

    return Text.from_ansi("\n".join(lines), no_wrap=True, overflow="crop")


@contextmanager
def _keys() -> Iterator[Any]:
    """`pressed(seconds)`: the next key, None where none is pressed in time. The terminal is given back as it was."""
    import termios
    import tty

    if not sys.stdin.isatty():
        yield lambda seconds: time.sleep(seconds)
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def pressed(seconds: float) -> str | None:
        ready, _, _ = select.select([descriptor], [], [], seconds)
        typed = os.read(descriptor, 64).decode("utf-8", "replace") if ready else ""
        is_sequence = typed.startswith("\x1b") and typed != "\x1b"  # an arrow, say, is no escape
        return typed[-1:] if typed and not is_sequence else None

    try:
        tty.setcbreak(descriptor)
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
