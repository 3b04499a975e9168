"""Answers that wait: Flask responses whose sending is the pump's, for nothing that waits may hold a thread.

Views return a `Later`; Flask's hooks add their headers to it as to any response; when it is sent it calls the pump with
the real `environ`. What is rendered then knows no request: language and headers were taken along.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from http import HTTPStatus
from typing import Any, TypeVar

from flask import Response, current_app, request

from wattle import errors
from wattle.api import envelope
from wattle.api.errors import headers_of, internal_error, status_of
from wattle.api.handover import Headers
from wattle.api.pump import Pump
from wattle.api.replies import Answer
from wattle.api.sources import Source
from wattle.definition.problems import shown

T = TypeVar("T")
Body = tuple[Any, Mapping[str, Any]]  # `data`, and what stands beside it
Send = Callable[[dict[str, Any], Callable[..., Any], Headers], Iterable[bytes]]


class Later(Response):
    """A response that `send` writes, given the headers that were added to it."""

    def __init__(self, send: Send, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(headers=headers, content_type=(headers or {}).get("Content-Type", envelope.JSON_TYPE))
        self._send = send

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        return self._send(environ, start_response, self.headers.to_wsgi_list())


def when_done(future: "Future[T]", body: Callable[[T], Body]) -> Response:
    """Answers with `body(result)` as soon as the future has one, or with its error. Where it has, at once."""
    if future.done():
        data, siblings = body(future.result())
        return envelope.success(data, **siblings)
    language, what = envelope.requested_language(), f"{request.method} {shown(request.path)!r}"

    def send(environ: dict[str, Any], start_response: Callable[..., Any], headers: Headers) -> Iterable[bytes]:
        def render(done: "Future[T]") -> Answer:
            try:
                return _success(body(done.result()), language, headers)
            except errors.WattleError as error:
                return _failure(error, language, headers)
            except BaseException as error:  # a bug, or the future was cancelled because Wattle ends
                return _failure(internal_error(what, error), language, headers)

        return _pump().answer(environ, start_response, future, render)

    return Later(send)


def when_there(look: Callable[[], Body | None], otherwise: Callable[[], Body], wait_seconds: float) -> Response:
    """Answers with the first `look()` that is not None, or with `otherwise()` when the time is up.

    Both run on the pump's thread: they must not wait.
    """
    language = envelope.requested_language()

    def send(environ: dict[str, Any], start_response: Callable[..., Any], headers: Headers) -> Iterable[bytes]:
        def ready() -> Answer | None:
            try:
                body = look()
            except errors.WattleError as error:
                return _failure(error, language, headers)
            return None if body is None else _success(body, language, headers)

        def on_timeout() -> Answer:
            try:
                return _success(otherwise(), language, headers)
            except errors.WattleError as error:
                return _failure(error, language, headers)

        return _pump().poll_until(environ, start_response, ready, timeout_seconds=wait_seconds, on_timeout=on_timeout)

    return Later(send)


def streamed(source: Source, headers: Mapping[str, str]) -> Response:
    """An event stream; the pump closes `source`."""
    return Later(
        lambda environ, start_response, added: _pump().stream(environ, start_response, source, headers=added), headers
    )


def _pump() -> Pump:
    pump: Pump = current_app.extensions["wattle"].pump
    return pump


def _success(body: Body, language: str, headers: Headers) -> Answer:
    data, siblings = body
    return Answer("200 OK", headers, envelope.success_body(data, language, siblings))


def _failure(error: errors.WattleError, language: str, headers: Headers) -> Answer:
    status = HTTPStatus(status_of(error))
    told = [*headers, *headers_of(error).items()]
    return Answer(f"{status.value} {status.phrase}", told, envelope.error_body(error, language))
