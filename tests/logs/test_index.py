"""The side index: times and order of lines (L5)."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattle.logs.index import ENDLESS, RECORD, IndexWriter, Stretch, read_timeline, span


def written(path: Path, *entries: tuple[int, ...]) -> str:
    writer = IndexWriter(str(path))
    for entry in entries:
        writer.add(*entry)
    return str(path)


def order(path: str, stdout: list[int], stderr: list[int]) -> str:
    timeline = read_timeline(path, 0, 1000)
    names = {0: "o", 1: "e"}
    return " ".join(f"{names[stream]}{end}" for stream, end, _ in timeline.merged(stdout, stderr, lambda end: end))


def test_lines_of_both_streams_come_in_the_order_of_the_sizes(tmp_path: Path) -> None:
    path = written(tmp_path / "i", (10, 2, 0), (20, 2, 3), (30, 4, 3))
    assert order(path, [2, 4], [3]) == "o2 e3 o4"


def test_within_a_stretch_they_come_in_the_order_of_the_events(tmp_path: Path) -> None:
    path = written(tmp_path / "i", (10, 0, 0), (20, 6, 4, 5, 0), (30, 8, 8, 3, 1))
    assert order(path, [2, 4, 6, 8], [2, 4, 6, 8]) == "o2 e2 o4 e4 o6 e6 o8 e8"


def test_where_no_event_was_seen_stdout_comes_first(tmp_path: Path) -> None:
    path = written(tmp_path / "i", (10, 4, 4))
    assert order(path, [2, 4, 6], [2, 4]) == "o2 o4 e2 e4 o6"
    assert order(str(tmp_path / "none"), [2], [1, 3]) == "o2 e1 e3"


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 50), st.integers(0, 1))
def test_the_order_has_every_line_once(stdout: int, stderr: int, groups: int, first: int) -> None:
    found = list(Stretch(None, None, 0, 0, groups, first).order(stdout, stderr))
    assert (found.count(0), found.count(1)) == (stdout, stderr)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(0, 1))
def test_alternating_lines_alternate(count: int, first: int) -> None:
    stdout = (count + 1 - first) // 2
    found = list(Stretch(None, None, 0, 0, count, first).order(stdout, count - stdout))
    assert found == [(number + first) % 2 for number in range(count)]


def test_times_are_bounds(tmp_path: Path) -> None:
    path = written(tmp_path / "i", (10, 2, 0), (20, 4, 4))
    timeline = read_timeline(path, 5, 90)
    assert [timeline.at(0, offset)[:2] for offset in (1, 2, 3, 4)] == [(5, 10), (5, 10), (10, 20), (10, 20)]
    assert timeline.at(0, 5)[:2] == (20, 90)
    assert timeline.at(1, 1)[:2] == (10, 20)
    assert read_timeline(str(tmp_path / "none"), 5, None).at(0, 3)[:2] == (5, None)


def test_reading_may_begin_anywhere(tmp_path: Path) -> None:
    path = written(tmp_path / "i", *((number * 10, number * 5, number * 3) for number in range(1, 200)))
    whole = read_timeline(path, 1, 9999)
    for stdout, stderr in ((0, 0), (500, 300), (501, 299), (994, 596), (995, 597), (5000, 5000)):
        part = read_timeline(path, 1, 9999, stdout=stdout, stderr=stderr)
        assert part.at(0, stdout + 1) == whole.at(0, stdout + 1)
        assert part.at(1, stderr + 1) == whole.at(1, stderr + 1)


def test_a_span_of_time_is_a_span_of_bytes(tmp_path: Path) -> None:
    path = written(tmp_path / "i", (10, 2, 0), (20, 4, 4))
    assert [span(path, since, None).begin for since in (9, 10, 11, 20, 21, 99)] == [
        (0, 0), (0, 0), (2, 0), (2, 0), (4, 4), (4, 4)
    ]  # fmt: skip
    none = (ENDLESS, ENDLESS)
    assert [span(path, None, until).end for until in (9, 10, 19, 20, 99)] == [(2, 0), (4, 4), (4, 4), none, none]
    assert span(str(tmp_path / "none"), 5, 5) == ((0, 0), none)


def test_a_clock_that_is_set_back_does_not_turn_time_around(tmp_path: Path) -> None:
    path = written(tmp_path / "i", (50, 2, 0), (20, 4, 0))
    assert read_timeline(path, 1, None).at(0, 4)[:2] == (50, 50)


def test_a_log_that_was_cut_begins_a_new_index(tmp_path: Path) -> None:
    path = written(tmp_path / "i", (10, 500, 0), (20, 900, 0), (30, 7, 0))
    assert read_timeline(path, 1, 99).at(0, 7)[:2] == (1, 30)
    assert os.stat(path).st_size == RECORD.size


def test_another_writer_goes_on_behind_the_last_whole_entry(tmp_path: Path) -> None:
    path = written(tmp_path / "i", (10, 2, 0))
    with open(path, "ab") as file:
        file.write(b"torn")
    assert order(written(tmp_path / "i", (20, 2, 3), (30, 4, 3)), [2, 4], [3]) == "o2 e3 o4"


def test_entries_of_one_stream_may_wait_and_one_that_says_an_order_takes_them_along(tmp_path: Path) -> None:
    """L5: whoever waits for the order of two lines finds it as soon as it is known."""
    path = tmp_path / "i"
    writer = IndexWriter(str(path))

    def entries() -> int:
        return os.stat(path).st_size // RECORD.size

    writer.add(10, 2, 0, may_wait=True)
    assert entries() == 1 and not writer.has_waiting, "the first one says that there is an index"
    writer.add(20, 4, 0, may_wait=True)
    writer.add(30, 6, 0, may_wait=True)
    assert entries() == 1 and writer.has_waiting and writer.count == 3
    writer.add(40, 6, 3, 1, 1, may_wait=True)
    assert entries() == 4 and not writer.has_waiting
    writer.add(50, 6, 5, may_wait=True)
    writer.write()
    assert entries() == 5
    assert order(str(path), [2, 4, 6], [3, 5]) == "o2 o4 o6 e3 e5"
    writer.add(60, 8, 5, may_wait=True)
    writer.add(70, 1, 0, may_wait=True)
    assert entries() == 1 and not writer.has_waiting, "somebody cut the log: what waited was about bytes that are gone"


def test_what_cannot_be_written_is_forgotten(tmp_path: Path) -> None:
    """F41: times are lost, and nothing else; what comes later is noted behind what is there. A link is not followed."""
    (tmp_path / "i").symlink_to("/dev/full")
    path = str(tmp_path / "i")
    writer = IndexWriter(path)
    writer.add(10, 2, 0)
    assert writer.count == 0 and writer.last is None and not writer.has_waiting
    os.unlink(path)
    writer.add(20, 4, 0)
    assert not os.path.exists(path), "it rests for a while"
    writer.add(6_000_000, 6, 0)
    writer.add(6_000_010, 8, 0, may_wait=True)
    os.rename(path, f"{path}.gone")
    os.symlink("/dev/full", path)
    writer.write()
    assert writer.count == 1 and writer.last is not None and writer.last.stdout == 6
    os.unlink(path)
    os.rename(f"{path}.gone", path)
    writer.add(12_000_000, 9, 0)
    timeline = read_timeline(path, 0, 99_000_000)
    assert [timeline.at(0, offset).by for offset in (6, 8, 9)] == [6_000_000, 12_000_000, 12_000_000]


@pytest.mark.parametrize("junk", [b"x", b"x" * 31, b"\xff" * 100, b"\0" * 320])
def test_junk_instead_of_an_index_harms_nobody(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "i").write_bytes(junk)
    assert len(order(str(tmp_path / "i"), [2, 4], [3]).split()) == 3


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20),
    st.tuples(st.integers(0, 30), st.integers(0, 30)),
    st.tuples(st.integers(0, 30), st.integers(0, 30)),
)
def test_of_what_stands_before_an_end_a_part_of_the_index_tells_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    grown: list[tuple[int, int]],
    begin: tuple[int, int],
    size: tuple[int, int],
) -> None:
    out = err = 0
    entries = []
    for number, (more_out, more_err) in enumerate(grown, 1):
        out, err = out + more_out, err + more_err
        entries.append((number, out, err, 1, 0))
    path = written(tmp_path_factory.mktemp("index") / "i", *entries)
    end = begin[0] + size[0], begin[1] + size[1]
    whole = read_timeline(path, 0, 99, stdout=begin[0], stderr=begin[1])
    part = read_timeline(path, 0, 99, stdout=begin[0], stderr=begin[1], until=end)
    for stream in (0, 1):
        for offset in range(begin[stream] + 1, end[stream] + 1):
            assert part.at(stream, offset)[:2] == whole.at(stream, offset)[:2]


def test_a_page_of_a_log_of_months_is_read_with_few_entries(tmp_path: Path) -> None:
    with open(tmp_path / "i", "wb") as index:
        index.write(b"".join(RECORD.pack(number, 10 * number, 0, 1, 0) for number in range(1, 50_001)))
    timeline = read_timeline(str(tmp_path / "i"), 0, None, stdout=1000, until=(2000, 0))
    assert len(timeline.stretches) == 101 and timeline.at(0, 2000).by == 200
