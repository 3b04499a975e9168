"""Errors to HTTP answers: the one table of statuses, and everything that can go wrong in the documented envelope.

A bug in our own code answers 500 `INTERNAL_ERROR`; its traceback goes to the log and nowhere else.
"""

import logging
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from wattle import errors
from wattle.api import envelope
from wattle.definition.problems import shown

logger = logging.getLogger(__name__)

STATUSES: Mapping[type[errors.WattleError], int] = {
    errors.Malformed: 400,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.UnsupportedMedia: 415,
    errors.Invalid: 422,
    errors.Unavailable: 503,
    errors.OutOfSpace: 507,
    errors.Refused: 503,
}
RETRY_AFTER_SECONDS = 2  # said with every 503 and 507

_HTTP_CODES = {
    400: "BAD_REQUEST",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "BODY_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
}


def install(app: Flask) -> None:
    app.register_error_handler(errors.WattleError, respond)
    app.register_error_handler(HTTPException, _respond_to_http)
    app.register_error_handler(Exception, _respond_to_bug)


def status_of(error: errors.WattleError) -> int:
    """500 for a class that nobody has given a status: that is a bug."""
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)


def headers_of(error: errors.WattleError) -> dict[str, str]:
    return {"Retry-After": str(RETRY_AFTER_SECONDS)} if status_of(error) in (503, 507) else {}


def internal_error(what: str, error: BaseException) -> errors.WattleError:
    """Logs the traceback; what the caller is told says nothing about our insides. `what` names the request. Where it is
    memory that is lacking it is no bug, and a smaller call may do.
    """
    if isinstance(error, MemoryError):
        logger.error("there is no memory left for %s", what)
        return errors.Unavailable("OUT_OF_MEMORY", "The server has no memory left for this call; try again later")
    logger.error("a bug answered %s with 500", what, exc_info=error)
    return errors.WattleError("INTERNAL_ERROR", "Wattle has a bug here; its log says more")


def respond(error: errors.WattleError, **siblings: Any) -> Response:
    body = envelope.error_body(error, envelope.requested_language(), siblings)
    return Response(body, status_of(error), headers_of(error), content_type=envelope.JSON_TYPE)


def _respond_to_http(raised: HTTPException) -> Response:
    """What Flask and Werkzeug raise themselves. An exception that is a finished response stays one."""
    if raised.response is not None or raised.code is None:
        return raised.get_response(request.environ)  # type: ignore[return-value]
    error = errors.WattleError(_HTTP_CODES.get(raised.code, _code_of(raised)), _message_of(raised))
    body = envelope.error_body(error, envelope.requested_language())
    answer = Response(body, raised.code, content_type=envelope.JSON_TYPE)
    if isinstance(raised, MethodNotAllowed) and raised.valid_methods:
        answer.headers["Allow"] = ", ".join(sorted(raised.valid_methods))
    return answer


def _respond_to_bug(raised: Exception) -> Response:
    return respond(internal_error(f"{request.method} {shown(request.path)!r}", raised))


def _code_of(raised: HTTPException) -> str:
    return "_".join(raised.name.upper().split())


def _message_of(raised: HTTPException) -> str:
    path = shown(request.path)
    if raised.code == 404:
        return f"There is nothing at {path}; GET /api tells what there is"
    if isinstance(raised, MethodNotAllowed):
        return f"{path} does not take {request.method}; it takes {', '.join(sorted(raised.valid_methods or ()))}"
    return raised.description or raised.name
