"""`wattle graph`: boxes and arrows that say what the edges say."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattle.cli.drawing import draw
from wattle.cli.output import width

DAGS = st.integers(1, 12).flatmap(
    lambda count: st.sets(
        st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).map(lambda pair: (min(pair), max(pair)))
    ).map(lambda pairs: (count, sorted((a, b) for a, b in pairs if a != b)))
)
UP, DOWN, LEFT, RIGHT = (0, -1), (0, 1), (-1, 0), (1, 0)
SIDES = {
    "│": {UP, DOWN}, "─": {LEFT, RIGHT}, "┌": {DOWN, RIGHT}, "┐": {DOWN, LEFT}, "└": {UP, RIGHT}, "┘": {UP, LEFT},
    "├": {UP, DOWN, RIGHT}, "┤": {UP, DOWN, LEFT}, "┬": {DOWN, LEFT, RIGHT}, "┴": {UP, LEFT, RIGHT},
    "┼": {UP, DOWN, LEFT, RIGHT},
}  # fmt: skip


def followed(lines: list[str]) -> set[tuple[str, str]]:
    """The edges that a reader sees: from the bottom of each box along the lines to the arrow heads.

    At a `│` that a `─` runs into from both sides the vertical line passes over the horizontal one.
    """
    cells = {(x, y): character for y, line in enumerate(lines) for x, character in enumerate(line)}
    boxes = {}  # {(x, y) of its border: name}
    for (x, y), character in cells.items():
        if character == "┌" and cells.get((x, y + 1)) == "│" and cells.get((x, y + 2)) == "└":
            right = next(i for i in range(x + 1, 10_000) if cells.get((i, y)) == "┐")
            name = "".join(cells[i, y + 1] for i in range(x + 2, right - 1)).strip()
            boxes |= {(i, y): name for i in range(x, right + 1)} | {(i, y + 2): name for i in range(x, right + 1)}
    found = set()
    for (x, y), name in boxes.items():
        if cells[x, y] == "┬" and cells.get((x, y - 1), " ").isprintable() and boxes.get((x, y - 2)) == name:
            found |= {(name, target) for target in reached(cells, boxes, x, y + 1)}
    return found


def reached(cells, boxes, x, y):
    targets, seen, steps = set(), set(), [(x, y, DOWN)]
    while steps:
        x, y, way = steps.pop()
        if (x, y, way) in seen:
            continue
        seen.add((x, y, way))
        character = cells.get((x, y), " ")
        if character == "▼":
            targets.add(boxes[x, y + 1])
            continue
        back = (-way[0], -way[1])
        if character == "│" and way in (LEFT, RIGHT):
            steps.append((x + way[0], y, way))
            continue
        assert back in SIDES.get(character, ()), f"a line ends at {x},{y}: {character!r}"
        for side in SIDES[character] - {back, UP}:
            steps.append((x + side[0], y + side[1], side))
    return targets


@given(DAGS)
def test_every_edge_is_drawn_and_no_line_ends_nowhere(dag) -> None:
    count, pairs = dag
    names = [f"w{i}" for i in range(count)]
    edges = [(f"w{a}", f"w{b}") for a, b in pairs]
    lines = draw(names, edges, 10_000, ascii_only=False)
    if any("×" in line for line in lines):
        return
    assert set(edges) <= followed(lines), "\n".join(lines)
    assert sum(line.count(" w") for line in lines) == count


def test_what_is_alike_is_one_box() -> None:
    names = ["a", *(f"p{i}" for i in range(1000)), "z"]
    edges = [edge for i in range(1000) for edge in (("a", f"p{i}"), (f"p{i}", "z"))]
    lines = draw(names, edges, 80, ascii_only=False)
    assert any("p0 … p999  ×1000" in line for line in lines) and len(lines) < 15


def test_what_is_too_wide_or_too_much_is_a_list() -> None:
    names = [f"worker-{i}" for i in range(40)]
    edges = [(names[i], names[i + 20]) for i in range(20)]
    lines = draw(names, edges, 80, ascii_only=False)
    assert len(lines) == 40 and "   2  worker-39  <-  worker-19" in lines
    chain = [f"c{i}" for i in range(3000)]
    assert len(draw(chain, list(pairwise(chain)), 80, ascii_only=False)) == 3000


def test_it_fits_the_terminal_and_needs_no_glyphs() -> None:
    lines = draw(["数据", "b\x1b[31m", "c"], [("数据", "b\x1b[31m"), ("数据", "c")], 80, ascii_only=True)
    assert "\x1b" not in "".join(lines) and not set("│─┌▼") & set("".join(lines))
    assert any("数据" in line for line in lines) and max(map(width, lines)) <= 80
    assert draw([], [], 80, ascii_only=False) == []


DOCUMENT = {
    "name": "g",
    "workers": [
        {"name": 'a "1"', "command": "true", "outputs": {"o": {"path": "o", "optional": True}}},
        {"name": "b", "command": "true", "inputs": {"i": 'a "1"/o'}},
        {"name": "c", "command": "true", "depends_on": ["b"]},
    ],
}


@pytest.mark.parametrize(
    "option, lines",
    [
        ("--dot", ['digraph "g" {', '  "a \\"1\\"" -> "b" [label="i"]', '  "b" -> "c" [style=dashed]']),
        ("--mermaid", ["flowchart TD", '  w0["a #34;1#34;"]', '  w0 -->|"i"| w1', "  w1 -.-> w2"]),
    ],
)
def test_other_tools_get_their_text(shell, option: str, lines: list[str]) -> None:
    shell.write("g.json", DOCUMENT)
    done = shell.run("graph", option, "g.json")
    assert done.returncode == 0 and set(lines) <= set(done.stdout.splitlines()), done.stdout


def test_a_workflow_without_workers_is_said_and_draws_nothing(shell) -> None:
    shell.write("g.json", {"name": "g", "workers": []})
    done = shell.run("graph", "g.json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "wattle: 'g' has no workers\n")
    assert shell.run("graph", "--mermaid", "g.json").stdout == "flowchart TD\n"


def test_a_file_and_the_stored_workflow_look_the_same(shell) -> None:
    shell.write("g.json", json.dumps(DOCUMENT))
    drawn = shell.run("graph", "g.json").stdout
    assert drawn.count("▼") == 2
    assert shell.run("run", "g.json").returncode == 0
    assert shell.run("graph", "g").stdout == drawn
