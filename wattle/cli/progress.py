"""What `wattle run` tells while a run goes on: a line for each change of state, read from the events.

Progress goes to stderr, the list of outputs at the end to stdout. It only reads; where it stands in the
events (`after`) outlives the server, so another server of the same data directory can be asked next.
"""

import os
from datetime import datetime
from typing import Any

from wattle.cli.exits import Exit, exit_of_run
from wattle.cli.output import count_of, counts_text, duration, pad, parse_instant, plain, reason_of, size, width
from wattle.cli.session import Session
from wattle.cli.showing import output_path
from wattle.client import Client

ENDED = ("completed", "failed", "cancelled")
ENDS = tuple(f"run.{status}" for status in ENDED)
TOLD = {"running", "ready", "stopping", "retrying", *ENDED}  # phases worth a line
TAIL_LINES = 10
MOST_TAILS = 20  # logs of failed workers shown, so that a thousand failures stay readable
WAIT_SECONDS = 10.0


class Progress:
    """One run, followed through any number of servers."""

    def __init__(self, session: Session, workflow: str, run_id: int, after: int) -> None:
        self.workflow, self.run_id = workflow, run_id
        self._session, self._after = session, after
        self._begun_at: datetime | None = None
        self._started_at: dict[str, datetime] = {}
        self._tails = 0
        self._is_silent = False

    def follow(self, client: Client) -> Exit:
        """To the run's end; NoServer where the server goes before, to be called again with another."""
        if self._begun_at is None:
            self._begin(client.get_run(self.run_id))
        while True:
            events = client.read_events(after=self._after, wait=WAIT_SECONDS, workflow=self.workflow)
            for event in events:
                self._tell(client, event)
                self._after = event["id"]
            if not events or any(self._is_end(event) for event in events):
                run = client.get_run(self.run_id)
                if run["status"] in ENDED:
                    return self.conclude(client, run)

    def conclude(self, client: Client, run: dict[str, Any]) -> Exit:
        """The summary of a run that has ended, and where its outputs are."""
        took = duration(run.get("duration_seconds"))
        counts = counts_text(run.get("counts") or {})
        reason = reason_of(run) if run["status"] != "completed" else ""
        state = self._session.talk.state(run["status"])
        self._say(f"{state}: run {self.run_id} of '{self.workflow}' after {took}: {counts}{reason and f' ({reason})'}")
        self._list_outputs(client, run)
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
                self._say(f"more workers failed; `wattle logs {self.workflow}` shows what they printed")
            return
        lines = client.log_tail(self.workflow, worker, 10 * TAIL_LINES)
        errors = [line for line in lines if line["type"] == "stderr"]
        for line in (errors or lines)[-TAIL_LINES:]:
            self._say(" " * 11 + self._session.talk.dim(f"| {plain(line['content'])}"))

    def _list_outputs(self, client: Client, run: dict[str, Any]) -> None:
        """The declared outputs of the workers that completed: what, how big, where."""
        completed = {worker["name"] for worker in run["workers"] if worker["status"] == "completed"}
        rows = []
        for worker in client.list_workers(self.workflow):
            for name, declared in (worker["outputs"] or {}).items() if worker["name"] in completed else ():
                path = output_path(declared)
                if os.path.exists(path):
                    rows.append((f"{worker['name']}/{name}", size(os.path.getsize(path)), path))
                elif self._session.config.server_url is not None:
                    rows.append((f"{worker['name']}/{name}", "-", path))
        wide, wide_size = (max((width(row[column]) for row in rows), default=0) for column in (0, 1))
        directory = client.get_workflow(self.workflow)["working_dir"]
        self._say(f"{'outputs' if rows else 'no outputs; working directory'}: {directory}")
        try:
            for name, count, path in rows:
                self._session.out.say(f"{pad(name, wide)}  {count:>{wide_size}}  {path}")
        except BrokenPipeError:
            return  # the run's result is still this command's exit status

    def _say(self, text: str) -> None:
        """Nobody reading any more must not end a run that this process may be the server of."""
        if self._is_silent:
            return
        try:
            self._session.talk.say(text)
        except OSError:
            self._is_silent = True
