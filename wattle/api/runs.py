"""`/api/runs`: one execution, with its workers and attempts."""

from flask import Blueprint, Response

from wattle.api import entities, query
from wattle.api.envelope import success
from wattle.api.rooms import rooms
from wattle.errors import run_not_found

blueprint = Blueprint("runs", __name__)


@blueprint.get("/runs/<name:run>")
def get_run(run: str) -> Response:
    """`run` is its number or its UUID."""
    if run.isdigit() and len(run) > query.LARGEST_DIGITS:
        raise run_not_found(run)
    return success(entities.run_with_workers(rooms().reading.run(run)))
