"""The live view of `wattle run` in a terminal: a table of the workers and a bar, drawn over and over in its place.

Rich moves the cursor and knows the terminal; what a line says is made here. One thread reads what workers use
and print, Rich's draws, and the caller's follows the events.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from wattle.cli.board import Board, Row, seconds_of
from wattle.cli.output import LOOKS, Screen, cut, duration, pad, plain, size, width
from wattle.cli.printing import told
from wattle.client import Client
from wattle.errors import WattleError

if TYPE_CHECKING:
    from rich.console import RenderableType

FRAMES_A_SECOND = 5
READ_SECONDS = 1.0
MOST_READ = 24  # workers whose use and last line are asked for in each round
WIDE, NARROW = 70, 50  # columns: from the first on with cpu and memory, under the second without what they say
STATE_COLUMNS = 11


class LiveView:
    """A context manager: the terminal is taken when it is entered and given back, cleared, when it is left."""

    def __init__(self, screen: Screen, client: Client, run: dict[str, Any]) -> None:
        from rich.console import Console
        from rich.live import Live

        self._screen, self._client = screen, client
        self.board = Board(run, _past(client, run))
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._console = Console(
            file=screen.stream, force_terminal=True, no_color=not screen.has_colour, highlight=False, markup=False
        )
        self._live = Live(
            console=self._console,
            refresh_per_second=FRAMES_A_SECOND,
            transient=True,
            get_renderable=self._frame,
        )
        self._reader = threading.Thread(target=self._read, name="readings", daemon=True)

    def __enter__(self) -> Callable[[Client, dict[str, Any]], None]:
        self._live.start()
        self._reader.start()
        return self.apply

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._live.stop()
        self._reader.join(timeout=2 * READ_SECONDS)

    def apply(self, client: Client, event: dict[str, Any]) -> None:
        with self._lock:
            self.board.apply(event)

    # --- readings

    def _read(self) -> None:
        """Ask for what cannot be told by events, until the view is left. Without a server nothing new is known."""
        while True:
            with suppress(WattleError):
                run = self._client.get_run(self.board.id)
                with self._lock:
                    self.board.refresh(run)
                    busy = [row.name for row in self.board.rows.values() if row.is_busy][:MOST_READ]
                for name in busy:
                    if self._over.is_set():
                        return
                    self._read_one(name)
            if self._over.wait(READ_SECONDS):
                return

    def _read_one(self, name: str) -> None:
        metrics = self._client.metrics(self.board.workflow, name)
        lines = self._client.log_tail(self.board.workflow, name, 1)
        said = told(lines[-1], colours=False).strip() if lines else None
        with self._lock:
            self.board.reading(name, metrics.get("cpu_percent"), metrics.get("memory_bytes"), said)

    # --- frames

    def _frame(self) -> "RenderableType":
        from rich.text import Text

        columns, height = self._console.size
        now = datetime.now(UTC)
        with self._lock:
            lines = table_lines(self._screen, self.board, columns - 1, max(1, height - 3), now)
            lines += bar_lines(self._screen, self.board, columns - 1, now)
        return Text.from_ansi("\n".join(lines), no_wrap=True, overflow="crop")


def table_lines(screen: Screen, board: Board, columns: int, lines: int, now: datetime) -> list[str]:
    """The workers, at most `lines` lines of them, with a head; none is wider than `columns`."""
    rows, rest = board.shown(lines)
    name_columns = min(max([6, *(width(row.name) for row in rows)]), max(8, columns // 3))
    head = f"{'STATE':<{STATE_COLUMNS + 2}}{pad('WORKER', name_columns)}  {'TOOK':>10}"
    if columns >= WIDE:
        head += f"  {'CPU':>5}  {'MEMORY':>8}"
    made = [screen.dim(cut(head, columns))]
    made += [_row_line(screen, row, name_columns, columns, now) for row in rows]
    if rest:
        counts = ", ".join(f"{count} {word}" for word, count in rest.items())
        made.append(screen.dim(cut(f"{'...' if not screen.has_glyphs else '…'} and {counts}", columns)))
    return made


def bar_lines(screen: Screen, board: Board, columns: int, now: datetime) -> list[str]:
    """How much of the run is over, how long it takes, and how much longer it may."""
    left = board.left_seconds(now)
    text = f"{board.ended}/{board.total}  {duration(board.elapsed_seconds(now))}"
    if left is not None and board.ended < board.total:
        text += f", about {duration(max(1.0, left))} left"
    if board.left_out:
        text += f", {board.left_out} not part of this run"
    text = cut(text, columns)
    room = min(40, columns - width(text) - 2)
    if room < 5:
        return [text]
    full = room * board.ended // max(1, board.total)
    done, todo = ("━", "╌") if screen.has_glyphs else ("#", "-")
    return [f"{screen.paint(done * full, '32')}{screen.dim(todo * (room - full))}  {text}"]


def _row_line(screen: Screen, row: Row, name_columns: int, columns: int, now: datetime) -> str:
    """State and name first: they are whole on every terminal."""
    look = LOOKS.get(row.word)
    glyph = "?" if look is None else look.glyph if screen.has_glyphs else look.ascii
    state = screen.paint(pad(f"{glyph} {row.word}", STATE_COLUMNS), look.colour if look else "33")
    name = pad(cut(plain(row.name), name_columns), name_columns)
    used = STATE_COLUMNS + 2 + name_columns
    if used + 12 > columns:
        return f"{state}  {cut(name.rstrip(), max(1, columns - STATE_COLUMNS - 2))}"
    line, used = f"{state}  {name}  {duration(row.seconds(now)):>10}", used + 12
    if columns >= WIDE:
        cpu = "-" if row.cpu_percent is None else f"{row.cpu_percent:.0f}%"
        memory = "-" if row.memory_bytes is None else size(row.memory_bytes)
        line, used = f"{line}  {cpu:>5}  {memory:>8}", used + 17
    if columns >= NARROW and columns - used > 8:
        line += "  " + screen.dim(cut(_says(row), columns - used - 2))
    return line


def _says(row: Row) -> str:
    """What it waits for, or why it is so; of one that runs its last line."""
    attempt = f"attempt {row.attempt}: " if row.attempt > 1 else ""
    if row.word in ("running", "ready", "completed"):
        return attempt + row.last_line
    return attempt + plain(row.reason)


def _past(client: Client, run: dict[str, Any]) -> dict[str, float]:
    """How long workers took in the latest run of the workflow that completed."""
    for former in client.list_runs(run["workflow_name"], limit=10):
        if former["kind"] == "workflow" and former["status"] == "completed" and former["id"] != run["id"]:
            return seconds_of(client.get_run(former["id"]))
    return {}
