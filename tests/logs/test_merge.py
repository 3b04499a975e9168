"""One watcher of many workers (W-22, I7; L1 to L4)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattle.errors import Malformed
from wattle.logs.merge import Merged
from wattle.logs.said import Attempt, End, Event, LogLineEvent
from wattle.service.views import LogsState, WrittenLog


class Run:
    """Workers that write; `look` is what the store tells."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.attempts: list[WrittenLog] = []
        self.over = False
        self.at_once = 1000

    def look(self, known: tuple[int, int] | None, ids: Sequence[int]) -> LogsState:
        high = known[1] if known else 0
        came = [attempt for attempt in self.attempts if attempt.id > high][: self.at_once]
        asked = [attempt for attempt in self.attempts if attempt.id in ids and attempt.id <= high]
        over = self.over and len(came) < self.at_once
        return LogsState(7 if self.attempts or self.over else 0, (*asked, *came), over, "completed")

    def start(self, worker: str, number: int = 1) -> int:
        place = len(self.attempts) * 3 + 1  # ids have gaps
        out, err = (str(self.directory / f"{place}.{suffix}") for suffix in ("out", "err"))
        Path(out).touch()
        Path(err).touch()
        self.attempts.append(WrittenLog(place, f"uid{place}", worker, number, 7, out, err, True))
        return len(self.attempts) - 1

    def write(self, index: int, stdout: bytes = b"", stderr: bytes = b"") -> None:
        for path, data in ((self.attempts[index].stdout, stdout), (self.attempts[index].stderr, stderr)):
            with open(path, "ab") as file:
                file.write(data)

    def end(self, index: int) -> None:
        self.attempts[index] = replace(self.attempts[index], live=False)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def drain(merged: Merged) -> list[Event]:
    said = merged.poll(0.0)
    while merged.more:
        said += merged.poll(0.0)
    return said


def lines(events: list[Event]) -> list[tuple[str | None, str]]:
    return [(event.worker, event.content) for event in events if isinstance(event, LogLineEvent)]


def test_before_anything_was_heard_a_client_stands_where_it_came_with(run: Run) -> None:
    for place in ("7.4,1:2:0,4:0:0", ""):
        assert Merged(run.look, position=place).position == place


def test_each_event_names_its_worker_and_lists_what_is_open(run: Run) -> None:
    a, b = run.start("a"), run.start("b")
    run.write(a, b"1\n", b"e\n")
    run.write(b, b"2\n")
    merged = Merged(run.look)
    events = drain(merged)
    assert lines(events) == [("a", "1"), ("a", "e"), ("b", "2")]
    assert events[:2] == [Attempt(1, "uid1", "7.1,1:0:0", "a", 7), Attempt(1, "uid4", "7.4,1:0:0,4:0:0", "b", 7)]
    assert merged.position == "7.4,1:2:2,4:2:0"
    run.end(a)
    drain(merged)
    assert merged.position == "7.4,4:2:0" and not merged.done
    run.end(b)
    run.over = True
    assert drain(merged) == [End("completed", None, "7.4")] and merged.done
    assert Merged(run.look, position="7.4").finished


def test_a_run_that_has_not_begun_is_waited_for_and_one_without_attempts_ends(run: Run) -> None:
    merged = Merged(run.look)
    assert drain(merged) == [] and not merged.done and merged.position == ""
    run.over = True
    assert drain(merged) == [End("completed", None, "7.0")]


def test_ended_attempts_are_said_one_by_one_however_many_there_are(run: Run) -> None:
    """Descriptors do not grow with the run."""
    run.at_once = 10
    for number in range(35):
        index = run.start(f"w{number}")
        run.write(index, f"line {number}\n".encode())
        run.end(index)
    run.over = True
    merged, seen = Merged(run.look), []
    while not merged.done:
        seen += merged.poll(0.0, changed=False)
        assert len(list(merged.files())) <= 2
    assert lines(seen) == [(f"w{number}", f"line {number}") for number in range(35)]
    assert max(len(event.id) for event in seen) < 30


def test_without_following_what_runs_is_said_and_can_be_gone_on_with(run: Run) -> None:
    a = run.start("a")
    run.write(a, b"1\n")
    merged = Merged(run.look, follow=False)
    events = drain(merged)
    assert lines(events) == [("a", "1")] and merged.done and not isinstance(events[-1], End)
    run.write(a, b"2\n")
    assert lines(drain(Merged(run.look, position=events[-1].id))) == [("a", "2")]


def test_tail_begins_near_the_end_of_each_and_comes_to_the_whole_of_later_ones(run: Run) -> None:
    a = run.start("a")
    run.write(a, b"1\n2\n")
    merged = Merged(run.look, tail=1)
    assert lines(drain(merged)) == [("a", "2")]
    b = run.start("b")
    run.write(b, b"3\n4\n")
    assert lines(drain(merged)) == [("b", "3"), ("b", "4")]


@pytest.mark.parametrize("position", ["7", "7.", "7.1,1:0", "7.1,1:0:0,", "u:1:2", "-1.2", "7.1,a:0:0", "７.1"])
def test_id_that_no_event_has_is_refused(run: Run, position: str) -> None:
    with pytest.raises(Malformed) as refused:
        Merged(run.look, position=position)
    assert refused.value.code == "INVALID_EVENT_ID"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["start", "write", "write", "write", "end", "poll"]),
        st.integers(0, 3),
        st.binary(max_size=20) | st.sampled_from([b"\n", b"x\n", b"\xf0\x9f\x98\x80\n", b"\r\n", b"abc"]),
        st.booleans(),
    ),
    max_size=25,
)


@settings(max_examples=200, deadline=None)
@given(steps=STEPS, cuts=st.lists(st.integers(0, 30), max_size=8))
def test_reconnecting_anywhere_gives_each_byte_of_each_attempt_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, bytes, bool]], cuts: list[int]
) -> None:
    run = Run(tmp_path_factory.mktemp("logs"))
    seen: list[Event] = []
    merged, reconnects = Merged(run.look, max_line_bytes=16), iter(cuts)

    def receive() -> None:
        nonlocal merged
        kept = drain(merged)
        cut = next(reconnects, None)
        if cut is not None and not (kept and isinstance(kept[-1], End) and cut >= len(kept)):
            kept = kept[:cut]
            merged.close()
            last = kept[-1].id if kept else (seen[-1].id if seen else None)
            merged = Merged(run.look, position=last, max_line_bytes=16)
        seen.extend(kept)

    for what, which, data, to_stdout in steps:
        index = which % len(run.attempts) if run.attempts else 0
        if what == "start":
            run.start(f"w{len(run.attempts)}")
        elif what == "write" and run.attempts and run.attempts[index].live:
            run.write(index, **{"stdout" if to_stdout else "stderr": data})
        elif what == "end" and run.attempts:
            run.end(index)
        elif what == "poll":
            receive()
    for index in range(len(run.attempts)):
        run.end(index)
    run.over = True
    while not (seen and isinstance(seen[-1], End)):
        receive()
    for attempt in run.attempts:
        for stream, path in (("stdout", attempt.stdout), ("stderr", attempt.stderr)):
            said = "".join(
                event.content + ("" if event.continued or event.partial else "\n")
                for event in seen
                if isinstance(event, LogLineEvent) and (event.worker, event.type) == (attempt.worker, stream)
            )
            assert said == Path(path).read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
    assert [event.worker for event in seen if isinstance(event, Attempt)] == [each.worker for each in run.attempts]
