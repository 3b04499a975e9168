"""How a worker ends: a table of state and event. Pure: no process, no clock.

Wanted and observed stay apart: `STOP` says what is wanted, `LEADER_ENDED` and `EMPTIED` what was seen. The
leader is the process the keeper spawned; the tree is all that descends from it. A worker is over (`GONE`)
only when its tree is empty, or was let go.
"""

import enum


class State(enum.Enum):
    RUNNING = "running"
    TERMINATING = "terminating"  # the stop signal was sent, the grace runs, the leader lives
    CLEARING = "clearing"  # the leader obeyed, others of its tree have not yet; the grace runs
    SETTLING = "settling"  # the leader ended by itself, others live: a moment for those about to end too
    ENDING_LEFT = "ending left"  # they were asked to end
    KILLING = "killing"  # SIGKILL, pass after pass, until nobody is left
    GONE = "gone"


class Event(enum.Enum):
    STOP = "stop"  # wanted, with a grace
    KILL = "kill"  # wanted, now
    TIMED_OUT = "timed out"  # the worker's time limit passed
    LEADER_ENDED = "leader ended"  # seen; others of its tree live
    EMPTIED = "emptied"  # seen; nothing of the tree lives
    RELEASED = "released"  # those the leader left behind may live on (allow_detached)
    DUE = "due"  # the state's own timer: a grace is over, a pass is due


class Action(enum.Enum):
    SEND_STOP = "send_stop"
    SHORTEN_GRACE = "shorten_grace"
    SETTLE = "settle"
    END_REST = "end_rest"
    END_LEFT = "end_left"
    BEGIN_KILL = "begin_kill"
    KILL_AGAIN = "kill_again"
    LET_GO = "let_go"
    FINISH = "finish"


TABLE: dict[tuple[State, Event], tuple[State, Action | None]] = {
    (State.RUNNING, Event.STOP): (State.TERMINATING, Action.SEND_STOP),
    (State.RUNNING, Event.KILL): (State.KILLING, Action.BEGIN_KILL),
    (State.RUNNING, Event.TIMED_OUT): (State.TERMINATING, Action.SEND_STOP),
    (State.RUNNING, Event.LEADER_ENDED): (State.SETTLING, Action.SETTLE),
    (State.RUNNING, Event.EMPTIED): (State.GONE, Action.FINISH),
    (State.TERMINATING, Event.STOP): (State.TERMINATING, Action.SHORTEN_GRACE),
    (State.TERMINATING, Event.KILL): (State.KILLING, Action.BEGIN_KILL),
    (State.TERMINATING, Event.TIMED_OUT): (State.TERMINATING, None),
    (State.TERMINATING, Event.LEADER_ENDED): (State.CLEARING, Action.END_REST),
    (State.TERMINATING, Event.EMPTIED): (State.GONE, Action.FINISH),
    (State.TERMINATING, Event.DUE): (State.KILLING, Action.BEGIN_KILL),
    (State.CLEARING, Event.STOP): (State.CLEARING, Action.SHORTEN_GRACE),
    (State.CLEARING, Event.KILL): (State.KILLING, Action.BEGIN_KILL),
    (State.CLEARING, Event.TIMED_OUT): (State.CLEARING, None),
    (State.CLEARING, Event.EMPTIED): (State.GONE, Action.FINISH),
    (State.CLEARING, Event.DUE): (State.KILLING, Action.BEGIN_KILL),
    (State.SETTLING, Event.STOP): (State.ENDING_LEFT, Action.END_LEFT),
    (State.SETTLING, Event.KILL): (State.KILLING, Action.BEGIN_KILL),
    (State.SETTLING, Event.TIMED_OUT): (State.SETTLING, None),
    (State.SETTLING, Event.EMPTIED): (State.GONE, Action.FINISH),
    (State.SETTLING, Event.RELEASED): (State.GONE, Action.LET_GO),
    (State.SETTLING, Event.DUE): (State.ENDING_LEFT, Action.END_LEFT),
    (State.ENDING_LEFT, Event.STOP): (State.ENDING_LEFT, None),
    (State.ENDING_LEFT, Event.KILL): (State.KILLING, Action.BEGIN_KILL),
    (State.ENDING_LEFT, Event.TIMED_OUT): (State.ENDING_LEFT, None),
    (State.ENDING_LEFT, Event.EMPTIED): (State.GONE, Action.FINISH),
    (State.ENDING_LEFT, Event.DUE): (State.KILLING, Action.BEGIN_KILL),
    (State.KILLING, Event.STOP): (State.KILLING, None),
    (State.KILLING, Event.KILL): (State.KILLING, None),
    (State.KILLING, Event.TIMED_OUT): (State.KILLING, None),
    (State.KILLING, Event.LEADER_ENDED): (State.KILLING, None),
    (State.KILLING, Event.EMPTIED): (State.GONE, Action.FINISH),
    (State.KILLING, Event.DUE): (State.KILLING, Action.KILL_AGAIN),
}

LEADER_LIVES = frozenset({State.RUNNING, State.TERMINATING})

# What cannot happen: a running worker has no timer of its own, a leader ends once, only who was left
# behind is released, and who is gone is forgotten. Written down so that a test can tell a decision from a hole.
IMPOSSIBLE = frozenset(
    {
        (State.RUNNING, Event.DUE),
        (State.CLEARING, Event.LEADER_ENDED),
        (State.SETTLING, Event.LEADER_ENDED),
        (State.ENDING_LEFT, Event.LEADER_ENDED),
        *((state, Event.RELEASED) for state in State if state is not State.SETTLING),
        *((State.GONE, event) for event in Event),
    }
)


def step(state: State, event: Event) -> tuple[State, Action | None]:
    """The next state and what to do on the way there; an impossible event is a bug and raises."""
    try:
        return TABLE[state, event]
    except KeyError:
        raise AssertionError(f"a worker that is {state.value} cannot meet '{event.value}'") from None
