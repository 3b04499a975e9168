"""Logs of living attempts, watched: the order of lines, their times, and caps (L5, L6, L9, F41, F44)."""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from logs.writers import writing

from tests.whole.denied import without
from wattle.logs import holes, watch
from wattle.logs.excerpt import Ask, read_excerpt
from wattle.logs.files import LogFiles, attempt_files, index_file
from wattle.logs.index import read_timeline
from wattle.logs.watch import LogWatch
from wattle.service.views import LogState

KEY = (1, 0, 1)
MB = 1 << 20


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.005)


@pytest.fixture
def files(tmp_path: Path) -> LogFiles:
    return attempt_files(str(tmp_path), *KEY)


class Watches:
    def __init__(self, data_dir: str) -> None:
        self.data_dir = data_dir
        self.started: list[LogWatch] = []

    def __call__(self, caps: dict[int, int] | None = None, live_bytes: int | None = None) -> LogWatch:
        made = LogWatch(self.data_dir, lambda _: caps or {}, live_bytes)
        made.start()
        self.started.append(made)
        return made


@pytest.fixture
def watches(tmp_path: Path) -> Iterator[Watches]:
    made = Watches(str(tmp_path))
    yield made
    for one in made.started:
        one.close()


def adopted(made: LogWatch, files: LogFiles, key: tuple[int, int, int] = KEY) -> None:
    made.started(key, 1)
    eventually(lambda: os.path.exists(index_file(files)))


def state(files: LogFiles) -> LogState:
    return LogState("uid", 1, *files, True, False, "running", None, 1, None)


@pytest.mark.parametrize("milliseconds", [1, 5, 20])
def test_alternating_lines_are_put_in_their_order(tmp_path: Path, watches: Watches, milliseconds: int) -> None:
    """L5, as far as the index knows: each line on its own of the two. The best of eight: where something else has the
    processor for longer than a pause, two lines are seen as one change."""
    count, best = 150, 0
    for number in range(1, 9):
        key = (1, 0, number)
        found = alternated(key, attempt_files(str(tmp_path), *key), watches(), milliseconds, count)
        assert sorted(found) == list(range(count))
        best = max(best, sum(one + 1 == other for one, other in pairwise(found)))
        if best >= (count - 1) * 0.97:
            return
    raise AssertionError(f"{best} of {count - 1} lines follow the one before")


def alternated(
    key: tuple[int, int, int], files: LogFiles, made: LogWatch, milliseconds: int, count: int
) -> list[int]:
    """So many lines written in turn to both logs, as they are read afterwards."""
    script = f"""
while not os.path.exists({os.fspath(files.stdout) + ".go"!r}):
    time.sleep(0.005)
for number in range({count}):
    write(number % 2, b"%d\\n" % number)
    time.sleep({milliseconds / 1000})
"""
    with writing(files, script) as process:
        adopted(made, files, key)
        Path(files.stdout + ".go").touch()
        assert process.wait(60) == 0
        made.ended(key, time.time_ns() // 1000)
    sizes = [os.stat(path).st_size for path in files]
    last = 2**60
    eventually(lambda: [read_timeline(index_file(files), 1, last).at(s, sizes[s]).by for s in (0, 1)].count(last) == 0)
    return [int(timed.line.content) for timed in read_excerpt(state(files), Ask()).lines]


def test_a_line_has_the_time_at_which_it_was_written(files: LogFiles, watches: Watches) -> None:
    made = watches()
    script = f"""
while not os.path.exists({os.fspath(files.stdout) + ".go"!r}):
    time.sleep(0.005)
for _ in range(20):
    write(0, b"%d\\n" % (time.time_ns() // 1000))
    time.sleep(0.03)
time.sleep(60)
"""
    with writing(files, script):
        adopted(made, files)
        Path(files.stdout + ".go").touch()
        eventually(lambda: len(read_excerpt(state(files), Ask()).lines) == 20)
        eventually(
            lambda: read_timeline(index_file(files), 1, None).at(0, os.stat(files.stdout).st_size).by is not None
        )
        for timed in read_excerpt(state(files), Ask()).lines:
            assert timed.after is not None and timed.by is not None
            # Bounds hold whatever the machine does; the sizes are read a moment before the clock is.
            assert timed.after - 50_000 <= int(timed.line.content) <= timed.by + 50_000


def test_a_short_attempt_gets_no_index(files: LogFiles, watches: Watches) -> None:
    made = watches()
    with writing(files, "") as process:
        made.started(KEY, 1)
        made.ended(KEY, 1)
        process.wait(60)
    time.sleep(3 * watch.YOUNG_SECONDS)  # nothing may happen, so there is nothing to wait for
    assert not os.path.exists(index_file(files))


def test_a_silent_worker_wakes_nobody(files: LogFiles, watches: Watches) -> None:
    """L9: the thread sleeps until something is written."""
    made = watches()
    with writing(files, "time.sleep(60)"):
        adopted(made, files)
        eventually(lambda: made._next_at > time.monotonic() + 3600)
        thread = made._thread
        assert thread is not None and thread.native_id is not None
        eventually(lambda: (switches(thread), time.sleep(0.1))[0] == switches(thread) and is_asleep(thread))
        before = switches(thread)
        time.sleep(1.0)
        assert switches(thread) - before == 0


def status(thread: threading.Thread) -> str:
    return Path(f"/proc/self/task/{thread.native_id}/status").read_text()


def is_asleep(thread: threading.Thread) -> bool:
    """And does not wait for a processor."""
    return "\nState:\tS" in status(thread)


def switches(thread: threading.Thread) -> int:
    text = status(thread)
    return sum(int(line.split()[1]) for line in text.splitlines() if "ctxt_switches" in line)


FLOOD = """
line = b"x" * 99 + b"\\n"
for number in range(%d):
    write(0, line * 640)
write(0, b"the end\\n")
time.sleep(60)
"""


def on_disk(path: str) -> int:
    return os.stat(path).st_blocks * 512


def test_a_flood_stays_within_its_cap(tmp_path: Path, watches: Watches) -> None:
    """L6, F41: the disk holds twice the cap at most, the end is whole, and what is gone is counted. The best of eight:
    where something else has the processor, the flood goes on and nobody looks."""
    cap, most = 16 * MB, 0
    for number in range(1, 9):
        key = (1, 0, number)
        most = flooded(key, attempt_files(str(tmp_path), *key), watches({0: cap}), cap)
        if most <= 2 * cap + MB:
            return
    raise AssertionError(f"{most / MB:.0f} MB at most")


def flooded(key: tuple[int, int, int], files: LogFiles, made: LogWatch, cap: int) -> int:
    """How much the disk held at most."""
    most = 0
    steady = FLOOD.replace("640)", "640)\n    number %% 16 or time.sleep(0.002)")  # some 300 MB/s
    with writing(files, "time.sleep(0.3)\n" + steady % 4000):
        adopted(made, files, key)
        total = 4000 * 64_000 + 8
        while os.stat(files.stdout).st_size < total:
            most = max(most, on_disk(files.stdout))
            time.sleep(0.002)  # as often as it is looked at; a busy loop would keep the watch from its own looks
        eventually(lambda: on_disk(files.stdout) <= cap + MB)
        eventually(lambda: made._logs[key].sizes[0] == total and not made._logs[key].is_fast)  # nothing more is dropped
    assert os.stat(files.stdout).st_size == total, "offsets have moved"
    excerpt = read_excerpt(state(files), Ask(streams=(0,)))
    (gap,) = excerpt.missing
    kept = total - getattr(gap, "dropped_bytes", 0)
    assert 0.49 * cap <= kept <= cap
    with open(files.stdout, "rb") as file:
        file.seek(total - kept)
        data = file.read()
    assert data.endswith(b"the end\n") and b"\0" not in data
    assert set(data.split(b"\n")[1:-2]) == {b"x" * 99}
    return most


def test_without_a_cap_nothing_is_dropped(files: LogFiles, watches: Watches) -> None:
    """The positive control of the one above."""
    made = watches()
    with writing(files, FLOOD % 400):
        adopted(made, files)
        eventually(lambda: os.stat(files.stdout).st_size == 400 * 64_000 + 8)
        eventually(lambda: on_disk(files.stdout) >= 400 * 64_000)
    assert read_excerpt(state(files), Ask()).missing == ()


def test_nothing_is_dropped_between_the_end_of_an_attempt_and_of_its_run(files: LogFiles, watches: Watches) -> None:
    made = watches({0: 64 * 1024})
    with writing(files, "time.sleep(60)"):
        adopted(made, files)
        log = made._logs[KEY]
        made.ended(KEY, None)
        with open(files.stdout, "ab") as file:
            file.write(b"x" * MB)
        eventually(lambda: not made._logs)
        assert holes.hole_end(os.open(files.stdout, os.O_RDONLY), 0) == 0
        made.run_ended(KEY[0])
        eventually(lambda: on_disk(files.stdout) <= 64 * 1024)
        assert log.is_over is False


def test_a_worker_of_another_version_has_the_cap_of_its_place_there(files: LogFiles, watches: Watches) -> None:
    made = watches({3: 64 * 1024})
    with writing(files, "time.sleep(60)"):
        made.started(KEY, 2, 3)
        eventually(lambda: KEY in made._logs)
        assert made._logs[KEY].cap == 64 * 1024


def test_the_logs_of_all_running_workers_have_a_bound(tmp_path: Path, watches: Watches) -> None:
    """The largest gives; a small one keeps what it has."""
    made = watches(live_bytes=4 * MB)
    large, small = attempt_files(str(tmp_path), 1, 0, 1), attempt_files(str(tmp_path), 1, 1, 1)
    with writing(large, "time.sleep(0.3)\n" + FLOOD % 300), writing(small, "write(0, b'y' * 500000)\ntime.sleep(60)"):
        made.started((1, 0, 1), 1)
        made.started((1, 1, 1), 1)
        eventually(lambda: os.stat(large.stdout).st_size == 300 * 64_000 + 8)
        eventually(lambda: on_disk(large.stdout) + on_disk(small.stdout) <= 4 * MB)
    assert holes.hole_end(os.open(small.stdout, os.O_RDONLY), 0) == 0


def test_a_daemon_goes_on_where_the_last_one_dropped(files: LogFiles, watches: Watches) -> None:
    cap = 256 * 1024
    first = watches({0: cap})
    with writing(files, "time.sleep(0.3)\n" + FLOOD % 100):
        adopted(first, files)
        eventually(lambda: os.stat(files.stdout).st_size == 100 * 64_000 + 8)
        eventually(lambda: on_disk(files.stdout) <= cap + 64 * 1024)
        eventually(lambda: first._logs[KEY].dropped[0] >= 100 * 64_000 - cap)  # it has seen the end
        first.close()
        second = watches({0: cap})
        second.started(KEY, 1)
        eventually(lambda: KEY in second._logs)
        assert second._logs[KEY].dropped[0] >= 100 * 64_000 - cap


def test_where_no_hole_can_be_made_logs_grow_and_it_is_said(
    files: LogFiles, watches: Watches, caplog: pytest.LogCaptureFixture
) -> None:
    made = without("fallocate", lambda: watches({0: 64 * 1024}), errno.EOPNOTSUPP)
    with writing(files, "time.sleep(0.3)\n" + FLOOD % 50):
        adopted(made, files)
        eventually(lambda: "no log is bounded" in caplog.text)
        eventually(lambda: os.stat(files.stdout).st_size == 50 * 64_000 + 8)
    assert read_excerpt(state(files), Ask()).missing == ()


def test_without_inotify_logs_are_looked_at(files: LogFiles, watches: Watches) -> None:
    """O12."""
    made = without("inotify_init1", watches, errno.ENOSYS)
    assert made._inotify is None
    script = f"""
for n in range(5):
    while not os.path.exists({os.fspath(files.stdout) + ".go"!r} + str(n)):
        time.sleep(0.005)
    write(n % 2, b"%d\\n" % n)
time.sleep(60)
"""
    with writing(files, script):
        adopted(made, files)
        for n in range(5):  # each once the one before was looked at, or nobody could know their order
            Path(f"{files.stdout}.go{n}").touch()
            eventually(lambda: sum(made._logs[KEY].sizes) == 2 * (n + 1))  # noqa: B023
        eventually(lambda: read_timeline(index_file(files), 1, None).at(0, 6).by is not None)
    assert [timed.line.content for timed in read_excerpt(state(files), Ask()).lines] == list("01234")


def test_a_log_that_is_deleted_or_cut_harms_nobody(files: LogFiles, watches: Watches) -> None:
    """L7."""
    made = watches({0: 64 * 1024})
    with writing(files, "while True:\n    write(0, b'x' * 999 + b'\\n')\n    time.sleep(0.001)"):
        adopted(made, files)
        eventually(lambda: os.stat(files.stdout).st_size > 5000)
        os.truncate(files.stdout, 0)
        eventually(lambda: os.stat(files.stdout).st_size > 0)
        os.unlink(files.stdout)
        os.unlink(index_file(files))
        other = (1, 1, 1)
        with writing(attempt_files(made._data_dir, *other), "write(0, b'fine\\n')\ntime.sleep(60)"):
            made.started(other, 1)
            eventually(lambda: os.path.exists(index_file(attempt_files(made._data_dir, *other))))
        made.ended(KEY, None)
        eventually(lambda: KEY not in made._logs)
