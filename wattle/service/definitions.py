"""Stored definitions as values: read and validated once per version, kept for the next caller."""

import json
import threading
from collections import OrderedDict
from typing import Any

from wattle.definition.graph import build_graph
from wattle.definition.model import Workflow
from wattle.definition.validate import check
from wattle.errors import WattleError, workflow_not_found
from wattle.store.queries import Queries, WorkflowState
from wattle.store.rows import VersionRow
from wattle.supervisor.commands import Definition

KEPT = 8


class Definitions:
    """A small cache by version id; versions never change. Any thread."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._kept: OrderedDict[int, Definition] = OrderedDict()
        self._documents: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def document(self, version_id: int) -> dict[str, Any]:
        """The normalised document as stored; it may have problems since a worker was deleted."""
        with self._lock:
            if version_id in self._documents:
                return self._documents[version_id]
        document: dict[str, Any] = json.loads(self._version(version_id).document)
        with self._lock:
            self._documents[version_id] = document
            while len(self._documents) > KEPT:
                self._documents.popitem(last=False)
        return document

    def worker_names(self, version_id: int) -> list[str]:
        """In definition order, whatever problems the version has."""
        return [worker["name"] for worker in self.document(version_id)["workers"]]

    def load(self, version_id: int) -> Workflow:
        return self.definition(version_id).workflow

    def definition(self, version_id: int) -> Definition:
        """The validated version. Raises Invalid where it lacks a worker that another one needs."""
        with self._lock:
            found = self._kept.get(version_id)
            if found is not None:
                self._kept.move_to_end(version_id)
                return found
        workflow = check(self.document(version_id))
        definition = Definition(version_id, workflow, build_graph(workflow))
        with self._lock:
            self._kept[version_id] = definition
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
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
