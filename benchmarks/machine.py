"""Where this was measured: what a reader needs to compare two tables. No names of people or places."""

import os
import platform
import sqlite3
from pathlib import Path

import wattle


def facts(directory: Path) -> dict[str, str]:
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "processor": _processor(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "file system": file_system(directory),
        "load before": f"{os.getloadavg()[0]:.2f}",
        "wattle": wattle.__version__,
    }


def file_system(directory: Path, mounts: str | None = None) -> str:
    """The type of the file system that the directory is on."""
    text = Path("/proc/self/mounts").read_text() if mounts is None else mounts
    best, kind = "", "unknown"
    for line in text.splitlines():
        _, point, found, *_ = line.split()
        inside = point == "/" or directory == Path(point) or Path(point) in directory.parents
        if inside and len(point) >= len(best):
            best, kind = point, found
    return kind


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
