"""Looks at what a service prints (`ready: {"log": …}`)."""

import threading
import time
from pathlib import Path

import pytest

from wattle.definition.model import Probe
from wattle.supervisor import looks


def probe(pattern: str) -> Probe:
    return Probe("log", pattern)


def found(place: looks.LogPlace, pattern: str) -> bool:
    return looks.look("k", probe(pattern), looks.Places((place,))).problem is None


@pytest.mark.parametrize("pattern", ["listening on", r"listening on \d+$"])
def test_a_line_is_found_once_it_is_whole_and_looked_for_only_in_what_is_new(tmp_path: Path, pattern: str) -> None:
    log = tmp_path / "out"
    place = looks.LogPlace(str(log))
    assert not found(place, pattern)  # there is no log yet
    log.write_bytes(b"starting\nlistening on 80")
    assert not found(place, pattern) and place.offset == len(b"starting\n")
    with log.open("ab") as file:
        file.write(b"80\n\xff\n")
    assert found(place, pattern)
    assert not found(place, pattern) and place.offset == log.stat().st_size


def test_a_line_without_an_end_is_looked_at_in_pieces(tmp_path: Path) -> None:
    log = tmp_path / "out"
    log.write_bytes(b"x" * (looks.MOST_BYTES + 10) + b" ready\n")
    place = looks.LogPlace(str(log))
    assert not found(place, "ready") and place.offset == looks.MOST_BYTES
    assert found(place, "ready")


def test_an_expression_that_takes_for_ever_holds_up_nobody_and_says_so(tmp_path: Path) -> None:
    """Matched in this process it would hold up every thread: no other could run meanwhile."""
    log = tmp_path / "out"
    log.write_bytes(b"a" * 40 + b"b\n")
    looked: list[looks.Looked] = []
    places = looks.Places((looks.LogPlace(str(log)),))
    thread = threading.Thread(target=lambda: looked.append(looks.look("k", probe("(a+)+$"), places)), daemon=True)
    thread.start()
    longest, before = 0.0, time.process_time()  # what this process does, not for how long the machine leaves it alone
    while thread.is_alive():
        time.sleep(0.01)
        longest, before = max(longest, time.process_time() - before), time.process_time()
    assert longest < 2
    assert "make it simpler" in str(looked[0].problem)
