"""What became of a file of another tool: kept, changed, left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Count(NamedTuple):
    number: int
    one: str
    many: str

    def __str__(self) -> str:
        return f"{self.number} {self.one if self.number == 1 else self.many}"


class Remark(NamedTuple):
    """Of one worker, or of the whole file where `subject` is None. `text` names the field and what became of it."""

    subject: str | None
    text: str

    def __str__(self) -> str:
        return self.text if self.subject is None else f"{self.subject}: {self.text}"


@dataclass(frozen=True, slots=True)
class Report:
    """Counts that are 0 are not there."""

    kept: tuple[Count, ...]
    changed: tuple[Count | Remark, ...]
    left_out: tuple[Count | Remark, ...]

    def as_json(self) -> dict[str, list[dict[str, Any]]]:
        """`{"kept": […], "changed": […], "left_out": […]}`, each `{"worker", "count", "text"}`."""
        return {
            "kept": [_shown(each) for each in self.kept],
            "changed": [_shown(each) for each in self.changed],
            "left_out": [_shown(each) for each in self.left_out],
        }


def _shown(each: Count | Remark) -> dict[str, Any]:
    if isinstance(each, Count):
        return {"worker": None, "count": each.number, "text": str(each)}
    return {"worker": each.subject, "count": None, "text": each.text}


@dataclass(frozen=True, slots=True)
class Imported:
    document: dict[str, Any]
    report: Report


@dataclass(slots=True)
class Notes:
    """The report while it is being made; the same thing said twice of the same worker is said once."""

    changed: dict[Remark, None] = field(default_factory=dict)
    left_out: dict[Remark, None] = field(default_factory=dict)

    def change(self, subject: str | None, text: str) -> None:
        self.changed[Remark(subject, text)] = None

    def leave(self, subject: str | None, text: str) -> None:
        self.left_out[Remark(subject, text)] = None

    def imported(self, document: dict[str, Any]) -> Imported:
        """With what the document has of each kind counted as kept."""
        return Imported(document, Report(_kept(document), tuple(self.changed), tuple(self.left_out)))


def _kept(document: Mapping[str, Any]) -> tuple[Count, ...]:
    workers = document["workers"]
    services = sum(worker.get("kind") == "service" for worker in workers)
    edges = sum(len(worker.get("depends_on") or ()) + len(worker.get("inputs") or ()) for worker in workers)
    variables = sum(len(part.get("env_vars") or ()) for part in (document, *workers))
    probes = sum((field in worker) for worker in workers for field in ("ready", "alive"))
    counts = (
        Count(len(workers) - services, "task", "tasks"),
        Count(services, "service", "services"),
        Count(edges, "edge", "edges"),
        Count(variables, "variable", "variables"),
        Count(probes, "probe", "probes"),
        Count(len(document.get("params") or ()), "param", "params"),
    )
    return tuple(count for count in counts if count.number)
