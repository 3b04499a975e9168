"""What the loop answers to those who wished for something."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StartedView:
    """A started run."""

    name: str
    run_id: int
    repeated: bool = False  # an Idempotency-Key named a run that exists


@dataclass(frozen=True, slots=True)
class Told:
    """How one attempt was told to end. `processes` are those of its tree that were signalled, `killed_at` is None where
    SIGKILL was not needed. Instants are unix µs."""

    attempt: str
    worker: str
    pid: int
    processes: int
    signal: int
    at: int
    killed_at: int | None


@dataclass(frozen=True, slots=True)
class StopView:
    """What a stop brought about: which attempts were signalled, and that nothing of them is left."""

    text: str
    signalled: tuple[str, ...] = ()
    escalated: bool = False
    unattributed: int = 0
    signals: tuple[Told, ...] = ()


@dataclass(frozen=True, slots=True)
class SignalView:
    """A signal to one attempt, and whom it reached: the leader first where it is among them. `refused` are those of its
    tree whom Wattle may not signal. `scope` is "tree" or "leader"."""

    worker: str
    attempt_uid: str
    attempt: int
    run_id: int
    number: int
    scope: str
    pids: tuple[int, ...] = ()
    refused: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RedefinedView:
    """What became of a worker's stored definition. `effect` is "restarted"; "to_come" where it has not started yet,
    "ended" where it is not started again, "unchanged" where it has that definition, "none" where no run is active."""

    run_id: int | None
    effect: str


def together(stops: Iterable[StopView]) -> StopView:
    """What several stops brought about."""
    stops = list(stops)
    signalled = tuple(uid for stop in stops for uid in stop.signalled)
    signals = tuple(told for stop in stops for told in stop.signals)
    escalated, unattributed = any(stop.escalated for stop in stops), sum(stop.unattributed for stop in stops)
    return StopView("", signalled, escalated, unattributed, signals)
