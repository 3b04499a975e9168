"""The sum of growing counters over a tree whose members come and go. It never falls. PURE."""

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")


class Cumulative(Generic[K]):
    """A counter per member, in which its parent's grows by what a reaped child had.

    A member that is gone has moved its counter to the nearest ancestor that is still there, if that one's
    `absorbable` part has grown by as much, in the reading that misses it or in the next: members are read one after
    the other, parents first, and it may be reaped in between. Else nobody has it (the keeper reaped it, or its parent
    did not want to know), and it is kept here.
    """

    def __init__(self, ended: int = 0) -> None:
        self._ended = ended
        self._missed: dict[K, int] = {}  # since the last reading: whether they were absorbed is told by the next
        self.total = ended
        self._last: dict[K, tuple[int, int]] = {}

    @property
    def ended(self) -> int:
        """Of members that are gone and whom no living one has absorbed."""
        return self._ended + sum(self._missed.values())

    def update(self, values: Mapping[K, tuple[int, int]], parent: Callable[[K], K | None]) -> int:
        """Take in a reading {member: (counter, its absorbable part)} and give the total.

        `parent` tells the parent as it was last seen, of members that are gone too.
        """
        budgets: dict[K, int] = {}
        before, self._missed = self._missed, {}
        gone = {member: self._last[member][0] for member in self._last.keys() - values.keys()}
        for member, counter in (*gone.items(), *before.items()):
            heir = parent(member)
            while heir is not None and heir not in values:
                heir = parent(heir)
            if heir is not None and heir not in budgets:
                budgets[heir] = values[heir][1] - self._last.get(heir, (0, 0))[1]
            if heir is not None and budgets[heir] >= counter:
                budgets[heir] -= counter
            elif heir is not None and member in gone:
                self._missed[member] = counter
            else:
                self._ended += counter
        self._last = dict(values)
        self.total = max(self.total, self.ended + sum(counter for counter, _ in values.values()))
        return self.total
