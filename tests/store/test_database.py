import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from store.example import NOW, Store, attempt, worker

from wattle.errors import Refused, Unavailable
from wattle.store.database import Reader, open_writer
from wattle.store.queries import Queries
from wattle.store.rows import EventRow

WRITES_UNTIL_KILLED = """
import sys
from wattle.store.database import open_writer
from wattle.store.records import Records
from wattle.store.rows import EventRow
records = Records(open_writer(sys.argv[1]))
for number in range(50):
    with records.transaction():
        last = records.add_events([EventRow(number, "sales", "tick")])
with records.transaction():
    # More than the page cache holds, so that some of it is in the WAL already.
    records.add_events([EventRow(0, "sales", "never committed" * 50)] * 20_000)
    print(last, flush=True)
    sys.stdin.read()
"""


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def kill_a_writer_in_mid_transaction(path: Path) -> int:
    """Leave what a SIGKILL leaves; the id of the last event that was committed."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITES_UNTIL_KILLED, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin and process.stdout
    last = int(process.stdout.readline())
    process.kill()
    process.stdin.close()
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    # The control: what was not committed is in the WAL too.
    assert path.with_name(f"{path.name}-wal").stat().st_size > 4_000_000
    return last


# What is there, and who may read it


def test_reading_where_no_database_exists_gives_nothing_and_makes_nothing(path: Path) -> None:
    queries = Queries(Reader(path))
    assert queries.workflows() == []
    assert queries.workflow("sales") is None
    assert queries.runs(1, 10) == ([], 0)
    assert queries.last_event_id() == 0
    assert queries.worker_states(1) == {}
    assert list(path.parent.iterdir()) == []


def test_a_reader_finds_the_database_that_is_made_later(path: Path) -> None:
    queries = Queries(Reader(path))
    assert queries.workflows() == []
    path.touch()  # a daemon that has got no further yet
    assert queries.workflows() == []
    path.unlink()
    store = Store(path)
    store.workflow("sales")
    assert [state.workflow.name for state in queries.workflows()] == ["sales"]
    store.close()


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o277])
def test_the_files_are_private_whatever_the_umask(path: Path, mask: int) -> None:
    with umask(mask):
        store = Store(path)
        store.workflow()
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        store.close()
    assert modes == {"wattle.db": 0o600, "wattle.db-wal": 0o600, "wattle.db-shm": 0o600}


def test_a_database_that_others_may_read_is_made_private(path: Path) -> None:
    open_writer(path).close()
    path.chmod(0o644)
    open_writer(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_path_with_characters_of_a_uri_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "50%?mode=rw&x#" / "wattle.db"
    path.parent.mkdir()
    store = Store(path)
    store.workflow("sales")
    assert store.queries.workflow("sales")
    assert path.exists()
    store.close()


def test_the_writer_keeps_every_commit_and_checks_references(store: Store) -> None:
    connection = store.writer.connection()
    pragmas = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}


def test_a_reader_cannot_write(store: Store) -> None:
    reading = store.reader.connection()
    assert reading
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reading.execute("DELETE FROM workflow")


# Damage


@pytest.mark.parametrize("content", [b"not a database at all, " * 400, b"\x00" * 8192])
def test_a_file_that_is_no_database_is_refused_and_left_untouched(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for opening in (lambda: open_writer(path), Queries(Reader(path)).workflows):
        with pytest.raises(Refused) as refused:
            opening()
        assert refused.value.code == "STORE_CORRUPT"
        assert str(path) in refused.value.message
        assert "restore" in refused.value.message
    assert path.read_bytes() == content


def test_a_database_with_destroyed_pages_is_refused_and_left_untouched(path: Path) -> None:
    """F20."""
    store = Store(path)
    run = store.run(store.workflow())
    store.put(*[worker(run, f"w{position}", position) for position in range(2000)])
    store.close()
    content = bytearray(path.read_bytes())
    # The last pages hold rows: those of the schema would be missed by any opening.
    for page in range(len(content) - 4096 * 30, len(content) - 4096, 4096 * 3):
        content[page : page + 512] = b"\xa5" * 512
    path.write_bytes(content)
    with pytest.raises(Refused) as refused:
        open_writer(path)
    assert refused.value.code == "STORE_CORRUPT"
    assert path.read_bytes() == content


def test_somebody_elses_database_is_refused_and_left_untouched(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    content = path.read_bytes()
    with pytest.raises(Refused, match="not one of Wattle's"):
        open_writer(path)
    assert path.read_bytes() == content


def test_a_directory_that_is_missing_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="nowhere") as refused:
        open_writer(tmp_path / "nowhere" / "wattle.db")
    assert refused.value.code == "STORE_UNREADABLE"


# A writer that is killed


def test_after_a_kill_in_mid_transaction_exactly_the_committed_is_there(path: Path) -> None:
    last = kill_a_writer_in_mid_transaction(path)
    before = Queries(Reader(path))
    assert before.last_event_id() == last == 50

    store = Store(path)
    assert [event.at for event in store.queries.events(0, 1000)] == list(range(50))
    assert store.writer.connection().execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with store.records.transaction():
        assert store.records.add_events([EventRow(NOW, "sales", "again")]) == last + 1
    store.close()


HALF_MADE = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("CREATE TABLE half (x)")
connection.executemany("INSERT INTO half VALUES (?)", [("x" * 3000,)] * 200)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_database_whose_maker_was_killed_before_it_was_in_wal_mode_is_made_to_its_end(path: Path) -> None:
    """F04: no connection that cannot write can read it, and every start looks at it by one first."""
    path.touch(mode=0o600)
    killed = subprocess.run([sys.executable, "-c", HALF_MADE, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    reading = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    with closing(reading) as control, pytest.raises(sqlite3.OperationalError, match="readonly"):
        control.execute("SELECT * FROM sqlite_schema").fetchall()
    assert Reader(path).connection() is None
    writer = open_writer(path)
    tables = {name for (name,) in writer.connection().execute("SELECT name FROM sqlite_schema")}
    assert "run" in tables and "half" not in tables
    writer.close()


def test_a_reader_needs_no_shared_memory_file_left_behind(path: Path) -> None:
    last = kill_a_writer_in_mid_transaction(path)
    path.with_name(f"{path.name}-shm").unlink()
    reader = Reader(path)
    assert Queries(reader).last_event_id() == last
    reader.close()


def test_a_reader_never_checkpoints_not_even_the_last_one_to_close(path: Path) -> None:
    kill_a_writer_in_mid_transaction(path)
    wal = path.with_name(f"{path.name}-wal")
    before = path.read_bytes(), wal.read_bytes()
    reader = Reader(path)
    assert Queries(reader).last_event_id() == 50
    reader.close()
    assert (path.read_bytes(), wal.read_bytes()) == before

    open_writer(path).close()  # the control: a connection that may checkpoint does so when it closes
    assert path.read_bytes() != before[0]
    assert not wal.exists()


# Several threads


def test_readers_see_whole_transactions_while_the_writer_writes(store: Store) -> None:
    """Each transaction gives one number to the run and to all its workers: a reader must never see two."""
    run = store.run(store.workflow())
    reads: list[set[int]] = []
    failures: list[BaseException] = []
    finished = threading.Event()
    started = threading.Barrier(5)

    def write(number: int) -> None:
        with store.records.transaction():
            store.records.update_run(run.id, priority=number)
            store.records.put_workers([worker(run, f"w{place}", place, attempt=number) for place in range(50)])

    def read() -> None:
        try:
            started.wait()
            while not finished.is_set():
                states = store.queries.worker_states(run.workflow_id).values()
                reads.append({number for of, row in states for number in (of.priority, row.attempt)})
        except BaseException as failure:
            failures.append(failure)

    write(0)
    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    for number in range(1, 301):
        write(number)
    finished.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(len(numbers) == 1 for numbers in reads)
    assert len(set().union(*reads)) > 1, "no read fell between two writes: the test has shown nothing"


def test_each_thread_reads_through_a_connection_of_its_own(store: Store) -> None:
    connections = []
    threads = [threading.Thread(target=lambda: connections.append(store.reader.connection())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    connections.append(store.reader.connection())
    assert len({id(connection) for connection in connections}) == 4
    assert store.reader.connection() is connections[-1]


def test_a_snapshot_holds_its_moment(store: Store) -> None:
    store.workflow("before")
    with store.queries.snapshot():
        assert len(store.queries.workflows()) == 1
        store.workflow("meanwhile")
        assert len(store.queries.workflows()) == 1
    assert len(store.queries.workflows()) == 2


def test_only_the_thread_that_opened_the_writer_may_write(store: Store) -> None:
    failures: list[BaseException] = []

    def write() -> None:
        try:
            store.workflow()
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    assert [type(failure) for failure in failures] == [sqlite3.ProgrammingError]
    assert store.queries.workflows() == []


# No room


def test_a_full_disk_loses_the_transaction_only_and_recovers_alone(store: Store) -> None:
    run = store.run(store.workflow())
    connection = store.writer.connection()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Unavailable, match="full") as full, store.records.transaction():
        store.records.put_attempts([attempt(run, f"u{n}", n, reason="x" * 500) for n in range(100)])
    assert full.value.code == "INSUFFICIENT_STORAGE"
    assert store.queries.attempts(run.id) == []
    assert store.queries.run(run.id) == run

    connection.execute("PRAGMA max_page_count = 1000000")
    store.put(attempt(run, "u"))
    assert len(store.queries.attempts(run.id)) == 1


def test_nothing_is_written_after_a_full_disk_within_the_same_transaction(store: Store) -> None:
    """SQLite has rolled back by itself by then: what followed would be committed alone."""
    run = store.run(store.workflow())
    connection = store.writer.connection()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(RuntimeError, match="transaction"), store.records.transaction():
        with pytest.raises(sqlite3.OperationalError, match="full"):
            store.records.put_attempts([attempt(run, f"u{n}", n, reason="x" * 500) for n in range(100)])
        store.records.keeper_imported("k", 1)
    assert store.queries.imported() == {}


def test_a_locked_database_is_unavailable(store: Store) -> None:
    store.writer.connection().execute("PRAGMA busy_timeout = 1")
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            store.workflow()
        other.execute("ROLLBACK")
    store.workflow()
