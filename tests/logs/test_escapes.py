"""Nothing that a worker prints steers the terminal of who reads its log."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattle.logs.escapes import for_screen, last_written


@pytest.mark.parametrize(
    "line, plain, coloured",
    [
        ("nothing", "nothing", "nothing"),
        ("a\tb 数据", "a\tb 数据", "a\tb 数据"),
        ("\x1b[31mred\x1b[0m", "red", "\x1b[31mred\x1b[0m"),
        ("\x1b[1;38;5;9mred", "red", "\x1b[1;38;5;9mred\x1b[0m"),
        ("\x1b[38:2::1:2:3mtrue", "true", "\x1b[38:2::1:2:3mtrue\x1b[0m"),
        ("\x1b[31mred\x1b[m", "red", "\x1b[31mred\x1b[m"),
        ("\x9b31mred\x1b[0m", "red", "\x9b31mred\x1b[0m"),
        ("up\x1b[2A\x1b[2Kover", "upover", "upover"),
        ("\x1b[?1049h\x1b[>4;2m\x1b[6nx", "x", "x"),
        ("\x1b]0;title\x07x", "x", "x"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link", "link"),
        ("\x1b]52;c;aGk=\x9cx", "x", "x"),
        ("\x1bP+q544e\x1b\\x", "x", "x"),
        ("\x1b_apc\x1b\\x\x1b^pm\x1b\\y\x1bXsos\x1b\\z", "xyz", "xyz"),
        ("\x1bc\x1b(0x\x1b7\x1b#8", "x", "x"),
        ("\x1b]0;never ended", "", ""),
        ("\x1b]0;never\x1b[31mred\x1b[0m", "red", "\x1b[31mred\x1b[0m"),
        ("cut \x1b[3", "cut ", "cut "),
        ("cut \x1b", "cut ", "cut "),
        ("10 %\r20 %\b\x07\x00", "10 %20 %", "10 %20 %"),
        ("\x1b[31\x07mx", "mx", "mx"),
    ],
)  # fmt: skip
def test_colours_pass_and_everything_else_is_stripped(line, plain, coloured):
    assert for_screen(line, colours=False) == plain
    assert for_screen(line, colours=True) == coloured


@settings(deadline=None)
@given(st.text(alphabet="\x1b\x9b\x9d\x9c\x90\x07\r\n\t[]()P;:?0123m AKx\\数", max_size=60))
def test_no_line_gets_anything_but_colours_through(line):
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]", for_screen(line, colours=False))
    rest = re.sub(r"(?:\x1b\[|\x9b)[0-9;:]*m", "", for_screen(line, colours=True))
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]", rest)


@settings(deadline=None)
@given(st.text(alphabet="\x1b[]P;0123mAx", max_size=60))
def test_what_is_clean_stays_as_it_is(line):
    for colours in (True, False):
        once = for_screen(line, colours=colours)
        assert for_screen(once, colours=colours) == once


def test_a_very_long_sequence_is_read_once():
    assert for_screen("\x1b]0;" + "x" * 1_000_000 + "\x1b[" + "0;" * 500_000, colours=True) == ""


@pytest.mark.parametrize(
    "line, last", [("10%\r50%\r100%", "100%"), ("dos\r", "dos"), ("plain", "plain"), ("a\rb\r", "b"), ("", "")]
)
def test_of_an_overwritten_line_the_last_is_shown(line, last):
    assert last_written(line) == last
