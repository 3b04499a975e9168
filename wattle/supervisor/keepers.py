"""How recovery reaches keepers: is one alive, start one, connect, read what was journaled."""

import os
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from wattle.keeper.journal import read_records
from wattle.keeper.launch import connect, probe, start_keeper
from wattle.supervisor.keeper_link import KeeperGone, KeeperLink

CONNECT_SECONDS = 10.0


class Link(Protocol):
    """A connection to a keeper. `hello` is what it said of itself: keeper_id, boot_id, seq, live, queued."""

    hello: Mapping[str, Any]

    def fileno(self) -> int: ...
    @property
    def has_unsent(self) -> bool: ...
    def send(self, frame: Mapping[str, Any]) -> None: ...
    def flush(self) -> None: ...
    def receive(self) -> list[dict[str, Any]]: ...
    def close(self) -> None: ...


class Keepers(Protocol):
    """The keepers of one data directory."""

    def connect(self) -> tuple[Link, bool]:
        """A connection, and whether the keeper is a new one. KeeperGone where none can be had."""

    def records(self, after: Mapping[str, int]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """(keeper id, record) of all journals, oldest first, after {keeper id: seq}."""


class LocalKeepers:
    """The keepers of a data directory on this machine."""

    def __init__(self, data_dir: str) -> None:
        self._data_dir = data_dir

    def connect(self) -> tuple[Link, bool]:
        error: Exception | None = None
        fresh = not probe(self._data_dir)
        for _ in range(3):
            if fresh:
                start_keeper(self._data_dir)
            try:
                return KeeperLink(connect(self._data_dir, CONNECT_SECONDS), os.getpid()), fresh
            except (KeeperGone, OSError) as failure:
                error = failure
                fresh = not probe(self._data_dir)
        raise KeeperGone(f"no keeper can be reached: {error}")

    def records(self, after: Mapping[str, int]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        return read_records(os.path.join(self._data_dir, "journal"), after)
