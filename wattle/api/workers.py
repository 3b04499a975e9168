"""`/api/workers` (W-15 to W-24): one worker, and its log as it grows (logs.py has what can be read at once)."""

from flask import Blueprint, Response

from wattle.api import entities, incoming, query
from wattle.api.envelope import success
from wattle.api.later import when_done
from wattle.api.rooms import rooms
from wattle.api.streams import stream_of
from wattle.engine.outcome import signal_name
from wattle.logs.chronology import Chronology
from wattle.logs.follow import Follower
from wattle.service.views import LogState, RedefinedView

blueprint = Blueprint("workers", __name__)

_WORKER = "/workers/<name:workflow>/<name:worker>"


@blueprint.get("/workers/<name:workflow>")
def list_workers(workflow: str) -> Response:
    page = query.paged([entities.worker_summary(view) for view in rooms().reading.workers(workflow)])
    return success(page.rows, headers=page.headers, **page.siblings)


@blueprint.get(_WORKER)
def get_worker(workflow: str, worker: str) -> Response:
    return success(entities.worker_detail(rooms().reading.worker(workflow, worker)))


@blueprint.get(f"{_WORKER}/schema")
def get_schema(workflow: str, worker: str) -> Response:
    rooms().reading.worker(workflow, worker)
    return success({"schema": entities.WORKER_SCHEMA})


@blueprint.get(f"{_WORKER}/why")
def get_why(workflow: str, worker: str) -> Response:
    return success(entities.why(rooms().reading.why(workflow, worker)))


@blueprint.post(f"{_WORKER}/start")
def start_worker(workflow: str, worker: str) -> Response:
    params = incoming.params()
    started = rooms().changing.start_worker(workflow, worker, force=query.flag("force"), params=params or None)
    return success(f"Worker '{workflow}/{worker}' started", run_id=started.run_id)


@blueprint.post(f"{_WORKER}/stop")
def stop_worker(workflow: str, worker: str) -> Response:
    incoming.json_object()
    future = rooms().changing.stop_worker(workflow, worker)
    return when_done(future, lambda view: (f"Worker '{workflow}/{worker}' stopped", {"stop": entities.stop(view)}))


@blueprint.post(f"{_WORKER}/signal")
def signal_worker(workflow: str, worker: str) -> Response:
    """It is no stop: whoever ends by it has failed, whoever does not goes on."""
    number, scope = incoming.signal()
    future = rooms().changing.signal_worker(workflow, worker, number, scope)
    text = f"Worker '{workflow}/{worker}' was sent {signal_name(number)}"
    return when_done(future, lambda view: (text, {"signal": entities.signal(view)}))


@blueprint.post(f"{_WORKER}/restart")
def restart_worker(workflow: str, worker: str) -> Response:
    params = incoming.params()
    future = rooms().changing.restart_worker(workflow, worker, force=query.flag("force"), params=params or None)
    return when_done(future, lambda new: (f"Worker '{workflow}/{worker}' restarted", {"run_id": new.run_id}))


@blueprint.post(f"{_WORKER}/apply")
def apply_worker(workflow: str, worker: str) -> Response:
    """A service of an active run takes the definition that is stored; it is restarted where that is another one."""
    incoming.json_object()
    future = rooms().changing.apply_worker(workflow, worker)
    return when_done(future, lambda view: (_applied(f"{workflow}/{worker}", view), entities.redefined(view)))


def _applied(subject: str, view: RedefinedView) -> str:
    sentences = {
        "restarted": f"Worker '{subject}' restarted with its new definition",
        "to_come": f"Worker '{subject}' has not started yet; it will with its new definition",
        "ended": f"Worker '{subject}' has ended in run {view.run_id} and is not started again",
        "unchanged": f"Worker '{subject}' has that definition already",
    }
    return sentences.get(view.effect, f"Worker '{subject}' is in no active run; its next one has the new definition")


@blueprint.delete(_WORKER)
def delete_worker(workflow: str, worker: str) -> Response:
    future = rooms().changing.delete_worker(workflow, worker, force=query.flag("force"))
    return when_done(future, lambda _: (f"Worker '{workflow}/{worker}' deleted successfully", {}))


@blueprint.get(f"{_WORKER}/logs/stream")
def stream_logs(workflow: str, worker: str) -> Response:
    """Server-Sent Events; 204 where a worker or `attempt` that has ended has nothing to say after the id given."""
    number = query.optional_integer("attempt", low=1)
    if number is not None:
        return _stream_attempt(workflow, worker, number)
    log_state = rooms().reading.log_state
    log_state(workflow, worker)  # an unknown worker is a 404 and no stream
    return stream_of(
        lambda options: Follower(
            lambda uid: log_state(workflow, worker, uid=uid), chronology=Chronology.of, **options
        ),
        f"{workflow}/{worker}",
        "worker",
    )


def _stream_attempt(workflow: str, worker: str, number: int) -> Response:
    """Of one attempt: it ends with that, whatever follows."""
    state_of = rooms().reading.attempt_state
    uid = state_of(workflow, worker, number).attempt_uid

    def look(known: str | None) -> LogState:
        return state_of(workflow, worker, number, known or uid)

    return stream_of(
        lambda options: Follower(look, chronology=Chronology.of, **options), f"{workflow}/{worker}", f"attempt {uid}"
    )
