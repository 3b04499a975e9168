"""What workers use (W-23), its history, and `/metrics` for Prometheus."""

import gzip
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, request

from wattle.api import query
from wattle.api.envelope import instant, success
from wattle.api.rooms import rooms
from wattle.errors import NotFound, Unavailable
from wattle.metrics import usage
from wattle.metrics.format import worker_metrics
from wattle.metrics.history import Point
from wattle.metrics.tree import TreeSample
from wattle.metrics.usage import Usage
from wattle.service.views import WorkerView
from wattle.store.rows import AttemptRow

blueprint = Blueprint("metrics", __name__)
exposed = Blueprint("prometheus", __name__)

_GZIP_LEVEL = 4  # 500 workers: a sixth of 300 KB, in 2 ms; the highest level needs 15 ms for a twelfth less
_METRICS = "/workers/<name:workflow>/<name:worker>/metrics"


@blueprint.get(_METRICS)
def get_metrics(workflow: str, worker: str) -> Response:
    """The newest attempt's, or `?attempt=K`; `?pss=true` adds memory in which what is shared counts once."""
    wants_pss = query.flag("pss")
    view, row = _attempt(workflow, worker)
    sample = rooms().sampler.now(row) if row is not None and row.ended_at is None else None
    used = usage.read(row.metrics) if row is not None else Usage()
    if sample is not None and row is not None:
        used = _so_far(used, sample, rooms().sampler.peaks(row))
    is_newest = row is None or row.number == view.attempt
    metrics = worker_metrics(
        sample,
        status=view.status if is_newest or row is None else row.status,
        runtime_seconds=_runtime_seconds(view, None if is_newest else row),
        pid=row.pid if row is not None else None,
        attempt=row.number if row is not None else 0,
        usage=used,
    )
    if wants_pss:
        metrics["pss_bytes"] = rooms().sampler.proportional_bytes(row) if sample is not None and row else 0
    return success({"metrics": metrics})


@blueprint.get(f"{_METRICS}/history")
def get_history(workflow: str, worker: str) -> Response:
    """What it used over time: at most 240 points of an attempt that lives, 60 of one that has ended."""
    since = query.instant("since")
    _, row = _attempt(workflow, worker)
    live = row is not None and row.ended_at is None
    points = rooms().sampler.points(row) if row is not None and live else None
    if points is None:
        points = [Point(*values) for values in _stored(row)]
    shown = [_point(point) for point in points if since is None or point.at // 1000 * 1000 > since]
    history = {
        "attempt": row.number if row is not None else None,
        "run_id": row.run_id if row is not None else None,
        "live": live,
        "points": shown,
    }
    return success({"history": history})


@exposed.get("/metrics")
def scrape() -> Response:
    exposition = rooms().exposition
    if exposition is None:
        raise Unavailable("NO_SERVER", "Nothing is counted here: no Wattle server runs; start `wattle serve`")
    body, content_type = exposition.render(request.headers.get("Accept"))
    response = Response(body, content_type=content_type)
    response.vary.update(("Accept", "Accept-Encoding"))
    if request.accept_encodings["gzip"] > 0:
        response.set_data(gzip.compress(body, _GZIP_LEVEL, mtime=0))
        response.content_encoding = "gzip"
    return response


def _attempt(workflow: str, worker: str) -> tuple[WorkerView, AttemptRow | None]:
    number = query.optional_integer("attempt", low=1)
    view, row = rooms().reading.attempt(workflow, worker, number)
    if number is not None and row is None:
        raise NotFound("ATTEMPT_NOT_FOUND", f"Worker '{workflow}/{worker}' has no attempt {number} in its newest run")
    return view, row


def _so_far(used: Usage, sample: TreeSample, peaks: dict[str, int]) -> Usage:
    """Of an attempt that lives: what is stored may be a minute old."""
    most: dict[str, Any] = {name: max(getattr(used, name) or 0, peak) for name, peak in peaks.items()}
    return replace(
        used,
        cpu_seconds=max(used.cpu_seconds or 0.0, sample.cpu_seconds),
        read_bytes=max(used.read_bytes or 0, sample.read_bytes),
        written_bytes=max(used.written_bytes or 0, sample.written_bytes),
        **most,
    )


def _stored(row: AttemptRow | None) -> Iterable[Any]:
    return usage.read(row.metrics).series if row is not None else ()


def _point(point: Point) -> dict[str, Any]:
    return {"at": instant(point.at)} | {name: value for name, value in point._asdict().items() if name != "at"}


def _runtime_seconds(view: WorkerView, row: AttemptRow | None) -> float | None:
    """Of the newest attempt, or of `row`: until now, or until its end."""
    started_at, completed_at = (view.started_at, view.completed_at) if row is None else (row.started_at, row.ended_at)
    if started_at is None:
        return None
    until = completed_at if completed_at is not None else time.time_ns() // 1000
    return max(0, until - started_at) / 1e6
