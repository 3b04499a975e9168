"""The file format of supervisord: Python's configparser with `;` and `#` comments, and the line of every value.

Sections in brackets; `key = value` or `key: value`; a line that begins with a blank goes on with the value before
it; a blank and `;` begin a comment within a line. A section or key that stands twice overrides, as there.
"""

import re
from dataclasses import dataclass, field

from wattle.errors import Malformed, Problem

_SECTION = re.compile(r"\[([^]]+)\]")
_PAIR = re.compile(r"([^=:\s][^=:]*?)\s*[=:]\s*(.*)")
_INLINE_COMMENT = re.compile(r"(?:^|\s)[;#].*")


@dataclass(slots=True)
class Value:
    text: str
    line: int


@dataclass(slots=True)
class Section:
    name: str
    line: int
    values: dict[str, Value] = field(default_factory=dict)  # keys in lower case


def read_ini(text: str) -> dict[str, Section]:
    """`{name: section}` in the order of the file; Malformed with every line that is none of the above."""
    sections: dict[str, Section] = {}
    section: Section | None = None
    value: Value | None = None
    problems: list[Problem] = []
    for number, line in enumerate(text.split("\n"), 1):
        stripped = _INLINE_COMMENT.sub("", line).strip()
        if not stripped:
            value = value if line.strip() else None
        elif line[0] in " \t" and value is not None:
            value.text = f"{value.text}\n{stripped}".lstrip("\n")
        elif match := _SECTION.fullmatch(stripped):
            section = sections.setdefault(match[1].strip(), Section(match[1].strip(), number))
            value = None
        elif (match := _PAIR.fullmatch(stripped)) and section is not None:
            value = section.values[match[1].lower()] = Value(match[2], number)
        else:
            where = "a line must be `key = value` or `[section]`" if section else "no section begins before this line"
            problems.append(problem(where, number))
    if problems:
        raise Malformed("VALIDATION_ERROR", problems[0].message, details=problems)
    return sections


def problem(message: str, line: int) -> Problem:
    return Problem("VALIDATION_ERROR", message, "", line=line, column=1)
