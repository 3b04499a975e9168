"""The thread that samples: often at first, seldom later, not at all while nothing runs."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from metrics.processes import SLEEP, Trees, eventually, trees

from wattle.metrics import sampler as module
from wattle.metrics.sampler import INTERVAL_SECONDS, Sampler
from wattle.store.rows import AttemptRow

__all__ = ["trees"]


Samplers = Callable[..., Sampler]


@pytest.fixture
def samplers() -> Iterator[Samplers]:
    """Makes one that is started, and closed at the end."""
    with ExitStack() as ends:

        def make(**options: Any) -> Sampler:
            sampler = Sampler(**options)
            sampler.start()
            ends.callback(sampler.close)
            return sampler

        yield make


@pytest.fixture
def sampler(samplers: Samplers) -> Sampler:
    return samplers()


def wake_ups() -> int:
    """How often the thread has waited for something."""
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "metrics")
    with open(f"/proc/self/task/{thread.native_id}/status") as file:
        found = dict(line.split(":", 1) for line in file)
    return int(found["voluntary_ctxt_switches"]) + int(found["nonvoluntary_ctxt_switches"])


def rests() -> bool:
    """No wake-up for longer than any pause while something is watched."""
    before = wake_ups()
    time.sleep(INTERVAL_SECONDS + 0.5)
    return wake_ups() == before


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_nothing_is_done_while_nothing_runs(sampler: Sampler, trees: Trees) -> None:
    assert eventually(rests)
    open_before = descriptors()
    attempt = trees(SLEEP)
    sampler.watch("wf", attempt)
    eventually(lambda: len(sampler.live()) == 1 and sampler.live()[0].samples >= 3)
    eventually(lambda: not rests())  # positive control; a sweep that was held up is followed by a long rest
    assert descriptors() > open_before
    assert sampler.end(attempt) is not None
    assert eventually(rests)
    trees.end()
    for pipe in (trees.started[0].stdin, trees.started[0].stdout):
        assert pipe is not None
        pipe.close()
    assert descriptors() == open_before


def test_the_first_second_is_sampled_densely(sampler: Sampler, trees: Trees) -> None:
    attempt = trees(SLEEP)
    # Or the third sample may come late, and so close to the next that all trees share.
    eventually(lambda: time.monotonic() % INTERVAL_SECONDS < 0.3)
    watched_at = time.time_ns() // 1000
    sampler.watch("wf", attempt)
    eventually(lambda: len(sampler.points(attempt) or ()) >= 4)
    ages = [(point.at - watched_at) / 1e6 for point in sampler.points(attempt) or ()]
    for age, wanted in zip(ages, (0.1, 0.3, 1.0)):
        assert age >= wanted - 0.06
    assert ages[3] - ages[2] > 0.1 - 0.06


def test_what_ends_at_once_is_never_looked_at(samplers: Samplers) -> None:
    """A storm of short workers costs the loop microseconds and the thread ten wake-ups a second."""
    sweeps: list[float] = []
    sampler = samplers(on_sweep=sweeps.append)
    before, began = wake_ups(), time.monotonic()
    for number in range(5000):
        attempt = AttemptRow(f"u{number}", 1, number, "w", 1, "running", pid=os.getpid())
        sampler.watch("wf", attempt)
        assert sampler.end(attempt) is None
    took = time.monotonic() - began
    assert sampler.live() == []
    assert wake_ups() - before < 100 + 50 * took
    assert len(sweeps) <= 2 + 12 * took


def test_usage_is_told_every_so_often(samplers: Samplers, trees: Trees, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_SECONDS", 0.1)
    told: list[Any] = []
    samplers(on_keep=told.append).watch("wf", trees(SLEEP))
    eventually(lambda: told)
    assert told[0].keys() == {(1, 0, 1)}
    assert told[0][1, 0, 1]["peak_num_processes"] == 1


def test_the_thread_survives_a_defect(samplers: Samplers, trees: Trees, caplog: pytest.LogCaptureFixture) -> None:
    """Of whoever is told of its sweeps, the first time."""
    sweeps: list[float] = []

    def swept(seconds: float) -> None:
        sweeps.append(seconds)
        if len(sweeps) == 1:
            raise RuntimeError("a defect")

    sampler = samplers(on_sweep=swept)
    sampler.watch("wf", trees(SLEEP))
    eventually(lambda: len(sweeps) > 2 and sampler.live()[0].samples > 1)
    assert "a defect" in caplog.text


def test_a_sweep_that_was_held_up_costs_no_rest(sampler: Sampler, trees: Trees) -> None:
    """It rests from what it took of the processor, and else would say nothing of a tree for half a minute."""
    sampler.watch("wf", trees(SLEEP))
    eventually(lambda: sampler.live() and sampler.live()[0].samples)
    with sampler._lock:
        time.sleep(INTERVAL_SECONDS + 1.5)  # for longer than any pause, and then a second of a sweep
        before = sampler.live()[0].samples
    began = time.monotonic()
    eventually(lambda: sampler.live()[0].samples > before + 1)
    assert time.monotonic() - began < 15


def test_a_run_that_has_ended_leaves_nothing_watched(sampler: Sampler, trees: Trees) -> None:
    for position in range(2):
        sampler.watch("wf", trees(SLEEP, position))
    sampler.forget(2)
    assert len(sampler.attempts()) == 2
    sampler.forget(1)
    assert sampler.attempts() == []


OPENS = f"""
import os, sys
print('ready', flush=True)
sys.stdin.readline()
files = [open('/dev/null', 'wb', buffering=0) for _ in range(30)]
for file in files: file.write(bytes(100_000))
open(os.environ['WATTLE_ATTEMPT_UID'], 'w').close()
{SLEEP}
"""


def test_who_asks_is_told_of_descriptors_and_bytes_as_they_are(
    trees: Trees, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Background samples read them seldom; `now` is at most a second old in all that it tells."""
    monkeypatch.chdir(tmp_path)
    attempt = trees(OPENS)
    sampler = Sampler()
    sampler.watch("wf", attempt)
    for _ in range(5):
        sampler.sweep()
    tree = sampler.live()[0]
    trees.tell()
    eventually((tmp_path / attempt.uuid).exists)
    eventually(lambda: time.monotonic() > tree.thorough_at + module.FRESH_SECONDS)
    sampler.sweep()
    assert tree.last.num_descriptors < 30 and tree.last.written_bytes < 1_000_000  # what it is about
    sample = sampler.now(attempt)
    assert sample.num_descriptors > 30 and sample.written_bytes >= 3_000_000
    sampler.close()
