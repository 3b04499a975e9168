"""The contract of queries: which rows, in which order."""

import pytest
from store.example import NOW, Store, attempt, worker

from wattle.store import queries
from wattle.store.rows import EventRow


def test_the_list_of_workflows_has_the_latest_workflow_run_of_each(store: Store) -> None:
    sales, stock, idle = store.workflow("sales"), store.workflow("stock"), store.workflow("idle")
    store.run(sales, ended_at=NOW + 1)
    latest = store.run(sales)
    store.run(sales, kind="worker", worker="fetch")
    other = store.run(stock, status="failed", ended_at=NOW)
    assert [(state.workflow, state.run) for state in store.queries.workflows()] == [
        (sales, latest),
        (stock, other),
        (idle, None),
    ]
    assert store.queries.workflow("sales") == store.queries.workflows()[0]
    assert store.queries.latest_run(sales.id) == latest
    assert store.queries.latest_run(idle.id) is None


def test_a_workflow_that_takes_a_deleted_ones_name_has_none_of_its_runs(store: Store) -> None:
    old = store.workflow("sales")
    store.run(old, ended_at=NOW)
    with store.records.transaction():
        store.records.delete_workflow(old.id, NOW)
    store.workflow("sales")
    state = store.queries.workflow("sales")
    assert state and state.run is None
    assert store.queries.runs(old.id, 10)[1] == 1


def test_runs_come_newest_first_in_pages_with_their_total(store: Store) -> None:
    workflow, other = store.workflow("sales"), store.workflow("stock")
    ids = [store.run(workflow).id for _ in range(5)]
    single = store.run(workflow, kind="worker", worker="fetch")
    store.run(other)
    page, total = store.queries.runs(workflow.id, limit=3)
    assert ([run.id for run in page], total) == ([single.id, ids[4], ids[3]], 6)
    page, total = store.queries.runs(workflow.id, limit=3, offset=4, kind="workflow")
    assert ([run.id for run in page], total) == ([ids[0]], 5)
    assert store.queries.runs(workflow.id, limit=3, offset=99) == ([], 6)


def test_active_runs_are_those_that_have_not_ended(store: Store) -> None:
    sales, stock = store.workflow("sales"), store.workflow("stock")
    store.run(sales, ended_at=NOW)
    active, single = store.run(sales), store.run(sales, kind="worker", worker="fetch")
    other = store.run(stock)
    assert store.queries.active_runs() == [active, single, other]
    assert store.queries.active_runs(sales.id) == [active, single]
    assert store.queries.active_run(sales.id) == active
    assert store.queries.active_run(sales.id, kind=None) == single
    with store.records.transaction():
        store.records.update_run(other.id, ended_at=NOW)
    assert store.queries.active_run(stock.id) is None


@pytest.mark.parametrize("unstorable", [2**63, -(2**70), "\udcff", "no-such-uuid", "\x00"])
def test_a_value_that_no_row_can_hold_matches_nothing(store: Store, unstorable: int | str) -> None:
    store.run(store.workflow())
    assert store.queries.run(unstorable) is None


def test_a_workers_state_is_its_newest_run_since_the_last_start_of_the_workflow(store: Store) -> None:
    workflow = store.workflow("sales")
    earlier = store.run(workflow, kind="worker", worker="load")
    store.put(worker(earlier, "load", 1, status="failed"))
    assert store.queries.worker_states(workflow.id) == {"load": (earlier, worker(earlier, "load", 1, status="failed"))}

    whole = store.run(workflow)
    store.put(worker(whole, "fetch", 0), worker(whole, "clean", 2))
    single, again = (store.run(workflow, kind="worker", worker="fetch") for _ in range(2))
    store.put(worker(single, "fetch", 0, status="failed"), worker(again, "fetch", 0, status="completed"))
    states = store.queries.worker_states(workflow.id)
    assert states == {
        "fetch": (again, worker(again, "fetch", 0, status="completed")),
        "clean": (whole, worker(whole, "clean", 2)),
    }
    for name in ("fetch", "clean", "load"):  # load waits: what it was before the start no longer counts
        assert store.queries.worker_state(workflow.id, name) == states.get(name)

    store.run(workflow)
    assert store.queries.worker_states(workflow.id) == {}
    assert store.queries.worker_state(workflow.id, "fetch") is None


def test_workers_of_other_workflows_do_not_mix_in(store: Store) -> None:
    sales, stock = store.workflow("sales"), store.workflow("stock")
    run = store.run(sales)
    store.put(worker(run, "fetch"), worker(store.run(stock), "fetch", status="failed"))
    assert store.queries.worker_states(sales.id) == {"fetch": (run, worker(run, "fetch"))}
    assert store.queries.worker_state(sales.id, "fetch") == (run, worker(run, "fetch"))


def test_attempts_come_by_position_and_number(store: Store) -> None:
    run = store.run(store.workflow())
    other = store.run(store.workflow("stock"))
    store.put(attempt(run, "b1", 1), attempt(run, "a2", 0, 2), attempt(run, "a1", 0, 1), attempt(other, "c1"))
    assert [row.uuid for row in store.queries.attempts(run.id)] == ["a1", "a2", "b1"]
    assert [row.uuid for row in store.queries.attempts(run.id, 0)] == ["a1", "a2"]
    assert store.queries.latest_attempt(run.id, 0) == store.queries.attempt("a2")
    assert store.queries.latest_attempt(run.id, 9) is None
    assert store.queries.attempt("zz") is None


def test_live_attempts_have_not_ended_in_runs_that_have_not_ended(store: Store) -> None:
    active = store.run(store.workflow("sales"))
    ended = store.run(store.workflow("stock"), ended_at=NOW)
    store.put(attempt(active, "live"), attempt(active, "dead", 1, ended_at=NOW), attempt(ended, "stray"))
    assert [row.uuid for row in store.queries.live_attempts()] == ["live"]


def test_looking_for_live_attempts_does_not_read_those_of_ended_runs(store: Store) -> None:
    plan = store.writer.connection().execute(f"EXPLAIN QUERY PLAN {queries._LIVE_ATTEMPTS}").fetchall()
    steps = [step[-1] for step in plan]
    assert "SEARCH a USING INDEX attempt_of_worker (run_id=?)" in steps
    assert not any(step.startswith("SCAN a") for step in steps)


@pytest.mark.parametrize("name", ["sales", "s%", "s_les", "sa\\les", "s*", "[s]ales", "売上", "😀"])
def test_the_events_of_a_workflow_are_its_own_and_its_workers(store: Store, name: str) -> None:
    subjects = ["sales", "sales/fetch", "salesman", "salesman/fetch", "s%", "s%/x", "s_les/x", "sa\\les", "s*/x"]
    subjects += ["[s]ales/x", "SALES", "売上", "売上/x", "売上高", "😀/x", "😀😀", "x/sales"]
    store.put(*[EventRow(NOW, subject, "started") for subject in subjects])
    expected = [subject for subject in subjects if subject.split("/")[0] == name]
    assert expected
    assert [event.subject for event in store.queries.events(0, 100, name)] == expected


def test_events_are_read_on_from_an_id(store: Store) -> None:
    store.put(*[EventRow(NOW, f"sales/{number}", "started") for number in range(10)])
    assert [event.id for event in store.queries.events(3, 4)] == [4, 5, 6, 7]
    assert [event.id for event in store.queries.events(3, 2, "sales")] == [4, 5]
    assert store.queries.events(store.queries.last_event_id(), 10) == []


def test_statuses_are_counted_by_run(store: Store) -> None:
    first, second = (store.run(store.workflow(name)) for name in ("sales", "stock"))
    store.put(
        worker(first, "a", 0, status="failed"), worker(first, "b", 1), worker(first, "c", 2), worker(second, "a", 0)
    )
    counts = store.queries.status_counts([first.id, second.id, 99])
    assert counts == {first.id: {"failed": 1, "running": 2}, second.id: {"running": 1}}


def test_outputs_shared_with_other_live_workflows_are_told(store: Store) -> None:
    mine = store.workflow("mine", outputs=("/x", "/y", "/z"))
    store.workflow("theirs", outputs=("/y", "/x"))
    gone = store.workflow("gone", outputs=("/z",))
    with store.records.transaction():
        store.records.delete_workflow(gone.id, NOW)
    assert store.queries.shared_outputs(mine.id) == [("/x", "theirs"), ("/y", "theirs")]
    with store.records.transaction():
        store.records.add_version(mine.id, "{}", "d2", NOW, working_dir="/srv", outputs=("/y",))
    assert store.queries.shared_outputs(mine.id) == [("/y", "theirs")]


def test_workers_are_counted_by_their_newest_status(store: Store) -> None:
    """That of the latest run of the workflow, unless a later run of the worker alone says otherwise."""
    sales, stock = store.workflow("sales"), store.workflow("stock")
    old, latest = store.run(sales, ended_at=NOW), store.run(sales)
    alone, again = store.run(sales, kind="worker", worker="b"), store.run(sales, kind="worker", worker="b")
    first = store.run(stock, kind="worker", worker="x")  # the workflow itself has never run
    store.put(
        worker(old, "a", 0, status="failed"),
        worker(old, "d", 3, status="failed"),
        worker(latest, "a", 0, status="completed"),
        worker(latest, "b", 1, status="completed"),
        worker(latest, "c", 2, status="running"),
        worker(alone, "b", 1, status="cancelled"),
        worker(again, "b", 1, status="running"),
        worker(first, "x", 0, status="failed"),
    )
    found = {sales.id: {"completed": 1, "running": 2}, stock.id: {"failed": 1}}
    assert store.queries.status_of_workers() == found
    with store.records.transaction():
        store.records.delete_workflow(stock.id, NOW)
    assert store.queries.status_of_workers() == {sales.id: found[sales.id]}
