import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattle.keeper.protocol import MAX_FRAME_BYTES, FrameReader, ProtocolError, encode

MESSAGES = st.lists(st.dictionaries(st.text(), st.integers() | st.text() | st.none() | st.lists(st.booleans())))


@given(MESSAGES, st.data())
def test_messages_arrive_whole_however_the_bytes_are_cut(messages: list[dict], data: st.DataObject) -> None:
    stream = b"".join(encode(message) for message in messages)
    reader = FrameReader()
    arrived = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        arrived += reader.feed(stream[:size])
        stream = stream[size:]
    assert arrived == messages


def test_names_that_are_no_utf8_survive() -> None:
    message = {"env": {"NAME": b"\xff\xfe".decode("utf-8", "surrogateescape")}}
    assert FrameReader().feed(encode(message)) == [message]


@pytest.mark.parametrize(
    "garbage",
    [
        (MAX_FRAME_BYTES + 1).to_bytes(4, "big"),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\4nope",
        b"\0\0\0\2[]",
        b"\0\0\0\2\xff\xff",
        (200_000).to_bytes(4, "big") + b"[" * 200_000,
    ],
)
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(ProtocolError):
        FrameReader().feed(garbage)


def test_a_message_over_the_limit_is_not_sent() -> None:
    with pytest.raises(ProtocolError):
        encode({"text": "x" * MAX_FRAME_BYTES})
