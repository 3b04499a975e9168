"""Commands of other tools become commands of a worker.

A tool that runs a command by a shell of its own keeps that shell, unless the command needs none. What a tool
expands before it starts anything (`$HOME` in the value of a variable) the shell of the worker expands instead: in
lines before the command.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from wattle.definition.command import direct_words, why_not_command

_EXPANDED = re.compile(r"[$`]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IN_DOUBLE_QUOTES = re.compile(r'(["\\])')


def literal(text: str) -> str:
    """`${{` begins a placeholder of ours; `$${{` is the text."""
    return text.replace("${{", "$${{")


def is_expanded(text: str) -> bool:
    """A tool that knows variables would put something in its place."""
    return _EXPANDED.search(text) is not None


def double_quoted(text: str) -> str:
    """For a shell, which expands variables and command substitutions in it and nothing else."""
    return '"' + _IN_DOUBLE_QUOTES.sub(r"\\\1", text) + '"'


def exports(variables: Mapping[str, str]) -> list[str]:
    """Lines that set variables, values expanded; names that no shell takes are passed over."""
    return [f"export {name}={double_quoted(value)}" for name, value in variables.items() if _NAME.fullmatch(name)]


def command_of(text: str, shell: Sequence[str] = ("bash", "-c"), before: Sequence[str] = ()) -> dict[str, Any]:
    """`command`, and `args` where a shell of its own is needed. `before` are lines to run first."""
    text = text.strip("\n")
    if not before and text.strip() and why_not_command(text) is None and direct_words(text, has_args=False):
        return {"command": literal(text)}
    script = "\n".join([*before, text])
    if tuple(shell) in (("sh", "-c"), ("/bin/sh", "-c")) and why_not_command(script) is None:
        return {"command": literal(script)}
    return {"command": literal(shlex.join(shell)), "args": [literal(script)]}


def split_variables(variables: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Those whose values stand as they are, and those that a shell has to expand."""
    plain = {name: literal(value) for name, value in variables.items() if not is_expanded(value)}
    return plain, {name: value for name, value in variables.items() if name not in plain}


def stays_up(names: Sequence[str]) -> dict[str, Any]:
    """A task that does nothing until it is stopped: as long as it runs, services without consumers do."""
    name = "stay-up"
    while name in names:
        name += "~"
    return {"name": name, "command": "sleep infinity", "stop": {"grace_seconds": 1}}
