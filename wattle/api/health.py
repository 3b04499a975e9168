"""Wattle itself: is it alive, can it work, what does it offer, and its end."""

from flask import Blueprint, Response

import wattle
from wattle import errors
from wattle.api import entities, incoming
from wattle.api.envelope import success
from wattle.api.errors import respond
from wattle.api.later import when_done
from wattle.api.rooms import rooms

blueprint = Blueprint("health", __name__)

LINKS = {
    "workflows": "/api/workflows",
    "workflow": "/api/workflows/{workflow}",
    "workers": "/api/workers/{workflow}",
    "worker": "/api/workers/{workflow}/{worker}",
    "logs": "/api/workers/{workflow}/{worker}/logs",
    "log_stream": "/api/workers/{workflow}/{worker}/logs/stream",
    "metrics": "/api/workers/{workflow}/{worker}/metrics",
    "run": "/api/runs/{id}",
    "events": "/api/events",
    "health": "/healthz",
    "readiness": "/readyz",
    "prometheus": "/metrics",
}


@blueprint.get("/healthz")
def is_alive() -> Response:
    """The process answers. It asks nobody: a slow disk is no reason to be restarted."""
    return success({"status": "ok"})


@blueprint.get("/readyz")
def is_ready() -> Response:
    """Whether it can run workflows now; 503 where a check fails."""
    reasons = rooms().reading.ready()
    checks = {name: reason is None for name, reason in reasons.items()}
    failed = dict.fromkeys(reason for reason in reasons.values() if reason is not None)  # each reason once
    if failed:
        return respond(errors.Unavailable("NOT_READY", f"Not ready: {'; '.join(failed)}"), checks=checks)
    return success({"status": "ready", "checks": checks})


@blueprint.get("/api")
def index() -> Response:
    return success({"name": "wattle", "version": wattle.__version__, "api_version": "v1", "links": LINKS})


@blueprint.post("/api/down")
def down() -> Response:
    """Cancels all active runs; the server ends after it has answered."""
    incoming.json_object()
    future = rooms().changing.down()
    return when_done(future, lambda view: (view.text or "Wattle is down", {"stop": entities.stop(view)}))
