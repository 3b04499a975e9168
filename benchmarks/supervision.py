"""What supervising costs: starts, stops, restarts, many services at once, and what 10,000 of them leave behind.

The workers are one small C program that says when it runs, so that what is timed ends in the process itself.
"""

import os
import signal
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import peers, process
from benchmarks.report import Line
from benchmarks.served import Served

SOURCE = Path(__file__).with_name("stamp.c")
WAIT_SECONDS = 20.0
START_TARGET, STOP_TARGET, RESTART_TARGET = 3.0, 1.5, 4.0  # ms
UP_TARGET, DOWN_TARGET = 120.0, 40.0  # ms, of 50 services
SLEEPERS_TARGET_BYTES = 15e6
QUIET_SECONDS = 5.0


class Supervision:
    """One server and a directory with the program."""

    def __init__(self, directory: Path, served: Served) -> None:
        self._served = served
        self._directory = directory / "supervision"
        self._directory.mkdir()
        self._program = peers.compile_program(SOURCE, self._directory / "stamp")

    def starts_and_stops(self, count: int) -> list[Line]:
        """One quiet worker, started and stopped by HTTP so many times."""
        name, stamps = self._create([{"name": "one"}])
        started, stopped = [], []
        for number in range(1, count + 1):
            began = time.monotonic_ns()
            self._served.request("POST", f"/api/workers/{name}/one/start")
            started.append((self._wait(stamps / "one", number)[-1][0] - began) / 1e6)
            began = time.monotonic_ns()
            self._served.request("POST", f"/api/workers/{name}/one/stop")
            stopped.append((time.monotonic_ns() - began) / 1e6)
        return [
            _line(f"start of a worker, request to running process, p50 of {count}", started, START_TARGET),
            _line(f"stop of a quiet worker, request to answer, p50 of {count}", stopped, STOP_TARGET),
        ]

    def restarts(self, count: int) -> list[Line]:
        """A service that is killed, to be restarted without a pause."""
        restart = {"policy": "always", "delay_seconds": 0, "limit": 10_000, "jitter": 0}
        name, stamps = self._create([{"name": "one", "kind": "service", "restart": restart}])
        self._served.request("POST", f"/api/workflows/{name}/start")
        times = []
        for number in range(1, count + 1):
            _, pid = self._wait(stamps / "one", number)[-1]
            time.sleep(0.05)
            killed = time.monotonic_ns()
            os.kill(pid, signal.SIGKILL)
            times.append((self._wait(stamps / "one", number + 1)[-1][0] - killed) / 1e6)
        self._served.request("POST", f"/api/workflows/{name}/stop")
        return [_line(f"restart of a killed service, kill to running process, p50 of {count}", times, RESTART_TARGET)]

    def many(self, count: int, rounds: int) -> list[Line]:
        """So many services of one workflow, up and down."""
        names = [f"s{number:03d}" for number in range(count)]
        name, stamps = self._create([{"name": each, "kind": "service"} for each in names])
        up, down = [], []
        for number in range(1, rounds + 1):
            began = time.monotonic_ns()
            self._served.request("POST", f"/api/workflows/{name}/start")
            up.append((max(self._wait(stamps / each, number)[-1][0] for each in names) - began) / 1e6)
            self._served.settle()
            began = time.monotonic_ns()
            self._served.request("POST", f"/api/workflows/{name}/stop")
            down.append((time.monotonic_ns() - began) / 1e6)
            self._served.settle()
        return [
            _line(f"{count} services, request to the last one running", up, UP_TARGET),
            _line(f"{count} services, request to all of them gone", down, DOWN_TARGET),
        ]

    def sleepers(self, count: int) -> list[Line]:
        """What so many workers that only wait cost the keeper."""
        names = [f"s{number:03d}" for number in range(count)]
        name, stamps = self._create([{"name": each, "kind": "service"} for each in names])
        before = process.memory(self._served.keeper_pid).rss_bytes
        self._served.request("POST", f"/api/workflows/{name}/start")
        for each in names:
            self._wait(stamps / each, 1)
        self._served.settle()
        cost = process.memory(self._served.keeper_pid).rss_bytes - before
        cpu = process.cpu_seconds(self._served.keeper_pid)
        time.sleep(QUIET_SECONDS)
        cpu = process.cpu_seconds(self._served.keeper_pid) - cpu
        self._served.request("POST", f"/api/workflows/{name}/stop")
        return [
            Line(
                f"{count} sleeping workers: the keeper's memory", f"+{cost / 1e6:.1f} MB",
                f"< {SLEEPERS_TARGET_BYTES / 1e6:.0f} MB", cost < SLEEPERS_TARGET_BYTES,
            ),
            Line(
                f"{count} sleeping workers: the keeper's CPU in {QUIET_SECONDS:.0f} s", f"{cpu * 1000:.0f} ms",
                "none", cpu == 0,
            ),
        ]  # fmt: skip

    def cycles(self, count: int) -> list[Line]:
        """Descriptors, threads and memory of daemon and keeper before and after so many starts and stops.

        The first tenth is not counted: pools and caches are filled then.
        """
        name, _ = self._create([{"name": "one"}])
        pids = (self._served.pid, self._served.keeper_pid)
        before: list[tuple[int, int, int]] = []
        for number in range(count + count // 10):
            if number == count // 10:
                self._served.settle()
                before = [_holdings(pid) for pid in pids]
            self._served.request("POST", f"/api/workers/{name}/one/start")
            self._served.request("POST", f"/api/workers/{name}/one/stop")
        self._served.settle()
        after = [_holdings(pid) for pid in pids]
        lines = []
        for whose, mine, now in zip(("daemon", "keeper"), before, after):
            grown = now[2] / mine[2] - 1
            lines.append(
                Line(
                    f"after {count:,} starts and stops, {whose}: descriptors, threads, RSS",
                    f"{mine[0]} → {now[0]}, {mine[1]} → {now[1]}, {mine[2] / 1e6:.1f} → {now[2] / 1e6:.1f} MB",
                    "as before, RSS + 5 % at most",
                    now[0] <= mine[0] and now[1] <= mine[1] and grown <= 0.05,
                )
            )
        return lines

    def _create(self, workers: Sequence[dict[str, Any]]) -> tuple[str, Path]:
        name = self._served.new_name("supervision")
        stamps = self._directory / name
        stamps.mkdir()
        full = [{**worker, "command": str(self._program), "args": [str(stamps / worker["name"])]} for worker in workers]
        self._served.create({"name": name, "working_dir": str(self._directory / "work" / name), "workers": full})
        return name, stamps

    def _wait(self, path: Path, count: int) -> list[tuple[int, int]]:
        """The first `count` (instant in ns, pid) of a stamp file, once they are there."""
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            try:
                lines = path.read_text().splitlines()
            except FileNotFoundError:
                lines = []
            if len(lines) >= count:
                return [(int(line.split()[0]), int(line.split()[1])) for line in lines[:count]]
            time.sleep(0.001)
        raise peers.PeerFailed(f"{path.name} did not run {count} times within {WAIT_SECONDS:.0f} s")


def _holdings(pid: int) -> tuple[int, int, int]:
    """Open descriptors, threads, RSS in bytes."""
    proc = process.PROC / str(pid)
    return len(os.listdir(proc / "fd")), len(os.listdir(proc / "task")), process.memory(pid).rss_bytes


def _line(measure: str, milliseconds: Sequence[float], target: float) -> Line:
    middle = statistics.median(milliseconds)
    worst = sorted(milliseconds)[int(len(milliseconds) * 0.95)]
    return Line(measure, f"{middle:.2f} ms (p95 {worst:.2f})", f"≤ {target:g} ms", middle <= target)
