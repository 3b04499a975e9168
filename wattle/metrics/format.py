"""The documented metrics of a worker as strings (W-23, A23), and the same as numbers. PURE."""

from typing import Any

from wattle.metrics.tree import NOTHING, TreeSample
from wattle.metrics.usage import Usage


def cpu_usage(percent: float) -> str:
    """`15.5%`: of one core, summed over the process tree, so it may exceed 100 %."""
    return f"{percent:.1f}%"


def memory_usage(size_bytes: int) -> str:
    """`128MB`: resident, summed over the process tree, in units of 1024 × 1024 bytes."""
    return f"{round(size_bytes / (1024 * 1024))}MB"


def runtime(seconds: float | None) -> str:
    """`00:05:23`; hours may exceed 24. None, never started: `00:00:00`."""
    whole = max(0, int(seconds or 0))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def worker_metrics(
    sample: TreeSample | None,
    *,
    status: str,
    runtime_seconds: float | None,
    pid: int | None = None,
    attempt: int = 0,
    usage: Usage | None = None,
) -> dict[str, Any]:
    """The documented four strings, then the same as numbers, then totals and peaks of the attempt (null: unknown).

    `sample` None: it is not running. `usage` is what is known of the whole attempt.
    """
    now, usage = sample or NOTHING, usage or Usage()
    return {
        "cpu_usage": cpu_usage(now.cpu_percent),
        "memory_usage": memory_usage(now.memory_bytes),
        "runtime": runtime(runtime_seconds),
        "status": status,
        "cpu_percent": now.cpu_percent,
        "memory_bytes": now.memory_bytes,
        "runtime_seconds": runtime_seconds,
        "pid": pid if sample else None,
        "num_processes": now.num_processes,
        "num_threads": now.num_threads,
        "num_descriptors": now.num_descriptors,
        "attempt": attempt or None,
        "cpu_seconds": usage.cpu_seconds,
        "read_bytes": usage.read_bytes,
        "written_bytes": usage.written_bytes,
        "peak_memory_bytes": usage.peak_memory_bytes,
        "peak_num_processes": usage.peak_num_processes,
        "peak_num_threads": usage.peak_num_threads,
        "peak_num_descriptors": usage.peak_num_descriptors,
    }
