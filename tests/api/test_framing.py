"""Arbitrary bytes as log, and what libraries make of the stream: the file's text, in any chunks (F43, I7, W-22)."""

import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import pytest
import sseclient
from httpx_sse import EventSource
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.whole.event_source import Heard
from tests.whole.stream_clients import text_of, whole_events
from wattle.api import sse
from wattle.api.envelope import instant
from wattle.logs.follow import Follower
from wattle.logs.said import LogLineEvent
from wattle.service.views import LogState

TRICKY = [
    b"\n", b"\n\n", b"\r", b"\r\n", b"\0", b"data: x", b"id: 1:2:3", b": hb", b"event: end", b'{"a": "\\',
    b"\xff", b"\xe2\x82", b"\xf0\x9f\x98\x80", "ä\u2028\u0085\ufeff日".encode(), b"\xed\xa0\x80", b"\x1b[0m",
]  # fmt: skip
LOG = st.lists(st.binary(max_size=12) | st.sampled_from(TRICKY), max_size=40).map(b"".join)
INSTANTS = st.integers(0, 2**53)  # µs
SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=20)


def streamed(out: Path, err: Path, position: str | None = None) -> bytes:
    """All there is to say of an attempt that has ended, on the wire. Lines over 16 bytes come in pieces."""
    state = LogState("u1", 1, str(out), str(err), False, True, "completed", 0)
    follower = Follower(lambda _: state, position=position, max_line_bytes=16)
    said = b""
    while not follower.done:
        said += b"".join(map(sse.encode, follower.poll(0.0)))
    return said


def pieces(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """Cut to these sizes, again and again."""
    at = 0
    while at < len(data):
        for size in sizes:
            yield data[at : at + size]
            at += size


def by_httpx_sse(chunks: Iterable[bytes]) -> list[Heard]:
    answer = httpx.Response(200, headers=sse.HEADERS, content=iter(chunks))
    return [Heard(event.event, event.json(), event.id) for event in EventSource(answer).iter_sse() if event.data]


def by_sseclient(chunks: Iterable[bytes]) -> list[Heard]:
    client = sseclient.SSEClient(whole_events(chunks))
    return [Heard(event.event, json.loads(event.data), event.id) for event in client.events()]


@pytest.mark.parametrize("hear", [by_httpx_sse, by_sseclient])
@settings(max_examples=60, deadline=None)
@given(out=LOG, err=LOG, sizes=SIZES, data=st.data())
def test_a_cut_stream_and_its_rest_are_the_files_text(hear, out: bytes, err: bytes, sizes: list[int], data) -> None:
    """Cut at any byte and gone on with by the last id: nothing is missing and nothing comes twice."""
    with tempfile.TemporaryDirectory() as directory:
        paths = Path(directory, "out"), Path(directory, "err")
        for path, content in zip(paths, (out, err), strict=True):
            path.write_bytes(content)
        stream = streamed(*paths)
        cut = data.draw(st.integers(0, len(stream)), "cut")
        events = hear(pieces(stream[:cut], sizes))
        last_id = events[-1].id if events else None
        if not events or events[-1].name != "end":
            events += hear(pieces(streamed(*paths, last_id), sizes))
    for name, content in (("stdout", out), ("stderr", err)):
        assert text_of(events, name) == content.decode("utf-8", "replace").replace("\r\n", "\n")
    assert [event.name for event in events].count("end") == 1
    ids = [event.id for event in events if event.name == "message"]
    assert len(set(ids)) == len(ids)


@settings(deadline=None)
@given(
    st.builds(
        LogLineEvent,
        st.sampled_from(["stdout", "stderr"]),
        LOG.map(lambda data: data.decode("utf-8", "replace")),
        st.just("u1:1:2"),
        st.none() | INSTANTS,
        st.none() | INSTANTS,
        st.booleans(),
        st.booleans(),
        st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    )
)
def test_a_line_is_one_event_of_json(line: LogLineEvent) -> None:
    """W-22: as any other event is made; keys that say nothing are left out."""
    told: dict[str, object] = {"type": line.type, "content": line.content}
    told |= {} if line.worker is None else {"worker": line.worker}
    told |= {key: instant(at) for key, at in (("time", line.time), ("after", line.after)) if at is not None}
    told |= {key: True for key in ("continued", "partial") if getattr(line, key)}
    assert sse.encode(line) == sse.event(told, id=line.id)


def test_sseclient_takes_half_an_event_for_a_whole_one() -> None:
    """Why `whole_events` is there: without it this id would be gone on with."""
    cut = sse.event({"type": "stdout", "content": "x"}, id="u1:120:45")[:-3]
    (event,) = sseclient.SSEClient(iter([cut])).events()
    assert event.id == "u1:120:4"
    assert list(sseclient.SSEClient(whole_events([cut])).events()) == []
