"""The sum of growing counters over a tree whose members come and go. It never falls. PURE."""

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")


class Cumulative(Generic[K]):
    """A counter per member, in which its parent's grows by what a reaped child had.

    A member that is gone has moved its counter to the nearest ancestor that is still there, if that one's
    `absorbable` part has grown by as much; else nobody has it (the keeper reaped it, or its parent did not want to
    know), and it is kept here.
    """

    def __init__(self, ended: int = 0) -> None:
        self.ended = ended  # of members that are gone and whom no living one has absorbed
        self.total = ended
        self._last: dict[K, tuple[int, int]] = {}

    def update(self, values: Mapping[K, tuple[int, int]], parent: Callable[[K], K | None]) -> int:
        """Take in a reading {member: (counter, its absorbable part)} and give the total.

        `parent` tells the parent as it was last seen, of members that are gone too.
        """
        budgets: dict[K, int] = {}
        for member in self._last.keys() - values.keys():
            counter = self._last[member][0]
            heir = parent(member)
            while heir is not None and heir not in values:
                heir = parent(heir)
            if heir is not None and heir not in budgets:
                budgets[heir] = values[heir][1] - self._last.get(heir, (0, 0))[1]
            if heir is not None and budgets[heir] >= counter:
                budgets[heir] -= counter
            else:
                self.ended += counter
        self._last = dict(values)
        self.total = max(self.total, self.ended + sum(counter for counter, _ in values.values()))
        return self.total
