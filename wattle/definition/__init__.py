"""A JSON document becomes a `Workflow`, or every problem with its place.

PURE: no clock, no file system, no process, no environment. The map:

    model.py       the result: Workflow, Worker, Output, …; frozen values
    document.py    bytes -> JSON values, strictly (`parse_json`)
    places.py      where in a text a value stands (`positions`)
    schema.py      the document's fields, types and limits (pydantic; source of the JSON Schema)
    names.py       which names are allowed
    shape.py       document -> schema models, or shape problems (400)
    paths.py       effective directories and output paths; `Context`
    params.py      the values that a run is started with (`bind`)
    placeholders.py  `${{ … }}` in a text
    shell.py       inside which quotes of sh a placeholder stands
    templates.py   a worker's command, arguments and variables with placeholders
    resolve.py     a definition as one run sees it (`resolve`)
    references.py  dependency and cycle problems
    problems.py    the collected problems, their order, suggestions and places
    validate.py    `read_workflow`, `check`, `without_worker`: all of the above in order
    command.py     `plan_command`: what to execute
    graph.py       `build_graph`: who needs whom
    canonical.py   canonical JSON and its digest

The names below are loaded when first used: pydantic and networkx cost at import.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wattle.definition.canonical import canonical_json, digest
    from wattle.definition.command import CommandPlan, plan_command
    from wattle.definition.document import parse_json, positions
    from wattle.definition.graph import Edge, Graph, build_graph
    from wattle.definition.paths import Context
    from wattle.definition.validate import check, read_workflow, without_worker

_HOMES = {
    "canonical_json": "canonical", "digest": "canonical",
    "CommandPlan": "command", "plan_command": "command",
    "parse_json": "document", "positions": "document",
    "Edge": "graph", "Graph": "graph", "build_graph": "graph",
    "Context": "paths",
    "check": "validate", "read_workflow": "validate", "without_worker": "validate",
}  # fmt: skip

__all__ = [
    "CommandPlan", "Context", "Edge", "Graph", "build_graph", "canonical_json", "check", "digest", "parse_json",
    "plan_command", "positions", "read_workflow", "without_worker",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
