import json

from definition.documents import resolve
from hypothesis import given
from hypothesis import strategies as st

from wattle.definition.document import positions
from wattle.definition.places import locate

TEXT = """{
  "name": "é", "n": 1,
  "workers": [
    {"a/b": {"~": null}},
    []
  ]
}"""


def test_every_value_has_a_line_and_a_column() -> None:
    assert positions(TEXT) == {
        "": (1, 1),
        "/name": (2, 11),
        "/n": (2, 21),
        "/workers": (3, 14),
        "/workers/0": (4, 5),
        "/workers/0/a~1b": (4, 13),
        "/workers/0/a~1b/~0": (4, 19),
        "/workers/1": (5, 5),
    }


def test_a_missing_place_is_that_of_its_container() -> None:
    assert locate(TEXT, [("workers", 0, "name"), ("nowhere", 3)]) == {
        ("workers", 0, "name"): (4, 5),
        ("nowhere", 3): (1, 1),
    }


_TEXT = st.text('ab/~"\\\n é')
_JSON = st.recursive(
    st.none() | st.integers() | _TEXT, lambda x: st.lists(x) | st.dictionaries(_TEXT, x), max_leaves=15
)


def _count(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_count, inner))


@given(_JSON, st.sampled_from([None, 0, 1]), st.booleans())
def test_places_are_those_of_the_values(value: object, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    lines = text.split("\n")
    places = positions(text)
    assert len(places) == _count(value)
    for pointer, (line, column) in places.items():
        rest = "\n".join([lines[line - 1][column - 1 :], *lines[line:]])
        found, expected = resolve(value, pointer)
        assert found
        assert json.JSONDecoder().raw_decode(rest)[0] == expected
