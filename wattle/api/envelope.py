"""The documented shape of every answer under `/api` (W-03, W-04, A25, A26): bytes, and the Flask response around them.

The functions that make bytes know no request, so that the pump's thread can use them long after the request.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Response, current_app, has_request_context, request

from wattle.errors import Problem, WattleError
from wattle.service import instants

JSON_TYPE = "application/json"
_SUCCEEDED = {"en": "Operation succeeded", "zh": "操作成功"}


def instant(microseconds: int | None) -> str | None:
    """`2024-08-30T12:34:56.789Z` (A24)."""
    return None if microseconds is None else instants.instant(microseconds)


def now() -> str:
    return datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def success_body(data: Any, language: str, siblings: Mapping[str, Any]) -> bytes:
    """The four documented keys, then what an extension adds beside them."""
    return encode({"success": True, "data": data, "message": _SUCCEEDED[language], "timestamp": now(), **siblings})


def error_body(error: WattleError, language: str, siblings: Mapping[str, Any] | None = None) -> bytes:
    """`details` is there only where there are some."""
    told: dict[str, Any] = {"code": error.code, "message": _said(error, language)}
    if error.details:
        told["details"] = [_problem(problem, language) for problem in error.details]
    return encode({"success": False, "error": told, "timestamp": now(), **(siblings or {})})


def success(data: Any, *, status: int = 200, headers: Mapping[str, str] | None = None, **siblings: Any) -> Response:
    """`siblings` are further keys of the envelope: `total`, `warnings`, `stop`, …"""
    body = success_body(data, requested_language(), siblings)
    return Response(body, status, headers, content_type=JSON_TYPE)


def requested_language() -> str:
    """`en` or `zh`: what the caller prefers of the two, else what the server was told (`--lang`)."""
    preset: str = current_app.config["WATTLE_LANG"]
    if not has_request_context():
        return preset
    return request.accept_languages.best_match(("en", "zh"), preset)


def encode(value: Any) -> bytes:
    """JSON as UTF-8. A name that the file system gave may hold bytes that are no UTF-8: `?` stands for them."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n"


def _said(what: WattleError | Problem, language: str) -> str:
    return what.zh if language == "zh" and what.zh else what.message


def _problem(problem: Problem, language: str) -> dict[str, Any]:
    return {
        "code": problem.code,
        "message": _said(problem, language),
        "pointer": problem.pointer,
        "line": problem.line,
        "column": problem.column,
        "suggestion": problem.suggestion,
    }
