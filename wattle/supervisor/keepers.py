"""How recovery reaches keepers: is one alive, start one, connect, read what was journaled."""

import logging
import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol

from wattle.keeper.failpoints import reach
from wattle.keeper.journal import discard_keeper, read_records
from wattle.keeper.launch import connect, probe, start_keeper
from wattle.keeper.record_shapes import is_of_attempt, is_whole
from wattle.supervisor.keeper_link import KeeperGone, KeeperLink

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 0.25  # then it is looked whether the keeper still lives
TRY_AGAIN_SECONDS = 0.01


class Link(Protocol):
    """A connection to a keeper. `hello` is what it said of itself: keeper_id, boot_id, seq, live, queued."""

    hello: Mapping[str, Any]

    def fileno(self) -> int: ...
    @property
    def has_early(self) -> bool: ...
    @property
    def has_unsent(self) -> bool: ...
    def send(self, frame: Mapping[str, Any]) -> None: ...
    def flush(self) -> None: ...
    def receive(self) -> list[dict[str, Any]]: ...
    def close(self) -> None: ...


class Keepers(Protocol):
    """The keepers of one data directory."""

    def connect(self) -> Link:
        """A connection, to a new keeper where none lives. KeeperGone where none can be had."""

    def records(self, after: Mapping[str, int]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """(keeper id, record) of all journals, oldest first, after {keeper id: seq}."""

    def discard(self, keeper_ids: Collection[str]) -> None:
        """Delete the journals of keepers that are dead and whose every record is in the store."""


class LocalKeepers:
    """The keepers of a data directory on this machine.

    A keeper started here, and so every worker, gets `open_files` (soft, hard) as its limit of open files; None: this
    process' own. `version` is told by its command line.
    """

    def __init__(self, data_dir: str, open_files: tuple[int, int] | None = None, version: str | None = None) -> None:
        self._data_dir = data_dir
        self._open_files = open_files
        self._version = version

    def connect(self) -> Link:
        """A child of a killed keeper holds its lock and its socket until it executes, so for a moment a dead
        keeper seems to live and hangs up: that passes. A keeper that dies before it answers is followed by
        another."""
        until = time.monotonic() + CONNECT_SECONDS
        started: int | None = None
        while True:
            if not probe(self._data_dir) and (started is None or _has_ended(started)):
                reach("daemon.keeper.before")
                started = start_keeper(self._data_dir, open_files=self._open_files, version=self._version)
                reach("daemon.keeper.started")
            try:
                return KeeperLink(connect(self._data_dir, ANSWER_SECONDS), os.getpid())
            except (KeeperGone, OSError) as error:
                if time.monotonic() > until:
                    raise KeeperGone(f"no keeper can be reached: {error}") from error
                time.sleep(TRY_AGAIN_SECONDS)

    def records(self, after: Mapping[str, int]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for keeper_id, record in read_records(os.path.join(self._data_dir, "journal"), after):
            if is_whole(record) and is_of_attempt(record):
                yield keeper_id, record
            else:
                logger.warning("record %d of keeper %s is corrupt and was passed over", record["seq"], keeper_id)

    def discard(self, keeper_ids: Collection[str]) -> None:
        for keeper_id in keeper_ids:
            with suppress(OSError):  # it stays until the next boot
                discard_keeper(os.path.join(self._data_dir, "journal"), keeper_id)


def _has_ended(pid: int) -> bool:
    """Of a child of this process; it is not reaped here."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True
