"""Time, as an argument: wall clock in microseconds for labels, monotonic seconds for durations."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count


@dataclass(frozen=True, slots=True)
class Clock:
    now: Callable[[], int] = lambda: time.time_ns() // 1000
    monotonic: Callable[[], float] = time.monotonic


@dataclass(slots=True)
class Timers:
    """Calls due at monotonic instants. A timer that is no longer wanted finds out when it is called."""

    _heap: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _count: "count[int]" = field(default_factory=count)

    def at(self, monotonic: float, call: Callable[[], None]) -> None:
        heappush(self._heap, (monotonic, next(self._count), call))

    def next_due(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    def take_due(self, monotonic: float) -> list[Callable[[], None]]:
        due = []
        while self._heap and self._heap[0][0] <= monotonic:
            due.append(heappop(self._heap)[2])
        return due
