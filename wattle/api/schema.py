"""`/api/schema/workflow`: the JSON Schema of a definition, as itself and not in an envelope, for editors."""

import json

from flask import Blueprint, Response

blueprint = Blueprint("schema", __name__)


@blueprint.get("/schema/workflow")
def get_workflow_schema() -> Response:
    from wattle.definition.published import workflow_schema

    return Response(json.dumps(workflow_schema(), ensure_ascii=False), content_type="application/schema+json")
