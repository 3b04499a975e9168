"""The files of single attempts whose logs go while their run is active: how large they are, and their removal.

On the pool. It asks nothing and decides nothing: who is given here has been marked in the store before.
"""

import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress

from wattle.errors import WattleError
from wattle.logs.files import attempt_files, index_file, logs_root, notify_file, probe_files
from wattle.store.removal import LoggedAttempt, Outdated

logger = logging.getLogger(__name__)

_OF_ATTEMPT = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})\..+")


def size_of_attempt(data_dir: str, attempt: LoggedAttempt) -> int:
    """What its files take on disk: sparse files may be longer than that."""
    total = 0
    for path in _files(data_dir, attempt):
        with suppress(OSError):
            total += os.lstat(path).st_blocks * 512
    return total


def remove_attempts(data_dir: str, attempts: Iterable[LoggedAttempt]) -> None:
    """Delete their files. What cannot be deleted is tried again at the next start."""
    for attempt in attempts:
        for path in _files(data_dir, attempt):
            _remove(path)


def sweep_attempts(outdated: Outdated, data_dir: str) -> None:
    """Delete what a crash has left of attempts that are marked as having no logs."""
    try:
        for run in outdated.runs_without_some_logs():
            directory = f"{logs_root(data_dir)}/{run}"
            found = [*files_of_attempts(directory)]
            removed = outdated.attempts_without_logs(run) if found else set()
            for path, position, number in found:
                if (position, number) in removed:
                    _remove(path)
    except WattleError as error:
        logger.warning("logs that a crash may have left could not be looked for: %s", error)


def files_of_attempts(directory: str) -> Iterator[tuple[str, int, int]]:
    """Each file in a run's log directory that is of an attempt, with its worker's position and its number."""
    for place in (directory, f"{directory}/times"):
        with suppress(OSError):
            for name in os.listdir(place):
                if match := _OF_ATTEMPT.fullmatch(name):
                    yield f"{place}/{name}", int(match[1]), int(match[2])


def _files(data_dir: str, attempt: LoggedAttempt) -> Iterator[str]:
    """All that Wattle may have made for it."""
    key = (attempt.run_id, attempt.position, attempt.number)
    files = attempt_files(data_dir, *key)
    yield from files
    yield index_file(files)
    yield from probe_files(data_dir, *key)
    yield notify_file(data_dir, *key)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        logger.warning("%s could not be deleted: %s", path, error)
