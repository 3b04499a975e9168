"""Histograms and counters of what happens inside, cheap enough for the loop. No library: that is loaded by a scrape.

Each is written by one thread and read by others; a reader may see an observation that is not finished yet.
"""

from bisect import bisect_left
from collections import Counter

SHORT = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LONG = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0)


class Histogram:
    """Counts by upper bounds, in seconds, and their sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """[(upper bound, how many are at most that)], the last one `+Inf`; and the sum."""
        found, count = [], 0
        for bound, more in zip((*map(str, self._bounds), "+Inf"), list(self._counts)):
            count += more
            found.append((bound, float(count)))
        return found, self._sum


class Figures:
    """What has happened since this daemon started."""

    def __init__(self) -> None:
        self.runs: Counter[tuple[str, str]] = Counter()  # (kind, status)
        self.attempts: Counter[str] = Counter()  # status
        self.restarts = 0
        self.run_seconds = Histogram(LONG)
        self.attempt_seconds = Histogram(LONG)
        self.queue_seconds = Histogram(LONG)
        self.turn_seconds = Histogram(SHORT)
        self.commit_seconds = Histogram(SHORT)
        self.sweep_seconds = Histogram(SHORT)
        self.scrapes_cut = 0  # series of workers that scrapes have left out
