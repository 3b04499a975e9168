"""The text of an `env_file`: `NAME=value` lines, as docker compose writes them.

`#` begins a comment at the beginning of a line or after a blank; `export ` before a name is passed over. In
single quotes everything is itself, in double quotes a backslash makes `n`, `r`, `t` the characters of that name and
`"`, `$`, itself literal; both may span lines. Nothing is expanded: `$HOME` in it is that text.
"""

import re

from wattle.definition.names import is_wattles_variable, why_not_variable
from wattle.definition.problems import shown

LIMIT_BYTES = 1024 * 1024
_ASSIGNMENT = re.compile(r"[ \t]*(?:export[ \t]+)?(?P<name>[^\s=#\"']+)[ \t]*=")
_BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_UNQUOTED = re.compile(r"[^\n]*")
_BLANKS = re.compile(r"[ \t]*")
_COMMENT = re.compile(r"[ \t]#.*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def parse_env(text: str) -> dict[str, str]:
    """The variables; of a name that stands twice the last. ValueError says in which line what is wrong."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    variables: dict[str, str] = {}
    at = 0
    while at < len(text):
        if blank := _BLANK.match(text, at):
            at = blank.end()
            if at == len(text):
                break
            continue
        found = _ASSIGNMENT.match(text, at)
        if found is None:
            raise ValueError(_said(text, at, "is not NAME=value"))
        name = found["name"]
        if reason := why_not_variable(name):
            raise ValueError(_said(text, at, f"has a name that {reason}"))
        if is_wattles_variable(name):
            raise ValueError(_said(text, at, f"sets {shown(name)}, which Wattle sets"))
        variables[name], at = _value(text, found.end())
    return variables


def _value(text: str, at: int) -> tuple[str, int]:
    """The value behind the `=` that ends there, and where the next line begins."""
    line = _UNQUOTED.match(text, at)
    blanks = _BLANKS.match(text, at)
    assert line is not None and blanks is not None  # both match nothing, too
    quote = text[blanks.end() : blanks.end() + 1]
    if quote in ("'", '"') and quote:
        at = blanks.end()
        found = (_SINGLE if quote == "'" else _DOUBLE).match(text, at)
        if found is None:
            raise ValueError(_said(text, at, f"has a {quote} that is not closed"))
        rest = _BLANK.match(text, found.end())
        if rest is None:
            raise ValueError(_said(text, found.end(), "has something behind the closing quote"))
        value = found[1] if quote == "'" else _ESCAPE.sub(_escaped, found[1])
        end = rest.end()
    else:
        value, end = _COMMENT.sub("", line[0], count=1).strip(" \t\r"), line.end() + 1
    if "\0" in value:
        raise ValueError(_said(text, at, "holds NUL"))
    return value, end


def _escaped(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[1], match[1] if match[1] in '"\\$\n' else match[0])


def _said(text: str, at: int, what: str) -> str:
    return f"line {text.count(chr(10), 0, at) + 1} {what}"
