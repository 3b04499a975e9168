"""A store on a real SQLite file, and the shortest way to rows in it."""

from pathlib import Path
from typing import Any

from wattle.store.database import Reader, open_writer
from wattle.store.queries import Queries
from wattle.store.records import Records
from wattle.store.rows import AttemptRow, EventRow, RunRow, RunWorkerRow, WorkflowRow

NOW = 1_700_000_000_000_000


class Store:
    """Records and queries on one file; what a row does not care about is filled in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer = open_writer(path)
        self.reader = Reader(path)
        self.records = Records(self.writer)
        self.queries = Queries(self.reader)

    def close(self) -> None:
        self.reader.close()
        self.writer.close()

    def workflow(self, name: str = "sales", **values: Any) -> WorkflowRow:
        with self.records.transaction():
            return self.records.create_workflow(
                **{"name": name, "document": "{}", "digest": "d1", "at": NOW, "working_dir": "/srv/sales"} | values
            )

    def run(self, workflow: WorkflowRow, **values: Any) -> RunRow:
        with self.records.transaction():
            run = self.records.create_run(**self.run_values(workflow) | values)
        assert run is not None
        return run

    def run_values(self, workflow: WorkflowRow) -> dict[str, Any]:
        return {
            "workflow_id": workflow.id,
            "workflow_name": workflow.name,
            "version_id": workflow.version_id,
            "kind": "workflow",
            "status": "running",
            "key": "00ff",
            "queued_at": NOW,
        }

    def put(self, *rows: RunWorkerRow | AttemptRow | EventRow) -> None:
        with self.records.transaction():
            self.records.put_workers([row for row in rows if isinstance(row, RunWorkerRow)])
            self.records.put_attempts([row for row in rows if isinstance(row, AttemptRow)])
            self.records.add_events([row for row in rows if isinstance(row, EventRow)])


def worker(run: RunRow, name: str = "fetch", position: int = 0, **values: Any) -> RunWorkerRow:
    return RunWorkerRow(**{"run_id": run.id, "position": position, "name": name} | RUNNING | values)


def attempt(run: RunRow, uuid: str, position: int = 0, number: int = 1, **values: Any) -> AttemptRow:
    facts = {"uuid": uuid, "run_id": run.id, "position": position, "number": number}
    return AttemptRow(**facts | {"worker": "fetch", "status": "running"} | values)


RUNNING = {"phase": "running", "status": "running"}
