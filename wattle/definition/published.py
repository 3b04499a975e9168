"""The JSON Schema (2020-12) of a definition, made of the models that the reader itself uses (schema.py).

It says what a document may look like. What it means (references, cycles, paths, placeholders) only Wattle judges.
"""

from typing import Any

from wattle.definition.schema import WorkflowDocument

ID = "http://localhost:9240/api/schema/workflow"
_EXAMPLE = {
    "name": "report",
    "params": {"month": {"type": "string", "default": "2026-01", "description": "which month"}},
    "workers": [
        {
            "name": "fetch",
            "command": "curl --fail --silent --output ${{ outputs.rows }} https://example.org/${{ params.month }}.csv",
            "outputs": {"rows": "${{ params.month }}.csv"},
            "timeout_seconds": 60,
            "retry": {"limit": 3},
        },
        {
            "name": "count",
            "command": "wc -l < ${{ inputs.rows }}",
            "inputs": {"rows": "fetch/rows"},
            "outputs": {"total": "total.txt"},
        },
    ],
}


def workflow_schema() -> dict[str, Any]:
    """The published schema; a new value each time."""
    made = _plain(WorkflowDocument.model_json_schema(by_alias=True))
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "Wattle workflow definition",
    }
    return head | made | {"examples": [_EXAMPLE]}


def _plain(schema: Any) -> Any:
    """Without the titles and `default: null` that pydantic adds to everything."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {}
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            plain[key] = {name: _plain(each) for name, each in value.items()}
        elif not (key == "title" and isinstance(value, str)) and not (key == "default" and value is None):
            plain[key] = _plain(value)
    return plain
