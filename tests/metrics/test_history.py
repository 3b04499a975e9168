"""The bounded series."""

from hypothesis import given, settings
from hypothesis import strategies as st

from wattle.metrics.history import Point, Series


def point(at: int, percent: float = 0.0, memory: int = 0) -> Point:
    return Point(at, percent, memory, 1, 1, at, 2 * at)


def test_two_points_become_one_with_the_mean_of_cpu_and_the_most_of_memory() -> None:
    series = Series(limit=4)
    for at, percent, memory in ((1, 10.0, 5), (2, 20.0, 9), (3, 30.0, 1), (4, 50.0, 2)):
        series.add(point(at, percent, memory))
    assert series.points() == [Point(2, 15.0, 9, 1, 1, 2, 4), Point(4, 40.0, 2, 1, 1, 4, 8)]


def test_a_point_that_is_not_full_is_told() -> None:
    series = Series(limit=4)
    for at in range(1, 6):
        series.add(point(at))
    assert [found.at for found in series.points()] == [2, 4, 5]


@settings(deadline=None)
@given(st.integers(0, 3000), st.integers(2, 40).map(lambda half: 2 * half))
def test_a_series_is_bounded_in_order_and_ends_now(count: int, limit: int) -> None:
    series = Series(limit=limit)
    for at in range(1, count + 1):
        series.add(point(at, memory=at % 97))
    found = series.points()
    assert len(found) <= limit
    assert [each.at for each in found] == sorted({each.at for each in found})
    assert (found[-1].at if found else 0) == count
    peak = max((at % 97 for at in range(1, count + 1)), default=0)
    assert max((each.memory_bytes for each in found), default=0) == peak
    assert len(series.thinned(7)) <= 7
    assert (series.thinned(7)[-1].at if count else 0) == count


def test_a_series_goes_on_from_what_was_stored() -> None:
    stored = [list(point(at, 1.5, 2)) for at in (1, 2)]
    series = Series(stored)
    series.add(point(3))
    assert series.points() == [point(1, 1.5, 2), point(2, 1.5, 2), point(3)]
