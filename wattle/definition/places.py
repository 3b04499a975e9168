"""Where in a JSON text a value stands: used only for documents that have problems.

A tolerant scanner of tokens, without recursion and linear in the text, so that it also serves texts which
are not valid JSON: it reports what stands before the fault. A path is a tuple of object keys (str) and
array indexes (int); a pointer is its RFC 6901 form. Lines and columns count characters, from 1.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping

Path = tuple[str | int, ...]

DEEPEST = 64
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[{}\[\]:,]|[^ \t\r\n{}\[\]:,"]++', re.DOTALL)


LivePath = list[str | int | None]  # changed by the next step of the walk; None: a key not yet read


def pointer(path: Path | LivePath) -> str:
    """RFC 6901. A key still unknown (None) ends the pointer; lone surrogates become `?`."""
    parts = []
    for part in path:
        if part is None:
            break
        parts.append("/" + str(part).replace("~", "~0").replace("/", "~1"))
    return "".join(parts).encode("utf-8", "replace").decode()


def walk(text: str, *, end: int | None = None, deepest: int = DEEPEST) -> Iterator[tuple[int, str, bool, LivePath]]:
    """Every key and every value's beginning before `end`, in order, as (offset, token, is a key, path).

    Stops before what nests deeper than `deepest`.
    """
    path: LivePath = []
    containers: list[str] = []
    at_key = False
    for match in _TOKEN.finditer(text, 0, len(text) if end is None else end):
        token = match.group()
        if token == ",":
            at_key = bool(containers) and containers[-1] == "{"
            if containers and not at_key:
                path[-1] += 1  # type: ignore[operator]  # an array's last path part is its index
        elif token in ("}", "]"):
            if containers:
                containers.pop()
                path.pop()
            at_key = False
        elif token == ":":
            at_key = False
        elif at_key:
            path[-1] = _decoded(token)
            yield match.start(), token, True, path
        else:
            yield match.start(), token, False, path
            if token in ("{", "["):
                if len(containers) >= deepest:
                    return
                at_key = token == "{"
                containers.append(token)
                path.append(None if at_key else 0)


def _decoded(token: str) -> str:
    try:
        return str(json.loads(token, strict=False))
    except ValueError:
        return token.strip('"')


class Lines:
    """Offsets of a text as (line, column); asked in ascending order."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._offset, self._line = 0, 1

    def at(self, offset: int) -> tuple[int, int]:
        self._line += self._text.count("\n", self._offset, offset)
        self._offset = offset
        return self._line, offset - self._text.rfind("\n", 0, offset)


def positions(text: str) -> Mapping[str, tuple[int, int]]:
    """`{pointer: (line, column)}` of every value's first character in `text`."""
    lines = Lines(text)
    return {pointer(path): lines.at(offset) for offset, _, is_key, path in walk(text) if not is_key}


def locate(text: str, wanted: Collection[Path]) -> Mapping[Path, tuple[int, int]]:
    """The places of the wanted paths; for one that does not exist, that of its nearest container."""
    sought = {path[:length] for path in wanted for length in range(len(path) + 1)}
    found: dict[Path, tuple[int, int]] = {}
    lines = Lines(text)
    for offset, _, is_key, live in walk(text):
        if not is_key and (path := tuple(live)) in sought:
            found[path] = lines.at(offset)  # type: ignore[index]  # a value's path has no unknown key
            if len(found) == len(sought):
                break
    nearest = {}
    for path in wanted:
        places = (found.get(path[:length]) for length in range(len(path), -1, -1))
        if place := next(filter(None, places), None):
            nearest[path] = place
    return nearest


def path_at(text: str, offset: int) -> Path:
    """The path of the value that is being read at `offset`."""
    path: LivePath = []
    for _, _, _, live in walk(text, end=offset + 1):
        path = list(live)
    return tuple(part for part in path if part is not None)
