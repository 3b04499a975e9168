"""A bounded series of what a process tree used, thinned as it grows. PURE."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

LIVE_POINTS = 240  # at 2 s between samples the first 8 minutes are there in full
KEPT_POINTS = 60  # of an attempt that has ended


class Point(NamedTuple):
    """The time up to `at` (µs UTC), since the point before: the mean of CPU, the most of memory and of processes."""

    at: int
    cpu_percent: float
    memory_bytes: int
    num_processes: int
    num_threads: int
    read_bytes: int
    written_bytes: int


class Series:
    """At most `limit` points. Where there would be more, each two become one, and the step doubles."""

    def __init__(self, points: Iterable[Sequence[float]] = (), limit: int = LIVE_POINTS) -> None:
        self._points = [_point(values) for values in points]
        self._limit = limit
        self._step = 1  # samples to a point
        self._open: list[Point] = []

    def add(self, sample: Point) -> None:
        self._open.append(sample)
        if len(self._open) < self._step:
            return
        self._points = [*self._points, _merged(self._open)]
        self._open = []
        if len(self._points) >= self._limit:
            self._points = _halved(self._points)
            self._step *= 2

    def points(self) -> list[Point]:
        """All of them, the one that is still being filled included."""
        points, unfinished = self._points, self._open
        return [*points, _merged(unfinished)] if unfinished else list(points)

    def thinned(self, limit: int = KEPT_POINTS) -> list[Point]:
        points = self.points()
        while len(points) > limit:
            points = _halved(points)
        return points


def _halved(points: Sequence[Point]) -> list[Point]:
    return [_merged(points[place : place + 2]) for place in range(0, len(points), 2)]


def _merged(points: Sequence[Point]) -> Point:
    if len(points) == 1:
        return points[0]
    last = points[-1]
    return Point(
        last.at,
        round(sum(point.cpu_percent for point in points) / len(points), 1),
        max(point.memory_bytes for point in points),
        max(point.num_processes for point in points),
        max(point.num_threads for point in points),
        last.read_bytes,
        last.written_bytes,
    )


def _point(values: Sequence[float]) -> Point:
    at, percent, *counts = values
    return Point(int(at), float(percent), *map(int, counts))
