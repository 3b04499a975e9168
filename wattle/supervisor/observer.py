"""Who is told what happens to runs and attempts, and how long the loop takes.

Called on the loop's thread: an observer waits for nothing, touches no file and raises nothing.
"""

from collections.abc import Mapping
from typing import Any

from wattle.store.rows import AttemptRow, RunRow


class Observer:
    """This one takes no notice."""

    def started(
        self, run: RunRow, attempt: AttemptRow, queued_at: int | None, defined_in: tuple[int, int] | None = None
    ) -> None:
        """A process was spawned. `queued_at` (µs): when its order was made, None where that is not known.
        `defined_in`: its version and its position there, None where they are the run's."""

    def ended(self, attempt: AttemptRow) -> Mapping[str, Any] | None:
        """The whole process tree is gone. What is to be stored with the keeper's account of what it used."""
        return None

    def settled(self, attempt: AttemptRow) -> None:
        """Its status is final; may be told more than once."""

    def run_ended(self, run: RunRow) -> None: ...

    def turned(self, seconds: float) -> None:
        """How long a turn took, the wait before it left out."""

    def committed(self, seconds: float) -> None: ...
