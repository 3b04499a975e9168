"""docs/definitions.md against the schema, and every definition in any page against the reader."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from tests.docs.documents import DOCS, PAGES, READERS_DATA_DIR, READERS_HOME, Block, blocks, section, table
from tests.whole.server import Server
from wattle.cli.definition import Source, problems_of, told_lines
from wattle.definition import Context, read_workflow
from wattle.definition.model import Probe, Restart, Retry, Stop, Worker, Workflow
from wattle.definition.names import RESERVED_WORKFLOW_NAMES
from wattle.definition.schema import (
    LogDocument,
    OutputDocument,
    ParamDocument,
    ProbeDocument,
    RestartDocument,
    RetryDocument,
    StopDocument,
    WorkerDocument,
    WorkflowDocument,
)
from wattle.definition.signals import signal_number
from wattle.errors import WattleError

PAGE = DOCS / "definitions.md"
SECTIONS: dict[str, type[BaseModel]] = {
    "The workflow": WorkflowDocument,
    "A worker": WorkerDocument,
    "A param": ParamDocument,
    "An output": OutputDocument,
    "Retry": RetryDocument,
    "Stop": StopDocument,
    "Log": LogDocument,
    "Restart": RestartDocument,
    "A probe": ProbeDocument,
}
CONTEXT = Context(READERS_HOME, READERS_HOME, f"{READERS_DATA_DIR}/work", READERS_DATA_DIR)


def definitions() -> list[tuple[Block, Block | None]]:
    """Each definition, with the block after it where that says its problems."""
    found = []
    for page in PAGES:
        every = blocks(page)
        for block, after in zip(every, [*every[1:], None]):
            value = json.loads(block.text) if block.language == "json" else None
            if isinstance(value, dict) and {"name", "workers"} <= value.keys():
                found.append((block, after if after is not None and after.text.startswith("report.json:") else None))
    return found


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_field_is_documented_and_nothing_else(heading: str) -> None:
    fields = {field.alias or name for name, field in SECTIONS[heading].model_fields.items()}
    documented = [row[0].strip("`") for row in table(section(PAGE, heading))]
    assert sorted(documented) == sorted(fields)


@pytest.mark.parametrize("heading", SECTIONS)
def test_required_fields_are_said_to_be_required(heading: str) -> None:
    required = {field.alias or name for name, field in SECTIONS[heading].model_fields.items() if field.is_required()}
    assert {row[0].strip("`") for row in table(section(PAGE, heading)) if row[2] == "required"} == required


def test_defaults_are_those_of_the_model() -> None:
    said = {(heading, row[0].strip("`")): row[2].strip("`") for heading in SECTIONS
            for row in table(section(PAGE, heading))}  # fmt: skip
    retry, stop = Retry(), Stop()
    for field in ("limit", "delay_seconds", "factor", "max_delay_seconds", "jitter"):
        assert float(said["Retry", field]) == getattr(retry, field), field
    assert signal_number(said["Stop", "signal"]) == stop.signal
    assert float(said["Stop", "grace_seconds"]) == stop.grace_seconds
    assert json.loads(said["Stop", "scope"]) == stop.scope
    restart, probe = Restart(), Probe("file", "/")
    for section_name, value in (("Restart", restart), ("A probe", probe)):
        for field in (row[0].strip("`") for row in table(section(PAGE, section_name))):
            if said[section_name, field].replace(".", "").isdigit():
                assert float(said[section_name, field]) == getattr(value, field), field
    assert json.loads(said["Restart", "policy"]) == restart.policy
    assert int(said["The workflow", "max_parallel"]) == Workflow.__dataclass_fields__["max_parallel"].default
    fields: Any = Worker.__dataclass_fields__
    assert int(said["A worker", "priority"]) == fields["priority"].default
    assert set(json.loads(said["A worker", "success_exit_codes"])) == fields["success_exit_codes"].default
    assert said["A worker", "capture_stdout"] == str(fields["capture_stdout"].default).lower()


def test_the_reserved_names_are_listed() -> None:
    assert {name for name in RESERVED_WORKFLOW_NAMES if f"`{name}`" not in section(PAGE, "Names")} == set()


@pytest.mark.parametrize("block, said", definitions(), ids=lambda value: str(value) if value is not None else "")
def test_a_definition_is_valid_or_has_the_problems_shown_after_it(block: Block, said: Block | None) -> None:
    lines: list[str] = []
    try:
        read_workflow(json.loads(block.text), CONTEXT, text=block.text)
    except WattleError as error:
        source = Source("report.json", "report.json", block.text.encode())
        lines = told_lines(source, problems_of(error))
    assert lines == (said.text.splitlines() if said is not None else [])


def test_the_small_definitions_do_what_the_page_says(server: Server) -> None:
    by_name = {value["name"]: value for block, _ in definitions() for value in [json.loads(block.text)]}
    for name in ("commands", "outputs"):
        server.post("/api/workflows", by_name[name])
        server.post(f"/api/workflows/{name}/start")
    printed = {}
    assert server.ended("commands") == "completed"
    for worker in by_name["commands"]["workers"]:
        lines = server.get(f"/api/workers/commands/{worker['name']}/logs?tail=9")
        printed[worker["name"]] = [line["content"] for line in lines]
    assert printed == {
        "direct": ["no shell here"],
        "shell": ["9"],
        "arguments": ["$HOME stays as it is", "a  b", "*"],
    }
    assert server.ended("outputs") == "completed"
    nodes = server.get("/api/workflows/outputs/dag")["nodes"]
    saved = "its standard output was saved as"
    captured = {node["name"] for node in nodes if any(notice.startswith(saved) for notice in node["notices"])}
    assert captured == {"printed", "both"}


def test_the_pages_show_valid_and_invalid_definitions() -> None:
    """Positive control: the test above looks at both kinds."""
    assert len([said for _, said in definitions() if said is None]) >= 4
    assert len([said for _, said in definitions() if said is not None]) >= 2
