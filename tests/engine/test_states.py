"""The state table: total, consistent with the documented words (W-34)."""

import pytest

from wattle.engine.states import (
    ENDED_STATES,
    LIVE_STATES,
    TABLE,
    Action,
    Event,
    ImpossibleTransition,
    Phase,
    State,
    Status,
    phase_of,
    status_of,
    step,
)


def test_the_table_has_a_cell_for_every_state_and_event() -> None:
    assert set(TABLE) == set(State)
    for state, row in TABLE.items():
        assert set(row) == set(Event), state


def test_an_impossible_cell_raises_and_says_which() -> None:
    with pytest.raises(ImpossibleTransition, match="ended in state waiting"):
        step(State.WAITING, Event.ENDED)


@pytest.mark.parametrize("event", [Event.STOP, Event.EXPIRE, Event.START, Event.RESTART])
def test_what_a_user_or_a_clock_wants_is_possible_in_every_state(event: Event) -> None:
    for state in State:
        assert step(state, event).state in State


def test_stopping_what_has_ended_changes_nothing() -> None:
    """Stop is idempotent (A16)."""
    for state in ENDED_STATES:
        assert step(state, Event.STOP) == (state, Action.NONE)


def test_only_an_end_of_the_process_leaves_a_live_state() -> None:
    """Nothing forgets a process that lives."""
    ends = {Event.ENDED, Event.SPARED, Event.REFUSED, Event.WITHDRAWN}
    for state in LIVE_STATES:
        for event, cell in TABLE[state].items():
            if cell is not None and event not in ends:
                assert cell.state in LIVE_STATES, (state, event)


def test_every_ended_state_is_entered_with_a_conclusion_or_as_a_consequence() -> None:
    for state, row in TABLE.items():
        for event, cell in row.items():
            if cell is not None and cell.state in ENDED_STATES and state not in ENDED_STATES:
                assert cell.action is Action.CONCLUDE or event is Event.UPSTREAM_LOST, (state, event)


def test_every_order_leads_to_queued() -> None:
    for row in TABLE.values():
        for cell in row.values():
            if cell is not None and cell.action is Action.ORDER:
                assert cell.state is State.QUEUED


def test_statuses_and_phases_are_the_documented_words() -> None:
    assert {status.value for status in Status} == {"created", "running", "completed", "failed", "cancelled"}
    expected = {
        State.WAITING: ("created", "waiting"),
        State.QUEUED: ("created", "queued"),
        State.RECALLED: ("created", "queued"),
        State.RUNNING: ("running", "running"),
        State.READY: ("running", "ready"),
        State.SETTLING: ("running", "running"),
        State.ENDING: ("running", "stopping"),
        State.AILING: ("running", "stopping"),
        State.STOPPING: ("running", "stopping"),
        State.EXPIRING: ("running", "stopping"),
        State.RESTARTING: ("running", "stopping"),
        State.RETRYING: ("running", "retrying"),
        State.COMPLETED: ("completed", "ended"),
        State.FAILED: ("failed", "ended"),
        State.CANCELLED: ("cancelled", "ended"),
    }
    assert {state: (status_of(state).value, phase_of(state).value) for state in State} == expected
    assert {phase.value for phase in Phase} >= {phase for _, phase in expected.values()}
