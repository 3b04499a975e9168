"""What a worker's process tree uses, and the documented strings (W-23, A23)."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from wattle.metrics.format import cpu_usage, memory_usage, runtime, worker_metrics
from wattle.metrics.sample import TreeSample, TreeSampler, descendants

MB = 1024 * 1024


@pytest.mark.parametrize("percent, text", [(0, "0.0%"), (15.5, "15.5%"), (15.46, "15.5%"), (399.96, "400.0%")])
def test_cpu_usage_has_one_decimal_and_may_exceed_a_hundred(percent: float, text: str) -> None:
    """W-23"""
    assert cpu_usage(percent) == text


@pytest.mark.parametrize(
    "size, text", [(0, "0MB"), (128 * MB, "128MB"), (128 * MB - 1, "128MB"), (3 * 1024 * MB, "3072MB")]
)
def test_memory_usage_is_whole_megabytes_of_1024(size: int, text: str) -> None:
    """W-23"""
    assert memory_usage(size) == text


@pytest.mark.parametrize(
    "seconds, text",
    [
        (None, "00:00:00"),
        (0, "00:00:00"),
        (323.9, "00:05:23"),
        (3600, "01:00:00"),
        (90061, "25:01:01"),
        (360000, "100:00:00"),
    ],
)
def test_runtime_is_hours_minutes_seconds_and_hours_may_exceed_a_day(seconds: float | None, text: str) -> None:
    """W-23, A23"""
    assert runtime(seconds) == text


def test_metrics_begin_with_the_documented_keys() -> None:
    """W-23"""
    metrics = worker_metrics(TreeSample(15.5, 128 * MB, 2), status="running", runtime_seconds=323.4, pid=7)
    assert list(metrics.items())[:4] == [
        ("cpu_usage", "15.5%"),
        ("memory_usage", "128MB"),
        ("runtime", "00:05:23"),
        ("status", "running"),
    ]
    assert metrics["num_processes"] == 2 and metrics["pid"] == 7


def test_worker_that_does_not_run_uses_nothing_and_keeps_its_last_runtime() -> None:
    """A23"""
    metrics = worker_metrics(None, status="completed", runtime_seconds=61, pid=7)
    assert (metrics["cpu_usage"], metrics["memory_usage"], metrics["runtime"]) == ("0.0%", "0MB", "00:01:01")
    assert metrics["pid"] is None


Spawn = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    started: list[subprocess.Popen[str]] = []

    def run(program: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        return process

    yield run
    for process in started:
        for member in [*descendants(process.pid), process.pid]:
            try:
                psutil.Process(member).kill()
            except psutil.Error:
                continue
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


SLEEP = "print('ready', flush=True); import time; time.sleep(600)"
BURN = "print('ready', flush=True)\nwhile True: pass"
TREE = f"""
import subprocess, sys, threading
def child(): subprocess.Popen([sys.executable, '-c', {SLEEP!r}], stdout=subprocess.PIPE).stdout.readline()
threading.Thread(target=child).start()
child()
while threading.active_count() > 1: pass
{SLEEP}
"""


def test_tree_is_summed_children_of_every_thread_included(spawn: Spawn) -> None:
    """A23"""
    process = spawn(TREE)
    sample = TreeSampler().sample(process.pid, "a")
    assert sample.num_processes == 3
    assert sorted(descendants(process.pid)) == sorted(
        p.pid for p in psutil.Process(process.pid).children(recursive=True)
    )
    members = [process.pid, *descendants(process.pid)]
    assert sample.memory_bytes == pytest.approx(sum(psutil.Process(pid).memory_info().rss for pid in members), rel=0.2)


def test_first_reading_already_measures(spawn: Spawn) -> None:
    """A23: psutil's first reading would be 0."""
    assert TreeSampler().sample(spawn(BURN).pid, "a").cpu_percent > 0
    assert TreeSampler().sample(spawn(SLEEP).pid, "a").cpu_percent < 50


def test_later_readings_do_not_wait(spawn: Spawn) -> None:
    process, sampler = spawn(BURN), TreeSampler()
    sampler.sample(process.pid, "a")
    deadline = time.monotonic() + 10
    while (percent := sampler.sample(process.pid, "a").cpu_percent) == 0 and time.monotonic() < deadline:
        pass
    assert percent > 0


def test_vanished_process_is_no_error(spawn: Spawn) -> None:
    process, sampler = spawn(SLEEP), TreeSampler()
    sampler.sample(process.pid, "a")
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert sampler.sample(process.pid, "a") == TreeSample()  # a zombie
    process.wait()
    assert sampler.sample(process.pid, "a") == TreeSample()


def test_pid_that_never_was_is_no_error() -> None:
    assert TreeSampler().sample(2**22 + 5, "a") == TreeSample()
    assert TreeSampler().sample(-1, "a") == TreeSample()


def test_trees_that_vanish_while_they_are_sampled_are_no_error() -> None:
    failures: list[BaseException] = []
    stop = threading.Event()

    def sample() -> None:
        sampler = TreeSampler()
        try:
            while not stop.is_set():
                sampler.sample(parent.pid, "a")
        except BaseException as error:
            failures.append(error)

    churn = "import subprocess\nprint('ready', flush=True)\nfor _ in range(150): subprocess.run(['/bin/true'])"
    parent = subprocess.Popen([sys.executable, "-c", churn], stdout=subprocess.DEVNULL)
    thread = threading.Thread(target=sample)
    thread.start()
    parent.wait()
    stop.set()
    thread.join(10)
    assert failures == []
