"""YAML definitions: the values JSON has, no surprises, every problem in its place."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from wattle.definition.yaml_text import parse_yaml, write_yaml
from wattle.errors import Malformed, TooLarge

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff\u2028\u2029\ufffe\uffff"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def value(text: str) -> Any:
    return parse_yaml(text.encode(), max_bytes=1 << 20)[0]


def refused(text: str) -> str:
    with pytest.raises(Malformed) as caught:
        value(text)
    (problem,) = caught.value.details
    assert problem.code == "INVALID_YAML"
    return f"{problem.line}:{problem.column}: {problem.message}"


NUMBERLIKE = st.from_regex(r"-?[0-9]{1,3}(\.[0-9])?([eE][+-]?[0-9]{1,2})?|[0-9_:xo.-]{1,6}|yes|~|=|<<", fullmatch=True)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.recursive(NUMBERLIKE | FLOATS | st.integers(-9, 9) | TEXTS, st.lists))
@example(["1e3", "12e45", "1.5e3", "-0", 1e3, 1e-7])
def test_what_is_exported_is_read_as_it_was(document: Any) -> None:
    """A commit such as `12e45` must not come back as a number."""
    shared = {"a": document, "b": document}
    assert value(write_yaml(shared)) == shared == value(write_yaml(shared, is_ascii=True))
    found = value(write_yaml(document))
    assert json.dumps(found) == json.dumps(document)


@given(VALUES)
def test_json_is_yaml_and_means_the_same(document: Any) -> None:
    assert value(json.dumps(document, ensure_ascii=False)) == document


@given(VALUES)
def test_what_a_yaml_writer_writes_is_read_as_it_was(document: Any) -> None:
    assert value(yaml.safe_dump(document, allow_unicode=True)) == document


@pytest.mark.parametrize(
    "text, meant",
    [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("Off", "Off"), ("y", "y"), ("true", True), ("FALSE", False),
        ("2026-01-31", "2026-01-31"), ("0644", "0644"), ("0x10", "0x10"), ("1_000", "1_000"), ("12:30", "12:30"),
        ("1.5", 1.5), ("-3", -3), ("1e3", 1000.0), (".5", ".5"), (".inf", ".inf"), (".nan", ".nan"), ("+1", "+1"),
        ("~", None), ("null", None), ("''", ""), ("'1'", "1"), ('"true"', "true"), ("|\n a\n b\n", "a\nb\n"),
    ],
)  # fmt: skip
def test_only_what_json_has_too_is_more_than_a_text(text: str, meant: Any) -> None:
    found = value(f"k: {text}")["k"]
    assert found == meant and type(found) is type(meant)


@pytest.mark.parametrize(
    "text, says",
    [
        ("a: &x 1\nb: *x\n", "1:4: The file is not acceptable YAML: the anchor '&x' is not allowed"),
        ("a: 1\nb: *x\n", "2:4: The file is not acceptable YAML: the alias '*x' is not allowed"),
        ("a: !!python/object:os.system 1", "1:4:"),
        ("a: !!str 1", "1:4:"),
        ("a: 1\nb: 2\na: 3\n", "3:1: The file is not acceptable YAML: the key 'a' stands twice"),
        ("a: 1\n---\nb: 2\n", "2:1:"),
        ("? [a]\n: 1", "1:3:"),
        ("a: 99999999999999999999", "1:4:"),
        ("a: 1e999", "1:4:"),
        ("a: [1\n", "2:1:"),
        ("a:\n\t- 1\n", "2:1:"),
        ('a: "\\0"', "1:4:"),
        ("a: 1\nb: x\x07y\n", "2:5: The file is not acceptable YAML: it holds the character U+0007"),
        ("a: 1\n# \x00\n", "2:3:"),
        ("", "1:1:"),
        ("# nothing\n", "1:1:"),
        ("[" * 100 + "]" * 100, "1:65:"),
    ],
)
def test_what_could_surprise_is_refused_in_its_place(text: str, says: str) -> None:
    assert refused(text).startswith(says), refused(text)


def test_what_is_not_utf8_or_too_much_is_refused() -> None:
    with pytest.raises(Malformed):
        parse_yaml(b"a: 1\nb: \xff", max_bytes=100)
    with pytest.raises(TooLarge):
        parse_yaml(b"a: 1", max_bytes=3)


@given(st.text(st.sampled_from("ab:-[]{}&*!|>'\"#%@` \n\t,?~01.\u00e9"), max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        value(text)
    except Malformed as error:
        assert error.details[0].line is not None


def test_every_value_has_its_place() -> None:
    _, places = parse_yaml(b"a:\n  b/c: [1, {x: 2}]\n", max_bytes=100)
    assert places.places["/a/b~1c/1/x"] == (2, 16)


@pytest.mark.parametrize(
    "text, remedy",
    [
        ("command: echo 'no: route'\n", "a text that holds `: ` stands in quotes"),
        ("a:\n\tb: 1\n", "indent with blanks"),
        ("command: *.txt\n", "begins with *"),
        ("command: @x\n", "begins with @"),
        ('command: "a b" && echo "c"\n', "the text ends at its second quote"),
        ("command: 'a' b\n", "the text ends at its second quote"),
        ("a: [1\n", None),
    ],
)
@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
def test_what_yaml_keeps_for_itself_comes_with_a_remedy(
    text: str, remedy: str | None, loader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml, "CSafeLoader", getattr(yaml, loader), raising=False)
    with pytest.raises(Malformed) as caught:
        value(text)
    (problem,) = caught.value.details
    assert (remedy in problem.suggestion) if remedy and problem.suggestion else problem.suggestion is remedy
