"""The orders of live workers: by the definition and the surroundings that each has in its run."""

from dataclasses import dataclass
from typing import Any

from wattle.supervisor import orders
from wattle.supervisor.live import LiveRun, LiveWorker


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are: the data directory, and the directory with the `python` launcher."""

    data_dir: str
    launcher_dir: str


def order_of(run: LiveRun, live: LiveWorker, number: int, places: Places) -> dict[str, Any]:
    """The keeper's order for its attempt of that number."""
    whose = live.surroundings(run)
    data_dir, launcher_dir = places.data_dir, places.launcher_dir
    return orders.order(run.row, whose.workflow, live.worker, number, data_dir, launcher_dir, whose.env_files)


def refusal_of(run: LiveRun, live: LiveWorker, places: Places) -> tuple[str, str] | None:
    """Why it cannot be ordered, as (reason code, reason); None where it can."""
    whose = live.surroundings(run)
    if not (whose.unusable or whose.unread):
        return None
    return orders.why_not(whose.workflow, live.worker, run.id, places.data_dir, whose.unusable, whose.unread)
