"""The published JSON Schema says the same as the reader, as far as shapes go."""

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from definition.documents import SEED_BODIES, full, loaded, read, worker, workflow

from wattle.definition.document import parse_json
from wattle.definition.published import ID, workflow_schema
from wattle.errors import WattleError

SCHEMA = workflow_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
EXAMPLES = sorted((Path(__file__).parents[2] / "workflows").glob("*.json"))


def test_it_is_a_schema_with_an_address_and_says_what_everything_means() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$id"] == ID and SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    parts = {"": SCHEMA} | SCHEMA["$defs"]
    silent = [
        f"{part}.{name}"
        for part, schema in parts.items()
        for name, field in schema["properties"].items()
        if "description" not in field and "$ref" not in str(field)
    ]
    assert silent == []
    assert not any("default" in field for schema in parts.values() for field in schema["properties"].values())


@pytest.mark.parametrize("document", [*map(loaded, SEED_BODIES.values()), full(), *SCHEMA["examples"]])
def test_what_is_valid_is_valid_to_both(document: Any) -> None:
    VALIDATOR.validate(document)
    read(copy.deepcopy(document))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_valid_to_both(path: Path) -> None:
    document = parse_json(path.read_bytes(), max_bytes=1 << 20)
    VALIDATOR.validate(document)
    read(document)


@pytest.mark.parametrize(
    "document",
    [
        [], {}, {"name": "w"}, {"workers": []}, workflow(nme="w"), worker(comand="x"), worker(command=1),
        worker(command=""), worker(args="x"), worker(args=[1]), worker(inputs=[]), worker(outputs={"o": 1}),
        worker(outputs={"o": {"pth": "x"}}), worker(retry={"limit": -1}), worker(retry=3), worker(timeout_seconds=0),
        worker(stop={"scope": "all"}), worker(priority=1.5), worker(success_exit_codes=[256]), worker(env_file=1),
        worker(env_vars={"A": []}), workflow(params={"x": {"type": "int"}}), workflow(params=["x"]),
        workflow(max_parallel=0), workflow({"name": ""}), workflow({"name": "a/b"}), worker(inputs={"a/b": "c/d"}),
        workflow(name="x" * 129), worker(outputs={"": "x"}), worker(env_vars={"A=B": "x"}), worker(capture_stdout=1),
    ],
)  # fmt: skip
def test_a_shape_that_is_wrong_is_refused_by_both(document: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(document)
    with pytest.raises(WattleError):
        read(document)
