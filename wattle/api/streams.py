"""The routes of streams that are nobody else's, and how a stream is asked for."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request

from wattle.api import query, sse
from wattle.api.later import streamed
from wattle.api.rooms import rooms
from wattle.api.streaming import EventStream, LogStream, Watcher, event_id
from wattle.definition.names import nfc
from wattle.definition.problems import shown
from wattle.errors import Malformed, run_not_found
from wattle.logs.chronology import Chronology
from wattle.logs.merge import Merged
from wattle.logs.output import STREAMS

blueprint = Blueprint("streams", __name__)

MOST_LINES = 100_000
_HEADERS = {**dict(sse.HEADERS), "Cache-Control": "no-cache, no-store"}


@blueprint.get("/runs/<name:run>/logs/stream")
def stream_run(run: str) -> Response:
    """What all workers of a run print, until it has ended."""
    if run.isdigit() and len(run) > query.LARGEST_DIGITS:
        raise run_not_found(run)
    view, of_run = rooms().reading.run(run), rooms().reading.merged.of_run
    number = str(view.id)
    return stream_of(
        lambda options: Merged(
            lambda known, ids: of_run(number, known, ids), chronology=Chronology.of, **options
        ),
        view.workflow_name,
        f"run {number}",
    )


def stream_workflow(workflow: str) -> Response:
    """What all workers of a workflow print, from the start of its latest run until no run of it is active."""
    of_workflow = rooms().reading.merged.of_workflow
    of_workflow(workflow)  # an unknown workflow is a 404 and no stream
    return stream_of(
        lambda options: Merged(
            lambda known, ids: of_workflow(workflow, known, ids), chronology=Chronology.of, **options
        ),
        workflow,
        "workflow",
    )


@blueprint.get("/events/stream")
def stream_events() -> Response:
    """Every change of state from now on, or after the id given; `?workflow=` for one workflow's."""
    reading = rooms().reading
    workflow = nfc(query.text("workflow") or "") or None
    given = _position()
    after = event_id(given) if given is not None else reading.last_event_id()
    return streamed(EventStream(reading, workflow, after, follow=query.flag("follow", True)), _HEADERS)


def stream_of(watch: Callable[[dict[str, Any]], Watcher], scope: str, kind: str) -> Response:
    """Server-Sent Events of what `watch(options)` watches; 204 where nothing will ever follow the id given.

    `scope` is the workflow or the worker that it is about, `kind` tells such streams of one scope apart.
    """
    wanted = query.text("stream")
    if wanted is not None and wanted not in STREAMS:
        message = f"The parameter 'stream' is '{shown(wanted)}'; it must be stdout or stderr"
        raise Malformed("INVALID_PARAMETER", message)
    streams = STREAMS if wanted is None else (wanted,)
    follow = query.flag("follow", True)
    first = watch(
        {
            "position": _position(),
            "follow": follow,
            "tail": query.optional_integer("tail", high=MOST_LINES),
            "streams": streams,
        }
    )
    if first.finished:
        return Response(status=204)

    def open_at(position: str) -> Watcher:
        return watch({"position": position, "streams": streams})

    key = (kind, scope, streams) if follow else None
    return streamed(LogStream(open_at, first, key, scope), _HEADERS)


def _position() -> str | None:
    """The header is an EventSource's that comes back; the parameter is for whoever cannot set one."""
    return request.headers.get("Last-Event-ID") or query.text("last_event_id") or None
