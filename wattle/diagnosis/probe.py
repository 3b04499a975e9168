"""What `wattle doctor` says of one thing."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"  # Wattle works all the same: what it does instead is said
    BROKEN = "broken"  # Wattle does not work so


@dataclass(frozen=True, slots=True)
class Finding:
    """`found` is what was seen, `instead` the fallback in use, or what to do; None where nothing is missing."""

    subject: str
    level: Level
    found: str
    instead: str | None = None


def ok(subject: str, found: str) -> Finding:
    return Finding(subject, Level.OK, found)


def degraded(subject: str, found: str, instead: str) -> Finding:
    return Finding(subject, Level.DEGRADED, found, instead)


def broken(subject: str, found: str, instead: str) -> Finding:
    return Finding(subject, Level.BROKEN, found, instead)


def worst(findings: list[Finding]) -> Level:
    order = list(Level)
    return max((finding.level for finding in findings), key=order.index, default=Level.OK)


def words(error: OSError) -> str:
    """What an OSError says, without numbers."""
    return error.strerror or str(error)


def read_text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return None


def attempt(look: Callable[[], bool]) -> bool:
    """Whether it works; an OSError says that it does not."""
    try:
        return look()
    except OSError:
        return False

