"""The line that a problem is about, and carets that stand under the place, on any screen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattle.cli.excerpts import LEAST_COLUMNS, excerpt
from wattle.cli.output import width


@pytest.mark.parametrize(
    "line, column, shown, carets",
    [
        ('{"a": "b", "c": 1}', 7, '{"a": "b", "c": 1}', "      ^^^"),
        ('{"a": -12.5e3, "c": 1}', 7, '{"a": -12.5e3, "c": 1}', "      ^^^^^^^"),
        ('\t"a": {}', 6, '    "a": {}', "        ^"),
        ("名: 值值", 4, "名: 值值", "    ^^^^"),
        ('"say \\"no\\"", 1', 1, '"say \\"no\\"", 1', "^^^^^^^^^^^^"),
        ("url: http://x.org/a b", 6, "url: http://x.org/a b", "     ^^^^^^^^^^^^^^"),
        ('"never closed', 1, '"never closed', "^^^^^^^^^^^^^"),
        ("end", 9, "end", "   ^"),
        ("", 1, "", "^"),
        ("a\x1b[31mb", 1, "a�[31mb", "^^"),
    ],
)  # fmt: skip
def test_carets_stand_under_what_is_meant(line, column, shown, carets):
    found = excerpt([line], 1, column, 80)
    assert found is not None
    assert (found.shown, found.carets) == (shown, carets)


def test_of_a_long_line_the_part_around_the_place_is_shown():
    found = excerpt(["x" * 500 + ' "here" ' + "y" * 500], 1, 502, 60)
    assert found is not None
    assert found.shown.startswith("...x") and found.shown.endswith("y...") and '"here"' in found.shown
    assert found.shown[len(found.carets) - 6 : len(found.carets)] == '"here"'


def test_there_is_nothing_to_show_of_a_line_that_is_not_there():
    assert excerpt(["one"], 2, 1) is None and excerpt([], 1, 1) is None


@given(st.text(alphabet='ab "{}:\t数\u0301\x1b', max_size=200), st.integers(1, 220), st.integers(1, 200))
def test_nothing_is_wider_than_the_screen_and_the_carets_stand_under_the_character(line, column, columns):
    found = excerpt([line], 1, column, columns)
    assert found is not None
    assert width(found.shown) <= max(columns, LEAST_COLUMNS) and "\x1b" not in found.shown
    assert width(found.carets) <= max(columns, LEAST_COLUMNS) + 1 and found.carets.strip(" ^") == ""
    under = line[column - 1 : column]
    at = found.carets.index("^")
    if under and under not in "\t\x1b\u0301":
        places, used = {}, 0
        for character in found.shown:
            if width(character):
                places[used] = character
            used += width(character)
        assert places.get(at) == under or found.shown.endswith("...")
