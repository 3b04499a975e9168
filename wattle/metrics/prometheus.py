"""The exposition for Prometheus, text 0.0.4 or OpenMetrics 1.0.0. Everything is gathered at the scrape.

Labels are bounded: `workflow` and `worker` are there for at most WORKERS workers that run, those that run longest; what
is left out is counted. prometheus_client is loaded by the first scrape.
"""

import platform
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wattle.engine.states import Status
from wattle.metrics.figures import Figures, Histogram
from wattle.metrics.log_bytes import LogBytes
from wattle.metrics.sampler import Sampler

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
WORKERS = 500
KINDS = ("workflow", "worker")
ENDS = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)

_OPEN_METRICS_VERSIONS = ("1.0.0", "0.0.1")
_QUALITY = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")

Census = Callable[[], tuple[Mapping[str, int], Mapping[str, int]]]


@dataclass(frozen=True, slots=True)
class Sources:
    """What a scrape asks. `census` gives the numbers of workflows and of workers by status; `active` those of runs."""

    version: str
    figures: Figures
    sampler: Sampler
    log_bytes: LogBytes
    census: Census
    active_runs: Callable[[], int]
    stream_clients: Callable[[], int]


class Exposition:
    """Any thread; one scrape at a time."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._started_at = time.time()
        self._registry: CollectorRegistry | None = None
        self._lock = threading.Lock()

    def render(self, accept: str | None) -> tuple[bytes, str]:
        """(body, content type) for a caller that sends this Accept header."""
        from prometheus_client import exposition
        from prometheus_client.openmetrics import exposition as open_metrics

        with self._lock:
            if self._registry is None:
                self._registry = self._new_registry()
            if wants_open_metrics(accept):
                return open_metrics.generate_latest(self._registry), OPEN_METRICS
            return exposition.generate_latest(self._registry), TEXT

    def _new_registry(self) -> "CollectorRegistry":
        from prometheus_client import CollectorRegistry, ProcessCollector

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        ProcessCollector(namespace="wattle", registry=registry)
        return registry

    def describe(self) -> Iterable["Metric"]:
        """Nothing: registering must not scrape."""
        return []

    def collect(self) -> Iterator["Metric"]:
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

        sources, figures = self._sources, self._sources.figures
        workflows, workers = sources.census()
        build = {"version": sources.version, "python": platform.python_version()}
        yield InfoMetricFamily("wattle_build", "The version of Wattle and of Python.", build)
        yield GaugeMetricFamily("wattle_start_time_seconds", "When this daemon started, unix time.", self._started_at)
        yield _by_status("wattle_workflows", "Workflows by the status of their latest run.", workflows)
        yield _by_status("wattle_workers", "Workers of all workflows by status.", workers)
        yield GaugeMetricFamily("wattle_runs_active", "Runs that have not ended.", sources.active_runs())
        labels = ["kind", "status"]
        runs = CounterMetricFamily("wattle_runs", "Runs that have ended, by kind and status.", labels=labels)
        for kind in KINDS:
            for status in ENDS:
                runs.add_metric([kind, status.value], figures.runs[kind, status.value])
        yield runs
        attempts = CounterMetricFamily("wattle_attempts", "Attempts that have ended, by status.", labels=["status"])
        for status in ENDS:
            attempts.add_metric([status.value], figures.attempts[status.value])
        yield attempts
        yield CounterMetricFamily(
            "wattle_restarts", "Attempts after the first of a worker in a run: retries and restarts.", figures.restarts
        )
        yield from self._histograms()
        yield from self._workers()
        yield CounterMetricFamily(
            "wattle_log_bytes",
            "Bytes in the logs of attempts that live or have ended since this daemon started.",
            sources.log_bytes.total(sources.sampler.attempts),
        )
        yield GaugeMetricFamily(
            "wattle_stream_clients", "Clients that wait for something: streams, long polls.", sources.stream_clients()
        )

    def _histograms(self) -> Iterator["Metric"]:
        figures = self._sources.figures
        yield _histogram("wattle_run_duration_seconds", "From the start of a run to its end.", figures.run_seconds)
        yield _histogram(
            "wattle_attempt_duration_seconds", "From the spawn of an attempt to its end.", figures.attempt_seconds
        )
        yield _histogram(
            "wattle_queue_wait_seconds",
            "From the instant when a worker has all it needs to its spawn: what it waited for slots.",
            figures.queue_seconds,
        )
        yield _histogram(
            "wattle_loop_turn_seconds", "Turns of the loop that owns all state, waiting left out.", figures.turn_seconds
        )
        yield _histogram("wattle_commit_seconds", "Commits to the database.", figures.commit_seconds)
        yield _histogram("wattle_sweep_seconds", "Readings of all process trees.", figures.sweep_seconds)

    def _workers(self) -> Iterator["Metric"]:
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

        labels = ["workflow", "worker"]
        cpu = CounterMetricFamily(
            "wattle_worker_cpu_seconds", "CPU used by the present attempt, its process tree together.", labels=labels
        )
        memory = GaugeMetricFamily(
            "wattle_worker_memory_bytes", "Resident memory of the process tree of a running worker.", labels=labels
        )
        processes = GaugeMetricFamily(
            "wattle_worker_processes", "Processes in the tree of a running worker.", labels=labels
        )
        totals: dict[tuple[str, str], list[float]] = {}
        for tree in self._sources.sampler.live():
            name = (tree.workflow, tree.attempt.worker)
            if name not in totals and len(totals) >= WORKERS:
                self._sources.figures.scrapes_cut += 1
                continue
            total = totals.setdefault(name, [0.0, 0.0, 0.0])
            sample = tree.last
            for place, value in enumerate((sample.cpu_seconds, sample.memory_bytes, sample.num_processes)):
                total[place] += value
        for name, values in totals.items():
            cpu.add_metric(name, values[0])
            memory.add_metric(name, values[1])
            processes.add_metric(name, values[2])
        yield from (cpu, memory, processes)
        yield CounterMetricFamily(
            "wattle_worker_series_dropped",
            f"Running workers left out of scrapes, because there are more than {WORKERS}.",
            self._sources.figures.scrapes_cut,
        )


def wants_open_metrics(accept: str | None) -> bool:
    """Whether the Accept header asks for OpenMetrics 1.0.0 and does not like plain text better."""
    best = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for part in (accept or "").split(","):
        kind, *rest = (piece.strip() for piece in part.split(";"))
        params = dict(piece.split("=", 1) for piece in rest if "=" in piece)
        quality = params.get("q", "1")
        version = params.get("version", "").strip('"')
        if kind.lower() == "application/openmetrics-text" and version and version not in _OPEN_METRICS_VERSIONS:
            continue
        if kind.lower() in best and _QUALITY.fullmatch(quality):
            best[kind.lower()] = max(best[kind.lower()], float(quality))
    wanted = best["application/openmetrics-text"]
    return wanted > 0 and wanted >= best["text/plain"]


def _by_status(name: str, text: str, counts: Mapping[str, int]) -> "Metric":
    from prometheus_client.metrics_core import GaugeMetricFamily

    family = GaugeMetricFamily(name, text, labels=["status"])
    for status in Status:
        family.add_metric([status.value], counts.get(status.value, 0))
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> "Metric":
    from prometheus_client.metrics_core import HistogramMetricFamily

    buckets, total = histogram.buckets()
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=total)
