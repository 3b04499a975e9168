import hashlib
import subprocess
import sys

import pytest

from wattle.definition.canonical import canonical_json, digest


def test_canonical_json_has_one_form() -> None:
    assert canonical_json({"b": [1, 1.0, None], "a": "é"}) == '{"a":"é","b":[1,1.0,null]}'.encode()
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1}) == hashlib.sha256(b'{"a":2,"b":1}').hexdigest()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_what_is_not_json_has_no_canonical_form(value: object) -> None:
    with pytest.raises(ValueError):
        canonical_json(value)


def test_importing_the_room_imports_nothing_that_costs() -> None:
    code = "import sys, wattle.definition; print([m for m in ('pydantic', 'networkx', 'json') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_the_rooms_names_are_found_where_the_map_says() -> None:
    import wattle.definition

    for name in wattle.definition.__all__:
        assert getattr(wattle.definition, name)
