"""The documented metrics of a worker as strings (W-23, A23). PURE."""

from typing import Any

from wattle.metrics.sample import TreeSample


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
    sample: TreeSample | None, *, status: str, runtime_seconds: float | None, pid: int | None = None
) -> dict[str, Any]:
    """The documented four strings, then the same as numbers. `sample` None: it is not running."""
    cpu_percent = sample.cpu_percent if sample else 0.0
    memory_bytes = sample.memory_bytes if sample else 0
    return {
        "cpu_usage": cpu_usage(cpu_percent),
        "memory_usage": memory_usage(memory_bytes),
        "runtime": runtime(runtime_seconds),
        "status": status,
        "cpu_percent": cpu_percent,
        "memory_bytes": memory_bytes,
        "runtime_seconds": runtime_seconds,
        "pid": pid if sample else None,
        "num_processes": sample.num_processes if sample else 0,
    }
