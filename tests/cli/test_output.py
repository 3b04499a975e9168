"""How states, instants, durations and tables look, in a terminal and elsewhere."""

import io
from datetime import UTC, datetime

import pytest

from wattle.cli import output
from wattle.cli.output import LOOKS, Screen
from wattle.engine.states import Phase, Status


class Stream(io.StringIO):
    def __init__(self, encoding="utf-8", is_terminal=False):
        super().__init__()
        self._encoding, self._is_terminal = encoding, is_terminal

    @property
    def encoding(self):
        return self._encoding

    def isatty(self):
        return self._is_terminal


@pytest.mark.parametrize(
    "is_terminal, environ, has_colour",
    [
        (True, {"TERM": "xterm"}, True),
        (False, {"TERM": "xterm"}, False),
        (True, {"TERM": "dumb"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (False, {"FORCE_COLOR": "1"}, True),
        (False, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(is_terminal, environ, has_colour):
    screen = Screen(Stream(is_terminal=is_terminal), environ)
    assert screen.has_colour == has_colour
    assert ("\x1b[" in screen.state("failed")) == has_colour


@pytest.mark.parametrize(
    "encoding, environ, wanted",
    [
        ("utf-8", {}, "✗ failed"),
        ("UTF8", {"LC_ALL": "de_DE.UTF-8"}, "✗ failed"),
        ("utf-8", {"LC_ALL": "C"}, "x failed"),
        ("iso8859-1", {}, "x failed"),
        ("ascii", {}, "x failed"),
    ],
)
def test_glyphs_are_for_those_who_can_read_them(encoding, environ, wanted):
    assert Screen(Stream(encoding), environ).state("failed") == wanted


def test_every_status_and_phase_has_a_look_that_is_no_colour_alone():
    assert {*map(str, Status), *map(str, Phase)} - {"ended"} <= set(LOOKS)
    for look in LOOKS.values():
        assert len(look.glyph) == 1 and look.ascii.isascii()
    assert Screen(Stream(), {}).state("unheard-of") == "? unheard-of"


def test_tables_are_aligned_by_columns_not_characters():
    stream = Stream()
    rows = [["数据", "running", "x"], ["long-name", "failed", "y\nz\x1b[31m"]]
    Screen(stream, {}).table(["NAME", "STATE", "WHY"], rows, state_column=1)
    assert stream.getvalue() == ("NAME       STATE      WHY\n数据       ▶ running  x\nlong-name  ✗ failed   y z�[31m\n")


@pytest.mark.parametrize(
    "text, columns", [("abc", 3), ("数据", 4), ("e\u0301", 1), ("ที่นี่", 2), ("हिन्दी", 5), ("한글", 4)]
)
def test_marks_over_and_under_a_letter_take_no_column(text, columns):
    assert output.width(text) == columns


@pytest.mark.parametrize("columns", [30, 40, 60, 80])
def test_no_line_of_a_table_is_wider_than_the_terminal(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = Stream(is_terminal=True)
    rows = [["a-very-long-name-of-a-workflow", "completed", "10:00:00", "why " * 30], ["数据" * 9, "failed", "-", ""]]
    Screen(stream, {"TERM": "xterm", "NO_COLOR": "1"}).table(["NAME", "STATE", "AT", "WHY"], rows, state_column=1)
    lines = stream.getvalue().splitlines()
    assert all(output.width(line) <= max(columns, 45) for line in lines), lines
    assert all("completed" in line or "failed" in line or line.startswith("NAME") for line in lines)


def test_columns_are_cut_only_where_they_must_be():
    assert output.fitted([10, 12, 8, 50], 80, 1) == [10, 12, 8, 50]
    assert output.fitted([40, 12, 8, 50], 60, 1) == [16, 12, 8, 50]
    assert output.fitted([40, 12, 8, 50], 50, 1) == [8, 12, 8, 50]
    assert output.fitted([9, 30, 8, 5], 20, 1) == [8, 30, 8, 5]


@pytest.mark.parametrize("wanted, environ, has_colour", [
    ("always", {"NO_COLOR": "1"}, True), ("never", {"FORCE_COLOR": "1"}, False), ("auto", {"TERM": "dumb"}, False),
])  # fmt: skip
def test_what_is_asked_for_wins_over_the_environment(wanted, environ, has_colour):
    assert Screen(Stream(is_terminal=True), environ, wanted).has_colour == has_colour


def test_an_empty_table_is_its_headings():
    stream = Stream()
    Screen(stream, {}).table(["NAME", "STATE"], [], state_column=1)
    assert stream.getvalue() == "NAME  STATE\n"


@pytest.mark.parametrize(
    "thing, wanted",
    [
        ({"status": "created", "phase": "waiting"}, "waiting"),
        ({"status": "created", "phase": "queued"}, "queued"),
        ({"status": "created", "phase": None}, "created"),
        ({"status": "running", "phase": "stopping"}, "stopping"),
        ({"status": "running"}, "running"),
        ({"status": "failed", "phase": "ended"}, "failed"),
        ({"status": "completed", "phase": "ended"}, "completed"),
    ],
)
def test_a_state_is_one_word(thing, wanted):
    assert output.state_word(thing) == wanted


@pytest.mark.parametrize(
    "seconds, wanted",
    [
        (None, "-"), (0, "0.0 s"), (0.44, "0.4 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (60, "1 min 00 s"),
        (125.4, "2 min 05 s"), (3599.6, "1 h 00 min"), (3 * 3600 + 250, "3 h 04 min"), (2.1 * 86400, "2 d 02 h"),
    ],
)  # fmt: skip
def test_durations(seconds, wanted):
    assert output.duration(seconds) == wanted


@pytest.mark.parametrize(
    "count, wanted",
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1234, "1.2 kB"), (999_960, "1.0 MB"), (5 * 10**15, "5000.0 TB")],
)
def test_sizes(count, wanted):
    assert output.size(count) == wanted


def test_elapsed_time_ends_with_the_thing_and_runs_while_it_runs():
    now = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    begun = {"started_at": "2026-01-01T00:00:30.500Z"}
    assert output.elapsed_seconds(begun | {"completed_at": "2026-01-01T00:00:32.000Z", "status": "failed"}, now) == 1.5
    assert output.elapsed_seconds(begun | {"completed_at": None, "status": "running"}, now) == 29.5
    assert output.elapsed_seconds(begun | {"completed_at": None, "status": "created"}, now) is None
    assert output.elapsed_seconds({"started_at": None, "status": "created"}, now) is None


def test_the_state_is_not_said_twice():
    assert output.reason_of({"status": "cancelled", "reason": "cancelled: it needs a"}) == "it needs a"
    assert output.reason_of({"status": "created", "reason": None}) == ""


@pytest.mark.parametrize("columns, wanted", [(9, "数据-data"), (8, "数据-..."), (6, "数...")])
def test_text_is_cut_by_columns(columns, wanted):
    assert output.cut("数据-data", columns) == wanted


def test_a_narrow_terminal_does_without_the_columns_that_are_spare(monkeypatch):
    rows = [["load", "running", "1 min 02 s", "1", "its attempt 1 runs"]]
    shown = {}
    for columns in (80, 40, 30):
        monkeypatch.setenv("COLUMNS", str(columns))
        stream = Stream(is_terminal=True)
        Screen(stream, {"TERM": "xterm", "NO_COLOR": "1"}).table(
            ["WORKER", "STATE", "TOOK", "ATTEMPT", "WHY"], rows, state_column=1, spare=(3, 2)
        )
        head, line = stream.getvalue().splitlines()
        assert max(output.width(head), output.width(line)) <= columns
        shown[columns] = head.split()
    assert shown == {
        80: ["WORKER", "STATE", "TOOK", "ATTEMPT", "WHY"],
        40: ["WORKER", "STATE", "WHY"], 30: ["WORKER", "STATE", "WHY"],
    }  # fmt: skip


@pytest.mark.parametrize("environ, has_glyphs", [
    ({}, True), ({"LANG": "C.UTF-8"}, True), ({"LANG": "C"}, False), ({"LC_ALL": "C"}, False),
    ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),  # as Python's own coercion leaves it
    ({"LANG": "C", "LC_ALL": "en_US.UTF-8"}, True), ({"LANG": "POSIX"}, False),
])  # fmt: skip
def test_glyphs_are_for_whoever_has_not_asked_for_c(environ, has_glyphs):
    assert Screen(Stream(), environ).has_glyphs is has_glyphs
