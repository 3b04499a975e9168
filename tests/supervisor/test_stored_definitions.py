"""What is read of the store is what was written, whichever Wattle wrote it (F20)."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.supervisor.world import World
from wattle.definition.canonical import canonical_json, digest
from wattle.errors import Refused
from wattle.service.definitions import Definitions


def rewrite(world: World, document: dict[str, Any], known: str) -> int:
    """Another document in place of the one that is stored, and what its digest is to be."""
    version = world.queries.workflow("wf").workflow.version_id  # type: ignore[union-attr]
    connection = sqlite3.connect(f"{world.path}/wattle.db")
    with connection:
        values = (canonical_json(document).decode(), known, version)
        assert connection.execute("UPDATE version SET document = ?, digest = ? WHERE id = ?", values).rowcount == 1
    connection.close()
    return version


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, "a")


def stored(world: World) -> dict[str, Any]:
    version = world.queries.workflow("wf").workflow.version_id  # type: ignore[union-attr]
    return json.loads(json.dumps(world.definitions.document(version)))  # type: ignore[no-any-return]


def test_a_definition_that_another_wattle_wrote_otherwise_is_no_damaged_one(world: World) -> None:
    """Today's form of it has one field more."""
    document = stored(world)
    del document["workers"][0]["workflow_name"]
    definition = Definitions(world.queries).definition(rewrite(world, document, digest(document)))
    assert definition.workflow.digest != digest(document)
    assert definition.workflow.document["workers"][0]["workflow_name"] == "wf"


def test_a_definition_that_is_not_what_its_digest_is_of_is_not_run(world: World) -> None:
    before, document = digest(stored(world)), stored(world)
    document["workers"][0]["command"] = "/bin/false"
    with pytest.raises(Refused, match="damaged") as refused:
        Definitions(world.queries).definition(rewrite(world, document, before))
    assert refused.value.code == "STORE_CORRUPT"
