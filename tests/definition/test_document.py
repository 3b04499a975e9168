import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattle.definition.document import parse_json
from wattle.errors import Malformed, TooLarge, WattleError

MIB = 1 << 20


def parse(data: bytes, **limits: int) -> object:
    return parse_json(data, max_bytes=MIB, **limits)


@pytest.mark.parametrize(
    "body, reason, pointer, line, column",
    [
        (b"", "is empty", "", 1, 1),
        (b" \n", "is empty", "", 1, 1),
        (b"\xef\xbb\xbf{}", "byte order mark", "", 1, 1),
        ('{"a": 1}'.encode("utf-16"), "UTF-16", "", 1, 1),
        ('{"a": 1}'.encode("utf-16-le"), "UTF-16", "", 1, 1),
        (b'{"a":\n ["\xff"]}', "0xff", "/a/0", 2, 4),
        (b'{"a": [1, {"b": NaN}]}', "NaN is not", "/a/1/b", 1, 17),
        (b"[-Infinity]", "-Infinity is not", "/0", 1, 2),
        (b"[0, 1e999]", "beyond the range", "/1", 1, 5),
        (b"[9223372036854775808]", "beyond the range", "/0", 1, 2),
        (b"[-9223372036854775809]", "beyond the range", "/0", 1, 2),
        (b"[" + b"9" * 5000 + b"]", "beyond the range", "/0", 1, 2),
        (b'{"a": 1,\n "a": 2}', "the key 'a' stands twice", "/a", 2, 2),
        (b'[{"x/y": {"~": 1, "~": 2}}]', "the key '~' stands twice", "/0/x~1y/~0", 1, 19),
        (b'{"k": ["\xc3\xa9", "a\\u0000"]}', "NUL", "/k/1", 1, 15),
        (b'["\\ud800"]', "surrogate", "/0", 1, 3),
        (b'["\\\\\\ude00\\ud83d"]', "surrogate", "/0", 1, 5),
        (b'["\\ud83d\\\\\\ude00"]', "surrogate", "/0", 1, 3),
        (b"[1] x", "extra data", "", 1, 5),
        (b'{"a": {"b": [1, 2 3]}}', "expecting ',' delimiter", "/a/b/1", 1, 19),
        (b'["a\nb"]', "control character", "/0", 1, 4),
    ],
)
def test_what_is_not_acceptable_is_refused_at_its_place(
    body: bytes, reason: str, pointer: str, line: int, column: int
) -> None:
    with pytest.raises(Malformed) as caught:
        parse(body)
    [problem] = caught.value.details
    assert caught.value.code == problem.code == "INVALID_JSON"
    assert reason in problem.message
    assert (problem.pointer, problem.line, problem.column) == (pointer, line, column)


@pytest.mark.parametrize(
    "body",
    [
        b'["\\\\u0000"]',
        b'["\\\\ud800"]',
        b'["\\ud83d\\ude00"]',
        b'{"a": {"a": 1}, "b": {"a": 1}}',
        b"[-9223372036854775808]",
        b"[9223372036854775807]",
        b'"[[[["',
        b'["\\"[[[", "]"]',
        b"null",
        b"[1e-999, -0.0]",
    ],
)
def test_what_only_looks_dangerous_is_read(body: bytes) -> None:
    assert parse(body, max_depth=2) == json.loads(body)


def test_a_body_over_its_limit_is_too_large() -> None:
    with pytest.raises(TooLarge) as caught:
        parse_json(b"[1]", max_bytes=2)
    assert caught.value.code == "BODY_TOO_LARGE"


def test_nesting_is_allowed_to_the_limit_and_refused_beyond() -> None:
    assert parse(b"[" * 64 + b"]" * 64)
    with pytest.raises(Malformed) as caught:
        parse(b'{"a":[' * 40)
    assert caught.value.details[0].pointer == "/a/0" * 32
    with pytest.raises(Malformed, match="deeper than 64"):
        parse(b"[" * 100_000)


def test_values_are_counted() -> None:
    assert parse(b"[1,1,1]", max_values=4)
    with pytest.raises(Malformed, match="more than 4 values"):
        parse(b"[1,1,1,1]", max_values=4)


@given(st.binary() | st.text().map(str.encode) | st.text('[]{}",:\\u0d8 1eE.-+naN\n').map(str.encode))
def test_no_bytes_raise_anything_but_a_wattle_error(data: bytes) -> None:
    try:
        parse(data)
    except WattleError as error:
        json.dumps(error.message).encode()
        assert all(problem.pointer.encode() is not None for problem in error.details)


_LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_JSON = st.recursive(_LEAVES | _TEXT, lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner), max_leaves=20)


@given(_JSON, st.booleans())
def test_good_json_is_read_as_it_was_written(value: object, ascii_only: bool) -> None:
    assert parse(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(_JSON, st.data())
def test_damaged_json_is_refused_or_read_and_nothing_else(value: object, data: st.DataObject) -> None:
    body = bytearray(json.dumps(value).encode())
    at = data.draw(st.integers(0, len(body) - 1))
    body[at : at + 1] = data.draw(st.sampled_from([b"", b'"', b"\\", b"[", b"}", b",", b"\x00", b"\xff", b"NaN"]))
    try:
        parse(bytes(body))
    except WattleError as error:
        assert error.code == "INVALID_JSON"
