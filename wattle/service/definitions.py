"""Stored definitions as values: read and validated once per version, kept for the next caller."""

import json
import threading
from collections import OrderedDict
from typing import Any, Generic, TypeVar

from wattle.definition.canonical import digest
from wattle.definition.graph import build_graph
from wattle.definition.model import Workflow
from wattle.definition.validate import check
from wattle.errors import Refused, WattleError, workflow_not_found
from wattle.store.queries import Queries, WorkflowState
from wattle.store.rows import VersionRow
from wattle.supervisor.commands import Definition

KEPT_WORKERS = 20_000  # about 60 MB of them
T = TypeVar("T")


class Kept(Generic[T]):
    """The values used last, as many as have KEPT_WORKERS workers together, but always the newest. Any thread."""

    def __init__(self) -> None:
        self._values: OrderedDict[int, tuple[T, int]] = OrderedDict()
        self._workers = 0
        self._lock = threading.Lock()

    def get(self, key: int) -> T | None:
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key: int, value: T, workers: int) -> None:
        with self._lock:
            if key in self._values:
                return
            self._values[key] = (value, workers)
            self._workers += workers
            while self._workers > KEPT_WORKERS and len(self._values) > 1:
                self._workers -= self._values.popitem(last=False)[1][1]


class Definitions:
    """A cache by version id; versions never change. Any thread."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._kept: Kept[Definition] = Kept()
        self._documents: Kept[tuple[dict[str, Any], str]] = Kept()  # with their digests

    def document(self, version_id: int) -> dict[str, Any]:
        """The normalised document as stored; it may have problems since a worker was deleted."""
        return self._stored(version_id)[0]

    def _stored(self, version_id: int) -> tuple[dict[str, Any], str]:
        stored = self._documents.get(version_id)
        if stored is None:
            version = self._version(version_id)
            try:
                document = json.loads(version.document)
                workers = len(document["workers"])
            except (ValueError, TypeError, LookupError):
                raise _damaged(version_id) from None
            stored = document, version.digest
            self._documents.put(version_id, stored, workers)
        return stored

    def worker_names(self, version_id: int) -> list[str]:
        """In definition order, whatever problems the version has."""
        return [worker["name"] for worker in self.document(version_id)["workers"]]

    def load(self, version_id: int) -> Workflow:
        return self.definition(version_id).workflow

    def definition(self, version_id: int) -> Definition:
        """The validated version. Raises Invalid where it lacks a worker that another one needs, Refused where it is not
        what was stored: no command is run that nobody wrote."""
        definition = self._kept.get(version_id)
        if definition is None:
            document, stored_digest = self._stored(version_id)
            if digest(document) != stored_digest:  # of what is stored: today's `check` may add to it
                raise _damaged(version_id)
            workflow = check(document)
            definition = Definition(version_id, workflow, build_graph(workflow))
            self._kept.put(version_id, definition, len(workflow.workers))
        return definition

    def current(self, name: str) -> Definition:
        """The validated current version of a workflow."""
        return self.definition(self.state(name).workflow.version_id)

    def state(self, name: str) -> WorkflowState:
        state = self._queries.workflow(name)
        if state is None:
            raise workflow_not_found(name)
        return state

    def _version(self, version_id: int) -> VersionRow:
        version = self._queries.version(version_id)
        if version is None:
            raise WattleError("VERSION_NOT_FOUND", f"Version {version_id} does not exist")
        return version


def _damaged(version_id: int) -> Refused:
    what = f"The definition of version {version_id} is damaged in the database"
    return Refused("STORE_CORRUPT", f"{what}, and no run of it is started; `wattle fsck` says what else is damaged")
