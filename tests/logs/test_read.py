"""Reading the end of a log (A19's `?tail=N`)."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattle.logs.files import LogFiles, attempt_files
from wattle.logs.pages import Line, read_tail
from wattle.logs.read import MAX_TAIL_BYTES, last_line


def tail(files: LogFiles, lines: int, max_bytes: int = MAX_TAIL_BYTES) -> tuple[Line, ...]:
    return read_tail(files.stdout, 0, lines, max_bytes)[0].lines


def written(directory: Path, stdout: bytes = b"", stderr: bytes = b"") -> LogFiles:
    files = LogFiles(str(directory / "0.1.out"), str(directory / "0.1.err"))
    Path(files.stdout).write_bytes(stdout)
    Path(files.stderr).write_bytes(stderr)
    return files


def test_files_have_flat_absolute_names_below_the_run() -> None:
    assert attempt_files("/var/lib/wattle", 41, 3, 2) == (
        "/var/lib/wattle/logs/41/3.2.out",
        "/var/lib/wattle/logs/41/3.2.err",
    )
    assert os.path.isabs(attempt_files("data", 1, 0, 1).stdout)


@pytest.mark.parametrize(
    "content, lines, expected",
    [
        (b"", 3, []),
        (b"one", 3, [("one", True)]),
        (b"a\nb", 1, [("b", True)]),
        (b"a\nb", 2, [("a", False), ("b", True)]),
        (b"\n\n", 5, [("", False), ("", False)]),
        (b"a\n", 0, []),
    ],
)
def test_tail_of_odd_files(tmp_path: Path, content: bytes, lines: int, expected: list[tuple[str, bool]]) -> None:
    """L1"""
    assert [(line.content, line.partial) for line in tail(written(tmp_path, content), lines)] == expected


def test_tail_limited_in_bytes_starts_at_a_line(tmp_path: Path) -> None:
    files = written(tmp_path, b"0123456789\nabc\ndef\n")
    assert [line.content for line in tail(files, 10, 10)] == ["abc", "def"]
    assert [line.content for line in tail(files, 10, 8)] == ["abc", "def"]


def test_tail_inside_one_huge_line_starts_at_a_code_point_and_says_so(tmp_path: Path) -> None:
    """L4"""
    [line] = tail(written(tmp_path, ("€" * 100).encode() + b"\n"), 10, 11)
    assert (line.content, line.continues) == ("€€€", True)


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 12))
def test_tail_gives_exactly_the_last_lines_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, lines: int
) -> None:
    files = written(tmp_path_factory.getbasetemp(), data)
    whole = data.split(b"\n")
    if not whole[-1]:
        whole.pop()
    expected = [line[:-1] if line.endswith(b"\r") else line for line in whole]
    if data and not data.endswith(b"\n"):
        expected[-1] = whole[-1]
    assert [line.content for line in tail(files, lines)] == [
        line.decode("utf-8", "replace") for line in (expected[-lines:] if lines else [])
    ]


@pytest.mark.parametrize(
    "content, expected",
    [
        (b"", None),
        (b"\n \n\n", None),
        (b"first\nValueError: no\n\n", "ValueError: no"),
        (b"no newline", "no newline"),
        (b"x" * 5000, "x" * 299 + "…"),
        (b"\xff\n", "\ufffd"),
    ],
)
def test_last_line_is_the_last_one_that_says_something(tmp_path: Path, content: bytes, expected: str | None) -> None:
    assert last_line(written(tmp_path, stderr=content).stderr) == expected


def test_last_line_of_no_file_is_none(tmp_path: Path) -> None:
    assert last_line(str(tmp_path / "no")) is None
