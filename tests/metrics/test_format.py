"""The documented strings (W-23, A23), and what is stored of an attempt."""

import pytest

from wattle.metrics.format import cpu_usage, memory_usage, runtime, worker_metrics
from wattle.metrics.tree import TreeSample
from wattle.metrics.usage import Usage, kept, read, stored

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


RECORD = {"user_us": 1_000_000, "system_us": 500_000, "max_rss_bytes": 4096}
TREE = {"cpu_us": 1_200_000, "others_us": 300_000, "peak_memory_bytes": 9000, "read_bytes": 7, "series": [[1, 2.0, 3]]}


def test_what_the_keeper_measured_is_stored_as_before() -> None:
    assert stored(RECORD, None) == '{"user_us":1000000,"system_us":500000,"max_rss_bytes":4096}'
    assert str(stored(RECORD | {"max_rss_bytes": None}, None)).endswith(',"max_rss_bytes":null}')
    assert stored({"user_us": None}, None) is None
    assert stored(None, None) is None


def test_both_accounts_are_kept_and_the_larger_bound_is_told() -> None:
    """The keeper's is exact for the first process, the sampler's knows those that nobody of the tree reaped."""
    text = stored(RECORD, TREE)
    assert kept(text) == TREE
    found = read(text)
    assert found.cpu_seconds == 1.8  # the keeper's 1.5 and 0.3 of others
    assert (found.peak_memory_bytes, found.read_bytes, found.series) == (9000, 7, [[1, 2.0, 3]])
    assert read(stored(RECORD | {"max_rss_bytes": 10_000}, TREE)).peak_memory_bytes == 10_000
    assert read(stored(None, TREE)).cpu_seconds == 1.2


def test_what_is_unknown_is_none() -> None:
    assert read(None) == Usage()
    assert kept(None) is None
    found = read(stored(RECORD | {"max_rss_bytes": None}, None))
    assert (found.cpu_seconds, found.peak_memory_bytes, found.peak_num_threads) == (1.5, None, None)
