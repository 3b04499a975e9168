"""`/api/workflows` and its alias `/api/v1/workflows` (W-10 to W-14, C23)."""

from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, request

from wattle.api import entities, incoming, query
from wattle.api.envelope import success
from wattle.api.later import when_done
from wattle.api.rooms import rooms
from wattle.api.streams import stream_workflow

blueprint = Blueprint("workflows", __name__)


@blueprint.get("/workflows")
def list_workflows() -> Response:
    page = query.paged([entities.workflow(view) for view in rooms().reading.workflows()])
    return success(page.rows, headers=page.headers, **page.siblings)


@blueprint.post("/workflows")
def create_workflow() -> Response:
    created = rooms().changing.create_workflow(incoming.definition())
    return success(
        f"Workflow '{created.name}' created successfully",
        status=201,
        headers={"Location": f"/api/workflows/{quote(created.name, safe='')}"},
        **_warnings(created.warnings),
    )


@blueprint.get("/workflows/<name:name>")
def get_workflow(name: str) -> Response:
    """With `?include=workers` it has the workers' summaries too (A28), with `?include=definition` what is stored."""
    reading = rooms().reading
    entity = entities.workflow(reading.workflow(name))
    included = request.args.getlist("include")
    if "workers" in included:
        entity["workers"] = [entities.worker_summary(worker) for worker in reading.workers(name)]
    if "definition" in included:
        entity["definition"] = dict(reading.definition(name))
    return success(entity)


@blueprint.put("/workflows/<name:name>")
def replace_workflow(name: str) -> Response:
    """A new version, for later runs. `changed` says whether it differs from the present one."""
    replaced, changed = rooms().changing.replace_workflow(name, incoming.definition())
    text = f"Workflow '{name}' updated successfully"
    return success(text, changed=changed, **_warnings(replaced.warnings))


@blueprint.delete("/workflows/<name:name>")
def delete_workflow(name: str) -> Response:
    future = rooms().changing.delete_workflow(name, force=query.flag("force"))
    return when_done(future, lambda _: (f"Workflow '{name}' deleted successfully", {}))


@blueprint.get("/workflows/<name:name>/logs/stream")
def stream_logs(name: str) -> Response:
    return stream_workflow(name)


@blueprint.post("/workflows/<name:name>/start")
def start_workflow(name: str) -> Response:
    """The body may choose workers (`only`, `from`); with `?force=true` whatever these need of the others."""
    (params, only, starts), key = incoming.start(), incoming.idempotency_key()
    started = rooms().changing.start_workflow(
        name, params=params or None, idempotency_key=key, only=only, starts=starts, force=query.flag("force")
    )
    text = f"Workflow '{name}' started successfully"
    repeated: dict[str, Any] = {"repeated": True} if started.repeated else {}
    return success(text, run_id=started.run_id, **repeated)


@blueprint.post("/workflows/<name:name>/stop")
def stop_workflow(name: str) -> Response:
    incoming.json_object()
    future = rooms().changing.stop_workflow(name)
    return when_done(future, lambda view: (f"Workflow '{name}' stopped", {"stop": entities.stop(view)}))


@blueprint.post("/workflows/<name:name>/restart")
def restart_workflow(name: str) -> Response:
    params = incoming.params()
    future = rooms().changing.restart_workflow(name, params=params or None)
    return when_done(future, lambda started: (f"Workflow '{name}' restarted", {"run_id": started.run_id}))


@blueprint.get("/workflows/<name:name>/workers")
def list_workers(name: str) -> Response:
    page = query.paged([entities.worker_entity(view) for view in rooms().reading.workers(name)])
    return success(page.rows, headers=page.headers, **page.siblings)


@blueprint.get("/workflows/<name:name>/dag")
def get_dag(name: str) -> Response:
    return success(entities.dag(rooms().reading.dag(name)))


@blueprint.get("/workflows/<name:name>/runs")
def list_runs(name: str) -> Response:
    """Newest first."""
    limit, offset = query.integer("limit", 100, low=1, high=10_000), query.integer("offset", 0)
    runs, total = rooms().reading.runs(name, limit=limit, offset=offset)
    return success([entities.run(view) for view in runs], headers={"x-total-count": str(total)}, total=total)


def _warnings(warnings: tuple[str, ...]) -> dict[str, Any]:
    return {"warnings": list(warnings)} if warnings else {}
