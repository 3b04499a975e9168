"""What the checks of `wattle fsck` look at, and what they find."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from wattle.diagnosis.holders import Holder
from wattle.keeper import proc
from wattle.store.inspection import Inspection


@dataclass(frozen=True, slots=True)
class Defect:
    """One thing that is not as it has to be: which check found it, where, what, and what to do.

    A note (`is_note`) is no defect: it says what could not be judged, or what the next start will do.
    """

    check: str
    where: str
    what: str
    remedy: str
    is_note: bool = False


def note(check: str, where: str, what: str, remedy: str) -> Defect:
    return Defect(check, where, what, remedy, is_note=True)


@dataclass(frozen=True)
class Scene:
    """One data directory at one moment. `daemon` and `keeper` are those that live."""

    data_dir: str
    inspection: Inspection
    has_database: bool
    daemon: Holder | None
    keeper: Holder | None
    boot_id: str = field(default_factory=proc.boot_id)

    @property
    def is_moving(self) -> bool:
        """Somebody may change files and rows while they are looked at."""
        return self.daemon is not None or self.keeper is not None

    @cached_property
    def _documents(self) -> dict[int, Any]:
        return {}

    def workers_of(self, version_id: int) -> list[dict[str, Any]]:
        """The workers of a version's definition, in order; [] where it is gone."""
        if version_id not in self._documents:
            row = self.inspection.queries.version(version_id)
            self._documents[version_id] = json.loads(row.document)["workers"] if row is not None else []
        found: list[dict[str, Any]] = self._documents[version_id]
        return found
