"""A run at one moment, for a live view: what each worker does, which of them are shown, how long it may take.

Pure: it is told of runs, events, readings and the time, and draws nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wattle.cli.output import elapsed_seconds, parse_instant, reason_of, state_word

BUSY = ("starting", "running", "ready", "stopping", "retrying")
ENDED = ("completed", "failed", "cancelled")
INTEREST = {"failed": 1, "queued": 2, "cancelled": 3, "waiting": 4, "created": 4, "completed": 5}  # busy ones: 0
LEFT_OUT = "not_in_run"
LEAST_ENDED = 2  # how many must have ended before their pace says anything


@dataclass(slots=True)
class Row:
    """One worker. `word` is its state; `cpu_percent` and `memory_bytes` are its tree's, None: not known."""

    name: str
    word: str
    reason: str = ""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    attempt: int = 0
    cpu_percent: float | None = None
    memory_bytes: int | None = None
    last_line: str = ""

    @property
    def is_busy(self) -> bool:
        return self.word in BUSY

    @property
    def has_ended(self) -> bool:
        return self.word in ENDED

    def seconds(self, now: datetime) -> float | None:
        """How long it has run, or ran."""
        if self.started_at is None:
            return None
        return max(0.0, ((self.completed_at or now) - self.started_at).total_seconds())


class Board:
    """`run` is an answer of `/api/runs/ID`; `past` says how many seconds workers took the last time."""

    def __init__(self, run: Mapping[str, Any], past: Mapping[str, float] | None = None) -> None:
        self.id, self.workflow = run["id"], run["workflow_name"]
        self.begun_at = parse_instant(run.get("started_at") or run.get("queued_at"))
        self.rows: dict[str, Row] = {}
        self.left_out = 0
        self._past = dict(past or {})
        self.refresh(run)

    def refresh(self, run: Mapping[str, Any]) -> None:
        """Take over how every worker stands."""
        self.left_out = 0
        for worker in run["workers"]:
            if worker.get("reason_code") == LEFT_OUT:
                self.left_out += 1
                continue
            row = self.rows.setdefault(worker["name"], Row(worker["name"], "waiting"))
            word, attempt = state_word(worker), worker.get("attempt") or 0
            if row.has_ended and word not in ENDED and attempt == row.attempt:
                continue  # an event that is newer than this answer has told its end
            row.word, row.reason, row.attempt = word, reason_of(worker), attempt
            row.started_at = parse_instant(worker.get("started_at"))
            row.completed_at = parse_instant(worker.get("completed_at"))

    def apply(self, event: Mapping[str, Any]) -> None:
        """What one event of the run says of a worker; others are passed over."""
        subject, _, word = event["kind"].partition(".")
        row = self.rows.get(event["subject"].removeprefix(f"{self.workflow}/"))
        if event.get("run_id") != self.id or subject != "worker" or row is None or word not in (*BUSY, *ENDED):
            return
        payload, at = event.get("payload") or {}, parse_instant(event["at"])
        row.word, row.reason = word, payload.get("reason") or ""
        row.attempt = payload.get("attempt") or row.attempt
        if word == "running":
            row.started_at, row.completed_at = at, None
        elif row.has_ended:
            row.completed_at = at
            row.cpu_percent = row.memory_bytes = None

    def reading(self, name: str, cpu_percent: float | None, memory_bytes: int | None, last_line: str | None) -> None:
        """What was measured of a worker; None for the last line: nothing new."""
        row = self.rows[name]
        row.cpu_percent, row.memory_bytes = cpu_percent, memory_bytes
        if last_line is not None:
            row.last_line = last_line

    # --- what is shown

    def shown(self, lines: int) -> tuple[list[Row], dict[str, int]]:
        """At most `lines` rows, and how many of each state are left over.

        In definition order where all have room; else busy ones first, then failed ones, and a line less for the
        counts.
        """
        rows = list(self.rows.values())
        if len(rows) <= lines:
            return rows, {}
        rows.sort(key=lambda row: 0 if row.is_busy else INTEREST.get(row.word, 4))  # stable: definition order
        kept = max(0, lines - 1)
        counts: dict[str, int] = {}
        for row in rows[kept:]:
            counts[row.word] = counts.get(row.word, 0) + 1
        return rows[:kept], counts

    @property
    def total(self) -> int:
        return len(self.rows)

    @property
    def ended(self) -> int:
        return sum(row.has_ended for row in self.rows.values())

    def elapsed_seconds(self, now: datetime) -> float:
        return max(0.0, (now - self.begun_at).total_seconds()) if self.begun_at is not None else 0.0

    def left_seconds(self, now: datetime) -> float | None:
        """How much longer, by how long the workers took the last time, else by the pace so far; None: nobody knows.

        What is known of the past gives the share of the work that is done; workers without a past count as the mean
        of the others, and one that takes longer than before counts as nearly done.
        """
        elapsed = self.elapsed_seconds(now)
        known = [self._past[name] for name in self.rows if name in self._past]
        if not known:
            if self.ended < LEAST_ENDED or self.ended == self.total:
                return None
            return elapsed * (self.total - self.ended) / self.ended
        mean = sum(known) / len(known)
        whole = done = 0.0
        for row in self.rows.values():
            expected = max(0.001, self._past.get(row.name, mean))
            whole += expected
            if row.has_ended:
                done += expected
            elif row.is_busy:
                done += min(row.seconds(now) or 0.0, 0.95 * expected)
        share = done / whole
        return None if share < 0.02 else elapsed * (1 - share) / share


def seconds_of(run: Mapping[str, Any]) -> dict[str, float]:
    """How long each worker of a run took that completed."""
    took = {worker["name"]: elapsed_seconds(worker) for worker in run["workers"] if worker["status"] == "completed"}
    return {name: seconds for name, seconds in took.items() if seconds is not None}
