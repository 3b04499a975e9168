"""The table of states as docs/architecture.md shows it: `python -m tests.docs.state_table` prints it."""

from wattle.engine.states import ENDED_STATES, TABLE, Action, Cell, Event, State, phase_of, status_of

HEAD = "| state | shown as (status, phase) | on … | it becomes | and the supervisor … |"
RULE = "| --- | --- | --- | --- | --- |"
DEEDS = {
    Action.NONE: "",
    Action.ORDER: "orders its next attempt",
    Action.WITHDRAW: "takes the order back",
    Action.SIGNAL: "has its process tree ended",
    Action.SETTLE: "looks at its files",
    Action.SCHEDULE: "waits for the retry's instant",
    Action.PROVIDE: "lets its consumers start",
    Action.CONCLUDE: "tells its consumers",
}


def rendered() -> str:
    """One row for each cell that a state has, events with the same cell together; what is missing is impossible."""
    rows = [row for state in State for row in _rows(state)]
    return "\n".join([HEAD, RULE, *rows])


def _rows(state: State) -> list[str]:
    cells: dict[Cell, list[Event]] = {}
    for event, cell in TABLE[state].items():
        if cell is not None:
            cells.setdefault(cell, []).append(event)
    shown = f"{status_of(state)}" + ("" if state in ENDED_STATES else f", {phase_of(state)}")
    return [
        f"| `{state}` | {shown} | {', '.join(events)} | {'stays' if cell.state is state else f'`{cell.state}`'} "
        f"| {DEEDS[cell.action]} |".replace("|  |", "| |")
        for cell, events in cells.items()
    ]


if __name__ == "__main__":
    print(rendered())
