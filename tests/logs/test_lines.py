"""Bytes to lines (L1, L2, L3, L4)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattle.logs.lines import MAX_LINE_BYTES, Piece, cut


@pytest.mark.parametrize(
    "data, contents",
    [
        (b"", []),
        (b"a\nb\n", ["a", "b"]),
        (b"a\n\nb\n", ["a", "", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"10%\r20%\r\n", ["10%\r20%"]),
        (b"\xff\n\xe2\x82\n", ["\ufffd", "\ufffd"]),
        ("grün\n".encode(), ["grün"]),
        (b"nul\0\n", ["nul\0"]),
    ],
)
def test_lines_end_at_newlines_and_lose_only_a_carriage_return_before_one(data: bytes, contents: list[str]) -> None:
    assert [piece.content for piece in cut(data, final=False)] == contents


def test_unfinished_line_waits_until_nothing_can_follow_and_is_then_partial() -> None:
    """L1"""
    assert list(cut(b"a\nb", final=False)) == [Piece("a", 2)]
    assert list(cut(b"a\nb", final=True)) == [Piece("a", 2), Piece("b", 1, partial=True)]


def test_line_of_exactly_the_limit_is_one_line() -> None:
    data = b"x" * MAX_LINE_BYTES + b"\n"
    assert list(cut(data, final=False)) == [Piece("x" * MAX_LINE_BYTES, MAX_LINE_BYTES + 1)]


def test_longer_line_comes_in_continued_pieces_of_at_most_the_limit() -> None:
    """L2"""
    pieces = list(cut(b"x" * 10_000_000 + b"\n", final=False))
    assert all(piece.continued for piece in pieces[:-1]) and not pieces[-1].continued
    assert max(piece.length for piece in pieces) <= MAX_LINE_BYTES + 1
    assert "".join(piece.content for piece in pieces) == "x" * 10_000_000


@pytest.mark.parametrize("length", range(5, 30))
def test_no_piece_splits_the_end_of_a_line_in_two(length: int) -> None:
    pieces = list(cut(b"x" * length + b"\r\n" + b"y" * 20, final=True, limit=8))
    joined = "".join(piece.content + ("" if piece.continued or piece.partial else "\n") for piece in pieces)
    assert joined == "x" * length + "\n" + "y" * 20


@pytest.mark.parametrize("limit", range(8, 20))
def test_no_piece_splits_a_code_point(limit: int) -> None:
    """L4"""
    text = "aé€😀" * 20
    assert "".join(piece.content for piece in cut(text.encode() + b"\n", final=False, limit=limit)) == text


@settings(deadline=None)
@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from([b"\r", b"\n", b"\xf0\x9f\x98\x80", b"\xe2", b"a"])).map(b"".join),
    st.integers(8, 40),
)
def test_joined_pieces_are_the_decoded_bytes_and_their_lengths_add_up(data: bytes, limit: int) -> None:
    """L3"""
    pieces = list(cut(data, final=True, limit=limit))
    assert sum(piece.length for piece in pieces) == len(data)
    joined = "".join(piece.content + ("" if piece.continued or piece.partial else "\n") for piece in pieces)
    assert joined == data.decode("utf-8", "replace").replace("\r\n", "\n")
