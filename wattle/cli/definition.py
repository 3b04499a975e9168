"""A definition FILE, JSON or YAML: read, checked against everything Wattle asks of one, made ready to be sent.

It is checked here as well as by the server, because only here its text is known, and with it the place of
every problem. Directories that are relative, or begin with `~`, mean the file's directory and the caller's
home (as for compose and make), so they are absolute when they leave.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import click

from wattle.config import Config
from wattle.errors import Invalid, Malformed, Problem, TooLarge, WattleError

if TYPE_CHECKING:
    from wattle.definition.model import Param, Workflow

MAX_BYTES = 64 * 1024 * 1024
STDIN = "-"


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


def read_definition(path: str, config: Config) -> Definition:
    """The definition in the file `path` (`-`: standard input).

    Raises Malformed, Invalid or TooLarge with every problem in `details`; a file that cannot be read is a
    mistake of usage.
    """
    label, data = label_of(path), _read(path)
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


def problem_lines(label: str, problems: Iterable[Problem], lang: str = "en") -> list[str]:
    """`file:line:column: message (suggestion)`, the form that editors jump from."""
    return [_problem_line(label, problem, lang) for problem in problems]


def checked(path: str, config: Config, say: Callable[[str], None]) -> Definition:
    """`read_definition` for verbs that go on with it: says every problem, and ends the command where there is one."""
    try:
        return read_definition(path, config)
    except (Malformed, Invalid, TooLarge) as error:
        from wattle.cli.exits import exit_of

        for line in problem_lines(label_of(path), problems_of(error), config.lang):
            say(line)
        raise click.exceptions.Exit(exit_of(error)) from None


def _problem_line(label: str, problem: Problem, lang: str) -> str:
    place = label if problem.line is None else f"{label}:{problem.line}:{problem.column}"
    message = problem.zh if lang == "zh" and problem.zh else problem.message
    hint = problem.suggestion
    return f"{place}: {message}" + (f" ({hint})" if hint and hint not in message else "")


def _read(path: str) -> bytes:
    """At most a byte more than may be: what is longer is refused by its length."""
    try:
        if path == STDIN:
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from None


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
