import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from wattle.errors import Refused
from wattle.store import migrations, models, rows
from wattle.store.database import Reader, open_writer
from wattle.store.migrations import MIGRATIONS, Migration
from wattle.store.queries import Queries

ROWS = {
    models.Workflow: rows.WorkflowRow,
    models.Version: rows.VersionRow,
    models.Run: rows.RunRow,
    models.RunWorker: rows.RunWorkerRow,
    models.Attempt: rows.AttemptRow,
    models.Event: rows.EventRow,
    models.Capture: rows.CaptureRow,
}
SECOND = Migration("a second one", "CREATE TABLE extra (id {identity});\nINSERT INTO extra DEFAULT VALUES;\n")
BROKEN = Migration("a broken one", "CREATE TABLE extra (id {identity});\nCREATE TABLE extra (id {identity});\n")


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def upgrade(path: Path, *more: Migration) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrations.migrate(connection, path, MIGRATIONS + more)


def test_a_fresh_database_has_the_latest_schema(path: Path) -> None:
    open_writer(path).close()
    with closing(sqlite3.connect(path)) as connection:
        assert migrations.version_of(connection) == migrations.LATEST


def test_opening_again_migrates_nothing(path: Path) -> None:
    open_writer(path).close()
    before = path.read_bytes()
    open_writer(path).close()
    assert path.read_bytes() == before


def test_only_what_is_missing_is_applied(path: Path) -> None:
    open_writer(path).close()
    upgrade(path, SECOND)
    upgrade(path, SECOND)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM extra").fetchone() == (1,)
        assert migrations.version_of(connection) == migrations.LATEST + 1


def test_a_migration_that_fails_leaves_the_schema_before_it(path: Path) -> None:
    open_writer(path).close()
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        upgrade(path, BROKEN)
    assert "extra" not in tables(path)
    open_writer(path).close()


def test_a_newer_schema_is_refused_by_writer_and_reader_and_left_untouched(path: Path) -> None:
    """F71."""
    open_writer(path).close()
    upgrade(path, SECOND)
    before = path.read_bytes()
    for attempt in (lambda: open_writer(path), Queries(Reader(path)).workflows):
        with pytest.raises(Refused, match="newer Wattle") as refused:
            attempt()
        assert refused.value.code == "SCHEMA_NEWER"
        assert str(path) in refused.value.message
    assert path.read_bytes() == before


def test_an_older_schema_is_refused_by_a_reader_which_cannot_migrate(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_writer(path).close()
    monkeypatch.setattr(migrations, "LATEST", migrations.LATEST + 1)
    with pytest.raises(Refused, match="wattle serve") as refused:
        Queries(Reader(path)).workflows()
    assert refused.value.code == "SCHEMA_OLDER"


@pytest.mark.parametrize("model", models.MODELS, ids=lambda model: model.__name__)
def test_the_models_say_what_the_migrations_make(path: Path, model: type[models.Workflow]) -> None:
    open_writer(path).close()
    with closing(sqlite3.connect(path)) as connection:
        made = connection.execute(f"PRAGMA table_info({model._meta.table_name})").fetchall()
    columns = {name: (kind, bool(not_null or key)) for _, name, kind, not_null, _, key in made}
    kinds = {"AUTO": "INTEGER", "BOOL": "BOOLEAN", "INT": "INTEGER"}
    said = {
        field.column_name: (
            kinds.get(field.field_type, field.field_type),
            not field.null,
        )
        for field in model._meta.sorted_fields
    }
    assert said == columns


@pytest.mark.parametrize("model", ROWS, ids=lambda model: model.__name__)
def test_every_field_of_a_row_is_a_column(model: type[models.Workflow]) -> None:
    assert set(rows.names_of(ROWS[model])) <= set(model._meta.columns)
