"""Every documented requirement is cited by a test that shows it."""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REQUIREMENTS = [
    *(f"W-{n:02d}" for n in (*range(1, 9), *range(10, 25), *range(30, 36), *range(40, 44), *range(50, 57))),
    *(f"A{n}" for n in range(1, 35)),
]


def cited() -> dict[str, set[str]]:
    """{id: files that cite it}; `W-10 to W-14` cites all of them."""
    found: dict[str, set[str]] = {}
    for path in HERE.rglob("test_*.py"):
        if path == Path(__file__):
            continue
        text = path.read_text()
        ids = set(re.findall(r"\b(?:W-\d\d|A\d{1,2})\b", text))
        for first, last in re.findall(r"\bW-(\d\d) to W-(\d\d)\b", text):
            ids |= {f"W-{n:02d}" for n in range(int(first), int(last) + 1)}
        for name in ids:
            found.setdefault(name, set()).add(path.name)
    return found


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_a_requirement_is_cited_by_a_test(requirement: str) -> None:
    assert requirement in cited()
