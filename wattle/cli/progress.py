"""What `wattle run` tells while a run goes on, read from the events: a line for each change of state, or a live view.

Progress goes to stderr, the list of outputs at the end to stdout. It only reads; where it stands in the
events (`after`) outlives the server, so another server of the same data directory can be asked next.
"""

import shlex
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from wattle.cli.exits import Exit, exit_of_run
from wattle.cli.output import count_of, duration, parse_instant, plain
from wattle.cli.session import Session
from wattle.cli.summary import Summary, log_tail
from wattle.client import Client
from wattle.errors import WattleError

if TYPE_CHECKING:
    from wattle.cli.printing import Printer

ENDED = ("completed", "failed", "cancelled")
ENDS = tuple(f"run.{status}" for status in ENDED)
TOLD = {"running", "ready", "stopping", "retrying", *ENDED}  # phases worth a line
MOST_TAILS = 20  # logs of failed workers shown, so that a thousand failures stay readable
WAIT_SECONDS = 10.0
FINISH_SECONDS = 10.0


class View(Enum):
    """How a run is followed."""

    LINES = "a line for each change of state"
    TABLE = "a table of the workers, drawn over and over"
    LOGS = "lines, and what the workers print"


Teller = Callable[[Client, dict[str, Any]], None]


class Progress:
    """One run, followed through any number of servers. `again` is the command that runs it, for the summary."""

    def __init__(
        self, session: Session, workflow: str, run_id: int, after: int, *, view: View = View.LINES, again: str = ""
    ) -> None:
        self.workflow, self.run_id = workflow, run_id
        self._session, self._after, self._view, self._again = session, after, view, again
        self._logs: RunLogs | None = None
        self._begun_at: datetime | None = None
        self._started_at: dict[str, datetime] = {}
        self._tails = 0
        self._is_silent = session.is_quiet

    def follow(self, client: Client) -> Exit:
        """To the run's end; NoServer where the server goes before, to be called again with another."""
        if self._begun_at is None:
            self._begin(client.get_run(self.run_id))
        if self._view is View.LOGS and self._logs is None:
            self._logs = RunLogs(self._session, client, self.run_id)
        with self._teller(client) as tell:
            run = self._read_on(client, tell)
        if self._logs is not None:
            self._logs.finish()
        return self.conclude(client, run)

    def _read_on(self, client: Client, tell: Teller) -> dict[str, Any]:
        """The run, once it has ended."""
        while True:
            events = client.read_events(after=self._after, wait=WAIT_SECONDS, workflow=self.workflow)
            for event in events:
                tell(client, event)
                self._after = event["id"]
            if not events or any(self._is_end(event) for event in events):
                run = client.get_run(self.run_id)
                if run["status"] in ENDED:
                    return run

    def _teller(self, client: Client) -> AbstractContextManager[Teller]:
        if self._view is not View.TABLE:
            return nullcontext(self._tell)
        from wattle.cli.live import LiveView

        return LiveView(self._session.talk, client, client.get_run(self.run_id))

    def conclude(self, client: Client, run: dict[str, Any]) -> Exit:
        """The summary of a run that has ended, and where its outputs are. With -q what went wrong is told too."""
        is_quiet = self._session.is_quiet
        if is_quiet and run["status"] != "completed":
            self._is_silent = False
        with_workers = is_quiet or self._view is View.TABLE
        Summary(self._session, self._say, self._again).tell(client, run, with_workers=with_workers)
        return exit_of_run(run["status"])

    def _begin(self, run: dict[str, Any]) -> None:
        self._begun_at = parse_instant(run.get("started_at") or run.get("queued_at"))
        counted = len(run.get("workers") or ())
        self._say(f"run {self.run_id} of '{self.workflow}': {count_of(counted, 'worker')}")

    def _is_end(self, event: dict[str, Any]) -> bool:
        return event["run_id"] == self.run_id and event["kind"] in ENDS

    def _tell(self, client: Client, event: dict[str, Any]) -> None:
        subject, _, word = event["kind"].partition(".")
        if event["run_id"] != self.run_id or subject != "worker" or word not in TOLD:
            return
        worker, payload = event["subject"].removeprefix(f"{self.workflow}/"), event.get("payload") or {}
        at = parse_instant(event["at"])
        assert at is not None
        if word == "running":
            self._started_at[worker] = at
        talk = self._session.talk
        since = (at - (self._begun_at or at)).total_seconds()
        line = f"{duration(since):>9}  {talk.state(word, 12)} {plain(worker)}{self._remark(worker, word, at, payload)}"
        self._say(line)
        for notice in payload.get("notices") or ():
            self._say(" " * 11 + talk.dim(f"note: {plain(notice)}"))
        if word == "failed":
            self._show_tail(client, worker)

    def _remark(self, worker: str, word: str, at: datetime, payload: dict[str, Any]) -> str:
        """What stands behind the name: how long it took, which attempt it is, why."""
        parts = []
        if word in ENDED and worker in self._started_at:
            parts.append(duration((at - self._started_at.pop(worker)).total_seconds()))
        if payload.get("attempt", 1) > 1:
            parts.append(f"attempt {payload['attempt']}")
        if word == "retrying" and (due_at := parse_instant(payload.get("due_at"))) is not None:
            parts.append(f"again in {duration(max(0.0, (due_at - at).total_seconds()))}")
        if reason := payload.get("reason"):
            parts.append(plain(reason))
        return f"  {self._session.talk.dim(', '.join(parts))}" if parts else ""

    def _show_tail(self, client: Client, worker: str) -> None:
        """The last lines of stderr, or of stdout where it left none."""
        self._tails += 1
        if self._tails > MOST_TAILS:
            if self._tails == MOST_TAILS + 1:
                self._say(f"more workers failed; `wattle logs {shlex.quote(self.workflow)}` shows what they printed")
            return
        for line in log_tail(client, self.workflow, worker):
            self._say(" " * 11 + self._session.talk.dim(f"| {line}"))

    def _say(self, text: str) -> None:
        """Nobody reading any more must not end a run that this process may be the server of."""
        if self._is_silent:
            return
        try:
            self._session.talk.say(text)
        except OSError:
            self._is_silent = True


class RunLogs:
    """What all workers of the run print, each line behind its worker's name, on a thread of its own: one stream, in the
    order in which the lines were written."""

    def __init__(self, session: Session, client: Client, run_id: int) -> None:
        from wattle.cli.printing import Printer

        names = [worker["name"] for worker in client.get_run(run_id)["workers"]]
        printer = Printer(session.out, names, has_prefix=True)
        self._lines = client.stream_run_logs(run_id, was_there=True)
        self._thread = threading.Thread(target=self._print, args=(printer,), name="logs", daemon=True)
        self._thread.start()

    def _print(self, printer: "Printer") -> None:
        with suppress(WattleError, OSError):  # the run goes on, whoever reads; its end is told all the same
            for line in self._lines:
                printer.line(line.get("worker") or "", line)

    def finish(self) -> None:
        """Wait until everything that was printed has been shown."""
        self._thread.join(FINISH_SECONDS)
