"""A definition FILE, JSON or YAML: read, checked against everything Wattle asks of one, made ready to be sent.

It is checked here as well as by the server, because only here its text is known, and with it the place of
every problem. Directories that are relative, or begin with `~`, mean the file's directory and the caller's
home (as for compose and make), so they are absolute when they leave.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import click

from wattle.cli.excerpts import excerpt
from wattle.cli.output import Screen
from wattle.config import Config
from wattle.errors import Invalid, Malformed, Problem, TooLarge, WattleError

if TYPE_CHECKING:
    from wattle.definition.model import Param, Workflow

MAX_BYTES = 64 * 1024 * 1024
STDIN = "-"
_SEPARATOR = re.compile(r"\r?\n")  # as line numbers count; str.splitlines would also split at form feeds


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition without problems: its workflow, and the JSON text to send."""

    label: str
    workflow: "Workflow"
    content: bytes

    @property
    def name(self) -> str:
        return self.workflow.name

    @property
    def params(self) -> Mapping[str, "Param"]:
        return self.workflow.params


@dataclass(frozen=True, slots=True)
class Source:
    """A FILE as it was read; `label` is what it is called in messages."""

    path: str
    label: str
    data: bytes

    @property
    def text(self) -> str:
        """To show lines of: what is not UTF-8 is replaced."""
        return self.data.decode("utf-8", "replace").removeprefix("\ufeff")


def read_source(path: str) -> Source:
    """The file `path` (`-`: standard input); one that cannot be read is a mistake of usage."""
    return Source(path, label_of(path), _read(path))


def definition_of(source: Source, config: Config) -> Definition:
    """The definition in a file. Raises Malformed, Invalid or TooLarge with every problem in `details`."""
    path, label, data = source.path, source.label, source.data
    directory = config.base_dir if path == STDIN else os.path.dirname(os.path.join(config.base_dir, path))
    from wattle.definition import Context, parse_json, read_workflow

    text, places = None, None
    if is_yaml(path, data):
        from wattle.definition.yaml_text import parse_yaml

        document, places = parse_yaml(data, max_bytes=MAX_BYTES)
    else:
        document = parse_json(data, max_bytes=MAX_BYTES)
        text = data.decode()
    known_data_dir = "" if config.server_url else config.data_dir
    context = Context(directory, config.home, os.path.join(config.data_dir, "work"), known_data_dir)
    try:
        workflow = read_workflow(document, context, text=text)
    except (Malformed, Invalid) as error:
        if places is not None:
            error.details = tuple(places.located(problem) for problem in error.details)
        raise
    _anchor(cast(dict[str, Any], document), directory, config.home)
    return Definition(label, workflow, json.dumps(document, ensure_ascii=False).encode())


def is_yaml(path: str, data: bytes) -> bool:
    """By the name's ending; where that says nothing, what begins like a JSON object or array is JSON."""
    ending = os.path.splitext(path)[1].lower()
    if ending in (".json", ".yaml", ".yml"):
        return ending != ".json"
    start = data.lstrip()[:1]
    return bool(start) and start not in b"{[" and not data.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf"))


def label_of(path: str) -> str:
    """What the file is called in messages."""
    return "<stdin>" if path == STDIN else path


def problems_of(error: WattleError) -> tuple[Problem, ...]:
    """All problems that an error stands for; at least one."""
    return error.details or (Problem(error.code, error.message, "", zh=error.zh),)


def told_lines(
    source: Source, problems: Iterable[Problem], lang: str = "en", screen: Screen | None = None
) -> list[str]:
    """As a compiler tells them: place and message, the line with carets below, and the suggestion."""
    paint = screen.paint if screen is not None else lambda text, sgr: text
    text_lines = _SEPARATOR.split(source.text)
    told = []
    for problem in problems:
        place, message, hint = _place(source.label, problem), _message(problem, lang), _hint(problem, lang)
        told.append(f"{paint(f'{place}:', '1')} {message}")
        if problem.line is not None and problem.column is not None:
            columns = screen.columns if screen is not None else None
            if shown := excerpt(text_lines, problem.line, problem.column, columns):
                line, carets = shown.lines()
                head, bar, under = carets.partition("| ")
                told += [line, f"{head}{bar}{paint(under, '1;31')}"]
        if hint:
            told.append(f"{'':>5} {paint('=', '2')} {hint}")
    return told


def checked(path: str, config: Config, say: Callable[[str], None]) -> Definition:
    """The definition in a file, for verbs that go on with it: says every problem, and ends the command if there is."""
    source = read_source(path)
    try:
        return definition_of(source, config)
    except (Malformed, Invalid, TooLarge) as error:
        from wattle.cli.exits import exit_of

        for line in told_lines(source, problems_of(error), config.lang):
            say(line)
        raise click.exceptions.Exit(exit_of(error)) from None


def _place(label: str, problem: Problem) -> str:
    return label if problem.line is None else f"{label}:{problem.line}:{problem.column}"


def _message(problem: Problem, lang: str) -> str:
    return problem.zh if lang == "zh" and problem.zh else problem.message


def _hint(problem: Problem, lang: str) -> str | None:
    """The suggestion, unless the message has it already."""
    hint = problem.suggestion
    return hint if hint and hint not in _message(problem, lang) else None


def _read(path: str) -> bytes:
    """At most a byte more than may be: what is longer is refused by its length."""
    try:
        if path == STDIN:
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}{_nearest(path)}") from None


def _nearest(path: str) -> str:
    """The definition beside it that was meant: the name of a workflow is not that of its file."""
    import difflib

    directory, name = os.path.split(path)
    try:
        beside = [each for each in os.listdir(directory or ".") if each.endswith((".yaml", ".yml", ".json"))]
    except OSError:
        return ""
    stems = [each for each in beside if os.path.splitext(each)[0] == name]
    close = stems or difflib.get_close_matches(name, beside, 1, 0.75)
    return f". Did you mean '{os.path.join(directory, close[0])}'?" if close and close[0] != name else ""


def _anchor(document: dict[str, Any], directory: str, home: str) -> None:
    """Make the workflow's directory absolute, and `~` in its workers' directories and outputs the caller's."""
    from wattle.definition.paths import absolute

    def at_home(path: str) -> str:
        return absolute(path, directory, home) if path == "~" or path.startswith("~/") else path

    for field in ("working_dir", "env_file"):
        if document.get(field):
            document[field] = absolute(document[field], directory, home)
    for worker in document["workers"]:
        if worker.get("env_file"):
            worker["env_file"] = at_home(worker["env_file"])
        if worker.get("working_dir"):
            worker["working_dir"] = at_home(worker["working_dir"])
        for name, output in (worker.get("outputs") or {}).items():
            if isinstance(output, dict):
                output["path"] = at_home(output["path"])
            else:
                worker["outputs"][name] = at_home(output)
