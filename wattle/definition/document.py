"""Bytes to JSON values, strictly: what the documents allow and nothing that breaks further in.

Refused, each with its place: what is not UTF-8, byte order marks, NaN and infinities, duplicate keys, lone
surrogates, NUL in strings, integers beyond 64 bits, deep nesting, too many values. Never raises anything
but `Malformed` and `TooLarge`. The C scanner does the reading; what it does not check is checked on the
bytes in a few C-speed passes before it (5 MB: about 25 ms); places are searched for only after a failure.
"""

import json
import math
import re
from array import array
from itertools import accumulate
from typing import NoReturn

from wattle.definition.places import DEEPEST, Lines, LivePath, Path, path_at, pointer, positions, walk
from wattle.definition.problems import shown
from wattle.errors import Malformed, Problem, TooLarge

__all__ = ["parse_json", "positions"]

MAX_VALUES = 2_000_000
MAX_DEPTH = DEEPEST
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1

_STRUCTURE = bytes(set(range(256)) - set(b'"[]{},'))
_STEP = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_json(data: bytes, *, max_bytes: int, max_values: int = MAX_VALUES, max_depth: int = MAX_DEPTH) -> object:
    """The value that `data` holds; Malformed `INVALID_JSON` with one located Problem, TooLarge `BODY_TOO_LARGE`.

    `max_values` counts values and containers (an empty array counts twice).
    """
    if len(data) > max_bytes:
        raise TooLarge("BODY_TOO_LARGE", f"The body has {len(data)} bytes; the limit is {max_bytes} bytes")
    text = _decode(data)
    _check_bytes(data, text, max_values, max_depth)
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        _refuse(text, error.pos, f"{error.msg[0].lower()}{error.msg[1:]}")
    except _Unacceptable:
        _refuse_first_unacceptable(text)
    except RecursionError:  # the caller's own stack was nearly full
        _refuse(text, 0, "it is nested too deeply")


class _Unacceptable(Exception):
    """Raised by the hooks below: JSON, but not for us."""


def _decode(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:4]:
        _refuse("", 0, "the body is UTF-16 or UTF-32; send UTF-8")
    if data.startswith(b"\xef\xbb\xbf"):
        _refuse("", 0, "the body begins with a byte order mark; send UTF-8 without one")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        _refuse(before, len(before), f"byte 0x{data[error.start]:02x} at offset {error.start} is not UTF-8")
    if not text.strip(" \t\r\n"):
        _refuse("", 0, "the body is empty")
    return text


def _check_bytes(data: bytes, text: str, max_values: int, max_depth: int) -> None:
    """What can be seen without parsing: NUL, lone surrogates, nesting, number of values.

    Escaped backslashes and quotes are blanked first (same length, so that offsets stay); what is then left
    of a `"` begins or ends a string and what is left of a `\\u` is an escape.
    """
    if b"\\" in data:
        data = data.replace(b"\\\\", b"__").replace(b'\\"', b"__")
        if (at := data.find(b"\\u0000")) >= 0:
            _refuse_escape(data, text, at, "a string holds NUL (\\u0000)")
        if _SURROGATE.search(data) and (lone := _SURROGATE.search(_PAIR.sub(b"_" * 12, data))):
            _refuse_escape(data, text, lone.start(), "a string holds half of a surrogate pair")
    structure = b"".join(data.translate(None, _STRUCTURE).split(b'"')[::2])
    brackets = structure.replace(b",", b"")
    steps = array("b", brackets.translate(_STEP))
    if max(accumulate(steps), default=0) > max_depth:
        _refuse_depth(text, max_depth)
    if 1 + structure.count(b",") + steps.count(1) > max_values:
        _refuse("", 0, f"it holds more than {max_values} values")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Unacceptable
    return members


def _integer(digits: str) -> int:
    # int() refuses more than 4,300 digits with a ValueError of its own
    if len(digits) > 20 or not _SMALLEST <= (value := int(digits)) <= _LARGEST:
        raise _Unacceptable
    return value


def _number(digits: str) -> float:
    if math.isinf(value := float(digits)):
        raise _Unacceptable
    return value


def _constant(word: str) -> NoReturn:
    raise _Unacceptable


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_number, parse_constant=_constant
)


def _refuse_first_unacceptable(text: str) -> NoReturn:
    """Find what a hook refused, by the walk of places."""
    keys: list[set[object]] = [set() for _ in range(DEEPEST + 1)]  # of the open object at each depth
    for offset, token, is_key, path in walk(text):
        if is_key:
            seen = keys[len(path) - 1]
            if path[-1] in seen:
                _refuse(text, offset, f"the key {_quoted(path[-1])} stands twice in one object", path)
            seen.add(path[-1])
        elif token == "{":
            keys[len(path)] = set()
        elif token in ("NaN", "Infinity", "-Infinity"):
            _refuse(text, offset, f"{token} is not a JSON number", path)
        elif token[0] in "-0123456789" and (reason := _number_problem(token)):
            _refuse(text, offset, reason, path)
    _refuse(text, 0, "it holds a number or a key that is not allowed")


def _number_problem(token: str) -> str | None:
    try:
        if re.fullmatch(r"-?[0-9]+", token):
            _integer(token)
        else:
            _number(token)
    except _Unacceptable:
        return f"the number {_quoted(token)} is beyond the range of 64 bits"
    except ValueError:  # not a number at all; the decoder had stopped before it
        return None
    return None


def _quoted(value: object) -> str:
    return f"'{shown(str(value), 60)}'"


def _refuse_escape(data: bytes, text: str, at: int, reason: str) -> NoReturn:
    # blanking keeps lengths in bytes; count the characters before the escape
    _refuse(text, len(data[:at].decode("utf-8", "ignore")), reason)


def _refuse_depth(text: str, max_depth: int) -> NoReturn:
    offset = 0
    for offset, _, _, _ in walk(text, deepest=max_depth):  # noqa: B007  # the last one is it
        pass
    _refuse(text, offset, f"it is nested deeper than {max_depth} levels")


def _refuse(text: str, offset: int, reason: str, path: Path | LivePath | None = None) -> NoReturn:
    line, column = Lines(text).at(offset)
    message = f"The body is not acceptable JSON: {reason} (line {line}, column {column})"
    problem = Problem(
        "INVALID_JSON", message, pointer(path_at(text, offset) if path is None else path), line=line, column=column
    )
    raise Malformed("INVALID_JSON", message, details=[problem])
