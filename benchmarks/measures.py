"""What is measured, and how often. Contestants take turns within a round, so that a busy minute hits them all.

Run directories stay until the end: deleting them between runs makes the reference drift 1.8 times.
"""

import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import peers, printing, report, shapes, sweeps, watching, writers
from benchmarks.process import Memory
from benchmarks.report import Case, Line
from benchmarks.served import Served
from benchmarks.shapes import Shape

PEER_ROUNDS = 3  # of the small shapes; one of the large
SMALL = 2000  # tasks
CREATE_ROUNDS = 3
VERSION_ROUNDS = 10
LATENCY_RUNS = 3
LATENCY_PAUSE_SECONDS = 0.01
LOOK_AT_MEMORY_SECONDS = 0.25
IDLE_SECONDS = 10.0
TREES = 100
SWEEPS = 200

Say = Callable[[str], None]


class OutOfTime(Exception):
    """The bench has used up its time; what has not been measured stays so."""


class Bench:
    """One server, one C loop, and a directory in which every run leaves its files."""

    def __init__(self, directory: Path, served: Served, loop: Path, until: float, say: Say) -> None:
        self.directory = directory
        self.served = served
        self._loop = loop
        self._until = until
        self._say = say
        self._runs = itertools.count(1)

    # --- the DAG, by all contestants

    def case(self, shape: Shape, program: str, slots: int, rounds: int, others: Sequence[str] = ()) -> Case:
        """Rounds of the C loop and Wattle in turn, either being the first in every other round, then the others."""
        case, name = self._prepare(shape, program, slots)
        peer_rounds = PEER_ROUNDS if len(shape) <= SMALL else 1
        for number in range(rounds):
            self._round(case, shape, name, loop_first=number % 2 == 0)
            if number < peer_rounds:
                for other in others:
                    case.peers.setdefault(other, []).append(self._peer(other, shape, program, slots))
        self._say(f"{shape.name} k={slots} {program}: {statistics.median(case.ratios):.2f}")
        return case

    def scale(self, small: int, large: int, slots: int, rounds: int) -> tuple[Case, Case]:
        """Fan-outs of two sizes, in turn."""
        prepared = []
        for count in (small, large):
            shape = shapes.fan_out(count)
            prepared.append((shape, *self._prepare(shape, "/bin/true", slots)))
        for number in range(rounds):
            for shape, case, name in prepared:
                self._round(case, shape, name, loop_first=number % 2 == 0)
        return prepared[0][1], prepared[1][1]

    def capture(self, shape: Shape, slots: int, rounds: int) -> tuple[Case, Case]:
        """With one declared output per worker, which is its standard output, and without; one C loop for both.

        Each round writes new files, as the C loop does.
        """
        without, name = self._prepare(shape, "/bin/echo", slots)
        with_capture = Case(shape.name, len(shape), "/bin/echo", slots, outputs=True)
        for number in range(rounds):
            self._round(without, shape, name, loop_first=number % 2 == 0)
            with_capture.loop.append(without.loop[-1])
            _, captured_name = self._prepare(shape, "/bin/echo", slots, outputs=True)
            with_capture.wattle.append(self.served.run(captured_name, _expected(with_capture)))
        return with_capture, without

    def recapture(self, shape: Shape, slots: int, rounds: int) -> Case:
        """The same workflow again and again: every captured file replaces that of the run before."""
        case, name = self._prepare(shape, "/bin/echo", slots, outputs=True)
        for number in range(rounds + 1):
            self._round(case, shape, name, loop_first=number % 2 == 0)
        del case.loop[0], case.wattle[0]  # nothing was there to be replaced
        return case

    def _prepare(self, shape: Shape, program: str, slots: int, *, outputs: bool = False) -> tuple[Case, str]:
        """A workflow that is there, and a case without samples."""
        name = self.served.new_name(shape.name)
        working_dir = self.directory / "work" / name
        self.served.create(shapes.definition(shape, program, name, str(working_dir), slots, outputs=outputs))
        return Case(shape.name, len(shape), program, slots, outputs=outputs), name

    def _round(self, case: Case, shape: Shape, name: str, *, loop_first: bool) -> None:
        self._check_time()
        if loop_first:
            case.loop.append(self._peer("C loop", shape, case.program, case.slots))
        case.wattle.append(self.served.run(name, _expected(case)))
        if not loop_first:
            case.loop.append(self._peer("C loop", shape, case.program, case.slots))

    def _peer(self, peer: str, shape: Shape, program: str, slots: int) -> float:
        directory = self.directory / f"run-{next(self._runs)}"
        match peer:
            case "make":
                return peers.make(directory, shape, program, slots)
            case "ninja":
                return peers.ninja(directory, shape, program, slots)
            case "C, two files":
                return peers.loop(self._loop, directory, shape, program, slots, files=2)
            case _:
                return peers.loop(self._loop, directory, shape, program, slots)

    def _check_time(self) -> None:
        if time.monotonic() > self._until:
            raise OutOfTime

    # --- one figure each

    def footprint(self, when: str, seconds: float = IDLE_SECONDS) -> list[Line]:
        """Memory and wake-ups while nobody wants anything."""
        self._check_time()
        self.served.get("/api/workflows")
        self.served.settle()
        time.sleep(1.0)
        daemon_wakes, keeper_wakes = self.served.wake_ups(seconds)
        daemon, keeper = self.served.memory()
        reached = (daemon + keeper).rss_bytes <= report.IDLE_TARGET_BYTES
        first = when == "idle"
        wakes = daemon_wakes + keeper_wakes
        return [
            Line(
                f"memory {when}: daemon + keeper",
                _memory(daemon, keeper),
                f"RSS < {report.IDLE_TARGET_BYTES / 1e6:.0f} MB" if first else "",
                reached if first else None,
            ),
            Line(
                f"wake-ups {when}, in {seconds:.0f} s: daemon + keeper",
                f"{daemon_wakes} + {keeper_wakes}",
                "none" if first else "",
                wakes <= report.IDLE_WAKE_UPS_TARGET if first else None,
            ),
        ]

    def create(self, depth: int, width: int, inputs: int) -> list[Line]:
        """POST of so many workers, without edges and with so many inputs in all."""
        count = depth * width
        plain, wide = [], []
        for _ in range(CREATE_ROUNDS):
            self._check_time()
            name = self.served.new_name("plain")
            working_dir = str(self.directory / "work" / name)
            plain.append(
                self.served.create(shapes.definition(shapes.fan_out(count), "/bin/true", name, working_dir, 8))
            )
            self.served.settle()
            name = self.served.new_name("wide")
            working_dir = str(self.directory / "work" / name)
            wide.append(self.served.create(shapes.wide_definition(depth, width, inputs, name, working_dir)))
            self.served.settle()
        return [
            report.create_line(f"{count:,} workers", plain),
            report.create_line(f"{count:,} workers with {inputs:,} inputs", wide),
        ]

    def latency(self, shape: Shape, slots: int, runs: int = LATENCY_RUNS) -> list[Line]:
        """`GET /api/workflows/{n}` while the workflow runs and before, and the most memory that was seen."""
        name = self.served.new_name(shape.name)
        working_dir = str(self.directory / "work" / name)
        self.served.create(shapes.definition(shape, "/bin/true", name, working_dir, slots))
        self.served.settle()
        idle = [self._look(name)[0] for _ in range(200)]
        active: list[float] = []
        loaded = self.served.memory()
        for _ in range(runs):
            self._check_time()
            self.served.request("POST", f"/api/workflows/{name}/start")
            look_at = time.monotonic()
            status = "running"
            while status == "running":
                seconds, status = self._look(name)
                active.append(seconds)
                if time.monotonic() >= look_at:
                    loaded = max(loaded, self.served.memory(), key=_total)
                    look_at = time.monotonic() + LOOK_AT_MEMORY_SECONDS
                time.sleep(LATENCY_PAUSE_SECONDS)
            self.served.settle()
        before = report.latency_line("GET /api/workflows/{n}, nothing running", idle)
        return [
            report.latency_line(f"GET /api/workflows/{{n}} while {shape.name} runs (k = {slots})", active),
            Line(before.measure, before.value),
            Line(f"memory while {shape.name} runs, at most: daemon + keeper", _memory(*loaded)),
        ]

    def _look(self, name: str) -> tuple[float, str]:
        began = time.monotonic()
        state = self.served.get(f"/api/workflows/{name}")
        return time.monotonic() - began, state["status"]

    def metrics(self) -> list[Line]:
        """How long the sampler takes to read all process trees."""
        self._check_time()
        return report.sweep_lines(TREES, *sweeps.sweep_seconds(TREES, SWEEPS))

    def logs(self, rounds: int) -> list[Line]:
        """What being watched costs who writes: tiny writes, large ones, and a gigabyte within a bound."""
        program = writers.compile_writer(self.directory)
        kinds = [
            writers.Writing(100, 2_000_000),
            writers.Writing(65_536, 16_384),
            writers.Writing(65_536, 16_384, capped=True),
        ]
        lines: list[Line] = []
        for writing in kinds:
            self._check_time()
            lines += report.writing_lines(writers.measure(program, self.directory, writing, rounds))
        return lines

    def printing(self, workers: int, seconds: float) -> list[Line]:
        """Workers that print a line a second, and nobody watches; on a server with room for so many."""
        self._check_time()
        directory = self.directory / "printing"
        directory.mkdir()
        served = Served(directory, "--max-processes", str(workers + 10))
        try:
            return report.printed_lines(printing.unwatched(served, workers, seconds))
        finally:
            served.down()

    def streams(self, clients: int, seconds: float, logs: int = 1) -> list[Line]:
        """Busy logs and so many who follow them."""
        self._check_time()
        return report.watched_lines(watching.watched(self.served, clients, seconds, logs))

    def version(self) -> list[Line]:
        """The command line's start, as installed."""
        command = [str(Path(sys.executable).with_name("wattle")), "--version"]
        seconds = []
        for _ in range(VERSION_ROUNDS):
            began = time.monotonic()
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60)
            seconds.append(time.monotonic() - began)
        return [report.version_line(seconds)]


def _expected(case: Case) -> float:
    """For how long a run certainly takes: no shorter than the C loop, little shorter than the shortest so far."""
    return max([min(case.loop), *(0.95 * min(times) for times in [case.seconds] if times)])


def cpu_lines(cases: Sequence[Case]) -> list[Line]:
    """Own CPU per worker, over all cases without captures."""
    workers = sum(case.workers * len(case.wattle) for case in cases)
    if not workers:
        return []
    daemon = sum(timing.daemon_cpu for case in cases for timing in case.wattle) / workers
    keeper = sum(timing.keeper_cpu for case in cases for timing in case.wattle) / workers
    return [Line("CPU per worker: daemon + keeper", f"{daemon * 1e6:.0f} + {keeper * 1e6:.0f} µs")]


def _memory(daemon: Memory, keeper: Memory) -> str:
    def shown(one: int, other: int) -> str:
        return f"{one / 1e6:.1f} + {other / 1e6:.1f} = {(one + other) / 1e6:.1f} MB"

    return f"RSS {shown(daemon.rss_bytes, keeper.rss_bytes)}; PSS {shown(daemon.pss_bytes, keeper.pss_bytes)}"


def _total(pair: tuple[Memory, Memory]) -> int:
    return (pair[0] + pair[1]).rss_bytes
