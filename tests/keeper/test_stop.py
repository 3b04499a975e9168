from itertools import product

import pytest

from wattle.keeper.stop import IMPOSSIBLE, TABLE, Action, Event, State, step


def test_every_cell_is_a_decision() -> None:
    cells = set(product(State, Event))
    assert set(TABLE) | IMPOSSIBLE == cells
    assert not set(TABLE) & IMPOSSIBLE


@pytest.mark.parametrize("cell", sorted(IMPOSSIBLE, key=str))
def test_an_impossible_event_raises(cell: tuple[State, Event]) -> None:
    with pytest.raises(AssertionError):
        step(*cell)


def test_only_an_empty_tree_ends_a_worker_or_one_that_was_let_go() -> None:
    for (before, event), (after, action) in TABLE.items():
        assert (after is State.GONE) == (event in (Event.EMPTIED, Event.RELEASED))
        assert (action is Action.FINISH) == (event is Event.EMPTIED)
        if event is Event.RELEASED:
            assert (before, action) == (State.SETTLING, Action.LET_GO), "never of a worker that is being stopped"


def test_from_everywhere_killing_is_reached_by_waiting_or_at_once() -> None:
    for state in set(State) - {State.GONE}:
        assert step(state, Event.KILL)[0] is State.KILLING
        if state is not State.RUNNING:
            seen = state
            for _ in range(3):
                seen = step(seen, Event.DUE)[0]
            assert seen is State.KILLING


@pytest.mark.parametrize(
    ("history", "states"),
    [
        ([Event.EMPTIED], [State.GONE]),
        ([Event.STOP, Event.EMPTIED], [State.TERMINATING, State.GONE]),
        (
            [Event.STOP, Event.LEADER_ENDED, Event.DUE, Event.DUE, Event.EMPTIED],
            [State.TERMINATING, State.CLEARING, State.KILLING, State.KILLING, State.GONE],
        ),
        (
            [Event.LEADER_ENDED, Event.DUE, Event.DUE, Event.EMPTIED],
            [State.SETTLING, State.ENDING_LEFT, State.KILLING, State.GONE],
        ),
        ([Event.TIMED_OUT, Event.STOP, Event.KILL], [State.TERMINATING, State.TERMINATING, State.KILLING]),
        ([Event.KILL, Event.LEADER_ENDED, Event.EMPTIED], [State.KILLING, State.KILLING, State.GONE]),
    ],
)
def test_histories(history: list[Event], states: list[State]) -> None:
    state = State.RUNNING
    seen = []
    for event in history:
        state, _ = step(state, event)
        seen.append(state)
    assert seen == states
