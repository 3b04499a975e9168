"""The tables as peewee models: what the cold statements of records and queries are built from.

The models are bound to no database: peewee builds the statement (`sql`), the connections are those of
database.py, so a statement can never open a second writing connection. The tables themselves are made by
migrations.py, which is frozen history; a test compares the two. Instants are integer microseconds UTC.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import peewee as pw

from wattle.store.rows import names_of

_DIALECT = pw.SqliteDatabase(None)


def sql(query: pw.Query) -> tuple[str, Sequence[Any]]:
    """The text and the parameters of a query."""
    text, parameters = _DIALECT.get_sql_context().sql(query).query()
    return text, parameters


@cache
def insert_statement(model: type[pw.Model], names: frozenset[str]) -> tuple[str, list[str]]:
    """Insert one row of these columns and give its id. The text, and the names in the order of its parameters.

    Building a query costs more than running it: what every run needs is built once.
    """
    text, parameters = sql(model.insert(_named(model, names)).returning(model._meta.primary_key))
    return text, list(parameters)


@cache
def update_statement(model: type[pw.Model], names: frozenset[str]) -> tuple[str, list[str]]:
    """Set these columns of the row with an id. The text, and the names in the order of its parameters; then the id."""
    text, parameters = sql(model.update(_named(model, names)).where(model._meta.primary_key == 0))
    return text, list(parameters[:-1])


def _named(model: type[pw.Model], names: frozenset[str]) -> dict[pw.Field, pw.Value]:
    """Each column set to its own name, which so stands where peewee puts its parameter."""
    return {model._meta.combined[name]: pw.Value(name, converter=False) for name in names}


def columns(model: type[pw.Model], row: Any) -> list[pw.Field]:
    """The model's columns that make up a row, in the order of its fields."""
    return [model._meta.combined[name] for name in names_of(row)]


class SchemaVersion(pw.Model):
    """One row per migration that has been applied."""

    version = pw.IntegerField(primary_key=True)
    description = pw.TextField()

    class Meta:
        table_name = "schema_version"


class Workflow(pw.Model):
    id = pw.AutoField()
    uuid = pw.TextField(unique=True)
    namespace = pw.TextField()
    name = pw.TextField()
    kind = pw.TextField()
    origin = pw.TextField()
    enabled = pw.BooleanField()
    version_id = pw.IntegerField(null=True)  # null only between the first two statements of its creation
    created_at = pw.BigIntegerField()
    updated_at = pw.BigIntegerField()
    deleted_at = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "workflow"


class Version(pw.Model):
    """`working_dir` and `description` are copies from the document, so that a listing parses none."""

    id = pw.AutoField()
    uuid = pw.TextField(unique=True)
    workflow = pw.ForeignKeyField(Workflow)
    digest = pw.TextField()
    document = pw.TextField()
    working_dir = pw.TextField()
    description = pw.TextField(null=True)
    created_at = pw.BigIntegerField()

    class Meta:
        table_name = "version"


class DeclaredOutput(pw.Model):
    """The paths that a version's workers declare, so that two workflows that write one file can be told."""

    version = pw.ForeignKeyField(Version)
    path = pw.TextField()

    class Meta:
        table_name = "declared_output"
        primary_key = pw.CompositeKey("version", "path")


class Run(pw.Model):
    id = pw.AutoField()
    uuid = pw.TextField(unique=True)
    workflow = pw.ForeignKeyField(Workflow)
    workflow_name = pw.TextField()
    version = pw.ForeignKeyField(Version)
    kind = pw.TextField()
    worker = pw.TextField(null=True)
    status = pw.TextField()
    wanted = pw.TextField()
    cancel_reason = pw.TextField(null=True)
    reason_code = pw.TextField(null=True)
    reason = pw.TextField(null=True)
    key = pw.TextField()
    forced = pw.BooleanField()
    params = pw.TextField(null=True)
    input = pw.TextField(null=True)
    priority = pw.IntegerField()
    trigger = pw.TextField()
    retry_of = pw.IntegerField(null=True)  # no foreign key: the run it retries may be pruned first
    scheduled_at = pw.BigIntegerField(null=True)
    queued_at = pw.BigIntegerField()
    started_at = pw.BigIntegerField(null=True)
    ended_at = pw.BigIntegerField(null=True)
    created_by = pw.TextField(null=True)
    idempotency_key = pw.TextField(null=True, unique=True)
    logs_removed_at = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "run"


class RunWorker(pw.Model):
    run = pw.ForeignKeyField(Run, on_delete="CASCADE")
    position = pw.IntegerField()
    name = pw.TextField()
    phase = pw.TextField()
    status = pw.TextField()
    attempt = pw.IntegerField()
    wanted = pw.TextField()
    reason_code = pw.TextField(null=True)
    reason = pw.TextField(null=True)
    exit_code = pw.IntegerField(null=True)
    signal = pw.IntegerField(null=True)
    started_at = pw.BigIntegerField(null=True)
    ended_at = pw.BigIntegerField(null=True)
    due_at = pw.BigIntegerField(null=True)
    forced = pw.BooleanField()
    notices = pw.TextField(null=True)  # a JSON array of sentences; null where there is none
    version_id = pw.IntegerField(null=True)
    next_version_id = pw.IntegerField(null=True)

    class Meta:
        table_name = "run_worker"
        primary_key = pw.CompositeKey("run", "position")


class Attempt(pw.Model):
    id = pw.AutoField()
    uuid = pw.TextField(unique=True)
    run = pw.ForeignKeyField(Run, on_delete="CASCADE")
    position = pw.IntegerField()
    worker = pw.TextField()
    number = pw.IntegerField()
    status = pw.TextField()
    agent = pw.TextField()
    keeper_id = pw.TextField(null=True)
    boot_id = pw.TextField(null=True)
    pid = pw.IntegerField(null=True)
    inode = pw.BigIntegerField(null=True)
    start_ticks = pw.BigIntegerField(null=True)
    exit_code = pw.IntegerField(null=True)
    signal = pw.IntegerField(null=True)
    reason_code = pw.TextField(null=True)
    reason = pw.TextField(null=True)
    started_at = pw.BigIntegerField(null=True)
    ended_at = pw.BigIntegerField(null=True)
    duration_us = pw.BigIntegerField(null=True)
    metrics = pw.TextField(null=True)
    logs_removed_at = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "attempt"


class Event(pw.Model):
    """Append-only. `run_id` is no foreign key: history outlives the runs it tells of."""

    id = pw.AutoField()
    at = pw.BigIntegerField()
    run_id = pw.IntegerField(null=True)
    subject = pw.TextField()
    kind = pw.TextField()
    payload = pw.TextField()
    actor = pw.TextField(null=True)

    class Meta:
        table_name = "event"


class Capture(pw.Model):
    path = pw.TextField(primary_key=True)
    attempt_uuid = pw.TextField()
    temporary_path = pw.TextField()
    size = pw.BigIntegerField()
    mtime_ns = pw.BigIntegerField()
    inode = pw.BigIntegerField()
    state = pw.TextField()

    class Meta:
        table_name = "capture"


class Keeper(pw.Model):
    """`imported` is the sequence number of the last entry of its journal that has been taken in."""

    keeper_id = pw.TextField(primary_key=True)
    imported = pw.BigIntegerField()

    class Meta:
        table_name = "keeper"


MODELS: tuple[type[pw.Model], ...] = (
    SchemaVersion,
    Workflow,
    Version,
    Run,
    RunWorker,
    Attempt,
    Event,
    Capture,
    Keeper,
)
