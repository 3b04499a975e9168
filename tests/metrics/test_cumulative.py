"""Sums over members that come and go (A23, supervision 3.10)."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from wattle.metrics.cumulative import Cumulative


def test_a_reaped_child_counts_once() -> None:
    parents = {"child": "parent"}
    total: Cumulative[str] = Cumulative()
    assert total.update({"parent": (10, 0), "child": (5, 0)}, parents.get) == 15
    assert total.update({"parent": (18, 8)}, parents.get) == 18  # its last 8 moved to the parent


def test_a_child_that_nobody_reaped_is_kept() -> None:
    """SIGCHLD ignored, or it was an orphan by then."""
    parents = {"child": "parent"}
    total: Cumulative[str] = Cumulative()
    total.update({"parent": (10, 0), "child": (5, 0)}, parents.get)
    assert total.update({"parent": (11, 0)}, parents.get) == 16
    assert total.ended == 5


def test_a_child_that_is_reaped_between_the_reading_of_its_parent_and_its_own_counts_once() -> None:
    parents = {"child": "parent"}
    total: Cumulative[str] = Cumulative()
    total.update({"parent": (10, 0), "child": (5, 0)}, parents.get)
    assert total.update({"parent": (10, 0)}, parents.get) == 15 and total.ended == 5
    assert total.update({"parent": (15, 5)}, parents.get) == 15 and total.ended == 0
    assert total.update({"parent": (16, 5)}, parents.get) == 16


def test_a_grandchild_counts_once_through_two_that_are_gone() -> None:
    parents = {"grandchild": "child", "child": "parent"}
    total: Cumulative[str] = Cumulative()
    total.update({"parent": (1, 0), "child": (2, 0), "grandchild": (3, 0)}, parents.get)
    assert total.update({"parent": (6, 5)}, parents.get) == 6


def test_what_was_used_stays_when_all_are_gone() -> None:
    total: Cumulative[str] = Cumulative(ended=7)
    total.update({"leader": (4, 1)}, {}.get)
    assert total.update({}, {}.get) == 11
    assert total.update({}, {}.get) == 11


@dataclass
class Simulated:
    """A process as the kernel accounts for it."""

    parent: "Simulated | None"
    own: int = 0
    reaped: int = 0
    last_parent: "Simulated | None" = None
    children: list["Simulated"] = field(default_factory=list)


STEPS = st.lists(
    st.tuples(st.sampled_from(["fork", "work", "work", "end", "sample"]), st.integers(0, 30), st.booleans()),
    max_size=80,
)


@settings(deadline=None)
@given(STEPS)
def test_the_sum_never_falls_and_is_never_more_than_was_used(steps: list[tuple[str, int, bool]]) -> None:
    """Whoever ends, in whatever order, reaped or not."""
    living = [Simulated(None)]
    total: Cumulative[int] = Cumulative()
    by_id = {id(living[0]): living[0]}
    used = before = 0
    for verb, number, reaps in [*steps, ("sample", 0, False)]:
        chosen = living[number % len(living)] if living else None
        if verb == "fork" and chosen is not None:
            child = Simulated(chosen)
            by_id[id(child)] = child
            living.append(child)
        elif verb == "work" and chosen is not None:
            chosen.own += number
            used += number
        elif verb == "end" and chosen is not None:
            living.remove(chosen)
            if reaps and chosen.parent is not None:
                chosen.parent.reaped += chosen.own + chosen.reaped
            for other in living:
                if other.parent is chosen:
                    other.parent = None
        elif verb == "sample":
            for member in living:
                member.last_parent = member.parent
            values = {id(member): (member.own + member.reaped, member.reaped) for member in living}

            def parent(key: int) -> int | None:
                found = by_id[key].last_parent
                return id(found) if found is not None else None

            now = total.update(values, parent)
            assert before <= now <= used
            before = now
