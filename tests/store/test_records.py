"""The contract of records, seen through queries."""

import sqlite3
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store.example import NOW, Store, attempt, worker

from wattle.errors import Conflict, NotFound
from wattle.store.queries import Queries
from wattle.store.records import storable
from wattle.store.rows import AttemptRow, CaptureRow, EventRow, RunRow, RunWorkerRow

# Transactions


def test_a_transaction_that_raises_leaves_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.records.transaction():
        store.records.add_events([EventRow(NOW, "sales", "started")])
        store.records.keeper_imported("k", 1)
        raise ZeroDivisionError
    assert store.queries.events(0, 10) == []
    assert store.queries.imported() == {}
    store.workflow("afterwards")


def test_nothing_of_a_transaction_is_seen_elsewhere_before_its_end(store: Store) -> None:
    inside = Queries(store.writer)
    with store.records.transaction():
        store.records.add_events([EventRow(NOW, "sales", "started")])
        assert inside.last_event_id() == 1
        assert store.queries.last_event_id() == 0
    assert store.queries.last_event_id() == 1


def test_writing_outside_a_transaction_is_a_mistake_of_the_caller(store: Store) -> None:
    for write in (
        lambda: store.records.add_events([EventRow(NOW, "sales", "started")]),
        lambda: store.records.update_run(1, status="running"),
    ):
        with pytest.raises(RuntimeError, match="transaction"):
            write()


# Definitions


def test_a_workflow_is_created_with_its_first_version(store: Store) -> None:
    row = store.workflow("sales", document='{"a": 1}', digest="d1", description="Daily sales")
    state = store.queries.workflow("sales")
    assert state and state.workflow == row
    assert (state.working_dir, state.description, state.run) == ("/srv/sales", "Daily sales", None)
    version = store.queries.version(row.version_id)
    assert version and (version.document, version.digest, version.workflow_id) == ('{"a": 1}', "d1", row.id)
    assert row.enabled is True


def test_a_name_is_taken_while_its_workflow_lives_and_free_after(store: Store) -> None:
    first = store.workflow("sales")
    with pytest.raises(Conflict) as taken:
        store.workflow("sales")
    assert taken.value.code == "WORKFLOW_ALREADY_EXISTS"
    with store.records.transaction():
        assert store.records.delete_workflow(first.id, NOW + 1) is True
        assert store.records.delete_workflow(first.id, NOW + 2) is False
    assert store.queries.workflow("sales") is None
    assert store.queries.workflows() == []
    second = store.workflow("sales")
    assert second.id > first.id


def test_a_refused_name_spares_the_rest_of_the_transaction(store: Store) -> None:
    store.workflow("sales")
    with store.records.transaction():
        with pytest.raises(Conflict):
            store.records.create_workflow(name="sales", document="{}", digest="d", at=NOW, working_dir="/w")
        store.records.keeper_imported("k", 7)
    assert store.queries.imported() == {"k": 7}
    assert len(store.queries.workflows()) == 1


def test_a_new_version_becomes_the_current_one_and_the_old_one_stays(store: Store) -> None:
    workflow = store.workflow("sales")
    with store.records.transaction():
        version = store.records.add_version(workflow.id, '{"b": 2}', "d2", NOW + 5, working_dir="/new")
    state = store.queries.workflow("sales")
    assert state and state.workflow == replace(workflow, version_id=version.id, updated_at=NOW + 5)
    assert state.working_dir == "/new"
    assert store.queries.version(workflow.version_id) is not None


def test_the_same_digest_is_the_current_version_again_but_an_older_one_is_new(store: Store) -> None:
    workflow = store.workflow("sales", digest="d1")
    with store.records.transaction():
        same = store.records.add_version(workflow.id, "{}", "d1", NOW + 5, working_dir="/srv/sales")
        other = store.records.add_version(workflow.id, "{}", "d2", NOW + 6, working_dir="/srv/sales")
        back = store.records.add_version(workflow.id, "{}", "d1", NOW + 7, working_dir="/srv/sales")
    assert same.id == workflow.version_id
    assert same.id < other.id < back.id


# Runs

FULL_RUN = {
    "worker": "fetch",
    "wanted": "cancel",
    "cancel_reason": "stopped by a user",
    "reason_code": "stopped",
    "reason": "stopped",
    "started_at": NOW + 1,
    "ended_at": NOW + 2,
    "params": '{"day": "monday"}',
    "input": "null",
    "priority": 3,
    "trigger": "schedule",
    "retry_of": 1,
    "scheduled_at": NOW - 1,
    "created_by": "ann",
    "idempotency_key": "k1",
    "forced": True,
}


def test_a_run_comes_back_as_it_was_written(store: Store) -> None:
    row = store.run(store.workflow(), **FULL_RUN)
    assert all(getattr(row, name) == value for name, value in FULL_RUN.items())
    assert store.queries.run(row.id) == store.queries.run(row.uuid) == row
    assert store.queries.run(row.id).forced is True  # type: ignore[union-attr]


def test_an_idempotency_key_makes_one_run(store: Store) -> None:
    workflow = store.workflow()
    first = store.run(workflow, idempotency_key="k1")
    with store.records.transaction():
        assert store.records.create_run(**store.run_values(workflow), idempotency_key="k1") is None
        assert store.records.create_run(**store.run_values(workflow)) is not None
    assert store.queries.run_by_key("k1") == first
    assert store.queries.runs(workflow.id, 10)[1] == 2


def test_the_schema_itself_refuses_a_second_run_with_a_key(store: Store) -> None:
    workflow = store.workflow()
    store.run(workflow, idempotency_key="k1")
    second = store.run(workflow)
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"), store.records.transaction():
        store.records.update_run(second.id, idempotency_key="k1")


def test_changes_of_a_run_leave_its_other_columns(store: Store) -> None:
    run = store.run(store.workflow(), **FULL_RUN)
    with store.records.transaction():
        store.records.update_run(run.id, status="failed", ended_at=NOW + 9, reason="a\udc80b")
    assert store.queries.run(run.id) == replace(run, status="failed", ended_at=NOW + 9, reason="a\ufffdb")


def test_a_run_that_is_not_there_and_a_column_that_is_fixed_cannot_be_changed(store: Store) -> None:
    run = store.run(store.workflow())
    with store.records.transaction():
        with pytest.raises(NotFound):
            store.records.update_run(run.id + 1, status="failed")
        with pytest.raises(TypeError, match="uuid"):
            store.records.update_run(run.id, uuid="x")


# Workers, attempts, events

FULL_WORKER = {
    "attempt": 2,
    "wanted": "restart",
    "reason_code": "exit",
    "reason": "exit code 3: no such file",
    "exit_code": 3,
    "signal": 15,
    "started_at": NOW,
    "ended_at": NOW + 1,
    "due_at": NOW + 2,
    "forced": True,
    "notices": ("standard output was saved as r\u00e9sum\u00e9.csv", "2 processes left behind"),
}
FULL_ATTEMPT = {
    "agent": "remote",
    "keeper_id": "k",
    "boot_id": "b",
    "pid": 4242,
    "inode": 77,
    "start_ticks": 2**40,
    "exit_code": 3,
    "signal": 9,
    "reason_code": "exit",
    "reason": "exit code 3",
    "started_at": NOW,
    "ended_at": NOW + 1,
    "duration_us": 1,
    "metrics": "{}",
}


def test_no_example_row_of_these_tests_leaves_a_field_at_its_default() -> None:
    for row, values in ((RunRow, FULL_RUN), (RunWorkerRow, FULL_WORKER), (AttemptRow, FULL_ATTEMPT)):
        defaults = getattr(row, "_field_defaults", None) or {field.name: field.default for field in fields(row)}
        assert all(value != defaults[name] for name, value in values.items() if name in defaults)


def test_a_worker_comes_back_as_it_was_last_put(store: Store) -> None:
    run = store.run(store.workflow())
    store.put(worker(run, "fetch", 0), worker(run, "load", 1, **FULL_WORKER))
    assert store.queries.run_workers(run.id) == [worker(run, "fetch", 0), worker(run, "load", 1, **FULL_WORKER)]
    store.put(worker(run, "fetch", 0, **FULL_WORKER), worker(run, "load", 1))
    assert store.queries.run_workers(run.id) == [worker(run, "fetch", 0, **FULL_WORKER), worker(run, "load", 1)]
    assert store.queries.run_workers(run.id)[0].forced is True


def test_an_attempt_comes_back_as_it_was_last_put_with_the_id_it_got_first(store: Store) -> None:
    run = store.run(store.workflow())
    store.put(attempt(run, "u1"), attempt(run, "u2", 1, **FULL_ATTEMPT))
    first = store.queries.attempt("u1")
    assert first and first.id and first == attempt(run, "u1", id=first.id)
    store.put(attempt(run, "u1", **FULL_ATTEMPT, status="failed"))
    assert store.queries.attempt("u1") == attempt(run, "u1", id=first.id, **FULL_ATTEMPT, status="failed")
    second = store.queries.attempt("u2")
    assert second and second == attempt(run, "u2", 1, id=second.id, **FULL_ATTEMPT)


def test_events_keep_their_order_and_their_ids_only_grow(store: Store) -> None:
    event = EventRow(NOW, "sales/fetch", "started", 1, {"pid": 7, "name": "\u00e9"}, "ann")
    with store.records.transaction():
        assert store.records.add_events([]) == 0
        assert store.records.add_events([event, event._replace(kind="ended")]) == 2
        assert store.records.add_events([EventRow(NOW, "sales", "ended")]) == 3
    assert store.queries.events(0, 10) == [
        event._replace(id=1),
        event._replace(kind="ended", id=2),
        EventRow(NOW, "sales", "ended", id=3),
    ]


def test_a_capture_replaces_the_one_before_at_that_path(store: Store) -> None:
    copied = CaptureRow("/w/out", "u1", "/w/.out.tmp", 12, NOW * 1000, 2**63 + 5, "copied")
    with store.records.transaction():
        store.records.put_captures([copied, replace(copied, path="/w/other", inode=9)])
    assert store.queries.capture("/w/out") == copied
    assert [row.path for row in store.queries.captures_in("copied")] == ["/w/other", "/w/out"]
    with store.records.transaction():
        store.records.put_captures([replace(copied, state="placed")])
    assert store.queries.captures_in("placed") == [replace(copied, state="placed")]


def test_what_was_imported_from_a_keeper_never_goes_back(store: Store) -> None:
    with store.records.transaction():
        store.records.keeper_imported("k1", 5)
        store.records.keeper_imported("k2", 1)
        store.records.keeper_imported("k1", 9)
        store.records.keeper_imported("k1", 3)
    assert store.queries.imported() == {"k1": 9, "k2": 1}


# Text that no database holds


@settings(deadline=None)
@given(text=st.text(st.characters(categories=["L", "N", "P", "Zs", "Cc", "Cs"])))
def test_storable_text_is_utf8_without_nul_and_good_text_is_left_alone(text: str) -> None:
    kept = storable(text)
    assert kept is not None and len(kept) == len(text)
    assert "\x00" not in kept.encode().decode()
    assert all(new == old or new == "\ufffd" for new, old in zip(kept, text, strict=True))
    assert kept == text or "\x00" in text or any("\ud800" <= c <= "\udfff" for c in text)


def test_reasons_notices_and_payloads_with_bytes_that_are_no_text_are_stored(store: Store) -> None:
    bad = "exit code 1: caf\udce9\x00 \U0001f600\n"
    run = store.run(store.workflow(), reason=bad, idempotency_key=None)
    store.put(
        worker(run, reason=bad, notices=(bad,)),
        attempt(run, "u1", reason=bad),
        EventRow(NOW, "sales", "failed", payload={"reason": bad}, actor="a\udcffb"),
    )
    good = "exit code 1: caf\ufffd\ufffd \U0001f600\n"
    stored = store.queries.run_workers(run.id)[0]
    assert store.queries.run(run.id).reason == stored.reason == good  # type: ignore[union-attr]
    assert store.queries.attempt("u1").reason == good  # type: ignore[union-attr]
    # JSON escapes the NUL, so it is no NUL in the text of the column.
    assert stored.notices == ("exit code 1: caf\ufffd\x00 \U0001f600\n",)
    event = store.queries.events(0, 1)[0]
    assert event.payload == {"reason": "exit code 1: caf\ufffd\x00 \U0001f600\n"}
    assert event.actor == "a\ufffdb"


def test_a_foreign_key_is_kept_and_the_error_is_not_disguised(store: Store) -> None:
    run = store.run(store.workflow())
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        store.put(worker(replace(run, id=999)))
