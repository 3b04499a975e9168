"""The problems of one document: collected as they are met, reported in the documented order.

Everything here is bounded, since the document is a stranger's: problems kept for each stage, comparisons
made for suggestions, length of what is quoted.
"""

import difflib
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NoReturn

from wattle.definition.names import visible
from wattle.definition.places import Path, locate, pointer
from wattle.errors import Invalid, Malformed, Problem

LIMIT = 1000
CYCLE_MESSAGE = "Circular dependency detected, the workflow cannot be executed"
CYCLE_ZH = "检测到循环依赖，无法执行工作流"


class Stage(IntEnum):
    """What a problem is about, in the order of reporting."""

    SHAPE = 0
    VALUE = 1
    COMMAND = 2
    DEPENDENCY = 3
    CYCLE = 4


_CODES = {
    Stage.SHAPE: "VALIDATION_ERROR",
    Stage.VALUE: "VALIDATION_ERROR",
    Stage.COMMAND: "INVALID_COMMAND",
    Stage.DEPENDENCY: "DEPENDENCY_VALIDATION_FAILED",
    Stage.CYCLE: "CIRCULAR_DEPENDENCY",
}


@dataclass(slots=True)
class _Found:
    problem: Problem
    path: Path


class Problems:
    """Collects; `raise_any` ends the reading."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._found: dict[Stage, list[_Found]] = {stage: [] for stage in Stage}
        self._count = 0
        self._comparisons_left = 20_000

    def add(
        self, stage: Stage, path: Path, message: str, *, suggestion: str | None = None, zh: str | None = None
    ) -> None:
        self._count += 1
        found = self._found[stage]
        if len(found) < self._limit:
            found.append(_Found(Problem(_CODES[stage], message, pointer(path), suggestion, zh=zh), path))

    def count(self, more: int) -> None:
        """Take note of problems that are too many to be told."""
        self._count += more

    def __len__(self) -> int:
        return self._count

    def is_full(self, stage: Stage) -> bool:
        return len(self._found[stage]) >= self._limit

    def did_you_mean(self, word: str, candidates: Collection[str]) -> str | None:
        """The hint "did you mean `x`?" for the nearest candidate, or None."""
        self._comparisons_left -= len(candidates)
        if self._comparisons_left < 0 or not 0 < len(word) <= 256:
            return None
        folded = {candidate.casefold(): candidate for candidate in candidates if len(candidate) <= 256}
        close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
        return f"did you mean `{folded[close[0]]}`?" if close else None

    def raise_any(self, text: str | None) -> None:
        """Malformed when the first problem is one of shape, else Invalid; nothing where there is no problem."""
        if self._count:
            self._raise(text)

    def _raise(self, text: str | None) -> NoReturn:
        found = [each for stage in Stage for each in self._found[stage]][: self._limit]
        places = locate(text, {each.path for each in found}) if text is not None else {}
        details = []
        for each in found:
            line, column = places.get(each.path, (None, None))
            details.append(replace(each.problem, line=line, column=column))
        first = details[0]
        if self._count > len(details):
            details.append(Problem(first.code, f"and {self._count - len(details)} more problems", ""))
        is_cycle = first.code == _CODES[Stage.CYCLE]
        raise (Malformed if self._found[Stage.SHAPE] else Invalid)(
            first.code,
            CYCLE_MESSAGE if is_cycle else first.message,
            zh=CYCLE_ZH if is_cycle else first.zh,
            details=details,
        )


def shown(text: str, longest: int = 200) -> str:
    """A text of the user's for a message: shortened, so that no answer grows with it, and safe to print."""
    return visible(text if len(text) <= longest else f"{text[: longest - 1]}…")


def it_is(value: object) -> str:
    """` (it is a string)`, to follow what it should be."""
    if value is None:
        return " (it is null)"
    if isinstance(value, bool):
        return " (it is a boolean)"
    for kind, word in ((str, "a string"), ((int, float), "a number"), (list, "an array"), (dict, "an object")):
        if isinstance(value, kind):
            return f" (it is {word})"
    return ""
