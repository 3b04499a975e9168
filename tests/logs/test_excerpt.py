"""Both logs as one answer, and searching them."""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from wattle.errors import WattleError
from wattle.logs import search
from wattle.logs.excerpt import Ask, Excerpt, last_lines, read_excerpt
from wattle.logs.index import IndexWriter


@dataclass
class Written:
    stdout: str | None
    stderr: str | None
    started_at: int | None = 1
    ended_at: int | None = 10_000
    logs_removed: bool = False


def written(directory: Path, stdout: bytes = b"", stderr: bytes = b"") -> Written:
    (directory / "0.1.out").write_bytes(stdout)
    (directory / "0.1.err").write_bytes(stderr)
    return Written(str(directory / "0.1.out"), str(directory / "0.1.err"))


def alternating(directory: Path, count: int) -> Written:
    """One line a stream every 10 µs, from 10 on, each looked at."""
    logs = written(
        directory, b"".join(b"o%03d\n" % n for n in range(count)), b"".join(b"e%03d\n" % n for n in range(count))
    )
    writer = IndexWriter(str(directory / "times/0.1.idx"))
    for number in range(count):
        writer.add(10 + 20 * number, 5 * (number + 1), 5 * number)
        writer.add(20 + 20 * number, 5 * (number + 1), 5 * (number + 1))
    return logs


def contents(excerpt: Excerpt) -> list[str]:
    return [timed.line.content for timed in excerpt.lines]


def test_lines_of_both_come_in_their_order(tmp_path: Path) -> None:
    """L5."""
    logs = alternating(tmp_path, 100)
    expected = [f"{stream}{number:03d}" for number in range(100) for stream in "oe"]
    assert contents(read_excerpt(logs, Ask())) == expected
    assert contents(last_lines(logs, 7)) == expected[-14:]
    assert contents(last_lines(logs, 7, streams=(1,))) == expected[-13::2]


def test_pages_keep_the_order(tmp_path: Path) -> None:
    logs = alternating(tmp_path, 100)
    Path(logs.stdout or "").write_bytes(Path(logs.stdout or "").read_bytes() + b"x" * 1000)
    found: list[str] = []
    begin = (0, 0)
    for _ in range(200):
        excerpt = read_excerpt(logs, Ask(begin=begin, limit=17))
        found += contents(excerpt)
        begin = excerpt.next
        if excerpt.complete:
            break
    expected = [f"{stream}{number:03d}" for number in range(100) for stream in "oe"]
    assert found[:200] == expected
    assert "".join(found[200:]) == "x" * 1000


def test_a_span_of_time(tmp_path: Path) -> None:
    logs = alternating(tmp_path, 100)
    excerpt = read_excerpt(logs, Ask(since=41, until=60))
    assert contents(excerpt) == ["o002", "e002", "o003"]  # what stood there by 50 and 60; by 70 and not before 60
    assert [(timed.after, timed.by) for timed in excerpt.lines] == [(40, 50), (50, 60), (60, 70)]
    assert contents(read_excerpt(logs, Ask(since=2000))) == ["o099", "e099"][1:]
    assert contents(read_excerpt(logs, Ask(until=10))) == ["o000", "e000"]
    assert contents(read_excerpt(logs, Ask(since=20_000))) == []


def test_an_attempt_nobody_looked_at_lies_between_its_start_and_its_end(tmp_path: Path) -> None:
    logs = written(tmp_path, b"a\n", b"b\n")
    excerpt = read_excerpt(logs, Ask())
    assert [(timed.line.content, timed.after, timed.by) for timed in excerpt.lines] == [
        ("a", 1, 10_000),
        ("b", 1, 10_000),
    ]
    assert contents(read_excerpt(logs, Ask(since=5000))) == ["a", "b"]
    assert contents(read_excerpt(logs, Ask(until=0))) == []


def test_lines_that_match_with_those_around_them(tmp_path: Path) -> None:
    logs = written(tmp_path, b"".join(b"line %d\n" % number for number in range(100)), b"line 42 too\n")
    excerpt = read_excerpt(logs, Ask(pattern=r"\b42\b", context=2))
    assert [(timed.line.content, timed.is_match) for timed in excerpt.lines] == [
        ("line 40", False), ("line 41", False), ("line 42", True), ("line 43", False), ("line 44", False),
        ("line 42 too", True),
    ]  # fmt: skip
    assert excerpt.complete


def test_a_search_that_found_enough_says_where_to_go_on(tmp_path: Path) -> None:
    logs = written(tmp_path, b"".join(b"line %d\n" % number for number in range(1000)))
    found: list[str] = []
    begin = (0, 0)
    for _ in range(200):
        excerpt = read_excerpt(logs, Ask(begin=begin, pattern="7$", limit=100))
        found += contents(excerpt)
        begin = excerpt.next
        if excerpt.complete:
            break
    assert found == [f"line {number}" for number in range(7, 1000, 10)]


def test_a_search_takes_what_it_is_given(tmp_path: Path) -> None:
    """F43: NUL, carriage returns, ANSI, bytes that are no UTF-8."""
    logs = written(tmp_path, b"a\0b\n\x1b[31mred\x1b[0m\n10%\r20%\n\xff\xfe\n")
    for pattern, expected in (
        ("a\0b", "a\0b"),
        ("31mred", "\x1b[31mred\x1b[0m"),
        ("20%", "10%\r20%"),
        ("\ufffd", "\ufffd\ufffd"),
    ):
        assert contents(read_excerpt(logs, Ask(pattern=pattern))) == [expected]


def test_what_is_no_expression_is_said(tmp_path: Path) -> None:
    with pytest.raises(WattleError, match="no regular expression") as raised:
        read_excerpt(written(tmp_path, b"a\n"), Ask(pattern="("))
    assert raised.value.code == "INVALID_PARAMETER"


def test_an_expression_that_takes_for_ever_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nobody else waits meanwhile: this thread goes on."""
    logs = written(tmp_path, b"a" * 60 + b"\n")
    outcome: list[BaseException] = []

    def search_it() -> None:
        try:
            read_excerpt(logs, Ask(pattern="(a|a)+$b"))
        except WattleError as error:
            outcome.append(error)

    thread = threading.Thread(target=search_it)
    longest, before = 0.0, time.monotonic()
    began = before
    thread.start()
    while thread.is_alive() and before - began < 60:
        time.sleep(0.005)
        now = time.monotonic()
        longest, before = max(longest, now - before), now
    thread.join(1)
    assert getattr(outcome[0], "code", None) == "GREP_TOO_SLOW"
    assert longest < search.HARD_SECONDS / 2, "the search held up the other threads"


@pytest.mark.parametrize("pattern", ["(a{1000}){1000}", "a{99999999999}", "(" * 400 + ")" * 400, "(?i)" * 250])
def test_an_expression_that_is_costly_to_compile_is_answered(tmp_path: Path, pattern: str) -> None:
    try:
        read_excerpt(written(tmp_path, b"a\n"), Ask(pattern=pattern))
    except WattleError as error:
        assert error.code in ("INVALID_PARAMETER", "GREP_TOO_SLOW")


def test_searching_leaves_no_descriptor_open(tmp_path: Path) -> None:
    logs = written(tmp_path, b"a\n")
    read_excerpt(logs, Ask(pattern="a"))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        read_excerpt(logs, Ask(pattern="a"))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_log_that_is_gone_is_said_by_a_search_too(tmp_path: Path) -> None:
    logs = written(tmp_path, b"a\n", b"a\n")
    os.unlink(logs.stderr or "")
    excerpt = read_excerpt(logs, Ask(pattern="a"))
    assert contents(excerpt) == ["a"] and len(excerpt.missing) == 1
