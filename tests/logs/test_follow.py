"""One watcher of one worker's log (W-22, A20, A21; L1 to L4, L7)."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattle.errors import Malformed
from wattle.logs.follow import LOOK_SECONDS, Follower
from wattle.logs.said import Attempt, End, Event, Gap, LogLineEvent, Truncated
from wattle.service.views import LogState

NOT_STARTED = LogState(None, 0, None, None, live=False, over=False, status="created", exit_code=None)


class Worker:
    """A worker that writes its log: `state` is what `look` tells."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.before: list[LogState] = []
        self.state = NOT_STARTED
        self.looks = 0

    def look(self, uid: str | None = None) -> LogState:
        self.looks += 1
        states = [*self.before, self.state]
        for state, following in zip(states, [*states[1:], None], strict=True):
            if state.attempt_uid == uid is not None:
                return replace(state, next_uid=following.attempt_uid if following else None)
        return self.state

    def start(self, number: int = 1) -> "Worker":
        if self.state.attempt_uid is not None:
            self.before.append(replace(self.state, live=False))
        out, err = str(self.directory / f"{number}.out"), str(self.directory / f"{number}.err")
        Path(out).write_bytes(b"")
        Path(err).write_bytes(b"")
        self.state = LogState(f"uid{number}", number, out, err, True, False, "running", None)
        return self

    def write(self, stdout: bytes = b"", stderr: bytes = b"") -> "Worker":
        for path, data in ((self.state.stdout, stdout), (self.state.stderr, stderr)):
            with open(str(path), "ab") as file:
                file.write(data)
        return self

    def end(self, *, over: bool = True, exit_code: int = 0) -> "Worker":
        status = "completed" if exit_code == 0 else "failed"
        self.state = replace(self.state, live=False, over=over, status=status, exit_code=exit_code)
        return self


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


def drain(follower: Follower) -> list[Event]:
    """All there is to say now."""
    said = follower.poll(0.0)
    while follower.more:
        said += follower.poll(0.0)
    return said


def lines(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.type, event.content) for event in events if isinstance(event, LogLineEvent)]


def joined(events: list[Event], stream: str) -> str:
    return "".join(
        event.content + ("" if event.continued or event.partial else "\n")
        for event in events
        if isinstance(event, LogLineEvent) and event.type == stream
    )


def decoded(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\r\n", "\n")


def test_replay_comes_first_and_then_what_is_written(worker: Worker) -> None:
    """A20"""
    worker.start().write(b"one\ntwo\n", b"oops\n")
    follower = Follower(worker.look)
    assert lines(drain(follower)) == [("stdout", "one"), ("stdout", "two"), ("stderr", "oops")]
    assert drain(follower) == []
    worker.write(b"three\n")
    assert lines(drain(follower)) == [("stdout", "three")]
    assert not follower.done


def test_each_line_names_the_place_after_it(worker: Worker) -> None:
    worker.start().write(b"one\ntwo\r\n", b"oops\n")
    ids = [event.id for event in drain(Follower(worker.look))]
    assert ids == ["uid1:4:0", "uid1:9:0", "uid1:9:5"]


def test_worker_that_has_not_been_started_is_waited_for(worker: Worker) -> None:
    """A21"""
    follower = Follower(worker.look)
    assert drain(follower) == [] and not follower.done
    worker.start().write(b"here\n")
    assert lines(drain(follower)) == [("stdout", "here")]


def test_files_that_are_made_a_little_later_are_no_gap(worker: Worker) -> None:
    worker.start()
    for path in (worker.state.stdout, worker.state.stderr):
        os.unlink(str(path))
    follower = Follower(worker.look)
    assert drain(follower) == []
    worker.write(b"here\n")
    assert lines(drain(follower)) == [("stdout", "here")]


def test_end_is_said_once_after_the_last_line(worker: Worker) -> None:
    """A21"""
    worker.start().write(b"bye\n").end(exit_code=3)
    follower = Follower(worker.look)
    events = drain(follower)
    assert events[-1] == End("failed", 3, "uid1:4:0")
    assert follower.done and drain(follower) == []


def test_worker_that_ended_without_an_attempt_ends_the_stream_and_can_be_left(worker: Worker) -> None:
    worker.state = replace(NOT_STARTED, over=True, status="cancelled")
    [end] = drain(Follower(worker.look))
    assert end == End("cancelled", None, "-:0:0")
    assert Follower(worker.look, position=end.id).finished


def test_partial_last_line_is_flushed_at_the_attempts_end(worker: Worker) -> None:
    """A20, L1"""
    worker.start().write(b"done\nno newline", b"also none")
    follower = Follower(worker.look)
    assert lines(drain(follower)) == [("stdout", "done")]
    worker.end()
    events = drain(follower)
    assert events[:2] == [
        LogLineEvent("stdout", "no newline", "uid1:15:0", partial=True),
        LogLineEvent("stderr", "also none", "uid1:15:9", partial=True),
    ]
    assert isinstance(events[2], End)


def test_bytes_written_between_two_polls_before_the_end_are_all_said(worker: Worker) -> None:
    worker.start().write(b"a\n")
    follower = Follower(worker.look)
    drain(follower)
    worker.write(b"b\nc").end()
    assert lines(drain(follower)) == [("stdout", "b"), ("stdout", "c")]


def test_retry_is_announced_and_followed_after_the_rest_of_the_attempt_before(worker: Worker) -> None:
    worker.start().write(b"a\nrest")
    follower = Follower(worker.look)
    drain(follower)
    worker.end(over=False, exit_code=1)
    assert lines(drain(follower)) == [("stdout", "rest")]
    assert not follower.done
    worker.start(2).write(b"b\n")
    assert drain(follower) == [Attempt(2, "uid2", "uid2:0:0"), LogLineEvent("stdout", "b", "uid2:2:0")]


def test_next_attempt_that_came_unseen_still_leaves_the_rest_of_the_one_before(worker: Worker) -> None:
    worker.start().write(b"a\n")
    follower = Follower(worker.look)
    drain(follower)
    worker.write(b"rest").start(2).write(b"b\n").end()
    events = drain(follower)
    assert [type(event).__name__ for event in events] == ["LogLineEvent", "Attempt", "LogLineEvent", "End"]
    assert lines(events) == [("stdout", "rest"), ("stdout", "b")]


def test_id_of_an_older_attempt_gives_the_newest_from_its_start(worker: Worker) -> None:
    worker.start().write(b"old\n").end(over=False)
    worker.start(2).write(b"new\n")
    events = drain(Follower(worker.look, position="uid1:4:0"))
    assert isinstance(events[0], Attempt) and lines(events) == [("stdout", "new")]


def test_without_an_id_no_attempt_is_announced(worker: Worker) -> None:
    """W-22: the documented stream is log lines."""
    worker.start(3).write(b"x\n")
    assert drain(Follower(worker.look)) == [LogLineEvent("stdout", "x", "uid3:2:0")]


@pytest.mark.parametrize(
    "position", ["x", "uid1:1", "uid1:-1:0", "uid1:1:0:0", "uid1:１:0", "u\nid:1:0", ":1:0", "a" * 500]
)
def test_id_that_no_event_has_is_refused(worker: Worker, position: str) -> None:
    with pytest.raises(Malformed) as refused:
        Follower(worker.look, position=position)
    assert refused.value.code == "INVALID_EVENT_ID"


def test_position_at_the_end_of_an_ended_worker_is_finished(worker: Worker) -> None:
    worker.start().write(b"a\n")
    assert not Follower(worker.look, position="uid1:2:0").finished
    worker.end()
    assert Follower(worker.look, position="uid1:2:0").finished
    assert not Follower(worker.look, position="uid1:0:0").finished
    assert not Follower(worker.look).finished
    worker.start(2)
    assert not Follower(worker.look, position="uid1:2:0").finished


def test_position_in_a_removed_log_is_finished_so_that_a_client_comes_to_rest(worker: Worker) -> None:
    worker.start().write(b"a\n").end()
    os.unlink(str(worker.state.stdout))
    assert Follower(worker.look, position="uid1:2:0").finished


def test_without_following_all_that_is_there_is_said_and_no_more(worker: Worker) -> None:
    """A21: `?follow=false`"""
    worker.start().write(b"a\nb")
    follower = Follower(worker.look, follow=False)
    assert lines(drain(follower)) == [("stdout", "a"), ("stdout", "b")]
    assert follower.done


@pytest.mark.parametrize("over, last", [(True, End), (False, LogLineEvent)])
def test_without_following_the_end_is_said_only_where_it_is_one(worker: Worker, over: bool, last: type) -> None:
    worker.start().write(b"a\n").end(over=over)
    follower = Follower(worker.look, follow=False)
    assert isinstance(drain(follower)[-1], last) and follower.done


def test_without_following_a_worker_that_has_not_started_says_nothing(worker: Worker) -> None:
    follower = Follower(worker.look, follow=False)
    assert drain(follower) == [] and follower.done


def test_tail_starts_with_the_last_lines_of_each_stream(worker: Worker) -> None:
    worker.start().write(b"1\n2\n3\n", b"e1\ne2\n")
    follower = Follower(worker.look, tail=1)
    assert lines(drain(follower)) == [("stdout", "3"), ("stderr", "e2")]
    worker.write(b"4\n")
    assert lines(drain(follower)) == [("stdout", "4")]
    assert lines(drain(Follower(worker.look, tail=0))) == []


def test_truncated_file_is_said_and_read_from_its_start(worker: Worker) -> None:
    """L7"""
    worker.start().write(b"a\nb\n")
    follower = Follower(worker.look)
    drain(follower)
    os.truncate(str(worker.state.stdout), 0)
    assert drain(follower) == [Truncated("stdout", 0, "uid1:0:0")]
    worker.write(b"c\n")
    assert lines(drain(follower)) == [("stdout", "c")]


def test_id_beyond_the_file_is_a_truncated_file(worker: Worker) -> None:
    worker.start().write(b"a\n")
    events = drain(Follower(worker.look, position="uid1:999:0"))
    assert events[0] == Truncated("stdout", 2, "uid1:0:0") and lines(events) == [("stdout", "a")]


@pytest.mark.parametrize("lose", [os.unlink, lambda path: os.rename(path, f"{path}.1")])
def test_log_deleted_or_renamed_while_it_is_written_is_followed_to_its_end(
    worker: Worker, lose: Callable[[str], None]
) -> None:
    """L7"""
    worker.start()
    with open(str(worker.state.stdout), "ab", buffering=0) as writer:
        writer.write(b"a\n")
        follower = Follower(worker.look)
        drain(follower)
        lose(str(worker.state.stdout))
        writer.write(b"b\n")
        assert lines(drain(follower)) == [("stdout", "b")]
        writer.write(b"c\n")
        worker.end()
        events = drain(follower)
    assert lines(events) == [("stdout", "c")] and isinstance(events[-1], End)


def test_deleted_log_is_said_once(worker: Worker) -> None:
    """L7"""
    worker.start().write(b"a\n")
    follower = Follower(worker.look)
    drain(follower)
    os.unlink(str(worker.state.stdout))
    assert [type(event) for event in drain(follower)] == [Gap]
    assert drain(follower) == [] and not follower.more


def test_log_that_is_gone_before_it_is_read_is_a_gap_and_then_the_end(worker: Worker) -> None:
    worker.start().write(b"a\n", b"e\n").end()
    os.unlink(str(worker.state.stdout))
    events = drain(Follower(worker.look))
    assert [type(event).__name__ for event in events] == ["Gap", "LogLineEvent", "End"]


def test_dropped_head_of_a_log_is_a_gap_of_known_size(worker: Worker) -> None:
    worker.start()
    with open(str(worker.state.stdout), "r+b") as file:
        file.seek(1 << 20)  # as if punched: a hole up to here
        file.write(b"kept\n")
    events = drain(Follower(worker.look))
    assert isinstance(events[0], Gap) and events[0].dropped_bytes == 1 << 20
    assert lines(events) == [("stdout", "kept")]
    assert events[-1].id == f"uid1:{(1 << 20) + 5}:0"


def test_nul_bytes_that_were_written_are_no_gap(worker: Worker) -> None:
    """L3"""
    worker.start().write(bytes(10_000) + b"\n")
    assert lines(drain(Follower(worker.look))) == [("stdout", "\0" * 10_000)]


def test_batches_are_bounded_and_a_talkative_stdout_does_not_hide_stderr(worker: Worker) -> None:
    """L2"""
    worker.start().write(b"x" * 3_000_000 + b"\n" + b"\n" * 5000, b"help\n")
    follower = Follower(worker.look)
    seen: list[Event] = []
    for _ in range(200):
        said = follower.poll(0.0)
        assert len(said) <= 1001
        assert sum(len(event.content) for event in said if isinstance(event, LogLineEvent)) <= 130 * 1024
        seen += said
        worker.write(b"more\n")
        if ("stderr", "help") in lines(said):
            break
    assert ("stderr", "help") in lines(seen)
    assert joined(seen, "stdout").startswith("x" * 3_000_000 + "\n")


def test_silent_worker_is_looked_at_only_when_something_changed_or_time_has_passed(worker: Worker) -> None:
    worker.start()
    follower = Follower(worker.look)
    follower.poll(100.0)
    for tick in range(9):
        follower.poll(100.0 + tick / 10, changed=False)
    assert worker.looks == 1
    follower.poll(101.0, changed=True)
    assert worker.looks == 2
    follower.poll(101.0 + LOOK_SECONDS, changed=False)
    assert worker.looks == 3


def test_growth_is_seen_without_a_look(worker: Worker) -> None:
    worker.start()
    follower = Follower(worker.look)
    follower.poll(0.0)
    worker.write(b"a\n")
    assert lines(follower.poll(0.1, changed=False)) == [("stdout", "a")]


def test_descriptors_are_given_back_at_the_end_and_at_close(worker: Worker) -> None:
    before = len(os.listdir("/proc/self/fd"))
    worker.start().write(b"a\n")
    open_follower, ended_follower = Follower(worker.look), Follower(worker.look)
    drain(open_follower)
    drain(ended_follower)
    assert len(os.listdir("/proc/self/fd")) == before + 4
    open_follower.close()
    worker.end()
    drain(ended_follower)
    assert len(os.listdir("/proc/self/fd")) == before


def test_id_in_an_older_attempt_goes_on_there_and_then_through_all_that_follow(worker: Worker) -> None:
    """I7: none is passed over, however short it was."""
    worker.start().write(b"a\nb\n", b"e\n").start(2).write(b"c\n").start(3).write(b"d\n").end()
    events = drain(Follower(worker.look, position="uid1:2:0"))
    assert lines(events) == [("stdout", "b"), ("stderr", "e"), ("stdout", "c"), ("stdout", "d")]
    assert [event.number for event in events if isinstance(event, Attempt)] == [2, 3]
    assert isinstance(events[-1], End)
    assert lines(drain(Follower(worker.look, position="uid1:2:0", follow=False))) == lines(events)


@pytest.mark.parametrize(
    "stream, said, ids", [("stdout", ["a", "b"], ["uid1:2:0", "uid1:4:0"]), ("stderr", ["e"], ["uid1:0:2"])]
)
def test_one_stream_alone_is_said_with_ids_in_which_the_other_stays_at_its_start(
    worker: Worker, stream: str, said: list[str], ids: list[str]
) -> None:
    worker.start().write(b"a\nb\n", b"e\n").end()
    *events, end = drain(Follower(worker.look, streams=(stream,)))
    assert lines(events) == [(stream, line) for line in said] and [event.id for event in events] == ids
    assert Follower(worker.look, streams=(stream,), position=end.id).finished
    assert lines(drain(Follower(worker.look, position=end.id))) != []  # the other has not been said


CHUNKS = st.lists(
    st.tuples(
        st.booleans(),
        st.binary(max_size=30)
        | st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"\xf0\x9f\x98\x80", b"\xe2\x82", b"\0", b"abc"])).map(
            b"".join
        ),
    ),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(
    chunks=CHUNKS,
    cuts=st.lists(st.integers(0, 40), max_size=8),
    polls=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_reconnecting_anywhere_gives_each_byte_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[tuple[bool, bytes]], cuts: list[int], polls: list[bool]
) -> None:
    """W-22, A20, L3, L4: the client forgets what came after the cut, and comes back with the id of the last it kept."""
    worker = Worker(tmp_path_factory.mktemp("log")).start()
    written = {"stdout": b"", "stderr": b""}
    seen: list[Event] = []
    follower = Follower(worker.look, max_line_bytes=16)
    reconnects = iter(cuts)

    def receive() -> None:
        nonlocal follower
        kept = drain(follower)
        cut = next(reconnects, None)
        if cut is not None and not (kept and isinstance(kept[-1], End) and cut >= len(kept)):
            kept = kept[:cut]
            follower.close()
            last = kept[-1].id if kept else (seen[-1].id if seen else None)
            follower = Follower(worker.look, position=last, max_line_bytes=16)
        seen.extend(kept)

    for (to_stdout, data), poll in zip(chunks, polls, strict=False):
        stream = "stdout" if to_stdout else "stderr"
        written[stream] += data
        worker.write(**{stream: data})
        if poll:
            receive()
    worker.end()
    while not (seen and isinstance(seen[-1], End)):
        receive()
    for stream, data in written.items():
        assert joined(seen, stream) == decoded(data)
