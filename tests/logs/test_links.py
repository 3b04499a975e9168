"""The documented log paths (W-21, A19)."""

import os
import stat
from pathlib import Path

import pytest

from wattle.logs.files import LogFiles, attempt_files
from wattle.logs.links import ensure_links


@pytest.fixture
def data_dir(tmp_path: Path) -> str:
    return str(tmp_path / "data")


@pytest.fixture
def files(data_dir: str) -> LogFiles:
    return attempt_files(data_dir, 7, 0, 1)


def test_documented_paths_lead_to_the_attempts_files_and_can_be_tailed(
    tmp_path: Path, data_dir: str, files: LogFiles
) -> None:
    """W-21, A19"""
    working_dir = tmp_path / "not" / "there" / "yet"
    out, err = ensure_links(str(working_dir), "load", files, data_dir=data_dir)
    assert (out, err) == (f"{working_dir}/load/stdout.log", f"{working_dir}/load/stderr.log")
    assert os.readlink(out) == files.stdout and os.readlink(err) == files.stderr
    assert Path(out).read_bytes() == b""
    assert stat.S_IMODE(os.stat(out).st_mode) == 0o600
    assert not (working_dir / "load").is_symlink()


def test_second_time_changes_nothing_and_loses_no_byte(tmp_path: Path, data_dir: str, files: LogFiles) -> None:
    first = ensure_links(str(tmp_path), "load", files, data_dir=data_dir)
    Path(files.stdout).write_bytes(b"kept\n")
    inode = os.lstat(first[0]).st_ino
    assert ensure_links(str(tmp_path), "load", files, data_dir=data_dir) == first
    assert os.lstat(first[0]).st_ino == inode
    assert Path(first[0]).read_bytes() == b"kept\n"


def test_links_move_on_to_the_newer_attempt(tmp_path: Path, data_dir: str, files: LogFiles) -> None:
    out, _ = ensure_links(str(tmp_path), "load", files, data_dir=data_dir)
    newer = attempt_files(data_dir, 7, 0, 2)
    assert ensure_links(str(tmp_path), "load", newer, data_dir=data_dir)[0] == out
    assert os.readlink(out) == newer.stdout
    assert sorted(os.listdir(tmp_path / "load")) == ["stderr.log", "stdout.log"]


def test_a_link_left_by_another_data_directory_is_replaced(tmp_path: Path, files: LogFiles, data_dir: str) -> None:
    """Two data directories may serve one working directory in turn."""
    other = str(tmp_path / "other")
    ensure_links(str(tmp_path), "load", attempt_files(other, 3, 1, 2), data_dir=other)
    out, _ = ensure_links(str(tmp_path), "load", files, data_dir=data_dir)
    assert os.readlink(out) == files.stdout


def put_file(place: Path) -> None:
    place.write_text("mine")


def put_directory(place: Path) -> None:
    place.mkdir()


def put_foreign_link(place: Path) -> None:
    place.symlink_to("/etc/hostname")


def put_dangling_link(place: Path) -> None:
    place.symlink_to(f"{place.parent.parent}/data/logs/../../elsewhere")


@pytest.mark.parametrize("put", [put_file, put_directory, put_foreign_link, put_dangling_link])
def test_what_else_stands_there_is_left_alone_and_the_real_path_is_named(
    tmp_path: Path, data_dir: str, files: LogFiles, put: object
) -> None:
    (tmp_path / "load").mkdir()
    place = tmp_path / "load" / "stdout.log"
    put(place)  # type: ignore[operator]
    before = os.lstat(place)
    out, err = ensure_links(str(tmp_path), "load", files, data_dir=data_dir)
    assert out == files.stdout
    assert err == str(tmp_path / "load" / "stderr.log")
    after = os.lstat(place)
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (before.st_ino, before.st_mode, before.st_mtime_ns)


@pytest.mark.parametrize("worker", [f"{'x' * 300}", "file"])
def test_where_no_directory_can_be_made_the_real_paths_are_named(
    tmp_path: Path, data_dir: str, files: LogFiles, worker: str
) -> None:
    (tmp_path / "file").write_text("an output of that name")
    assert ensure_links(str(tmp_path), worker, files, data_dir=data_dir) == files
    assert Path(files.stdout).exists()


def test_worker_directory_that_is_a_symlink_is_not_followed(tmp_path: Path, data_dir: str, files: LogFiles) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "load").symlink_to(tmp_path / "elsewhere")
    assert ensure_links(str(tmp_path), "load", files, data_dir=data_dir) == files
    assert os.listdir(tmp_path / "elsewhere") == []


def test_place_that_is_not_writable_is_never_an_error(files: LogFiles, data_dir: str) -> None:
    assert ensure_links("/proc/1/nowhere", "load", files, data_dir=data_dir) == files
