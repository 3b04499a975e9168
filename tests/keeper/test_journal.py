import logging
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wattle.keeper.journal import JournalWriter, discard_keeper, read_records


def _read(directory: Path, after: dict[str, int] | None = None) -> list[tuple[str, int]]:
    return [(keeper_id, record["seq"]) for keeper_id, record in read_records(str(directory), after or {})]


@contextmanager
def _files_limited_to(size: int) -> Iterator[None]:
    """A full disk, as far as one file sees it: short writes, then errors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_records_are_numbered_from_one_and_read_back_in_order(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path), "k1")
    assert [writer.append({"kind": "started", "uid": uid}) for uid in "abc"] == [1, 2, 3]
    assert writer.seq == 0, "nothing is on disk yet"
    assert len(writer.flush()) == 3
    assert writer.seq == 3
    assert _read(tmp_path) == [("k1", 1), ("k1", 2), ("k1", 3)]


def test_reading_goes_on_after_the_last_known_record(tmp_path: Path) -> None:
    for keeper_id in ("k1", "k2"):
        writer = JournalWriter(str(tmp_path), keeper_id, segment_bytes=60)
        for number in range(6):
            writer.append({"uid": f"{number:030}"})
            writer.flush()
    assert len(list(tmp_path.iterdir())) > 4, "segments were rotated"
    assert _read(tmp_path, {"k1": 4, "k2": 6}) == [("k1", 5), ("k1", 6)]


def test_segments_that_are_known_are_deleted_but_never_the_current(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path), "k1", segment_bytes=1)
    for _ in range(4):
        writer.append({"uid": "u"})
        writer.flush()
    writer.discard(2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["k1.0003.jsonl", "k1.0004.jsonl"]
    writer.discard(100)
    assert [path.name for path in tmp_path.iterdir()] == ["k1.0004.jsonl"]
    assert _read(tmp_path) == [("k1", 4)]
    discard_keeper(str(tmp_path), "k1")
    assert _read(tmp_path) == []


def test_a_torn_last_line_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "k1.0001.jsonl").write_bytes(b'{"seq":1}\n{"seq":2,"ki')
    with caplog.at_level(logging.WARNING):
        assert _read(tmp_path) == [("k1", 1)]
    assert "torn" in caplog.text


def test_corrupt_lines_are_passed_over_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "k1.0001.jsonl").write_bytes(b'{"seq":1}\n\xff\x00\n[]\n{"seq":"2"}\n\n{"seq":3}\n')
    with caplog.at_level(logging.WARNING):
        assert _read(tmp_path) == [("k1", 1), ("k1", 3)]
    assert caplog.text.count(" is corrupt ") == 4


def test_other_files_and_a_missing_directory_are_no_journal(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    assert _read(tmp_path) == []
    assert _read(tmp_path / "missing") == []


def test_on_a_full_disk_records_wait_and_no_line_is_torn(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path), "k1")
    writer.append({"uid": "a" * 20})
    writer.flush()
    size = (tmp_path / "k1.0001.jsonl").stat().st_size
    with _files_limited_to(size * 2 + 10):
        for uid in ("b", "c"):
            writer.append({"uid": uid * 20})
        assert len(writer.flush()) == 1, "the fault fired in the middle of a line"
        assert writer.blocked is not None
        assert (writer.seq, writer.unwritten) == (2, 1)
        assert _read(tmp_path) == [("k1", 1), ("k1", 2)]
        assert (tmp_path / "k1.0001.jsonl").read_bytes().endswith(b"\n"), "cut back"
        assert writer.append({"uid": "d"}) == 4
    assert len(writer.flush()) == 2
    assert writer.blocked is None
    assert [seq for _, seq in _read(tmp_path)] == [1, 2, 3, 4]


def test_a_torn_line_that_cannot_be_cut_back_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError("append only")

    writer = JournalWriter(str(tmp_path), "k1")
    with _files_limited_to(20), monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", refuse)
        writer.append({"uid": "a" * 20})
        assert writer.flush() == []
    writer.flush()
    assert _read(tmp_path) == [("k1", 1)]
    assert (tmp_path / "k1.0001.jsonl").read_bytes().count(b"\n") == 2


def test_a_journal_that_cannot_be_created_is_tried_again(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path / "journal"), "k1")
    writer.append({"uid": "u"})
    assert writer.flush() == []
    assert isinstance(writer.blocked, FileNotFoundError)
    (tmp_path / "journal").mkdir()
    assert len(writer.flush()) == 1
