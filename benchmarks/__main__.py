"""`scripts/bench`: measure, print a table in Markdown, leave nothing behind. Progress goes to stderr."""

import argparse
import functools
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine, measures, peers, report, shapes
from benchmarks.measures import Bench, OutOfTime
from benchmarks.report import Case, Line
from benchmarks.served import Served, ServerFailed
from benchmarks.supervision import Supervision

SHAPES = ["chain-1000", "fan-out-1000", "layers-10x100", "layers-100x100"]
QUICK_SHAPES = SHAPES[:3]
PARTS = [
    "idle", "shapes", "scale", "capture", "create", "latency", "supervision", "metrics", "logs", "streams", "version",
]  # fmt: skip
PROGRAMS = ["/bin/true", "/bin/echo"]


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    # Ended by TERM as by Ctrl-C: the server is taken down and the directory removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    directory = Path(tempfile.mkdtemp(prefix="wattle-bench-", dir=options.dir))
    try:
        result = measure(options, directory)
    except (peers.PeerFailed, ServerFailed) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        say("removing what the runs left")
        shutil.rmtree(directory, ignore_errors=True)
    print(result.markdown(), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(result.as_json(), indent=1, ensure_ascii=False) + "\n")
    return 1 if result.missing else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure Wattle as multiples of a C loop that spawns the same processes.",
    )
    parser.add_argument("--quick", action="store_true", help="fewer shapes, /bin/true only, 3 rounds, short waits")
    parser.add_argument("--shape", action="append", type=_shape, help="chain-N, fan-out-N, layers-NxN; repeatable")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this; repeatable [all]")
    parser.add_argument("--slots", action="append", type=_positive, metavar="K", help="slots; repeatable [2 and 8]")
    parser.add_argument("--program", action="append", choices=PROGRAMS, help="repeatable [both]")
    parser.add_argument("--rounds", type=_positive, metavar="N", help="rounds of each case [5]")
    parser.add_argument("--without-peers", action="store_true", help="only the C loop and Wattle")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there")
    parser.add_argument("--dir", type=Path, metavar="DIR", help="where the runs' directory is made [$TMPDIR or /tmp]")
    parser.add_argument("--limit-seconds", type=float, default=3600.0, metavar="S", help="begin nothing after [3600]")
    options = parser.parse_args(arguments)
    options.part = options.part or (["shapes"] if options.shape else PARTS)
    options.shape = options.shape or [shapes.parse(name) for name in (QUICK_SHAPES if options.quick else SHAPES)]
    options.slots = options.slots or [2, 8]
    options.program = options.program or (PROGRAMS[:1] if options.quick else PROGRAMS)
    options.rounds = options.rounds or (3 if options.quick else 5)
    return options


class Result:
    """What has been measured so far."""

    def __init__(self, facts: dict[str, str], others: Sequence[str]) -> None:
        self.facts = facts
        self.others = others
        self.cases: list[Case] = []
        self.lines: list[Line] = []
        self.missing: list[str] = []

    def markdown(self) -> str:
        facts = " · ".join(f"{name} {value}" for name, value in self.facts.items())
        parts = [facts]
        if self.cases:
            parts += [report.cases_table(self.cases, self.others), report.costs_table(self.cases)]
        if self.lines:
            parts.append(report.lines_table(self.lines))
        if self.missing:
            parts.append(f"Not measured: {'; '.join(self.missing)}.")
        return "\n\n".join(parts)

    def as_json(self) -> dict[str, Any]:
        return report.as_json(self.facts, self.cases, self.lines, self.missing)


def measure(options: argparse.Namespace, directory: Path) -> Result:
    others = [] if options.without_peers else ["C, two files", *peers.present()]
    result = Result(machine.facts(directory), others)
    loop = peers.compile_loop(directory)
    served = Served(directory)
    try:
        bench = Bench(directory, served, loop, time.monotonic() + options.limit_seconds, say)
        for name, step in steps(options, bench, result):
            say(name)
            try:
                step()
            except OutOfTime:
                result.missing.append(f"{name} (the time was up)")
            except (peers.PeerFailed, ServerFailed, OSError, subprocess.SubprocessError) as error:
                say(f"{name}: {error}")  # the other figures are worth having
                result.missing.append(f"{name} ({error})")
    finally:
        served.down()
    return result


def steps(options: argparse.Namespace, bench: Bench, result: Result) -> list[tuple[str, Callable[[], None]]]:
    """What is to be measured, in order, each with its name. The idle figures come first, from a fresh server."""
    rounds, quick = options.rounds, options.quick
    large = 2000 if quick else 10_000

    def case(shape: shapes.Shape, program: str, slots: int) -> tuple[str, Callable[[], None]]:
        def step() -> None:
            result.cases.append(bench.case(shape, program, slots, rounds, result.others))

        return f"{shape.name} k={slots} {program}", step

    def scale() -> None:
        small_case, large_case = bench.scale(1000, large, 2, rounds)
        result.lines.extend(report.scale_lines(small_case, large_case))

    def capture() -> None:
        pairs = [bench.capture(shapes.parse(name), 2, rounds) for name in ("fan-out-1000", "chain-1000")]
        for with_capture, without in pairs:
            result.lines.extend(report.capture_lines(with_capture, without))
        # Last: the files it replaces slow down whoever makes files in the next minutes.
        result.lines.append(report.recapture_line(bench.recapture(shapes.parse("fan-out-1000"), 2, rounds)))

    def stream(clients: int, logs: int) -> None:
        result.lines.extend(bench.streams(clients, 5.0 if quick else 20.0, logs))

    @functools.cache
    def supervision() -> Supervision:
        return Supervision(bench.directory, bench.served)

    idle_seconds = 3.0 if quick else measures.IDLE_SECONDS
    all_steps: dict[str, list[tuple[str, Callable[[], None]]]] = {
        "idle": [("idle", lambda: result.lines.extend(bench.footprint("idle", idle_seconds)))],
        "shapes": [
            case(shape, program, slots)
            for shape in options.shape
            for program in options.program
            for slots in options.slots
        ],
        "scale": [(f"{large:,} workers", scale)],
        "capture": [("captured outputs", capture)],
        "create": [("creating 10,000 workers", lambda: result.lines.extend(bench.create(100, 100, 40_000)))],
        "latency": [
            ("latency", lambda: result.lines.extend(bench.latency(shapes.layers(large // 100, 100), 8))),
        ],
        "supervision": [
            ("starts and stops", lambda: result.lines.extend(supervision().starts_and_stops(50 if quick else 200))),
            ("restarts", lambda: result.lines.extend(supervision().restarts(20 if quick else 50))),
            ("50 services", lambda: result.lines.extend(supervision().many(50, rounds))),
            ("200 sleepers", lambda: result.lines.extend(supervision().sleepers(200))),
            ("cycles", lambda: result.lines.extend(supervision().cycles(1000 if quick else 10_000))),
        ],
        "streams": [
            (f"{clients:,} watching, {logs} logs", functools.partial(stream, clients, logs))
            for clients, logs in (
                [(1, 1), (200, 1), (100, 20)] if quick else [(1, 1), (1000, 1), (1000, 200), (3000, 1)]
            )
        ],
        "metrics": [("process trees", lambda: result.lines.extend(bench.metrics()))],
        "logs": [
            ("logs", lambda: result.lines.extend(bench.logs(rounds))),
            ("500 that print", lambda: result.lines.extend(bench.printing(500, 5.0 if quick else 20.0))),
        ],
        "version": [("wattle --version", lambda: result.lines.extend(bench.version()))],
    }
    chosen = [step for part in PARTS if part in options.part for step in all_steps[part]]
    chosen.append(("CPU", lambda: result.lines.extend(measures.cpu_lines(result.cases))))
    if "idle" in options.part:
        chosen.append(("idle again", lambda: result.lines.extend(bench.footprint("idle after all this", idle_seconds))))
    return chosen


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def _shape(text: str) -> shapes.Shape:
    try:
        return shapes.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


if __name__ == "__main__":
    sys.exit(main())
