"""Where an attempt's output stands. Names only: it touches no file."""

import os
from functools import lru_cache
from typing import NamedTuple


class LogFiles(NamedTuple):
    """Absolute paths of the two files that one attempt writes."""

    stdout: str
    stderr: str


def attempt_files(data_dir: str, run_id: int, position: int, number: int) -> LogFiles:
    """`<data dir>/logs/<run>/<worker's position in the run>.<attempt number>.out|.err`.

    Flat names: a directory per attempt costs a spawn 4 to 10 % (design.md, section 4).
    """
    stem = f"{logs_root(data_dir)}/{run_id}/{position}.{number}"
    return LogFiles(f"{stem}.out", f"{stem}.err")


def index_file(files: LogFiles) -> str:
    """The side index of an attempt's two files (index.py); attempts that were short have none.

    In a directory of its own: on a full disk that of the logs cannot grow, and must have room for logs.
    """
    directory, name = os.path.split(files.stdout)
    return f"{directory}/times/{name.removesuffix('.out')}.idx"


def probe_files(data_dir: str, run_id: int, position: int, number: int) -> LogFiles:
    """What the last `exec` probe of an attempt printed."""
    stem = f"{logs_root(data_dir)}/{run_id}/{position}.{number}.probe"
    return LogFiles(f"{stem}.out", f"{stem}.err")


def notify_file(data_dir: str, run_id: int, position: int, number: int) -> str:
    """What an attempt wrote to its notify descriptor: a file, so that it survives whoever reads it."""
    return f"{logs_root(data_dir)}/{run_id}/{position}.{number}.notify"


@lru_cache(maxsize=16)
def logs_root(data_dir: str) -> str:
    """The directory that holds all logs of a data directory, absolute."""
    return os.path.join(os.path.abspath(data_dir), "logs")
