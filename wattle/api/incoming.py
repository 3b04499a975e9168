"""What comes in beside the query: names in the path, JSON bodies, the idempotency key."""

import re
from typing import Any

from flask import request
from werkzeug.exceptions import NotFound
from werkzeug.routing import BaseConverter

from wattle.api.guard import BODY_BYTES
from wattle.definition.document import parse_json
from wattle.definition.names import LONGEST_CHARACTERS, nfc
from wattle.definition.places import pointer
from wattle.definition.problems import it_is, shown
from wattle.definition.signals import parse_signal
from wattle.errors import Malformed, Problem

_MOST_DETAILS = 100
_KEY = re.compile(r"[!-~]{1,200}", re.ASCII)


class Name(BaseConverter):
    """A workflow's or worker's name in the path, in its stored form (NFC). What no name can be is not found.

    NotFound and not ValidationError: that would be 405 where another method has the same path.
    """

    def to_python(self, value: str) -> str:
        name = nfc(value)
        if "\0" in name or len(name) > LONGEST_CHARACTERS:
            raise NotFound
        return name


def json_object(*fields: str) -> dict[str, Any]:
    """The optional body: an object with none but these fields; `{}` where there is no body."""
    body = request.get_data(cache=False)
    if not body:
        return {}
    value = parse_json(body, max_bytes=BODY_BYTES)
    if not isinstance(value, dict):
        raise Malformed("VALIDATION_ERROR", "The body must be a JSON object")
    unknown = [_unknown(field, fields) for field in value if field not in fields]
    if unknown:
        unknown = unknown[:_MOST_DETAILS]
        raise Malformed("VALIDATION_ERROR", unknown[0].message, details=unknown)
    return value


def params() -> dict[str, Any]:
    """`{"params": {...}}` of a start; null is as good as absent."""
    return _params(json_object("params"))


def start() -> tuple[dict[str, Any], list[str], list[str]]:
    """The body of a workflow's start: params, `only` and `from` (lists of workers' names, empty where absent)."""
    body = json_object("params", "only", "from")
    return _params(body), _names(body, "only"), _names(body, "from")


def signal() -> tuple[int, str]:
    """The body of a signal: `{"signal": name or number, "scope": "tree"|"leader"}`, as (number, scope)."""
    body = json_object("signal", "scope")
    scope = body.get("scope", "tree")
    if "signal" not in body or scope not in ("tree", "leader"):
        field, message = "signal", 'The body must name the signal: {"signal": "HUP"}'
        if "signal" in body:
            field, message = "scope", f"scope must be tree or leader{it_is(scope)}"
        raise Malformed("VALIDATION_ERROR", message, details=[Problem("VALIDATION_ERROR", message, f"/{field}")])
    try:
        return parse_signal(body["signal"]), scope
    except ValueError as error:
        message = str(error)[0].upper() + str(error)[1:]
        raise Malformed("UNKNOWN_SIGNAL", message, details=[Problem("UNKNOWN_SIGNAL", message, "/signal")]) from None


def _names(body: dict[str, Any], field: str) -> list[str]:
    value = body.get(field)
    if value is None:
        return []
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        message = f'{field} must be a list of names of workers: ["name"]'
        raise Malformed("VALIDATION_ERROR", message, details=[Problem("VALIDATION_ERROR", message, f"/{field}")])
    return [nfc(name) for name in value]


def _params(body: dict[str, Any]) -> dict[str, Any]:
    value = body.get("params")
    if value is not None and not isinstance(value, dict):
        message = 'params must be an object: {"name": value}'
        raise Malformed("VALIDATION_ERROR", message, details=[Problem("VALIDATION_ERROR", message, "/params")])
    return value or {}


def definition() -> bytes:
    """The body of a create, as it came."""
    body = request.get_data(cache=False)
    if not body:
        raise Malformed("INVALID_JSON", "The body is empty: send the workflow's definition as JSON")
    return body


def idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise Malformed("INVALID_HEADER", "Idempotency-Key must be 1 to 200 visible ASCII characters")
    return key


def _unknown(field: str, known: tuple[str, ...]) -> Problem:
    takes = f"it takes {', '.join(known)}" if known else "it takes no fields"
    message = f"'{shown(field)}' is not a field of this call: {takes}"
    return Problem("VALIDATION_ERROR", message, pointer((shown(field),)))
