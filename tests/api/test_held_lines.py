"""Lines whose order is not known yet, held back by a feed for all of its clients (L5, L9)."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from api.test_feeds import Log, Reader, joined, says, serve
from api.test_pump import MakeServer, make_server

from wattle.logs.chronology import Chronology
from wattle.logs.files import LogFiles, index_file
from wattle.logs.follow import Follower
from wattle.logs.index import IndexWriter

__all__ = ["make_server"]


class Watched(Log):
    """Its index is written by the test."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.index = IndexWriter(index_file(LogFiles(str(self.out), str(self.err))))
        self.note()

    def note(self, groups: int = 0, first: int = 0) -> None:
        self.index.add(1, os.stat(self.out).st_size, os.stat(self.err).st_size, groups, first)

    def write_both(self, stdout: bytes, stderr: bytes) -> None:
        for path, data in ((self.out, stdout), (self.err, stderr)):
            with open(path, "ab") as file:
                file.write(data)

    def _open(self, position: str) -> Follower:
        return Follower(lambda _: self.state, position=position, chronology=Chronology.of)


@pytest.fixture
def log(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_lines_of_both_streams_come_in_order_to_all(make_server: MakeServer, log: Watched) -> None:
    server = serve(make_server, log)
    with ExitStack() as stack:
        readers = [Reader(stack.enter_context(server.get("/stream"))) for _ in range(5)]
        assert joined(server, log, 5)
        text = ""
        for number in range(10):
            log.write(b"lone %d\n" % number)
            text += f"lone {number}\n"
            assert all(reader.hears(says(text)) for reader in readers)
            log.note(1, 0)
        for number in range(20):
            log.write_both(b"o%d\n" % number, b"e%d\n" % number)
            log.note(2, 0)
            text += f"o{number}\ne{number}\n"
            assert all(reader.hears(says(text)) for reader in readers)
        log.end()


def test_lines_of_which_nobody_ever_tells_the_order_come_all_the_same(make_server: MakeServer, log: Watched) -> None:
    """They are there already, and nothing else would wake the feed before a heartbeat."""
    server = serve(make_server, log)
    log.write_both(b"o1\no2\n", b"e1\n")
    with ExitStack() as stack:
        readers = [Reader(stack.enter_context(server.get("/stream"))) for _ in range(5)]
        assert all(reader.hears(says("o1\no2\ne1\n"), 10.0) for reader in readers)
        assert joined(server, log, 5)
        log.end()
