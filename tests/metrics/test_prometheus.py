"""The exposition: formats, names, labels, values."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from metrics.processes import SLEEP, Trees, trees
from prometheus_client import Metric, parser
from prometheus_client.openmetrics import parser as open_metrics_parser

from wattle.logs.files import attempt_files
from wattle.metrics import log_bytes, prometheus
from wattle.metrics.figures import Figures, Histogram
from wattle.metrics.log_bytes import LogBytes
from wattle.metrics.prometheus import OPEN_METRICS, TEXT, Exposition, Sources, wants_open_metrics
from wattle.metrics.sampler import Sampler
from wattle.metrics.watching import Watching
from wattle.store.rows import AttemptRow, RunRow

__all__ = ["trees"]

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
UNITS_AND_TYPES = (
    "ms", "milliseconds", "minutes", "hours", "days", "kb", "mb", "bits", "percent", "total", "count", "sum", "gauge",
    "counter", "histogram",
)  # fmt: skip
RUN = RunRow(1, "r", 1, "wf", 1, "workflow", "completed", "k", 1_000_000, started_at=1_000_000, ended_at=3_500_000)


class World:
    """An exposition and what it asks."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = str(data_dir)
        self.figures = Figures()
        self.sampler = Sampler()
        self.log_bytes = LogBytes(self.data_dir)
        self.watching = Watching(self.sampler, self.figures, self.log_bytes)
        census = ({"running": 1}, {"created": 2, "running": 3})
        self.exposition = Exposition(
            Sources("1.2.3", self.figures, self.sampler, self.log_bytes, lambda: census, lambda: 4, lambda: 5)
        )

    def scrape(self, accept: str | None = None) -> dict[str, Metric]:
        body, content_type = self.exposition.render(accept)
        read = open_metrics_parser if content_type == OPEN_METRICS else parser
        return {family.name: family for family in read.text_string_to_metric_families(body.decode())}

    def value(self, name: str, **labels: str) -> float | None:
        for family in self.scrape().values():
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return float(sample.value)
        return None

    def log(self, attempt: AttemptRow, text: bytes) -> None:
        path = Path(attempt_files(self.data_dir, attempt.run_id, attempt.position, attempt.number).stdout)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def attempt(number: int = 1) -> AttemptRow:
    return AttemptRow(f"u{number}", 1, 0, "w", number, "running", started_at=1_500_000)


def test_the_content_types_are_exact(world: World) -> None:
    """Prometheus 3 refuses others (clients.md)."""
    body, content_type = world.exposition.render(None)
    assert content_type == TEXT == "text/plain; version=0.0.4; charset=utf-8"
    assert b"# EOF" not in body
    body, content_type = world.exposition.render(PROMETHEUS)
    assert content_type == OPEN_METRICS == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert body.endswith(b"# EOF\n")


@pytest.mark.parametrize(
    "accept, wanted",
    [
        (None, False),
        ("*/*", False),
        ("text/plain", False),
        (PROMETHEUS, True),
        ("application/openmetrics-text", True),
        ('application/openmetrics-text; version="1.0.0"', True),
        ("application/openmetrics-text;version=2.0.0", False),
        ("application/openmetrics-text;version=2.0.0,application/openmetrics-text;version=1.0.0;q=0.4", True),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.5", False),
        ("application/openmetrics-text;q=nonsense", False),
        (";;;,=,q=1", False),
    ],
)
def test_open_metrics_only_where_it_is_asked_for(accept: str | None, wanted: bool) -> None:
    assert wants_open_metrics(accept) is wanted


@pytest.mark.parametrize("accept", [None, PROMETHEUS])
def test_names_types_and_help_follow_the_rules(world: World, accept: str | None) -> None:
    """What `promtool check metrics` looks at: prefix, base units, endings by type, help on all, labels."""
    families = world.scrape(accept)
    assert len(families) > 20
    for name, family in families.items():
        assert re.fullmatch(r"wattle_[a-z]+(_[a-z]+)*", name), name
        assert family.documentation and family.type not in ("unknown", "untyped"), name
        assert not re.search(rf"_({'|'.join(UNITS_AND_TYPES)})$", name.removesuffix("_info")), name
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter"), sample
            assert set(sample.labels) <= {"status", "kind", "workflow", "worker", "le", "version", "python"}


def test_promtool_finds_nothing_to_say(world: World, tmp_path: Path, trees: Trees) -> None:
    tool = shutil.which("promtool")
    assert tool is not None, "this test needs promtool (Debian: apt-get install prometheus)"
    world.watching.started(RUN, trees(SLEEP), 1_000_000)
    world.sampler.sweep()
    body, _ = world.exposition.render(None)
    done = subprocess.run([tool, "check", "metrics"], input=body, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_what_has_happened_is_counted_once(world: World) -> None:
    watching, first, second = world.watching, attempt(), attempt(2)
    watching.started(RUN, first, 1_000_000)
    assert watching.ended(first) is None
    failed = first._replace(status="failed", ended_at=2_000_000, duration_us=500_000)
    watching.settled(failed)
    watching.settled(failed)
    watching.started(RUN, second, None)
    watching.run_ended(RUN)
    watching.turned(0.002)
    watching.committed(0.02)
    assert world.value("wattle_attempts_total", status="failed") == 1
    assert world.value("wattle_attempts_total", status="completed") == 0
    assert world.value("wattle_restarts_total") == 1
    assert world.value("wattle_runs_total", kind="workflow", status="completed") == 1
    assert world.value("wattle_run_duration_seconds_sum") == 2.5
    assert world.value("wattle_queue_wait_seconds_sum") == 0.5
    assert world.value("wattle_queue_wait_seconds_count") == 1
    assert world.value("wattle_attempt_duration_seconds_bucket", le="0.5") == 1
    assert world.value("wattle_attempt_duration_seconds_bucket", le="0.1") == 0
    assert world.value("wattle_loop_turn_seconds_count") == world.value("wattle_commit_seconds_count") == 1
    assert world.sampler.attempts() == []  # the run has ended


def test_what_is_asked_at_the_scrape(world: World) -> None:
    assert world.value("wattle_workers", status="running") == 3
    assert world.value("wattle_workers", status="failed") == 0
    assert world.value("wattle_workflows", status="running") == 1
    assert world.value("wattle_runs_active") == 4
    assert world.value("wattle_stream_clients") == 5
    assert world.scrape()["wattle_build_info"].samples[0].labels["version"] == "1.2.3"


def test_running_workers_are_told_up_to_a_limit(
    world: World, trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus, "WORKERS", 2)
    for position in range(3):
        world.sampler.watch('a "quoted"\nname\\', trees(SLEEP, position))
    world.sampler.sweep()
    memory = world.scrape()["wattle_worker_memory_bytes"].samples
    assert [sample.labels for sample in memory] == [
        {"workflow": 'a "quoted"\nname\\', "worker": f"w{position}"} for position in range(2)
    ]
    assert all(sample.value > 0 for sample in memory)
    assert world.value("wattle_worker_series_dropped_total") == 2  # in each of two scrapes
    world.sampler.close()


def test_log_bytes_are_those_of_the_living_and_of_the_ended(world: World) -> None:
    """They never fall, whatever happens to the files."""
    living, ended = attempt(), AttemptRow("u2", 1, 1, "x", 1, "completed", ended_at=5, duration_us=1)
    world.watching.started(RUN, living, None)
    world.log(living, b"12345")
    assert world.value("wattle_log_bytes_total") == 5
    world.watching.started(RUN, ended, None)
    world.log(ended, b"123")
    world.watching.ended(ended)
    world.watching.settled(ended)
    assert world.value("wattle_log_bytes_total") == 8
    world.log(living, b"")
    assert world.value("wattle_log_bytes_total") == 8


def test_a_histogram_counts_by_upper_bounds() -> None:
    histogram = Histogram((1.0, 2.0))
    for seconds in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(seconds)
    assert histogram.buckets() == ([("1.0", 2.0), ("2.0", 3.0), ("+Inf", 4.0)], 12.0)


def test_a_server_that_nobody_scrapes_loads_no_library() -> None:
    program = "import sys, wattle.daemon, wattle.api.app; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "wattle.metrics.prometheus" in loaded
    assert not loaded & {"prometheus_client", "psutil"}


def test_logs_that_nobody_asks_about_are_counted_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many attempts end between two looks, only so many wait for theirs."""
    monkeypatch.setattr(log_bytes, "MOST_ENDED", 10)
    (tmp_path / "logs/1").mkdir(parents=True)
    counted = LogBytes(str(tmp_path))
    for number in range(1, 101):
        (tmp_path / f"logs/1/0.{number}.out").write_bytes(b"x" * number)
        counted.ended(attempt(number))
        assert len(counted._ended) <= 11
    assert counted.total(list) == 5050
