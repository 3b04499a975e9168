"""A line whose end has not come: told as far as it goes when nothing follows for a moment (supervision, 3.6; I7)."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.logs.test_follow import CHUNKS, Worker, decoded, joined
from tests.logs.test_merge import Run, drain
from wattle.logs.chronology import Chronology
from wattle.logs.follow import Follower
from wattle.logs.lines import Piece, unfinished
from wattle.logs.merge import Merged
from wattle.logs.output import SILENCE_SECONDS
from wattle.logs.said import End, Event, LogLineEvent

LATE = SILENCE_SECONDS + 0.01


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path).start()


@pytest.mark.parametrize(
    "data, piece",
    [
        (b"", None),
        (b"Continue? ", Piece("Continue? ", 10, partial=True)),
        (b"10%\r20%", Piece("10%\r20%", 7, partial=True)),
        (b"10%\r", Piece("10%", 3, partial=True)),
        (b"\r", None),
        ("grü".encode()[:-1], Piece("gr", 2, partial=True)),
        ("€".encode()[:2], None),
        (b"\xffz", Piece("\ufffdz", 2, partial=True)),
        (b"cut\nagain", None),  # the file was changed since it was looked at
    ],
)
def test_what_can_be_told_is_whole_characters_and_no_half_of_an_end(data: bytes, piece: Piece | None) -> None:
    assert unfinished(data) == piece


def test_a_prompt_is_told_after_a_moment_of_silence(worker: Worker) -> None:
    worker.write(b"hello\nContinue? ")
    follower = Follower(worker.look)
    assert [event.content for event in follower.poll(1.0)] == ["hello"]  # type: ignore[union-attr]
    assert follower.waits_seconds == pytest.approx(SILENCE_SECONDS)
    assert follower.poll(1.0 + SILENCE_SECONDS / 2) == [] and follower.waits_seconds is not None
    assert follower.poll(1.0 + LATE) == [LogLineEvent("stdout", "Continue? ", "uid1:16:0", partial=True)]
    assert follower.waits_seconds is None and follower.poll(99.0) == []  # and then nobody is woken
    worker.write(b"yes\n")
    assert follower.poll(99.0) == [LogLineEvent("stdout", "yes", "uid1:20:0")]


def test_what_goes_on_growing_is_waited_for(worker: Worker) -> None:
    follower = Follower(worker.look)
    for number in range(10):
        worker.write(b".")
        assert follower.poll(number * SILENCE_SECONDS * 0.9) == []
    assert [event.content for event in follower.poll(99.0)] == ["." * 10]  # type: ignore[union-attr]


def test_who_reads_slowly_is_not_told_half_a_line_that_has_been_ended_meanwhile(worker: Worker) -> None:
    worker.write(b"line\n" * 2500 + b"half")
    follower = Follower(worker.look)
    said = follower.poll(1.0)
    assert follower.more
    worker.write(b" a line\n")
    while follower.more or follower.waits_seconds is not None:
        said += follower.poll(9.0)
    assert [event.content for event in said[2500:]] == ["half a line"]  # type: ignore[union-attr]


def test_half_a_character_wakes_nobody(worker: Worker) -> None:
    worker.write("€".encode()[:2])
    follower = Follower(worker.look)
    assert follower.poll(1.0) == []
    assert follower.poll(1.0 + LATE) == [] and follower.waits_seconds is None
    worker.write("€".encode()[2:] + b"\n")
    assert joined(follower.poll(2.0), "stdout") == "€\n"


def test_it_is_told_with_its_time_and_does_not_disturb_the_order(tmp_path: Path) -> None:
    worker = Worker(tmp_path).start()
    worker.write(b"out ", b"err ")
    follower = Follower(worker.look, chronology=Chronology.of)
    follower.poll(1.0)
    events = follower.poll(1.0 + LATE)
    assert [(event.type, event.content, event.partial) for event in events] == [  # type: ignore[union-attr]
        ("stdout", "out ", True), ("stderr", "err ", True)
    ]  # fmt: skip
    assert all(event.time for event in events)  # type: ignore[union-attr]
    worker.write(b"end\n", b"end\n")
    said = follower.poll(2.0)
    while follower.waits_seconds is not None:  # without an index, until the entry is not waited for any more
        said += follower.poll(2.0 + LATE)
    assert (joined(said, "stdout"), joined(said, "stderr")) == ("end\n", "end\n")


def test_of_many_workers_each_is_told(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for name in ("a", "b"):
        run.write(run.start(name), name.encode())
    merged = Merged(run.look)
    drain(merged)
    assert merged.waits_seconds == pytest.approx(SILENCE_SECONDS)
    found = [event for event in merged.poll(LATE) if isinstance(event, LogLineEvent)]
    assert [(event.worker, event.content, event.partial) for event in found] == [("a", "a", True), ("b", "b", True)]
    assert found[-1].id == "7.4,1:1:0,4:1:0" and merged.waits_seconds is None
    again = Merged(run.look, position=found[0].id)
    drain(again)
    assert [event.content for event in again.poll(LATE) if isinstance(event, LogLineEvent)] == ["b"]


@settings(max_examples=100, deadline=None)
@given(
    chunks=CHUNKS,
    cuts=st.lists(st.integers(0, 10), max_size=8),
    silences=st.lists(st.sampled_from([0.0, SILENCE_SECONDS / 2, LATE]), min_size=12, max_size=12),
)
def test_wherever_a_line_stops_and_a_client_is_cut_each_byte_comes_once(
    tmp_path_factory: pytest.TempPathFactory,
    chunks: list[tuple[bool, bytes]],
    cuts: list[int],
    silences: list[float],
) -> None:
    """I7: what was told of a line, from its id on, and its rest are the line."""
    worker = Worker(tmp_path_factory.mktemp("log")).start()
    written = {"stdout": b"", "stderr": b""}
    seen: list[Event] = []
    follower, now, reconnects = Follower(worker.look, max_line_bytes=16), 1.0, iter(cuts)

    def heard(poll: Callable[[float], list[Event]]) -> list[Event]:
        said = poll(now)
        while follower.more:
            said += poll(now)
        return said

    def receive() -> None:
        nonlocal follower
        kept = heard(follower.poll)
        cut = next(reconnects, None)
        if cut is not None and not (kept and isinstance(kept[-1], End)):
            kept = kept[:cut]
            follower.close()
            last = kept[-1].id if kept else (seen[-1].id if seen else None)
            follower = Follower(worker.look, position=last, max_line_bytes=16)
        seen.extend(kept)

    for (to_stdout, data), silence in zip(chunks, silences, strict=False):
        stream = "stdout" if to_stdout else "stderr"
        written[stream] += data
        worker.write(**{stream: data})
        receive()
        now += silence
        receive()
    worker.end()
    while not (seen and isinstance(seen[-1], End)):
        receive()
    ids = [event.id for event in seen if isinstance(event, LogLineEvent)]
    assert len(set(ids)) == len(ids)
    for stream, data in written.items():
        assert joined(seen, stream) == decoded(data)
