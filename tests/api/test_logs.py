"""What a worker has printed, over HTTP."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api.examples import client_of
from flask.testing import FlaskClient

from tests.supervisor.world import World
from wattle.logs.files import attempt_files, index_file
from wattle.logs.index import IndexWriter

DAY = 1_725_012_000_000_000  # 2024-08-30T10:00:00.000Z
SECOND = 1_000_000
LOGS = "/api/workers/example-workflow/data_fetcher/logs"
STDOUT = b"one\ntwo\nthree\n"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """The store of a supervisor whose clock is set."""
    world = World(tmp_path, "")
    world.now = DAY
    world.create("example-workflow", "data_fetcher")
    yield world
    world.kill()


@pytest.fixture
def client(world: World) -> FlaskClient:
    return client_of(world)


@pytest.fixture(autouse=True)
def logged(world: World, tmp_path: Path) -> Path:
    """An attempt of nine seconds: `one` and `careful` at its start, `two` and `three` later."""
    run = world.run("example-workflow")
    world.play("start data_fetcher")
    files = attempt_files(str(tmp_path), run, 0, 1)
    Path(files.stdout).write_bytes(STDOUT)
    Path(files.stderr).write_bytes(b"careful\n")
    index = IndexWriter(index_file(files))
    index.add(DAY + 1000, 4, 0)
    index.add(DAY + 2000, 8, 8, 2, 1)
    index.add(DAY + 5 * SECOND, 14, 8)
    world.play("wait 9; exit data_fetcher 0; commit")
    return Path(files.stdout).parent


def said(client: FlaskClient, query: str) -> list[str]:
    return [entry["content"] for entry in client.get(f"{LOGS}?{query}").json["data"]]


def test_a_page_has_lines_of_both_streams_in_order_with_their_times(client: FlaskClient) -> None:
    answer = client.get(f"{LOGS}?from=0:0").json
    assert answer["data"] == [
        {"type": "stdout", "content": "one", "time": "2024-08-30T10:00:00.001Z", "offset": 0},
        {"type": "stderr", "content": "careful", "time": "2024-08-30T10:00:00.002Z", "offset": 0},
        {"type": "stdout", "content": "two", "time": "2024-08-30T10:00:00.002Z", "offset": 4},
        {"type": "stdout", "content": "three", "time": "2024-08-30T10:00:05.000Z",
         "after": "2024-08-30T10:00:00.002Z", "offset": 8},
    ]  # fmt: skip
    assert (answer["next"], answer["complete"]) == ("14:8", True)


def test_a_line_that_was_watched_after_a_silence_has_no_vague_time(client: FlaskClient, logged: Path) -> None:
    """The silence before it says nothing of it: `after` is for what nobody watched."""
    with open(logged / "0.1.out", "ab") as file:
        file.write(b"watched\n")
    IndexWriter(str(logged / "times/0.1.idx")).add(DAY + 8 * SECOND, 22, 8, 1)
    for query in ("from=14:8", "tail=1&stream=stdout&times=true"):
        assert client.get(f"{LOGS}?{query}").json["data"] == [
            {"type": "stdout", "content": "watched", "time": "2024-08-30T10:00:08.000Z", "offset": 14}
        ]


def test_a_line_that_was_watched_long_after_a_time_was_not_written_in_it(client: FlaskClient, logged: Path) -> None:
    index = IndexWriter(str(logged / "times/0.1.idx"))
    with open(logged / "0.1.out", "ab") as file:
        file.write(b"watched\n")
    index.add(DAY + 400 * SECOND, 22, 8, 1)
    with open(logged / "0.1.out", "ab") as file:
        file.write(b"unwatched\n")
    index.add(DAY + 800 * SECOND, 32, 8)
    assert said(client, "since=2024-08-30T10:00:06Z&until=2024-08-30T10:01:00Z") == []
    # What nobody watched may have been written ever since the last look.
    assert said(client, "since=2024-08-30T10:00:06Z&until=2024-08-30T10:06:40Z") == ["watched", "unwatched"]


def test_one_offset_is_of_one_stream(client: FlaskClient) -> None:
    assert said(client, "from=4") == ["two", "three"]
    assert said(client, "from=4&stream=stdout") == ["two", "three"]
    assert said(client, "from=0&stream=stderr") == ["careful"]
    answer = client.get(f"{LOGS}?from=4&limit=5").json
    assert ([line["content"] for line in answer["data"]], answer["next"], answer["complete"]) == (["two"], 8, False)


def test_a_span_of_time(client: FlaskClient) -> None:
    assert said(client, "since=2024-08-30T10:00:00.1Z") == ["three"]
    assert said(client, "until=2024-08-30T10:00:00.0005Z") == ["one"]
    assert said(client, "since=2024-08-30T11:00:00Z") == []


def test_lines_that_match(client: FlaskClient) -> None:
    answer = client.get(LOGS, query_string={"grep": "^tw", "context": 1}).json
    assert [(line["content"], line["match"]) for line in answer["data"]] == [
        ("one", False), ("two", True), ("three", False)
    ]  # fmt: skip


def test_the_tail_with_times(client: FlaskClient) -> None:
    """A19: without `times` it is the documented form."""
    assert client.get(f"{LOGS}?tail=1").json["data"] == [
        {"type": "stderr", "content": "careful"}, {"type": "stdout", "content": "three"}
    ]  # fmt: skip
    times = [line["time"] for line in client.get(f"{LOGS}?tail=1&times=true").json["data"]]
    assert times == ["2024-08-30T10:00:00.002Z", "2024-08-30T10:00:05.000Z"]
    assert said(client, "tail=5&stream=stderr") == ["careful"]
    assert said(client, "tail=0") == []


def test_a_tail_that_is_bounded_says_so(client: FlaskClient, logged: Path) -> None:
    (logged / "0.1.out").write_bytes(b"x" * 99 + b"\n" * 1 + (b"y" * 99 + b"\n") * 20_000)
    answer = client.get(f"{LOGS}?tail=15000&stream=stdout").json
    assert answer["complete"] is False and len(answer["data"]) < 15_000
    assert "complete" not in client.get(f"{LOGS}?tail=10").json


def test_a_tail_within_one_huge_line_is_marked_and_says_that_it_is_not_all(client: FlaskClient, logged: Path) -> None:
    """F42, L2: its last mebibyte, in pieces."""
    (logged / "0.1.out").write_bytes(b"small\n" + b"x" * 3_000_000 + b"\n")
    answer = client.get(f"{LOGS}?tail=1&stream=stdout").json
    first, *_, last = answer["data"]
    assert answer["complete"] is False and first.keys() == {"type", "content", "continues", "continued"}
    assert last.keys() == {"type", "content", "continues"}
    (logged / "0.1.out").write_bytes(b"small\n" + b"x" * 100_000 + b"\n")
    answer = client.get(f"{LOGS}?tail=1&stream=stdout").json
    assert "complete" not in answer and answer["data"][0].keys() == {"type", "content", "continued"}


def test_paths_of_one_stream_and_of_one_attempt(client: FlaskClient, logged: Path) -> None:
    assert client.get(f"{LOGS}?attempt=1&stream=stderr").json["data"] == [f"stderr: {logged}/0.1.err"]
    assert client.get(f"{LOGS}?stream=stdout").json["data"][0].endswith("/data_fetcher/stdout.log")


@pytest.mark.parametrize(
    "query",
    ["stream=both", "from=-1", "from=x", "from=1:2:3", "from=1:2&stream=stderr", "limit=0", "limit=99999999", "grep=",
     "grep=(", "context=3", "grep=a&context=5000", "since=yesterday", "tail=3&from=0", "tail=3&grep=a", "attempt=0",
     "grep=" + "a" * 2000, "from=1&from=2", "times=maybe", "tail=1&times=maybe", "from=0&times=maybe"],
)  # fmt: skip
def test_what_cannot_be_meant_is_said(client: FlaskClient, query: str) -> None:
    answer = client.get(f"{LOGS}?{query}")
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "INVALID_PARAMETER")


@pytest.mark.parametrize("query", ["tail=2", "from=0", "grep=a", "since=0", "attempt=9"])
def test_an_attempt_that_is_not_there_is_not_found(client: FlaskClient, query: str) -> None:
    for url in (
        f"{LOGS}?{query}&attempt=9" if "attempt" not in query else f"{LOGS}?{query}",
        f"{LOGS}/download?attempt=9",
    ):
        answer = client.get(url)
        assert (answer.status_code, answer.json["error"]["code"]) == (404, "ATTEMPT_NOT_FOUND")


def test_a_log_that_somebody_deleted_or_cut_is_said(client: FlaskClient, logged: Path) -> None:
    os.unlink(logged / "0.1.err")
    (logged / "0.1.out").write_bytes(b"new\n")
    found: list[dict[str, Any]] = client.get(f"{LOGS}?from=9:8").json["data"]
    assert found[0] == {"type": "truncated", "stream": "stdout", "size_bytes": 4}
    assert found[1]["type"] == "gap" and found[1]["stream"] == "stderr" and "not there" in found[1]["reason"]
    assert found[2]["content"] == "new"
    assert client.get(f"{LOGS}?tail=3").json["data"][0]["type"] == "gap"


def test_a_download_is_the_bytes(client: FlaskClient, logged: Path) -> None:
    data = bytes(range(256)) * 1000
    (logged / "0.1.out").write_bytes(data)
    answer = client.get(f"{LOGS}/download")
    assert answer.data == data
    assert answer.headers["Content-Length"] == str(len(data))
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert client.get(f"{LOGS}/download?stream=stderr").data == b"careful\n"
    head = client.head(f"{LOGS}/download")
    assert (head.data, head.headers["Content-Length"]) == (b"", str(len(data)))


@pytest.mark.parametrize(
    "asked, status, expected",
    [
        ("bytes=0-2", 206, b"one"),
        ("bytes=4-", 206, b"two\nthree\n"),
        ("bytes=-6", 206, b"three\n"),
        ("bytes=4-9999", 206, b"two\nthree\n"),
        ("bytes=-9999", 206, STDOUT),
        ("bytes=14-", 416, b""),
        ("bytes=5-3", 200, STDOUT),
        ("bytes=0-1,3-4", 200, STDOUT),
        ("lines=1-2", 200, STDOUT),
        ("bytes=-", 200, STDOUT),
        ("bytes=-0", 416, b""),
    ],
)
def test_a_range_of_a_download(client: FlaskClient, asked: str, status: int, expected: bytes) -> None:
    answer = client.get(f"{LOGS}/download", headers={"Range": asked})
    assert (answer.status_code, answer.data) == (status, expected)
    assert answer.headers["Content-Length"] == str(len(expected))
    if status == 206:
        begin = STDOUT.index(expected)
        assert answer.headers["Content-Range"] == f"bytes {begin}-{begin + len(expected) - 1}/14"


def test_a_range_of_what_has_changed_is_the_whole(client: FlaskClient) -> None:
    etag = client.get(f"{LOGS}/download").headers["ETag"]
    for condition, expected in ((etag, b"one"), ('"other"', STDOUT)):
        answer = client.get(f"{LOGS}/download", headers={"Range": "bytes=0-2", "If-Range": condition})
        assert answer.data == expected


def test_what_was_dropped_is_left_out_of_a_download(client: FlaskClient, logged: Path) -> None:
    with open(logged / "0.1.out", "wb") as file:
        file.truncate(1 << 20)
        file.seek(1 << 20)
        file.write(b"kept\n")
    answer = client.get(f"{LOGS}/download")
    assert (answer.data, answer.headers["X-Wattle-Dropped-Bytes"]) == (b"kept\n", str(1 << 20))


@pytest.mark.parametrize("make", ["nothing", "directory", "symlink"])
def test_what_is_no_log_is_not_found(client: FlaskClient, logged: Path, make: str) -> None:
    (logged / "0.1.out").unlink()
    if make == "directory":
        (logged / "0.1.out").mkdir()
    elif make == "symlink":
        (logged / "0.1.out").symlink_to("/etc/passwd")
    answer = client.get(f"{LOGS}/download")
    assert (answer.status_code, answer.json["error"]["code"]) == (404, "LOG_NOT_FOUND")
