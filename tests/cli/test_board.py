from datetime import UTC, datetime, timedelta

import pytest

from wattle.cli.board import Board

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds):
    return (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def run(**states):
    workers = []
    for name, state in states.items():
        word, _, since = state.partition("@")
        status = {"waiting": "created", "queued": "created"}.get(word, word)
        phase = "ended" if word in ("completed", "failed", "cancelled") else word
        worker = {"name": name, "status": status, "phase": phase, "reason": None, "attempt": 1}
        workers.append(worker | {"started_at": at(float(since)) if since else None, "completed_at": None})
    return {"id": 1, "workflow_name": "w", "started_at": at(0), "workers": workers}


def event(subject, kind, seconds=1, **payload):
    return {"run_id": 1, "subject": f"w/{subject}", "kind": kind, "at": at(seconds), "payload": payload}


def now(seconds):
    return START + timedelta(seconds=seconds)


def test_rows_stand_in_definition_order_while_they_have_room():
    board = Board(run(a="completed", b="waiting", c="running@0"))
    rows, rest = board.shown(3)
    assert ([row.name for row in rows], rest) == (["a", "b", "c"], {})


def test_past_the_height_busy_and_failed_ones_come_first_and_the_rest_is_counted():
    board = Board(run(a="completed", b="waiting", c="failed", d="running@0", e="ready@0", f="waiting"))
    rows, rest = board.shown(4)
    assert ([row.name for row in rows], rest) == (["d", "e", "c"], {"waiting": 2, "completed": 1})
    assert board.shown(1) == ([], {"running": 1, "ready": 1, "failed": 1, "waiting": 2, "completed": 1})


def test_events_move_rows_and_those_of_other_runs_do_not():
    board = Board(run(a="waiting", b="waiting"))
    board.apply(event("a", "worker.running", 1, attempt=2))
    board.apply(event("b", "worker.running") | {"run_id": 2})
    assert (board.rows["a"].word, board.rows["a"].attempt, board.rows["a"].seconds(now(3))) == ("running", 2, 2.0)
    assert board.rows["b"].word == "waiting"
    board.apply(event("a", "worker.failed", 5, reason="exit code 1"))
    assert (board.rows["a"].reason, board.rows["a"].seconds(now(9)), board.ended) == ("exit code 1", 4.0, 1)


def test_an_answer_that_is_older_than_an_event_takes_nothing_back():
    board = Board(run(a="running@0"))
    board.apply(event("a", "worker.completed", 1))
    board.refresh(run(a="running@0"))
    assert board.rows["a"].word == "completed"


@pytest.mark.parametrize(
    "states, past, seconds, left",
    [
        ({"a": "running@0", "b": "waiting"}, {}, 5, None),
        ({"a": "completed", "b": "completed", "c": "running@0", "d": "waiting"}, {}, 10, 10),
        ({"a": "running@0", "b": "waiting"}, {"a": 10, "b": 30}, 5, 35),
        ({"a": "completed", "b": "waiting"}, {"a": 10, "b": 30}, 10, 30),
        ({"a": "running@0"}, {"a": 10}, 100, 100 * 0.05 / 0.95),
        ({"a": "waiting"}, {"a": 10}, 0, None),
    ],
)
def test_the_estimate_goes_by_the_run_before_else_by_the_pace(states, past, seconds, left):
    found = Board(run(**states), past).left_seconds(now(seconds))
    assert found == (None if left is None else pytest.approx(left))


def test_workers_that_are_no_part_of_the_run_have_no_row():
    given = run(a="completed", b="running@0")
    given["workers"][0]["reason_code"] = "not_in_run"
    board = Board(given)
    assert (list(board.rows), board.left_out, board.total) == (["b"], 1, 1)
