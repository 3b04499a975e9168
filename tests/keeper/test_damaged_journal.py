"""A journal in which something is wrong: what is damaged is passed over with a warning and hides nothing else (C12)."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattle.keeper.journal import read_records
from wattle.keeper.record_shapes import is_of_attempt, is_whole


def line(seq: object, **fields: object) -> bytes:
    return json.dumps({"seq": seq, "kind": "started", **fields}).encode() + b"\n"


def numbers(directory: Path, known: int = 0) -> list[int]:
    return [record["seq"] for _, record in read_records(str(directory), {"k": known})]


@pytest.mark.parametrize("wrong", [91, 4, 3, 1])
@pytest.mark.parametrize("known", [0, 2])
def test_a_wrong_number_hides_no_other_record(
    tmp_path: Path, wrong: int, known: int, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [line(seq) for seq in range(1, 8)]
    lines[4] = line(wrong)  # where 5 was
    (tmp_path / "k.0001.jsonl").write_bytes(b"".join(lines[:6]))
    (tmp_path / "k.0002.jsonl").write_bytes(lines[6])
    found = numbers(tmp_path, known)
    assert found == [seq for seq in (1, 2, 3, 4, 6, 7) if seq > known]
    assert ("wrong number 91" in caplog.text) is (wrong == 91)


@pytest.mark.parametrize("wrong", [True, 0, -1, 2**63, 1.0, "2", None])
def test_what_is_no_number_of_a_record_is_passed_over(tmp_path: Path, wrong: object) -> None:
    (tmp_path / "k.0001.jsonl").write_bytes(line(1) + line(wrong) + line(3))
    assert numbers(tmp_path) == [1, 3]


def test_a_directory_in_the_place_of_a_segment_hides_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "k.0001.jsonl").mkdir()
    (tmp_path / "k.0002.jsonl").write_bytes(line(7))
    assert numbers(tmp_path) == [7]
    assert "is a directory" in caplog.text


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_one_damaged_line_costs_no_other_whatever_is_in_it(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    chance = random.Random(seed)
    directory = tmp_path_factory.mktemp("journal")
    lines = [bytearray(line(seq, uid=f"u{seq}")) for seq in range(1, 13)]
    at = chance.randrange(len(lines))
    for _ in range(chance.randrange(1, 6)):
        lines[at][chance.randrange(len(lines[at]) - 1)] = chance.choice(b'\x00\xff{}[]"0123456789:,eE-+.')
    (directory / "k.0001.jsonl").write_bytes(b"".join(lines))
    found = {record.get("uid") for _, record in read_records(str(directory), {})}
    others = {f"u{seq}" for seq in range(1, 13) if seq != at + 1}
    # A number that became a lower one, between its neighbours' and theirs, takes the place of no other record.
    assert others <= found, f"seed {seed}: {bytes(lines[at])!r}"


WHOLE = {
    "started": {"pid": 7, "inode": None, "start_ticks": 5},
    "exited": {"exit_code": 0, "signal": None},
    "refused": {"reason_code": "x", "reason": "x", "retryable": False},
    "ended": {"started_at": 1, "duration_us": 1, "exit_code": None, "signal": 9, "known": True, "cause": None},
}


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("wrong", [None, [], {}, "x", 1, 2**64, True, 0.5])
def test_a_record_that_lacks_something_or_has_it_wrong_is_not_whole(kind: str, wrong: object) -> None:
    sound = {"seq": 1, "kind": kind, "uid": "u", "tag": [1, 2, 3], "at": 5, **WHOLE[kind]}
    assert is_whole(sound) and is_of_attempt(sound)
    for name in ("kind", "uid", "at", *WHOLE[kind]):
        lacking = {key: value for key, value in sound.items() if key != name}
        may_lack = name in ("inode", "start_ticks", "exit_code", "signal", "cause")
        assert is_whole(lacking) is may_lack
        if type(wrong) is not type(sound[name]) and not (may_lack and isinstance(wrong, int | str | None)):
            assert not is_whole(sound | {name: wrong}), name
    assert not is_of_attempt(sound | {"tag": wrong}) and not is_of_attempt(sound | {"tag": [1, 2, wrong, 4]})
