"""Lines of both streams in the order of the side index, and when (L5, I7; W-22)."""

import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.logs.test_follow import Worker, drain, lines
from wattle.logs.chronology import ENTRIES_AT_ONCE, HOLD_SECONDS, Chronology
from wattle.logs.excerpt import MOST_BYTES, Ask, read_excerpt
from wattle.logs.files import LogFiles, index_file
from wattle.logs.follow import Follower
from wattle.logs.index import ENDLESS, Entry, IndexWriter
from wattle.logs.merge import Merged
from wattle.logs.output import MOST_SORTED_BYTES, SILENCE_SECONDS
from wattle.logs.pages import NAMES
from wattle.logs.said import End, Event, LogLineEvent
from wattle.service.views import LogsState, WrittenLog

SECOND = 1_000_000


class Indexed(Worker):
    """A worker whose logs are watched by the test: `note` writes an entry about what stands in them."""

    def start(self, number: int = 1) -> "Indexed":
        super().start(number)
        self.index = IndexWriter(index_file(self.files))
        self.at = 10 * SECOND
        return self

    @property
    def files(self) -> LogFiles:
        return LogFiles(str(self.state.stdout), str(self.state.stderr))

    def note(self, groups: int = 0, first: int = 0) -> "Indexed":
        self.at += SECOND // 100
        self.index.add(self.at, *(os.stat(path).st_size for path in self.files), groups, first)
        return self

    def follow(self, position: str | None = None, **options: object) -> Follower:
        return Follower(self.look, position=position, chronology=Chronology.of, **options)  # type: ignore[arg-type]


@pytest.fixture
def worker(tmp_path: Path) -> Indexed:
    return Indexed(tmp_path).start()


def contents(events: list[Event]) -> str:
    return " ".join(event.content for event in events if isinstance(event, LogLineEvent))


def test_history_comes_in_the_order_of_the_index_with_its_times(worker: Indexed) -> None:
    """An unfinished line is of the time of its end. What no entry is about comes one stream after the other."""
    worker.write(b"o1\n").note().write(b"", b"e1\n").note().write(b"o2\npart-").note().write(b"ial\n", b"e2\n").note()
    worker.write(b"o3\n", b"e3\n").end()
    events = [event for event in drain(worker.follow()) if isinstance(event, LogLineEvent)]
    assert contents(events) == "o1 e1 o2 part-ial e2 o3 e3"
    times = [(event.time or 0) - 10 * SECOND for event in events]
    assert times[:5] == [10_000, 20_000, 30_000, 40_000, 40_000] and times[5] == times[6] > 0


def test_changes_between_two_entries_put_lines_in_order(worker: Indexed) -> None:
    worker.write(b"o1\no2\no3\n", b"e1\ne2\ne3\n").note(6, 1).end()
    assert contents(drain(worker.follow())) == "e1 o1 e2 o2 e3 o3"


def test_a_line_of_one_stream_is_said_before_there_is_an_entry_about_it(worker: Indexed) -> None:
    """Nothing to wait for: there is no order to be known."""
    worker.note()
    follower = worker.follow()
    drain(follower)
    for data in ({"stdout": b"o1\n"}, {"stderr": b"e1\n"}, {"stderr": b"half"}, {"stdout": b"o2\n"}):
        worker.write(**data)
        said = follower.poll(1.0)
        assert len(said) == (b"\n" in next(iter(data.values())))
        # for an entry never; for what stops before its end a moment of silence
        assert follower.waits_seconds is None or follower.waits_seconds == pytest.approx(SILENCE_SECONDS)


def test_lines_of_both_streams_wait_for_the_entry_that_says_which_came_first(worker: Indexed) -> None:
    worker.note()
    follower = worker.follow()
    drain(follower)
    worker.write(b"o1\no2\n", b"e1\n")
    assert follower.poll(1.0) == [] and follower.waits_seconds and not follower.more
    worker.note(3, 0)
    assert contents(follower.poll(1.001)) == "o1 e1 o2" and follower.waits_seconds is None


def test_an_entry_that_does_not_come_is_not_waited_for_for_long(worker: Indexed) -> None:
    """Ever more rarely, and then as if nothing were known."""
    worker.note()
    follower = worker.follow()
    drain(follower)
    worker.write(b"o1\n", b"e1\n")
    now, polls = 1.0, 0
    while not (said := follower.poll(now)):
        assert follower.waits_seconds is not None and not follower.more
        now, polls = now + follower.waits_seconds, polls + 1
    assert contents(said) == "o1 e1"
    assert now == pytest.approx(1.0 + HOLD_SECONDS) and 5 <= polls <= 10
    worker.write(b"o2\n")
    assert contents(follower.poll(now)) == "o2"


def test_what_has_no_index_is_not_held_back(worker: Indexed) -> None:
    """Attempts of less than 0.1 s, and machines on which nobody can watch."""
    follower = worker.follow()
    drain(follower)
    worker.write(b"o1\n", b"e1\n")
    assert contents(follower.poll(1.0)) == "o1 e1"


def test_the_end_waits_for_the_last_entry_where_it_was_seen_coming(worker: Indexed) -> None:
    worker.note()
    watching = worker.follow()
    drain(watching)
    worker.write(b"o1\no2", b"e1\n").end()
    assert watching.poll(1.0) == [] and watching.waits_seconds and not watching.more
    assert contents(later := drain(worker.follow())) == "o1 o2 e1" and isinstance(later[-1], End)
    worker.note(3, 1)
    said = watching.poll(1.01)
    assert contents(said) == "e1 o1 o2" and isinstance(said[-1], End)


def test_what_was_said_out_of_order_is_not_said_again(worker: Indexed) -> None:
    """An id says what has been said of both streams, in whatever order that was."""
    worker.note().write(b"o1\no2\no3\n", b"e1\ne2\ne3\n").note(6, 0).end()
    assert contents(drain(worker.follow("uid1:0:6"))) == "o1 o2 o3 e3"
    assert contents(drain(worker.follow("uid1:9:3"))) == "e2 e3"


def test_times_are_bounds_that_are_told_where_nobody_watched(worker: Indexed) -> None:
    """`after` where they are more than a second apart; until the end, where no entry is about the rest."""
    worker.note().write(b"o1\n").note(1, 0).write(b"o2\n")
    worker.at += 60 * SECOND
    worker.note().write(b"o3\n").end()
    worker.state = replace(worker.state, started_at=5, ended_at=200 * SECOND)
    said = [(event.time, event.after) for event in drain(worker.follow()) if isinstance(event, LogLineEvent)]
    second, third = 10 * SECOND + 20_000, 70 * SECOND + 30_000
    assert said == [(second, None), (third, second), (200 * SECOND, third)]


def test_a_log_that_is_cut_short_begins_again_with_its_new_index(worker: Indexed) -> None:
    worker.write(b"o1\no2\n", b"e1\n").note(3, 0)
    follower = worker.follow()
    assert contents(drain(follower)) == "o1 e1 o2"
    for path in worker.files:
        os.truncate(path, 0)
    worker.note()
    drain(follower)
    worker.write(b"o3\n", b"e2\n").note(2, 1)
    assert contents(drain(follower)) == "e2 o3"


@pytest.mark.parametrize("junk", [b"x" * 31, b"\xff" * 3200, b"\0" * 320, os.urandom(6400)])
def test_junk_instead_of_an_index_costs_the_order_and_nothing_else(worker: Indexed, junk: bytes) -> None:
    worker.write(b"o1\no2\n", b"e1\n").note().end()
    Path(index_file(worker.files)).write_bytes(junk)
    assert sorted(lines(drain(worker.follow()))) == [("stderr", "e1"), ("stdout", "o1"), ("stdout", "o2")]


def test_a_long_index_is_read_in_pieces_and_a_poll_stays_small(worker: Indexed) -> None:
    """More entries than a page of history reads at once; each line is an entry of its own."""
    count = 33_000
    worker.write(b"o\n" * count, b"e\n" * count)
    entries = bytearray()
    for number in range(1, count + 1):
        size = 2 * number
        entries += Entry(size, size, size - 2).pack() + Entry(size, size, size).pack()
    path = Path(index_file(worker.files))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(entries)
    worker.end()
    follower, said = worker.follow(), []
    tracemalloc.start()
    for _ in range(3):
        batch = follower.poll(0.0)
        assert ENTRIES_AT_ONCE < len(batch) <= 1000
        said += [event.content for event in batch if isinstance(event, LogLineEvent)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000
    said += [event.content for event in drain(follower) if isinstance(event, LogLineEvent)]
    assert said == ["o", "e"] * count


def test_a_stretch_of_gigabytes_is_not_read_to_be_put_in_order(worker: Indexed) -> None:
    """Written in one go, with changes that nobody can count: stdout first, and the poll costs a batch."""
    huge = 5 * 1024**3
    for path in worker.files:
        os.truncate(path, huge)  # a hole, as a bound leaves it
    worker.write(b"o1\n", b"e1\n").note(4, 0)
    follower = worker.follow()
    tracemalloc.start()
    events = drain(follower)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert contents(events) == "o1 e1" and peak < 2_000_000 < huge > MOST_SORTED_BYTES


TALK = st.lists(
    st.tuples(
        st.sampled_from(["out", "out", "err", "err", "note"]),
        st.sampled_from([b"a\n", b"\n", b"bc\nd\n", b"part", b"\xf0\x9f\x98\x80\n", b"\r\n", b"x" * 40]),
        st.integers(0, 5),
        st.integers(0, 1),
    ),
    max_size=30,
)


def talked(worker: Indexed, talk: list[tuple[str, bytes, int, int]]) -> None:
    for what, data, groups, first in talk:
        if what == "note":
            worker.note(groups, first)
        else:
            worker.write(**{"stdout" if what == "out" else "stderr": data})


@settings(max_examples=300, deadline=None)
@given(talk=TALK, ends=st.booleans())
def test_a_stream_of_what_has_ended_is_what_is_read_and_goes_on_alike_from_every_id(
    tmp_path_factory: pytest.TempPathFactory, talk: list[tuple[str, bytes, int, int]], ends: bool
) -> None:
    """I7: in the order, and with the times, of `GET …/logs`."""
    worker = Indexed(tmp_path_factory.mktemp("log")).start()
    talked(worker, talk)
    if ends:
        worker.note(3, 1)
    worker.end()
    worker.state = replace(worker.state, started_at=SECOND, ended_at=100 * SECOND)
    whole = drain(worker.follow())
    read = read_excerpt(worker.state, Ask(limit=MOST_BYTES)).lines
    assert [(event.type, event.content, event.time) for event in whole if isinstance(event, LogLineEvent)] == [
        (NAMES[timed.line.stream], timed.line.content, timed.by) for timed in read
    ]
    for place, event in enumerate(whole[:-1], 1):
        assert drain(worker.follow(event.id)) == whole[place:]
    for stream in NAMES:
        alone = [event for event in whole if isinstance(event, LogLineEvent) and event.type == stream]
        said = [event for event in drain(worker.follow(streams=(stream,))) if isinstance(event, LogLineEvent)]
        assert [(event.content, event.time) for event in said] == [(event.content, event.time) for event in alone]


@settings(max_examples=100, deadline=None)
@given(talks=st.lists(TALK, min_size=1, max_size=3))
def test_a_stream_of_many_goes_on_alike_from_every_id(
    tmp_path_factory: pytest.TempPathFactory, talks: list[list[tuple[str, bytes, int, int]]]
) -> None:
    directory = tmp_path_factory.mktemp("logs")
    attempts = []
    for number, talk in enumerate(talks, 1):
        worker = Indexed(directory).start(number)
        talked(worker, talk)
        attempts.append(WrittenLog(number, f"uid{number}", f"w{number}", 1, 7, *worker.files, False, 1, 100 * SECOND))

    def look(known: tuple[int, int] | None, ids: object) -> LogsState:
        high = known[1] if known else 0
        found = [each for each in attempts if each.id > high or each.id in ids]  # type: ignore[operator]
        return LogsState(7, tuple(found), True, "completed")

    def said(position: str | None = None) -> list[Event]:
        merged = Merged(look, position=position, chronology=Chronology.of)
        events: list[Event] = []
        while not merged.done:
            events += merged.poll(0.0)
        return events

    whole = said()
    for place, event in enumerate(whole[:-1], 1):
        assert said(event.id) == whole[place:]


@settings(max_examples=200, deadline=None)
@given(
    talk=TALK,
    cuts=st.lists(st.integers(0, 10), max_size=10),
    polls=st.lists(st.booleans(), min_size=30, max_size=30),
)
def test_whatever_the_index_says_and_when_each_byte_is_said_once(
    tmp_path_factory: pytest.TempPathFactory,
    talk: list[tuple[str, bytes, int, int]],
    cuts: list[int],
    polls: list[bool],
) -> None:
    """Live, cut anywhere, entries before and after what they are about was read."""
    worker = Indexed(tmp_path_factory.mktemp("log")).start().note()
    follower, seen, now, reconnects = worker.follow(), [], 0.0, iter(cuts)

    def receive() -> None:
        nonlocal follower
        said = drain_at(follower, now)
        if (cut := next(reconnects, None)) is not None and cut < len(said):
            said = said[:cut]
            follower.close()
            follower = worker.follow(said[-1].id if said else (seen[-1].id if seen else None))
        seen.extend(said)

    for (what, *rest), poll in zip(talk, polls, strict=False):
        talked(worker, [(what, *rest)])  # type: ignore[list-item]
        now += 0.01
        if poll:
            receive()
    worker.end()
    while not (seen and isinstance(seen[-1], End)):
        now += HOLD_SECONDS
        receive()
    for stream, path in zip(NAMES, worker.files, strict=True):
        found = [event for event in seen if isinstance(event, LogLineEvent) and event.type == stream]
        text = "".join(event.content + ("" if event.partial else "\n") for event in found)
        assert text == Path(path).read_bytes().decode().replace("\r\n", "\n")
        assert len({event.id for event in found}) == len(found)


def drain_at(follower: Follower, now: float) -> list[Event]:
    said = follower.poll(now)
    while follower.more:
        said += follower.poll(now)
    return said


def test_an_index_is_asked_for_a_part_of_it(worker: Indexed) -> None:
    for _ in range(1000):
        worker.write(b"o\n").note()
    chronology = Chronology.of(worker.state)
    assert chronology is not None
    for stdout in (1, 2, 3, 999, 1000, 1001, 2000, 1, 1999):
        known = chronology.next(stdout, ENDLESS)
        assert known is not None and known.begin[0] < stdout <= known.stretch.stdout == known.begin[0] + 2
    assert chronology.next(2001, ENDLESS) is None and chronology.hold_seconds == HOLD_SECONDS
    worker.write(b"o\n").note()
    assert chronology.next(2001, ENDLESS) is not None
