"""Searching a log page by page: what one page leaves to the next."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattle.logs import search
from wattle.logs.search import MOST_CONTEXT

Match = list[Any]


def searched(data: bytes, context: int, budget: Callable[[], search._Budget], path: Path) -> tuple[list[Match], int]:
    """All pages, each begun where the one before ended, and their number."""
    path.write_bytes(data)
    found: list[Match] = []
    begin = pages = 0
    with open(path, "rb") as log:
        while begin < len(data):
            lines, reached = search._matches(log.fileno(), begin, len(data), re.compile("x"), context, budget())
            assert reached > begin
            found, begin, pages = found + lines, reached, pages + 1
    return found, pages


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.sampled_from([b"x\n", b"-\n", b"a longer line\n"]), max_size=40),
    context=st.integers(0, 4),
    limit=st.integers(1, 30),
)
def test_pages_joined_have_the_context_of_one_search(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], context: int, limit: int
) -> None:
    path, data = tmp_path_factory.mktemp("log") / "1.out", b"".join(lines)
    whole, _ = searched(data, context, lambda: search._Budget(1 << 20), path)
    assert searched(data, context, lambda: search._Budget(limit), path)[0] == whole


def test_a_search_whose_time_is_up_leaves_what_may_be_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked every 64 lines; the match comes right behind the second time."""
    data = b"-\n" * 128 + b"x\n"
    path = tmp_path / "1.out"
    whole, _ = searched(data, 3, lambda: search._Budget(1 << 20), path)
    asked: list[float] = []

    def late() -> float:
        asked.append(0.0)
        return float(len(asked) % 4 == 0) * 99

    monkeypatch.setattr(search.time, "monotonic", late)
    paged, pages = searched(data, 3, lambda: search._Budget(1 << 20), path)
    assert paged == whole and [line[0] for line in paged] == ["-", "-", "-", "x"] and pages == 2


def test_context_takes_no_more_than_its_bound(tmp_path: Path) -> None:
    data = b"x\n" + (b"-" * 60_000 + b"\n") * 50
    with open(tmp_path / "1.out", "wb+") as log:
        log.write(data)
        log.flush()
        lines, reached = search._matches(log.fileno(), 0, len(data), re.compile("x"), MOST_CONTEXT, search._Budget(2))
    assert len(lines) == 3 and reached == 2 + 2 * 60_001
