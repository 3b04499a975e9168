"""What is due when: one heap for the whole keeper, on the monotonic clock."""

import heapq
from collections.abc import Callable


class Timer:
    """One thing to do at `at` (monotonic seconds); `action` is None once it was done or cancelled."""

    __slots__ = ("action", "at")

    def __init__(self, at: float, action: Callable[[], None]) -> None:
        self.at = at
        self.action: Callable[[], None] | None = action


class Timers:
    """Cancelled timers stay in the heap until they are due or outnumber the rest: a limit of an hour on
    a worker of a millisecond must not cost memory for an hour.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []  # by instant, then by age
        self._armed = 0
        self._dead = 0

    def __len__(self) -> int:
        return len(self._heap) - self._dead

    def arm(self, at: float, action: Callable[[], None]) -> Timer:
        self._armed += 1
        timer = Timer(at, action)
        heapq.heappush(self._heap, (at, self._armed, timer))
        return timer

    def cancel(self, timer: Timer | None) -> None:
        if timer is None or timer.action is None:
            return
        timer.action = None
        self._dead += 1
        if self._dead > 64 and self._dead > len(self._heap) // 2:
            self._heap = [entry for entry in self._heap if entry[2].action is not None]
            heapq.heapify(self._heap)
            self._dead = 0

    def next_at(self) -> float | None:
        while self._heap and self._heap[0][2].action is None:
            heapq.heappop(self._heap)
            self._dead -= 1
        return self._heap[0][0] if self._heap else None

    def run(self, now: float) -> None:
        """Do all that is due; what its actions arm waits for the next call."""
        newest = self._armed
        while True:
            at = self.next_at()
            if at is None or at > now or self._heap[0][1] > newest:
                return
            timer = heapq.heappop(self._heap)[2]
            action, timer.action = timer.action, None
            if action is not None:
                action()
