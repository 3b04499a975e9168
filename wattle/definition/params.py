"""The values that a run is started with: what is declared, what was given, and what becomes of both.

Types are strict: `"7"` is no integer. Together the values have at most LIMIT_BYTES as JSON.
"""

import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from wattle.definition.model import Param
from wattle.definition.places import pointer
from wattle.definition.problems import Problems, it_is, shown
from wattle.errors import Invalid, Malformed, Problem

CODE = "INVALID_PARAMS"
LIMIT_BYTES = 64 * 1024
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_MOST_DETAILS = 100
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def why_not_value(kind: str, value: Any) -> str | None:
    """Why a value is not of the type `kind`, worded to follow its name; None where it is."""
    match kind:
        case "string":
            if not isinstance(value, str):
                return f"must be a string{it_is(value)}"
            return "must not hold NUL" if "\0" in value else None
        case "integer":
            if isinstance(value, bool) or not isinstance(value, int):
                return f"must be an integer{it_is(value)}"
            return None if _SMALLEST <= value <= _LARGEST else "is beyond the range of 64 bits"
        case "number":
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                return f"must be a number{it_is(value)}"
            return None if math.isfinite(value) else "must be finite"
        case "boolean":
            return None if isinstance(value, bool) else f"must be true or false{it_is(value)}"
    return None


def bind(declared: Mapping[str, Param], given: Mapping[str, Any]) -> dict[str, Any]:
    """`{name: value}` for every declared param, in order; Invalid `INVALID_PARAMS` with every problem in `details`."""
    problems: list[Problem] = []

    def complain(name: str, message: str, suggestion: str | None = None) -> None:
        if len(problems) < _MOST_DETAILS:
            problems.append(Problem(CODE, message, pointer(("params", shown(name))), suggestion))

    for name in given:
        if name not in declared:
            hint = Problems().did_you_mean(name, declared)
            known = f"it has {', '.join(map(shown, declared))}" if declared else "the workflow declares no params"
            complain(name, f"param '{shown(name)}' does not exist: {shown(known, 1000)}", hint)
    values: dict[str, Any] = {}
    for name, param in declared.items():
        if given.get(name) is None and not (name in given and param.type == "json"):
            values[name] = param.default
            if param.required:
                complain(name, f"param '{shown(name)}' is missing: it is required ({param.type})")
        elif reason := why_not_value(param.type, given[name]):
            complain(name, f"param '{shown(name)}' {reason}")
        else:
            values[name] = given[name]
    if not problems and (size := len(as_json(values).encode("utf-8", "surrogatepass"))) > LIMIT_BYTES:
        problems.append(Problem(CODE, f"the params have {size} bytes together; the limit is {LIMIT_BYTES}", "/params"))
    if problems:
        raise Invalid(CODE, problems[0].message, details=problems)
    return values


def as_json(values: Mapping[str, Any]) -> str:
    """As they are stored with a run."""
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def text_of(value: Any) -> str:
    """What a command sees of a value: a string as it is, null as nothing, everything else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def from_texts(types: Mapping[str, str], given: Collection[str]) -> dict[str, Any]:
    """`["name=text", …]` by the declared types `{name: type}`; ValueError says what is wrong with the first bad one.

    Names that are not declared are taken as strings: the server says that they do not exist.
    """
    values: dict[str, Any] = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name:
            raise ValueError(f"'{shown(each, 60)}' is not NAME=VALUE")
        kind = types.get(name, "string")
        try:
            values[name] = _READERS[kind](text)
        except ValueError:
            raise ValueError(f"param '{shown(name)}' must be {_SPOKEN[kind]}; it is '{shown(text, 60)}'") from None
    return values


def _string(text: str) -> str:
    text.encode()  # what came as an argument of bytes that are no UTF-8 holds surrogates
    return text


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text) or not _SMALLEST <= (value := int(text)) <= _LARGEST:
        raise ValueError
    return value


def _number(text: str) -> float:
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if not _NUMBER.fullmatch(text) or math.isinf(value := float(text)):
        raise ValueError
    return value


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text] if text in ("true", "false") else _refuse()


def _json(text: str) -> Any:
    from wattle.definition.document import parse_json

    try:
        return parse_json(text.encode("utf-8", "surrogatepass"), max_bytes=1 << 20)
    except Malformed:
        return _refuse()


def _refuse() -> Any:
    raise ValueError


_SPOKEN = {
    "string": "a text in UTF-8", "integer": "an integer", "number": "a number", "boolean": "true or false",
    "json": "JSON",
}  # fmt: skip
_READERS: Mapping[str, Callable[[str], Any]] = {
    "string": _string, "integer": _integer, "number": _number, "boolean": _boolean, "json": _json,
}  # fmt: skip
