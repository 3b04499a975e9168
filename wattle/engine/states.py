"""The words for states, and the table of what happens to a worker within a run.

The table is total: every state × event has a cell, `IMPOSSIBLE` ones included (after s6-supervise); a test
checks it. Desired and observed are separate: `STOP` says what is wanted, `ENDED` brings it about.
"""

from enum import StrEnum
from typing import NamedTuple


class Status(StrEnum):
    """The five documented words (W-34)."""

    CREATED = "created"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Phase(StrEnum):
    """What the status leaves out."""

    WAITING = "waiting"
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    READY = "ready"
    STOPPING = "stopping"
    RETRYING = "retrying"
    ENDED = "ended"


class State(StrEnum):
    """Where a worker stands in a run."""

    WAITING = "waiting"  # for its producers, or for a place in the window of orders
    QUEUED = "queued"  # ordered from the keeper, not known to have been started
    RECALLED = "recalled"  # ordered, but a producer was restarted: withdraw it if it has not been started
    RUNNING = "running"
    READY = "ready"  # a service that its consumers may use
    STOPPING = "stopping"  # a user wants it stopped
    EXPIRING = "expiring"  # the workflow's time is over
    RESTARTING = "restarting"  # a user wants its next attempt as soon as this one is gone
    ENDING = "ending"  # a service that nobody needs any more: it is being ended
    AILING = "ailing"  # a probe says that the service is not well: it is being ended, then `restart` decides
    SETTLING = "settling"  # its process has ended: outputs or last words are being looked at
    RETRYING = "retrying"  # failed, its next attempt is due at an instant
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Event(StrEnum):
    """What can happen to it. The three `*_FAILURE`/`SUCCESS` events are judgements on a settled attempt."""

    READY = "ready"  # every producer has completed and there is room
    STARTED = "started"  # the keeper has spawned it
    REFUSED = "refused"  # the keeper could not spawn it
    ENDED = "ended"  # its whole process tree is gone
    SPARED = "spared"  # the same, and it had ended well before it could be told to end
    WITHDRAWN = "withdrawn"  # the keeper had not spawned it and never will
    SUCCESS = "success"
    FAILURE = "failure"  # for good
    PASSING_FAILURE = "passing failure"  # a retry is left
    RETRY_DUE = "retry due"
    STOP = "stop"
    START = "start"  # by a user: now, whatever its inputs
    RESTART = "restart"
    EXPIRE = "expire"  # the workflow's time is over
    UPSTREAM_LOST = "upstream lost"  # a producer will never complete
    UPSTREAM_RENEWED = "upstream renewed"  # a producer begins again, or is no longer ready
    PASSED = "passed"  # its `ready` probe did, or it has none
    SICK = "sick"  # `ready` did not pass in time, or `alive` failed too often
    UNNEEDED = "unneeded"  # a service's last consumer has ended


class Action(StrEnum):
    """What the supervisor does about it."""

    NONE = "none"
    ORDER = "order"  # its next attempt
    WITHDRAW = "withdraw"  # take the order back
    SIGNAL = "signal"  # end the process tree
    SETTLE = "settle"  # look at its files
    SCHEDULE = "schedule"  # its retry
    PROVIDE = "provide"  # its consumers may start
    CONCLUDE = "conclude"  # its part is over: consumers become ready or are cancelled


class Cell(NamedTuple):
    state: State
    action: Action


class ImpossibleTransition(Exception):
    """A cell that a correct program never reaches."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"{event.value} in state {state.value}")


S, E, A = State, Event, Action
IMPOSSIBLE = None
ENDED_STATES = frozenset({S.COMPLETED, S.FAILED, S.CANCELLED})
LIVE_STATES = frozenset({S.RUNNING, S.READY, S.STOPPING, S.EXPIRING, S.RESTARTING, S.ENDING, S.AILING})
STOPPED_STATES = frozenset({S.STOPPING, S.EXPIRING, S.RESTARTING, S.ENDING, S.AILING})  # its tree is being ended
ORDERED_STATES = LIVE_STATES | {S.QUEUED, S.RECALLED}


def _row(**cells: tuple[State, Action]) -> dict[Event, Cell | None]:
    """A row by event name in lower case; what is not named is impossible."""
    row: dict[Event, Cell | None] = dict.fromkeys(Event, IMPOSSIBLE)
    for name, cell in cells.items():
        row[Event[name.upper()]] = Cell(*cell)
    return row


def _stay(state: State, *events: Event) -> dict[Event, Cell | None]:
    return {event: Cell(state, A.NONE) for event in events}


_UPSTREAM = (E.UPSTREAM_LOST, E.UPSTREAM_RENEWED)

TABLE: dict[State, dict[Event, Cell | None]] = {
    S.WAITING: _row(
        ready=(S.QUEUED, A.ORDER),
        start=(S.QUEUED, A.ORDER),
        restart=(S.QUEUED, A.ORDER),
        stop=(S.CANCELLED, A.CONCLUDE),
        expire=(S.CANCELLED, A.CONCLUDE),
        upstream_lost=(S.CANCELLED, A.NONE),
        upstream_renewed=(S.WAITING, A.NONE),
        unneeded=(S.CANCELLED, A.CONCLUDE),
    ),
    S.QUEUED: _row(
        started=(S.RUNNING, A.NONE),
        refused=(S.SETTLING, A.SETTLE),
        ended=(S.SETTLING, A.SETTLE),
        stop=(S.STOPPING, A.SIGNAL),
        expire=(S.STOPPING, A.SIGNAL),
        start=(S.QUEUED, A.NONE),
        restart=(S.RESTARTING, A.SIGNAL),  # it may have been spawned already, before it was asked for
        upstream_lost=(S.QUEUED, A.NONE),
        upstream_renewed=(S.RECALLED, A.WITHDRAW),
        unneeded=(S.ENDING, A.SIGNAL),
    ),
    S.RECALLED: _row(
        started=(S.RUNNING, A.NONE),
        refused=(S.SETTLING, A.SETTLE),
        ended=(S.SETTLING, A.SETTLE),
        withdrawn=(S.WAITING, A.NONE),
        stop=(S.STOPPING, A.SIGNAL),
        expire=(S.STOPPING, A.SIGNAL),
        start=(S.RESTARTING, A.SIGNAL),
        restart=(S.RESTARTING, A.SIGNAL),
        upstream_lost=(S.RECALLED, A.NONE),
        upstream_renewed=(S.RECALLED, A.NONE),
        unneeded=(S.ENDING, A.SIGNAL),
    ),
    S.RUNNING: _row(
        ended=(S.SETTLING, A.SETTLE),
        stop=(S.STOPPING, A.SIGNAL),
        expire=(S.EXPIRING, A.SIGNAL),
        restart=(S.RESTARTING, A.SIGNAL),
        start=(S.RUNNING, A.NONE),
        passed=(S.READY, A.PROVIDE),
        sick=(S.AILING, A.SIGNAL),
        unneeded=(S.ENDING, A.SIGNAL),
    )
    | _stay(S.RUNNING, *_UPSTREAM),
    S.READY: _row(
        ended=(S.SETTLING, A.SETTLE),
        stop=(S.STOPPING, A.SIGNAL),
        expire=(S.EXPIRING, A.SIGNAL),
        restart=(S.RESTARTING, A.SIGNAL),
        start=(S.READY, A.NONE),
        sick=(S.AILING, A.SIGNAL),
        unneeded=(S.ENDING, A.SIGNAL),
    )
    | _stay(S.READY, *_UPSTREAM),
    S.STOPPING: _row(
        started=(S.STOPPING, A.NONE),
        refused=(S.CANCELLED, A.CONCLUDE),
        ended=(S.CANCELLED, A.CONCLUDE),
        spared=(S.SETTLING, A.SETTLE),
        withdrawn=(S.CANCELLED, A.CONCLUDE),
        restart=(S.RESTARTING, A.NONE),
        start=(S.RESTARTING, A.NONE),
    )
    | _stay(S.STOPPING, E.STOP, E.EXPIRE, E.UNNEEDED, *_UPSTREAM),
    S.EXPIRING: _row(
        started=(S.EXPIRING, A.NONE),
        refused=(S.FAILED, A.CONCLUDE),
        ended=(S.FAILED, A.CONCLUDE),
        spared=(S.SETTLING, A.SETTLE),
        withdrawn=(S.FAILED, A.CONCLUDE),
        stop=(S.STOPPING, A.NONE),
    )
    | _stay(S.EXPIRING, E.EXPIRE, E.START, E.RESTART, E.UNNEEDED, *_UPSTREAM),
    S.RESTARTING: _row(
        started=(S.RESTARTING, A.NONE),
        refused=(S.QUEUED, A.ORDER),
        ended=(S.QUEUED, A.ORDER),
        withdrawn=(S.QUEUED, A.ORDER),
        stop=(S.STOPPING, A.NONE),
        expire=(S.EXPIRING, A.NONE),
    )
    | _stay(S.RESTARTING, E.START, E.RESTART, *_UPSTREAM)
    | {E.UNNEEDED: Cell(S.ENDING, A.NONE)},
    S.ENDING: _row(
        started=(S.ENDING, A.NONE),
        refused=(S.COMPLETED, A.CONCLUDE),
        ended=(S.COMPLETED, A.CONCLUDE),
        withdrawn=(S.COMPLETED, A.CONCLUDE),
        start=(S.RESTARTING, A.NONE),
        restart=(S.RESTARTING, A.NONE),
    )
    | _stay(S.ENDING, E.STOP, E.EXPIRE, E.UNNEEDED, *_UPSTREAM),
    S.AILING: _row(
        ended=(S.SETTLING, A.SETTLE),
        withdrawn=(S.SETTLING, A.SETTLE),
        stop=(S.STOPPING, A.NONE),
        expire=(S.EXPIRING, A.NONE),
        start=(S.RESTARTING, A.NONE),
        restart=(S.RESTARTING, A.NONE),
        unneeded=(S.ENDING, A.NONE),
    )
    | _stay(S.AILING, *_UPSTREAM),
    S.SETTLING: _row(
        success=(S.COMPLETED, A.CONCLUDE),
        failure=(S.FAILED, A.CONCLUDE),
        passing_failure=(S.RETRYING, A.SCHEDULE),
        restart=(S.QUEUED, A.ORDER),
        start=(S.QUEUED, A.ORDER),
    )
    | _stay(S.SETTLING, E.STOP, E.EXPIRE, E.UNNEEDED, *_UPSTREAM),
    S.RETRYING: _row(
        retry_due=(S.QUEUED, A.ORDER),
        stop=(S.CANCELLED, A.CONCLUDE),
        expire=(S.FAILED, A.CONCLUDE),
        start=(S.QUEUED, A.ORDER),
        restart=(S.QUEUED, A.ORDER),
        unneeded=(S.COMPLETED, A.CONCLUDE),
    )
    | _stay(S.RETRYING, *_UPSTREAM),
    **{
        state: _row(start=(S.QUEUED, A.ORDER), restart=(S.QUEUED, A.ORDER))
        | _stay(state, E.STOP, E.EXPIRE, E.UPSTREAM_LOST, E.UNNEEDED)
        | {E.UPSTREAM_RENEWED: Cell(S.WAITING, A.NONE) if state is S.CANCELLED else Cell(state, A.NONE)}
        for state in (S.COMPLETED, S.FAILED, S.CANCELLED)
    },
}


def step(state: State, event: Event) -> Cell:
    """The cell for an event, or ImpossibleTransition."""
    cell = TABLE[state][event]
    if cell is None:
        raise ImpossibleTransition(state, event)
    return cell


_PHASE = {
    S.WAITING: Phase.WAITING,
    S.QUEUED: Phase.QUEUED,
    S.RECALLED: Phase.QUEUED,
    S.RUNNING: Phase.RUNNING,
    S.READY: Phase.READY,
    S.SETTLING: Phase.RUNNING,
    S.STOPPING: Phase.STOPPING,
    S.EXPIRING: Phase.STOPPING,
    S.RESTARTING: Phase.STOPPING,
    S.ENDING: Phase.STOPPING,
    S.AILING: Phase.STOPPING,
    S.RETRYING: Phase.RETRYING,
    S.COMPLETED: Phase.ENDED,
    S.FAILED: Phase.ENDED,
    S.CANCELLED: Phase.ENDED,
}
_STATUS = {
    S.WAITING: Status.CREATED,
    S.QUEUED: Status.CREATED,
    S.RECALLED: Status.CREATED,
    S.COMPLETED: Status.COMPLETED,
    S.FAILED: Status.FAILED,
    S.CANCELLED: Status.CANCELLED,
}


def phase_of(state: State) -> Phase:
    return _PHASE[state]


def status_of(state: State) -> Status:
    return _STATUS.get(state, Status.RUNNING)
