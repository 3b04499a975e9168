"""Lines that come in pieces, as `wattle logs -f` prints them."""

import io
from typing import Any

import pytest

from wattle.cli.log_lines import whole_lines
from wattle.cli.output import Screen
from wattle.cli.printing import Printer


def line(content: str, *, type: str = "stdout", **marks: bool) -> dict[str, Any]:
    return {"type": type, "content": content, **marks}


END = {"type": "end", "status": "completed", "exit_code": 0}


def printed(names: list[str], lines: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    printer = Printer(Screen(out), names)
    for each in lines:
        printer.line(names[0], each)
    return out.getvalue()


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([line("Continue? ", partial=True), line("yes")], "Continue? yes\n"),
        ([line("Continue? ", partial=True), END], "Continue? \n"),
        ([line("10%", partial=True), line("\r20%", partial=True), line("")], "10%\r20%\n"),
        ([line("a", continued=True), line("b")], "ab\n"),
        ([line("half", partial=True), line("other", type="stderr"), line(" more")], "half\nother\n more\n"),
    ],
)
def test_what_is_told_of_a_line_before_its_end_is_printed_with_its_rest(lines: list[dict[str, Any]], text: str) -> None:
    assert printed(["w"], lines) == text


def test_behind_names_each_piece_is_a_line() -> None:
    assert printed(["a", "b"], [line("x", partial=True), line("y")]) == "a | x\na | y\n"


def test_an_expression_meets_a_line_whole() -> None:
    """However it came; what never ends is told with the worker's end."""
    came = [line("ERR", partial=True), line("note", type="stderr"), line("OR 1"), line("rest", partial=True), END]
    assert list(whole_lines(came)) == [line("note", type="stderr"), line("ERROR 1"), line("rest", partial=True), END]
    assert list(whole_lines([line("cut", partial=True)])) == [line("cut", partial=True)]
