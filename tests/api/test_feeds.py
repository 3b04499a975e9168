"""One log and many who watch it, through a real Waitress, the pump and inotify (L9, L10, F45, F46; A21, A22)."""

import json
import os
import select
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from api.test_pump import MakeServer, Server, make_server, open_descriptors, quiet_wakes, until, wakes

from wattle.api import feeds as feeds_module
from wattle.api.feeds import Feeds, Pace
from wattle.api.streaming import LogStream
from wattle.logs.follow import Follower
from wattle.logs.forward import OpenFile
from wattle.logs.hearing import Hearing
from wattle.service.views import LogState

__all__ = ["make_server"]


class Log:
    """A worker's log that the test writes, and every source that has been made for it."""

    def __init__(self, directory: Path) -> None:
        self.out, self.err = directory / "0.1.out", directory / "0.1.err"
        self.out.touch()
        self.err.touch()
        self.state = LogState("u1", 1, str(self.out), str(self.err), True, False, "running", None)
        self.sources: list[Counting] = []

    def write(self, data: bytes) -> None:
        with open(self.out, "ab") as file:
            file.write(data)

    def end(self) -> None:
        self.state = replace(self.state, live=False, over=True, status="completed", exit_code=0)

    def source(self, position: str = "") -> "Counting":
        return Counting(self, self._open(position))

    def _open(self, position: str) -> Follower:
        return Follower(lambda _: self.state, position=position)


class Counting(LogStream):
    closed = 0

    def __init__(self, log: Log, follower: Follower) -> None:
        super().__init__(log._open, follower, ("worker", "w/a"), "w/a")
        self.log, self.polls = log, 0
        log.sources.append(self)

    def at(self, position: str) -> "Counting":
        return self.log.source(position)

    def poll(self, now: float, notified: bool) -> bytes:
        self.polls += 1
        return super().poll(now, notified)

    def close(self) -> None:
        super().close()
        self.closed += 1  # last: it is waited for by who counts descriptors


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def serve(make_server: MakeServer, log: Log, **options: object) -> Server:
    server = make_server(**{"poll_seconds": 60.0, **options})
    server.make_source = log.source
    return server


class Reader:
    """A client; `text` is what the lines it heard say together, `last_id` that of the last one that came whole."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.data = bytearray()

    def hears(self, enough: Callable[["Reader"], bool], seconds: float = 20.0) -> bool:
        self.client.settimeout(seconds)
        while not enough(self):
            try:
                more = self.client.recv(1 << 20)
            except (TimeoutError, ConnectionError):
                return False
            if not more:
                return enough(self)
            self.data += more
        return True

    @property
    def blocks(self) -> list[bytes]:
        return bytes(self.data).partition(b"\r\n\r\n")[2].split(b"\n\n")[:-1]

    @property
    def text(self) -> str:
        said = [block[6:].partition(b"\n")[0] for block in self.blocks if block.startswith(b"data: ")]
        pieces = [json.loads(each) for each in said]
        ends = ("" if "partial" in piece or "continued" in piece else "\n" for piece in pieces)
        return "".join(piece["content"] + end for piece, end in zip(pieces, ends, strict=True))

    @property
    def last_id(self) -> str:
        return [block.rpartition(b"id: ")[2].decode() for block in self.blocks if b"id: " in block][-1]


def came(end: bytes) -> Callable[[Reader], bool]:
    """Cheap, for much text."""
    return lambda reader: end in reader.data[-2500:] and reader.data.endswith(b"\n\n")


def says(text: str) -> Callable[[Reader], bool]:
    return lambda reader: reader.text == text


def joined(server: Server, log: Log, clients: int) -> bool:
    """All have caught up and are members of a feed: a single source is left for them."""

    def members() -> int:
        return sum(len(feed.members) for feed in list(server.pump._feeds._feeds.values()))

    return until(lambda: members() == clients and sum(not source.closed for source in log.sources) == 1, 30.0)


def test_two_hundred_and_fifty_clients_are_given_what_was_read_once(make_server: MakeServer, log: Log) -> None:
    server = serve(make_server, log)
    log.write(b"before\n")
    with ExitStack() as stack:
        readers = [Reader(stack.enter_context(server.get("/stream"))) for _ in range(250)]
        assert joined(server, log, 250)
        server.settle()
        [shared] = [source for source in log.sources if not source.closed]
        polls, lines, descriptors = shared.polls, "", open_descriptors()
        for number in range(20):
            log.write(b"line %d\n" % number)
            lines += f"line {number}\n"
            assert all(reader.hears(says("before\n" + lines)) for reader in readers)
        assert shared.polls - polls <= 60  # and no other has been polled: there is none
        assert len(log.sources) == 250 and open_descriptors() == descriptors
        log.end()
        server.pump.notify()
        assert all(reader.hears(lambda r: b"event: end\n" in r.data) for reader in readers)


@pytest.mark.parametrize("options, is_heard", [({}, True), ({"use_inotify": False}, False)])
def test_growth_is_heard_of_and_not_looked_for(
    make_server: MakeServer, log: Log, options: dict[str, object], is_heard: bool
) -> None:
    """With an hour between two looks. The second case is the control: without inotify nobody tells."""
    server = serve(make_server, log, poll_seconds=3600.0, **options)
    with server.get("/stream") as client:
        assert joined(server, log, 1)
        log.write(b"hello\n")
        assert Reader(client).hears(says("hello\n"), 10.0 if is_heard else 0.5) is is_heard


def test_where_inotify_does_not_work_files_are_polled(make_server: MakeServer, log: Log) -> None:
    server = serve(make_server, log, poll_seconds=0.02, use_inotify=False)
    with ExitStack() as stack:
        readers = [Reader(stack.enter_context(server.get("/stream"))) for _ in range(20)]
        assert joined(server, log, 20)
        log.write(b"hello\n")
        assert all(reader.hears(says("hello\n")) for reader in readers)


def test_silent_streams_wake_nobody_up(make_server: MakeServer, log: Log) -> None:
    """L9, between two heartbeats. A line is the positive control."""
    server = serve(make_server, log, heartbeat_seconds=3600.0)
    with ExitStack() as stack:
        readers = [Reader(stack.enter_context(server.get("/stream"))) for _ in range(20)]
        assert joined(server, log, 20)
        before = quiet_wakes(server)
        time.sleep(1.5)  # what is measured is that in this time nothing happens
        assert wakes(server) == before
        log.write(b"x\n")
        assert all(reader.hears(says("x\n")) for reader in readers)
        assert until(lambda: wakes(server) > before)


def test_slow_client_leaves_the_others_and_later_hears_the_rest_from_the_file(
    make_server: MakeServer, log: Log
) -> None:
    """L10, F45: what waits for it in memory is bounded."""
    server = serve(make_server, log, max_backlog_bytes=256 * 1024)
    with server.get("/stream", receive_buffer_bytes=4096) as slow, server.get("/stream") as quick:
        reader, late = Reader(quick), Reader(slow)
        assert joined(server, log, 2)
        text, number = "", 0
        while len(text) < 6_000_000:
            piece = "".join(f"{number + i} {'x' * 1000}\n" for i in range(500))
            number += 500
            log.write(piece.encode())
            text += piece
            assert reader.hears(came(b'"%d xxx' % (number - 1)), 30.0)
            assert all(client.backlog_bytes < 1 << 20 for client in list(server.pump._clients.values()))
        assert reader.text == text
        assert len(log.sources) > 2  # it has one of its own again
        assert late.hears(came(b'"%d xxx' % (number - 1)), 60.0) and late.text == text
        log.write(b"both\n")
        assert reader.hears(came(b'"both"')) and late.hears(came(b'"both"'))
        assert joined(server, log, 2)


def test_member_that_reads_late_what_waits_for_it_stays_a_member(make_server: MakeServer, log: Log) -> None:
    """L10: what fits in its backlog is written from there when it has room, and nothing is asked of the file again."""
    server = serve(make_server, log, max_backlog_bytes=64 << 20)
    with server.get("/stream", receive_buffer_bytes=4096) as late, server.get("/stream") as quick:
        reader = Reader(quick)
        assert joined(server, log, 2)
        sources = len(log.sources)
        text = "".join(f"{number} {'x' * 1000}\n" for number in range(12_000))
        log.write(text.encode())
        assert reader.hears(came(b'"11999 xxx'), 30.0)
        assert any(client.feed is not None and client.backlog for client in list(server.pump._clients.values()))
        assert Reader(late).hears(came(b'"11999 xxx'), 30.0)
        assert joined(server, log, 2) and len(log.sources) == sources


def test_client_that_takes_nothing_is_cut_and_goes_on_by_its_last_id(make_server: MakeServer, log: Log) -> None:
    """L10, F45"""
    patience = {"stall_seconds": 5.0}  # for longer than this test may lose the processor while it reads
    server = serve(make_server, log, max_backlog_bytes=256 * 1024, heartbeat_seconds=0.3, **patience)
    text = "".join(f"{number} {'x' * 1000}\n" for number in range(12_000))
    with server.get("/stream", receive_buffer_bytes=4096) as client, server.get("/stream") as other:
        assert until(lambda: server.pump.clients == 2)
        log.write(text.encode())
        healthy = Reader(other)
        assert healthy.hears(came(b'"11999 xxx'), 60.0) and healthy.text == text
        assert until(lambda: server.pump.clients == 1, 30.0)
        cut = Reader(client)
        cut.hears(lambda _: False)
        assert 0 < len(cut.text) < len(text)
        position = cut.last_id
        server.make_source = lambda: log.source(position)
        with server.get("/stream") as again:
            rest = Reader(again)
            assert rest.hears(came(b'"11999 xxx'), 30.0)
            assert cut.text + rest.text == text


def test_an_attempt_that_ends_and_one_that_follows_are_heard_by_members(make_server: MakeServer, log: Log) -> None:
    server = serve(make_server, log)
    with server.get("/stream") as client:
        reader = Reader(client)
        assert joined(server, log, 1)
        log.write(b"partial")
        first = replace(log.state, live=False, next_uid="u2")
        log.out = log.out.with_name("0.2.out")
        log.out.touch()
        second = replace(log.state, attempt_uid="u2", attempt=2, stdout=str(log.out))
        states = {"u1": first, "u2": second, None: second}
        log.sources[0]._watcher._look = states.__getitem__  # type: ignore[assignment]
        server.pump.notify()
        assert reader.hears(lambda r: b"event: attempt\n" in r.data)
        log.write(b"again\n")
        assert reader.hears(lambda r: b'"again"' in r.data)
        assert b'"partial", "partial": true' in reader.data


def test_the_end_of_a_line_is_not_waited_for_once_it_has_come(log: Log) -> None:
    """Who writes a line and its newline apart is heard at once, not when its silence would have been over."""
    feeds, now = Feeds(60.0), 100.0
    try:
        log.write(b"half")
        feed = feeds.open(log.source(), now)
        feed.members[cast(Any, object())] = None
        assert feeds.due(now) == [feed]
        feeds.advance(feed, now, lambda *_: None)
        assert feeds.next_at is not None and feeds.next_at > now + 0.1  # for a line that stops there
        log.write(b"\n")
        assert feeds.inotify is not None and select.select([feeds.inotify.fd], [], [], 10.0)[0]
        feeds.grown(now)
        assert feeds.next_at == now
    finally:
        feeds.close()


def test_a_prompt_is_heard_by_members(make_server: MakeServer, log: Log) -> None:
    with serve(make_server, log).get("/stream") as client:
        reader = Reader(client)
        log.write(b"hello\nContinue? ")
        assert reader.hears(came(b'"Continue? ", "partial": true}\nid: u1:16:0\n\n'))
        log.write(b"yes\n")
        assert reader.hears(came(b'"yes"}\nid: u1:20:0\n\n'))


def test_what_comes_before_a_file_is_watched_is_looked_for_however_much_there_was_to_say(tmp_path: Path) -> None:
    """The last of the polls at one go opens a file, which grows before there is a watch on it."""

    class Growing:
        key, position, done, waits_for_files = "log", "", False, False

        def __init__(self) -> None:
            self.polls = 0
            self.file = open(tmp_path / "log", "ab", buffering=0)  # noqa: SIM115

        @property
        def more(self) -> bool:
            return self.polls < feeds_module._POLLS

        def files(self) -> list[OpenFile]:
            if self.polls < feeds_module._POLLS:
                return []
            self.file.write(b"x")
            return [OpenFile(self.file.fileno(), 1)]

        def poll(self, now: float, notified: bool) -> bytes:
            self.polls += 1
            return b"said"

        def close(self) -> None:
            self.file.close()

    feeds = feeds_module.Feeds(3600.0)
    try:
        feed = feeds.open(cast(Any, Growing()), 0.0)
        feed.members[cast(Any, None)] = None
        assert feeds.due(0.0) == [feed]
        feeds.advance(feed, 0.0, lambda *_: None)
        assert feed.armed and feeds.next_at == 0.0
    finally:
        feeds.close()


class Written:
    """A source that says what a file has grown by; the test writes to it, and through `meanwhile` while it is read."""

    key, position, done, more, waits_for_files, waits_seconds = "log", "", False, False, False, None

    def __init__(self, path: Path) -> None:
        self.file = open(path, "ab", buffering=0)  # noqa: SIM115
        self.seen = 0
        self.meanwhile: Callable[[], object] = lambda: None

    def files(self) -> list[OpenFile]:
        return [OpenFile(self.file.fileno(), 1)]

    def poll(self, now: float, notified: bool) -> bytes:
        before, self.seen = self.seen, os.fstat(self.file.fileno()).st_size
        self.meanwhile()
        return b"x" * (self.seen - before)

    def close(self) -> None:
        self.file.close()


def test_a_log_that_grows_more_often_than_it_may_be_read_is_watched_for_one_event(tmp_path: Path) -> None:
    """So a writer pays for one write at most until somebody reads again, and one that writes now and then has a watch
    that stays. Time is the test's."""
    source, said, now = Written(tmp_path / "log"), bytearray(), 1000.0
    feeds = feeds_module.Feeds(3600.0)
    try:
        feed = feeds.open(cast(Any, source), now)
        feed.members[cast(Any, None)] = None

        def written(times: int, seconds: float) -> int:
            """So many writes, each noticed; how often it was read."""
            nonlocal now
            polls = 0
            for _ in range(times):
                now += seconds
                source.file.write(b"x")
                feeds.grown(now)
                for each in feeds.due(now):
                    feeds.advance(each, now, lambda _, data, before: said.extend(data))
                    polls += 1
            return polls

        written(1, 0.0)
        assert written(40, 0.05) == 40 and feed.armed, "it is read at once, and the watch stays"
        assert written(1000, 0.0001) < 100 and not feed.armed, "no more often than in steps, and nobody watches"
        assert feeds.next_at is not None and now < feeds.next_at <= now + 0.01
        now = feeds.next_at
        for each in feeds.due(now):
            feeds.advance(each, now, lambda _, data, before: said.extend(data))
        assert feed.armed, "until it is read again"
        source.file.write(b"xx")
        feeds.grown(now)
        assert not feed.armed
        assert written(1, 1.0) == 1 and written(40, 0.05) == 40 and feed.armed, "the flood is over"
        assert len(said) == source.seen == 1084
    finally:
        feeds.close()


def test_a_log_that_grows_by_much_is_watched_for_one_event(tmp_path: Path) -> None:
    """However rarely it can be read; and what is written before that watch is set is read at once."""
    source, said, now = Written(tmp_path / "log"), bytearray(), 1000.0
    feeds = feeds_module.Feeds(3600.0)

    def read() -> None:
        feeds.grown(now)
        for each in feeds.due(now):
            feeds.advance(each, now, lambda _, data, before: said.extend(data))

    try:
        feed = feeds.open(cast(Any, source), now)
        feed.members[cast(Any, None)] = None
        read()
        late = iter([b"late"])
        source.meanwhile = lambda: source.file.write(next(late, b""))
        source.file.write(b"x" * 100_000)
        now += 1.0
        read()
        assert len(said) == 100_004, "what came before the watch was set again"
        assert feed.armed
        source.file.write(b"x")
        feeds.grown(now)
        assert not feed.armed, "it was good for one event"
        for _ in range(3):
            now += 1.0
            read()
            source.file.write(b"x")
        feeds.grown(now)
        assert feed.armed, "the flood is over"
        now += 1.0
        read()
        assert len(said) == source.seen == 100_008
    finally:
        feeds.close()


def test_a_pace_has_a_burst_and_then_steps() -> None:
    pace, now, times = Pace(at_once=5, step_seconds=1.0), 100.0, []
    for _ in range(10):
        times.append(now)
        now = max(now, pace.take(now))
    assert times == [100.0] * 5 + [101.0, 102.0, 103.0, 104.0, 105.0]
    for _ in range(100):  # whoever does not wait pays for a step, not for all of it
        assert pace.take(now) <= now + 1.0
    assert pace.take(now + 50) <= now + 50


def test_a_watch_stays_or_is_good_for_one_event(tmp_path: Path) -> None:
    path = tmp_path / "log"
    inotify = Hearing()
    try:
        with open(path, "ab", buffering=0) as file:
            assert inotify.watch(file.fileno(), "a") and inotify.watch(file.fileno(), "b")
            assert inotify.read() == (set(), set())
            for number in range(2):
                file.write(b"%d" % number)
                assert inotify.read() == ({"a", "b"}, set())
            inotify.forget("a")
            assert inotify.watch(file.fileno(), "a", once=True)  # there is one watch for all who hear of a file
            file.write(b"2")
            assert inotify.read() == ({"a", "b"}, {"a", "b"})
            file.write(b"3")
            assert inotify.read() == (set(), set())
            assert inotify.watch(file.fileno(), "a")
            path.unlink()  # it has no name any more, and is watched all the same
            file.write(b"4")
            assert inotify.read() == ({"a"}, set())
            inotify.forget("a")
            file.write(b"5")
            assert inotify.read() == (set(), set())
    finally:
        inotify.close()
