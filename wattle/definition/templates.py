"""The placeholders in a worker's command, arguments and variables, ready to be filled in for each attempt.

A command that is executed directly is split first and filled in afterwards, so that no value becomes several
words. In a command for sh each placeholder becomes a reference to a variable, written as the quotes around it
ask for: a value is never a part of a script.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from wattle.definition.command import plan_command
from wattle.definition.model import Placeholder, Template, Templates
from wattle.definition.names import variable_name
from wattle.definition.placeholders import OPENING, Scope, read_template, used
from wattle.definition.places import Path
from wattle.definition.problems import Problems, Stage
from wattle.definition.shell import Where, places_of
from wattle.errors import Invalid

if TYPE_CHECKING:
    from wattle.definition.schema import WorkerDocument

_SHELLS = "sh|bash|dash|ash|ksh|mksh|zsh"
_SHELL = re.compile(rf"(?:.*/)?(?:{_SHELLS})", re.DOTALL)
_SCRIPT_OPTION = re.compile(r"-[A-Za-z]*c[A-Za-z]*")
_VALUE_OPTION = re.compile(r"[-+][A-Za-z]*[oO]|--(?:rcfile|init-file)")
_WORD = r"""(?:"(?:[^"\\]|\\.)*+"|'[^']*+'|\\.|[^\s"'\\;&|()<>])++"""
_SCRIPT_WITHIN = re.compile(
    rf"(?:^|(?<=[\s;&|(`/]))(?:(?P<shell>{_SHELLS})(?P<options>(?:[ \t]+[-+](?:\w*[oO][ \t]+\w+|[\w-]*))+)"
    rf"[ \t]+(?P<script>{_WORD})|eval(?P<evaluated>(?:[ \t]+{_WORD})+))",
    re.DOTALL,
)
_NO_SCRIPT = "give the command without the shell, or use the variable that the value is in (`$WATTLE_PARAM_X`)"


def has_placeholders(model: "WorkerDocument") -> bool:
    """Does a text of the worker, output paths aside, hold the beginning of one."""
    return (
        OPENING in model.command
        or (bool(model.args) and any(OPENING in arg for arg in model.args or ()))
        or (bool(model.env_vars) and any(OPENING in value for value in (model.env_vars or {}).values()))
    )


def read_templates(
    name: str, model: "WorkerDocument", scope: Scope, at: Path, problems: Problems
) -> tuple[Templates, bool]:
    """The templates of a worker, and whether its command is executed directly."""

    known = len(problems)

    def complain_at(stage: Stage, *path: str | int) -> Callable[[str, str | None], None]:
        def complain(message: str, suggestion: str | None) -> None:
            problems.add(stage, (*at, *path), f"worker '{name}': '{_spoken(path)}' {message}", suggestion=suggestion)

        return complain

    command = read_template(model.command, scope, complain_at(Stage.VALUE, "command"))
    args = [
        read_template(arg, scope, complain_at(Stage.VALUE, "args", position))
        for position, arg in enumerate(model.args or ())
    ]
    env_vars = {
        variable: read_template(value, scope, complain_at(Stage.VALUE, "env_vars", variable))
        for variable, value in (model.env_vars or {}).items()
        if OPENING in value
    }
    if len(problems) > known:
        return Templates((), env_vars), False
    refuse = complain_at(Stage.COMMAND, "command")
    try:
        argv, direct, variables = _planned(command, args, scope, refuse)
    except Invalid as error:
        problems.add(Stage.COMMAND, (*at, "command"), f"worker '{name}': {error.message}")
        return Templates((), env_vars), False
    return Templates(argv, env_vars, variables), direct


def _planned(
    command: Template, args: Sequence[Template], scope: Scope, refuse: Callable[[str, str | None], None]
) -> tuple[tuple[Template, ...], bool, Mapping[str, Placeholder]]:
    placeholders = used(command)
    mark = _mark_for(command)
    marked = "".join(part if isinstance(part, str) else mark for part in command)
    plan = plan_command(marked, [""] * len(args))
    words = plan.argv[: len(plan.argv) - len(args)]
    where = places_of(marked, mark)
    if plan.direct:
        if Where.ESCAPED in where:
            refuse(f"{Where.ESCAPED.reason} before a placeholder", "write `$${{` for the text")
        argv = (*_split_at(words, mark, iter(placeholders)), *args)
        if found := _script_of_shell(argv):
            refuse(f"would make a value a part of the script that '{found[0]}' gets as argument {found[1]}", _NO_SCRIPT)
        return argv, True, {}
    if shell := _script_within(marked, mark):
        refuse(f"would make a value a part of the script that '{shell}' gets", _NO_SCRIPT)
        return (), False, {}
    variables = _variables(placeholders, scope)
    references = [_reference(variables[each], place, each, refuse) for each, place in zip(placeholders, where)]
    script = _with_references(words[2], mark, references)
    return (*((word,) for word in words[:2]), (script,), *((word,) for word in words[3:]), *args), False, {
        variable: placeholder for placeholder, variable in variables.items()
    }


def _mark_for(command: Template) -> str:
    """A character that the command does not have."""
    taken = set("".join(part for part in command if isinstance(part, str)))
    private_use = range(0xE000, 0xF8FF), range(0xF0000, 0xFFFFD)  # plain words, to sh and to us
    return next(character for character in map(chr, chain(*private_use)) if character not in taken)


def _split_at(words: Sequence[str], mark: str, placeholders: Iterator[Placeholder]) -> list[Template]:
    templates = []
    for word in words:
        parts: list[str | Placeholder] = []
        for position, text in enumerate(word.split(mark)):
            if position:
                parts.append(next(placeholders))
            if text:
                parts.append(text)
        templates.append(tuple(parts))
    return templates


def _with_references(script: str, mark: str, references: Sequence[str]) -> str:
    texts = script.split(mark)
    return texts[0] + "".join(reference + text for reference, text in zip(references, texts[1:]))


def _variables(placeholders: Sequence[Placeholder], scope: Scope) -> dict[Placeholder, str]:
    """The documented variable of each, one of its own (`WATTLE_P0`, …) where another name has the same."""
    variables: dict[Placeholder, str] = {}
    for placeholder in placeholders:
        if placeholder in variables:
            continue
        wanted = variable_name(placeholder.name)
        names = scope.names[placeholder.kind] or ()
        if placeholder.kind == "run":
            variables[placeholder] = "WATTLE_RUN_ID"
        elif sum(variable_name(each) == wanted for each in names) > 1:
            variables[placeholder] = f"WATTLE_P{len(variables)}"
        else:
            variables[placeholder] = f"WATTLE_{placeholder.kind[:-1].upper()}_{wanted}"
    return variables


def _reference(
    variable: str, place: Where, placeholder: Placeholder, refuse: Callable[[str, str | None], None]
) -> str:
    if place.reason is None:
        return {Where.PLAIN: f'"${variable}"', Where.DOUBLE: f"${{{variable}}}"}.get(place, f"${variable}")
    hint = {
        Where.SINGLE: "use double quotes",
        Where.QUOTED_HERE: "leave the quotes of the delimiter away",
        Where.ESCAPED: "write `$${{` for the text",
    }.get(place, f'use the variable itself: `"${variable}"`')
    refuse(f"has '{placeholder}', which {place.reason}", hint)
    return ""


def _script_of_shell(argv: Sequence[Template]) -> tuple[str, int] | None:
    """A shell, whether it comes first or behind `env`, `timeout 9` and the like, and the position of its script where
    that holds a placeholder."""
    for at, word in enumerate(argv):
        shell = _literal(word)
        if _SHELL.fullmatch(shell) and (position := _script_behind(argv, at)):
            return shell, position
    return None


def _script_behind(argv: Sequence[Template], shell: int) -> int:
    """With `-c` among its options, its script is the first word that is none."""
    at, has_script = shell + 1, False
    while at < len(argv) and (text := _literal(argv[at]))[:1] in ("-", "+") and text not in ("-", "--"):
        has_script |= _SCRIPT_OPTION.fullmatch(text) is not None
        at += 2 if _VALUE_OPTION.fullmatch(text) else 1
    at += at < len(argv) and _literal(argv[at]) in ("-", "--")
    return at if has_script and at < len(argv) and used(argv[at]) else 0


def _literal(word: Template) -> str:
    """The text of a word without placeholders, else nothing."""
    return word[0] if len(word) == 1 and isinstance(word[0], str) else ""


def _script_within(script: str, mark: str) -> str | None:
    """What in a script for sh would take the mark as a part of a script of its own."""
    for match in _SCRIPT_WITHIN.finditer(script):
        if match["shell"] is None:
            if mark in match["evaluated"]:
                return "eval"
        elif mark in match["script"] and any(map(_SCRIPT_OPTION.fullmatch, match["options"].split())):
            return match["shell"]
    return None


def _spoken(path: tuple[str | int, ...]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")
