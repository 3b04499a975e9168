"""Params: what may be declared, given and made of a text."""

import json
from typing import Any

import pytest
from definition.documents import read, refusal, workflow
from hypothesis import given
from hypothesis import strategies as st

from wattle.definition.model import Param
from wattle.definition.params import LIMIT_BYTES, as_json, bind, from_texts, text_of
from wattle.errors import Invalid

DECLARED = {
    "s": Param("string"),
    "i": Param("integer", 3, False),
    "n": Param("number", None, False),
    "b": Param("boolean", False, False),
    "j": Param("json", {"a": [1]}, False),
}

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def refused(given_values: dict[str, Any]) -> list[str]:
    with pytest.raises(Invalid) as caught:
        bind(DECLARED, given_values)
    assert caught.value.code == "INVALID_PARAMS"
    return [problem.message for problem in caught.value.details]


def test_what_is_not_given_has_its_default() -> None:
    assert bind(DECLARED, {"s": "x"}) == {"s": "x", "i": 3, "n": None, "b": False, "j": {"a": [1]}}
    assert bind(DECLARED, {"s": "x", "i": None, "j": None}) == bind(DECLARED, {"s": "x"}) | {"j": None}


def test_every_problem_is_named() -> None:
    said = refused({"i": "7", "b": 1, "n": True, "t": 1})
    assert len(said) == 5
    wanted = ("'s' is missing", "'i' must be an integer (it is a string)", "'b' must be true", "'n' must", "'t' does")
    for name in wanted:
        assert any(name in each for each in said), (name, said)


def test_together_they_have_a_limit() -> None:
    fits = "x" * (LIMIT_BYTES - len(as_json(bind(DECLARED, {"s": ""}))))
    assert bind(DECLARED, {"s": fits})
    assert "limit" in refused({"s": fits + "x"})[0]


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS, st.lists))
def test_a_value_comes_back_from_its_text(value: Any) -> None:
    for kind in ("string", "integer", "number", "boolean", "json"):
        if kind == "json" and value is not None and not isinstance(value, str):
            assert from_texts({"x": kind}, [f"x={text_of(value)}"]) == {"x": value}
    if isinstance(value, str):
        assert from_texts({"x": "string"}, [f"x={value}"]) == {"x": value}


@pytest.mark.parametrize(
    "kind, text, value",
    [
        ("integer", "-07", -7), ("number", "1.5", 1.5), ("number", "2", 2), ("number", "1e3", 1000.0),
        ("boolean", "true", True), ("json", "[1]", [1]), ("json", '"a=b"', "a=b"), ("string", "", ""),
    ],
)  # fmt: skip
def test_texts_are_read_by_the_declared_type(kind: str, text: str, value: Any) -> None:
    assert from_texts({"x": kind}, [f"x={text}"]) == {"x": value}


@pytest.mark.parametrize(
    "kind, text",
    [
        ("integer", "1.0"), ("integer", ""), ("integer", "9" * 19 + "9"), ("number", "nan"), ("number", "1e999"),
        ("boolean", "yes"), ("json", "{"), ("json", ""), ("string", "\udcff"), ("json", '"\udcff"'),
    ],
)  # fmt: skip
def test_texts_of_another_type_are_refused_with_the_name(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match="param 'x' must be"):
        from_texts({"x": kind}, [f"x={text}"])
    with pytest.raises(ValueError, match="NAME=VALUE"):
        from_texts({}, ["x"])


@pytest.mark.parametrize(
    "params, pointer, says",
    [
        ({"x": {"type": "int"}}, "/params/x/type", "must be 'string', 'integer'"),
        ({"x": {"type": "integer", "default": "7"}}, "/params/x/default", "must be an integer (it is a string)"),
        ({"x": {"default": "7", "required": True}}, "/params/x/required", "never be used"),
        ({"x": {"defualt": 1}}, "/params/x/defualt", "unknown"),
        ({"x/y": {}}, "/params/x~1y", "holds a '/'"),
        ({"": {}}, "/params/", "is empty"),
        ({"x": "text"}, "/params/x", "must be an object"),
        ([], "/params", "must be an object"),
        ({"\u00e9": {}, "e\u0301": {}}, "/params/e\u0301", "stands twice"),
        ({"x": {"default": "x" * LIMIT_BYTES}}, "/params", "limit"),
    ],
)
def test_declarations_are_checked(params: Any, pointer: str, says: str) -> None:
    details = refusal(workflow({"name": "a"}, params=params)).details
    assert [problem.pointer for problem in details] == [pointer] and says in details[0].message


def test_a_param_without_default_is_required_unless_it_says_otherwise() -> None:
    params = read(workflow({"name": "a"}, params={"x": {}, "y": {"default": "d"}, "z": {"required": False}})).params
    assert {name: param.required for name, param in params.items()} == {"x": True, "y": False, "z": False}


def test_reading_the_stored_document_gives_an_equal_workflow() -> None:
    params = {"x": {"type": "json", "default": [1]}}
    first = read(workflow({"name": "a", "env_file": "b.env"}, params=params, env_file="a.env"))
    assert read(json.loads(json.dumps(first.document))) == first
    assert (first.env_file, first.workers[0].env_file) == ("/srv/app/a.env", "/tmp/w/b.env")
