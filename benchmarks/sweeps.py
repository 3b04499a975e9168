"""What it costs to sample process trees: the sampler itself, on real trees, without a server around it."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from wattle.keeper import proc
from wattle.metrics.sampler import Sampler
from wattle.store.rows import AttemptRow

TREE = ["sh", "-c", "sleep 600 & echo ready; wait"]  # two processes


@contextmanager
def trees(count: int) -> Iterator[list[AttemptRow]]:
    """So many trees of two processes, ended at the end."""
    started = []
    try:
        for _ in range(count):
            started.append(
                subprocess.Popen(TREE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
            )
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        pids = [process.pid for process in started]
        yield [
            AttemptRow(f"bench-{place}", 1, place, "w", 1, "running", pid=pid, start_ticks=proc.start_ticks(pid))
            for place, pid in enumerate(pids)
        ]
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def sweep_seconds(count: int, sweeps: int) -> tuple[float, list[float]]:
    """Of the first sweep, which opens everything, and of those after the dense phase."""
    sampler = Sampler()
    with trees(count) as attempts:
        try:
            for attempt in attempts:
                sampler.watch("bench", attempt)
            seconds = []
            for _ in range(3 + sweeps):
                began = time.perf_counter()
                sampler.sweep()
                seconds.append(time.perf_counter() - began)
            found = sum(tree.last.num_processes for tree in sampler.live())
            if found != 2 * count:
                raise OSError(f"{found} processes were found, not {2 * count}")
        finally:
            sampler.close()
    return seconds[0], seconds[3:]
