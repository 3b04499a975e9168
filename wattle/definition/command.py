"""What to execute for a `command`: the same result as `/bin/sh -c` gives, without sh where it adds nothing.

A command that uses nothing of the shell (see `_WORD`: plain words, quotes and backslashes) is split here and
executed directly; everything else goes to sh unchanged. The split is our own, not shlex: shlex keeps the
backslash of `"\\$"`, splits at carriage returns and knows nothing of what sh would do with `*`, `~` or `A=1`.
In doubt sh decides: its being asked costs half a millisecond, a wrong split costs a wrong command.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from wattle.errors import Invalid, Problem

CODE = "INVALID_COMMAND"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Reserved words of POSIX sh, dash and bash.
_KEYWORDS = _words("! { } [[ ]] case coproc do done elif else esac fi for function if in select then time until while")
# Special builtins and builtins of POSIX, dash, and bash when it is sh.
_BUILTINS = _words(
    """. : [ alias bg bind break builtin caller cd chdir command compgen complete compopt continue declare dirs
    disown echo enable eval exec exit export false fc fg getopts hash help history jobs kill let local logout
    mapfile newgrp popd printf pushd pwd read readarray readonly return set shift shopt source suspend test
    times trap true type typeset ulimit umask unalias unset wait"""
)
# Builtins that do the same as the utility of the same name, as long as there are no arguments.
_SAME_OUTSIDE = frozenset({"true", "false"})

_QUOTED_SINGLE = r"'[^']*+'"
_QUOTED_DOUBLE = r'"(?:[^"\\$`]|\\.)*+"'
_PLAIN = r"[A-Za-z0-9_./:@%+,=^!\-\u00a1-\ud7ff\ue000-\U0010ffff]++"
_WORD = re.compile(rf"(?:{_PLAIN}|{_QUOTED_SINGLE}|{_QUOTED_DOUBLE}|\\[^\n])++", re.DOTALL)
_SIMPLE = re.compile(r"[A-Za-z0-9_./:@%+,=^!\- \t]++")
_COMMAND = re.compile(rf"[ \t]*+{_WORD.pattern}(?:[ \t]++{_WORD.pattern})*+[ \t]*+", re.DOTALL)
_QUOTING = re.compile(r"""['"\\]""")
_PIECE = re.compile(rf"({_PLAIN})|({_QUOTED_SINGLE})|({_QUOTED_DOUBLE})|\\(.)", re.DOTALL)
_ESCAPE_IN_DOUBLE = re.compile(r'\\([$`"\\]|\n)')

_BALANCED = re.compile(r"""(?:[^'"\\]++|\\.|\\\Z|'[^']*+'|"(?:[^"\\]|\\.)*+")*+""", re.DOTALL)
# Where these stand, quotes nest or do not count, and only sh can say whether they are balanced.
_ONLY_SH_KNOWS = re.compile(r"<<|(?:\A|[\s;&|()])#|\$[({']|`")


@dataclass(frozen=True, slots=True)
class CommandPlan:
    """`argv` to execute; with `direct` its first word is looked up in the worker's PATH, else it is /bin/sh."""

    argv: tuple[str, ...]
    direct: bool


def plan_command(command: str, args: Sequence[str] | None = None) -> CommandPlan:
    """What executes `command` with `args` as further arguments; Invalid `INVALID_COMMAND` where nothing can."""
    if reason := why_not_command(command):
        raise Invalid(CODE, reason, details=[Problem(CODE, reason, "")])
    if words := direct_words(command, has_args=bool(args)):
        return CommandPlan((*words, *(args or ())), direct=True)
    if not args:
        return CommandPlan(("/bin/sh", "-c", command), direct=False)
    return CommandPlan(("/bin/sh", "-c", f'{_ended(command)} "$@"', "sh", *args), direct=False)


def why_not_command(command: str) -> str | None:
    """Why sh itself would refuse `command` before running anything, as far as quotes tell; else None."""
    if not command.strip(" \t\n"):
        return "the command is empty"
    if "'" not in command and '"' not in command:
        return None
    if _BALANCED.fullmatch(command) or _ONLY_SH_KNOWS.search(command):
        return None
    return "the command has a quote that is not closed"


def direct_words(command: str, *, has_args: bool) -> list[str] | None:
    """The words of a command that needs no shell; None for one that does (or may)."""
    command = command.strip(" \t\n") if command[-1] != "\\" else command
    if _SIMPLE.fullmatch(command):
        words = command.split()
        head = words[0]
    elif _COMMAND.fullmatch(command):
        raw = _WORD.findall(command)
        words = [_unquoted(word) if _QUOTING.search(word) else word for word in raw]
        head = raw[0]
    else:
        return None
    first = words[0]
    if not first or first[0] in "-+%" or "=" in head or first in _KEYWORDS:
        return None
    if first in _BUILTINS and (first not in _SAME_OUTSIDE or len(words) > 1 or has_args):
        return None
    return words


def _unquoted(word: str) -> str:
    pieces = []
    for plain, single, double, escaped in _PIECE.findall(word):
        if double:
            pieces.append(_ESCAPE_IN_DOUBLE.sub(lambda match: match[1].strip("\n"), double[1:-1]))
        else:
            pieces.append(plain or single[1:-1] or escaped)
    return "".join(pieces)


def _ended(command: str) -> str:
    """Without the newlines at its end, after which `"$@"` would be a command of its own."""
    stripped = command.rstrip("\n")
    return command if stripped.endswith("\\") or "<<" in command else stripped
