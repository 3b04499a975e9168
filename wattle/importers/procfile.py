"""A Procfile (Heroku, foreman, honcho): every process type becomes a service.

What the format says is in its README files only: `name: command` a line, `#` for comments, names of letters,
digits, `_` and `-`. `release` is Heroku's: it runs to its end before the others start.
"""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from wattle.definition.names import why_not_worker, why_not_workflow
from wattle.errors import Invalid, Malformed, Problem
from wattle.importers.names import legal_names
from wattle.importers.options import Options
from wattle.importers.report import Imported, Notes
from wattle.importers.shell import command_of, stays_up
from wattle.importers.text import decoded

PORT = 5000
PORT_STEP = 100
GRACE_SECONDS = 5
_LINE = re.compile(r"([A-Za-z0-9_-]+):[ \t]*(\S.*)")
_COMMENT = re.compile(r"\s*(#.*)?")
RELEASE = "release"


class _Line(NamedTuple):
    number: int
    name: str
    command: str


@dataclass(frozen=True, slots=True)
class ProcfileOptions:
    """`port` is the first process' PORT, 100 more for each after it; None sets none. `env_file` as the definition
    shall name it."""

    common: Options
    port: int | None = PORT
    env_file: str | None = None


def import_procfile(data: bytes, options: ProcfileOptions) -> Imported:
    """The definition for the Procfile in `data`; Malformed or Invalid with every problem and its line."""
    lines = _read(decoded(data, "Procfile"))
    common, notes = options.common, Notes()
    (name,) = legal_names([common.name or common.place.directory_name or "procfile"], why_not_workflow).values()
    document: dict[str, Any] = {"name": name}
    if common.working_dir is not None:
        document["working_dir"] = common.working_dir
    if options.env_file is not None:
        document["env_file"] = options.env_file
    has_release = any(line.name == RELEASE for line in lines) and len(lines) > 1
    names = _worker_names(lines, notes)
    workers = [_worker(line, names[line.name], position, options) for position, line in enumerate(lines)]
    if has_release:
        for line, worker in zip(lines, workers, strict=True):
            if line.name != RELEASE:
                worker["depends_on"] = [names[RELEASE]]
        workers.append(stays_up(list(names.values())))
        notes.change(names[RELEASE], "is a task that must have completed before the others start, as at Heroku")
        notes.change(workers[-1]["name"], "was added: services end with the last task, so this one keeps them up")
    if len(lines) > (2 if has_release else 1):
        notes.leave(None, "foreman ends all processes when one ends; here the others go on")
    document["workers"] = workers
    return notes.imported(document)


def _worker(line: _Line, name: str, position: int, options: ProcfileOptions) -> dict[str, Any]:
    worker: dict[str, Any] = {"name": name}
    if line.name != RELEASE:
        worker |= {"kind": "service", "restart": "never", "stop": {"grace_seconds": GRACE_SECONDS}}
    worker |= command_of(line.command, shell=("sh", "-c"))
    if options.port is not None:
        worker["env_vars"] = {"PORT": str(options.port + PORT_STEP * position)}
    return worker


def _worker_names(lines: list[_Line], notes: Notes) -> dict[str, str]:
    names = legal_names([line.name for line in lines], why_not_worker)
    for before, after in names.items():
        if before != after:
            notes.change(after, f"was called '{before}'")
    return names


def _read(text: str) -> list[_Line]:
    found: dict[str, _Line] = {}
    problems = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.rstrip("\r")
        match = _LINE.fullmatch(line.rstrip())
        if match is None:
            if not _COMMENT.fullmatch(line):
                problems.append(_problem("a line must be `name: command`, a comment or empty", number))
        elif match[1] in found:
            problems.append(_problem(f"process '{match[1]}' stands twice; the first is in line "
                                     f"{found[match[1]].number}", number))  # fmt: skip
        else:
            found[match[1]] = _Line(number, match[1], match[2])
    if problems:
        raise Malformed("VALIDATION_ERROR", problems[0].message, details=problems)
    if not found:
        raise Invalid("VALIDATION_ERROR", "the Procfile names no process", details=[_problem(
            "the Procfile names no process", 1)])  # fmt: skip
    return list(found.values())


def _problem(message: str, line: int) -> Problem:
    return Problem("VALIDATION_ERROR", message, "", line=line, column=1)
