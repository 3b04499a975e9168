"""Parts of a log by offset (F42, F43, L1, L2, L3, L4, L12)."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattle.logs.lines import MAX_LINE_BYTES
from wattle.logs.pages import Gap, Line, Part, Shortened, read_part, read_tail


def written(directory: Path, data: bytes) -> str:
    path = directory / "log"
    path.write_bytes(data)
    return str(path)


def all_of(path: str, limit: int) -> list[Line]:
    lines: list[Line] = []
    offset = 0
    while True:
        part = read_part(path, 0, offset, limit)
        lines += part.lines
        assert part.next > offset or part.at_end, "a part that gets no further"
        offset = part.next
        if part.at_end:
            return lines


PIECES = [b"a", b"\n", b"\r", b"\0", "é".encode(), "€".encode(), "😀".encode(), b"\xff", b"\x1b[1m"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES)), st.integers(1, 9))
def test_the_parts_of_a_log_are_the_log(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], limit: int
) -> None:
    """F43: whatever is in it, wherever it is cut, no byte is left out or given twice, and no code point split."""
    data = b"".join(pieces)
    lines = all_of(written(tmp_path_factory.getbasetemp(), data), limit)
    assert [line.start for line in lines] == [0, *(line.end for line in lines)][: len(lines)]
    assert (lines[-1].end if lines else 0) == len(data)
    text = "".join(line.content + ("" if line.continued or line.partial else "\n") for line in lines)
    assert text == data.decode("utf-8", "replace").replace("\r\n", "\n")
    starts = {0, *(place + 1 for place in range(len(data)) if data[place : place + 1] == b"\n")}
    assert all(line.continues == (line.start not in starts) for line in lines)


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(1, 400))
def test_random_bytes_are_read_to_their_end(tmp_path_factory: pytest.TempPathFactory, data: bytes, limit: int) -> None:
    """L3."""
    lines = all_of(written(tmp_path_factory.getbasetemp(), data), limit)
    assert sum(line.end - line.start for line in lines) == len(data)


def test_a_line_of_100_mb_comes_in_pieces(tmp_path: Path) -> None:
    """F42, L2: bounded in memory by the part, not by the line."""
    path = written(tmp_path, b"x" * 100_000_000 + b"\nend\n")
    part = read_part(path, 0, 0, 1_000_000)
    assert all(line.continued and len(line.content) <= MAX_LINE_BYTES for line in part.lines)
    assert [line.continues for line in part.lines[:2]] == [False, True]
    assert part.next <= 1_000_000 and not part.at_end
    last = read_part(path, 0, 99_999_990, 1_000_000)
    assert [(line.content, line.continues) for line in last.lines] == [("x" * 10, True), ("end", False)]


def test_a_line_that_does_not_fit_is_left_for_the_next_part(tmp_path: Path) -> None:
    path = written(tmp_path, b"one\ntwo\nthree\n")
    part = read_part(path, 0, 0, 10)
    assert [line.content for line in part.lines] == ["one", "two"]
    assert (part.next, part.at_end) == (8, False)
    assert read_part(path, 0, 8, 10) == Part((), (Line(0, "three", 8, 14),), 14, True)


def test_an_unfinished_line_says_so(tmp_path: Path) -> None:
    """L1."""
    part = read_part(written(tmp_path, b"one\ntw"), 0, 0, 100)
    assert [(line.content, line.partial) for line in part.lines] == [("one", False), ("tw", True)]


def test_a_bound_ends_the_part(tmp_path: Path) -> None:
    path = written(tmp_path, b"one\ntwo\nthree\n")
    assert [line.content for line in read_part(path, 0, 4, 100, end=8).lines] == ["two"]
    assert read_part(path, 0, 8, 100, end=8).lines == ()


def test_a_log_that_was_cut_short_is_said_and_read_from_its_start(tmp_path: Path) -> None:
    path = written(tmp_path, b"new\n")
    part = read_part(path, 1, 500, 100)
    assert part.missing == (Shortened(1, 4),)
    assert [line.content for line in part.lines] == ["new"]


@pytest.mark.parametrize("make", ["nothing", "directory", "symlink", "fifo"])
def test_what_is_no_log_is_a_gap(tmp_path: Path, make: str) -> None:
    path = tmp_path / "log"
    if make == "directory":
        path.mkdir()
    elif make == "symlink":
        path.symlink_to("/etc/passwd")
    elif make == "fifo":
        os.mkfifo(path)
    part, tail = read_part(str(path), 0, 0, 100), read_tail(str(path), 0, 5, 100)[0]
    assert part.lines == tail.lines == ()
    if make != "fifo":  # which has nothing in it
        assert isinstance(part.missing[0], Gap) and isinstance(tail.missing[0], Gap)


def test_a_hole_is_a_gap_and_no_zeros(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with open(path, "wb") as file:
        file.truncate(1 << 20)
        file.seek(1 << 20)
        file.write(b"one\ntwo\n")
    part = read_part(str(path), 0, 0, 100)
    assert part.missing == (Gap(0, "the head of the log was dropped to bound it", 1 << 20),)
    assert [(line.content, line.start) for line in part.lines] == [("one", 1 << 20), ("two", (1 << 20) + 4)]
    assert part.lines[0].continues
    tail, _ = read_tail(str(path), 0, 10, 2 << 20)
    assert [line.content for line in tail.lines] == ["one", "two"]


def test_the_tail_of_five_gigabytes_is_read_from_the_end(tmp_path: Path) -> None:
    """L12, F41: 100 lines cost a block or two, wherever they stand."""
    path = tmp_path / "log"
    with open(path, "wb") as file:
        file.truncate(5_000_000_000)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + b"".join(b"line %d\n" % number for number in range(1000)))
    with open("/proc/self/io") as before:
        read_before = int(before.readline().split()[1])
    part, is_cut = read_tail(str(path), 0, 100, 1 << 20)
    with open("/proc/self/io") as after:
        assert int(after.readline().split()[1]) - read_before < 200_000
    assert [line.content for line in part.lines] == [f"line {number}" for number in range(900, 1000)]
    assert not is_cut


def test_a_tail_says_where_its_bound_cut_lines_off(tmp_path: Path) -> None:
    path = written(tmp_path, b"0123456789\n" * 100)
    part, is_cut = read_tail(path, 0, 50, 110)
    assert (len(part.lines), is_cut) == (10, True)
    assert read_tail(path, 0, 10, 110)[1] is False
    assert read_tail(path, 0, 200, 5000)[1] is False
