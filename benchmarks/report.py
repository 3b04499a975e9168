"""From samples to tables: medians, pairwise ratios, the targets of the project, and whether they are reached. Pure.

The targets are what Wattle promised before it was measured. They are never moved.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.printing import Printed
from benchmarks.served import Timing
from benchmarks.watching import Watched
from benchmarks.writers import Writing

CHAIN_TARGET = 1.7
WIDE_TARGET = 1.5
EIGHT_SLOTS_TARGET = 1.4
SCALE_TARGET = 0.10
CAPTURE_TARGET = 0.2
IDLE_TARGET_BYTES = 80e6
IDLE_WAKE_UPS_TARGET = 0
P99_TARGET_SECONDS = 0.025
CREATE_TARGET_SECONDS = 1.5
VERSION_TARGET_SECONDS = 0.150
SWEEP_TARGET_SECONDS = 0.010
WATCHED_TARGET = 1.10
CAPPED_CPU_TARGET_SECONDS = 0.1
PRINTING_TARGET = 0.05


@dataclass(slots=True)
class Case:
    """One DAG with one program and one number of slots; in each list an entry per round, except for `peers`."""

    shape: str
    workers: int
    program: str
    slots: int
    loop: list[float] = field(default_factory=list)
    wattle: list[Timing] = field(default_factory=list)
    peers: dict[str, list[float]] = field(default_factory=dict)  # in the first rounds only
    outputs: bool = False

    @property
    def target(self) -> float:
        if self.shape.startswith("chain-"):
            return CHAIN_TARGET
        return EIGHT_SLOTS_TARGET if self.slots >= 8 else WIDE_TARGET

    @property
    def seconds(self) -> list[float]:
        return [timing.recorded for timing in self.wattle]

    @property
    def ratios(self) -> list[float]:
        return ratios(self.seconds, self.loop)

    def peer_ratio(self, peer: str) -> float | None:
        times = self.peers.get(peer)
        return statistics.median(ratios(times, self.loop)) if times else None

    @property
    def daemon_us(self) -> float:
        return statistics.fmean(timing.daemon_cpu for timing in self.wattle) / self.workers * 1e6

    @property
    def keeper_us(self) -> float:
        return statistics.fmean(timing.keeper_cpu for timing in self.wattle) / self.workers * 1e6


@dataclass(frozen=True, slots=True)
class Line:
    """A figure with its target; `reached` is None where there is none."""

    measure: str
    value: str
    target: str = ""
    reached: bool | None = None


def ratios(measured: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Each measurement over the reference of the same round: what slows a whole round down falls out."""
    return [mine / theirs for mine, theirs in zip(measured, reference)]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = -int(-share * len(ordered) // 1)  # rounded up
    return ordered[max(0, rank - 1)]


def scale(small: Case, large: Case) -> list[float]:
    """Wattle's seconds per worker at the large size over those at the small one, round by round."""
    return [
        (mine.recorded / large.workers) / (other.recorded / small.workers)
        for mine, other in zip(large.wattle, small.wattle)
    ]


def extra(with_capture: Case, without: Case) -> list[float]:
    """What capturing adds, in multiples of the C loop, round by round."""
    return [much - less for much, less in zip(with_capture.ratios, without.ratios)]


def scale_lines(small: Case, large: Case) -> list[Line]:
    middle = statistics.median(scale(small, large))
    loop = statistics.median(
        (mine / large.workers) / (other / small.workers) for mine, other in zip(large.loop, small.loop)
    )
    measure = f"per worker at {large.workers:,} over {small.workers:,} (fan-out, k = {large.slots})"
    return [
        Line(measure, f"{middle:.2f}", "0.90 – 1.10, or less", middle <= 1 + SCALE_TARGET),
        Line("the same of the C loop", f"{loop:.2f}"),
    ]


def capture_lines(with_capture: Case, without: Case) -> list[Line]:
    added = statistics.median(extra(with_capture, without))
    measure = f"one captured output per worker ({with_capture.shape}, k = {with_capture.slots})"
    return [
        Line(measure, f"+{added:.2f}", f"≤ +{CAPTURE_TARGET}", added <= CAPTURE_TARGET),
        Line("its ratio, with and without", f"{_middle(with_capture)}, {_middle(without)}"),
    ]


def recapture_line(again: Case) -> Line:
    """No target: the C loop's files are new. A rename over a file makes ext4 write the new one's blocks first, and
    it searches long for a free inode while many were freed a moment ago."""
    return Line(f"its ratio where files of the run before are replaced ({again.shape})", _middle(again))


def create_line(what: str, seconds: Sequence[float]) -> Line:
    middle = statistics.median(seconds)
    return Line(
        f"create {what} over HTTP", f"{middle:.2f} s", f"≤ {CREATE_TARGET_SECONDS} s", middle <= CREATE_TARGET_SECONDS
    )


def latency_line(what: str, seconds: Sequence[float]) -> Line:
    middle, slow = percentile(seconds, 0.5), percentile(seconds, 0.99)
    shown = f"p50 {middle * 1e3:.1f} ms, p99 {slow * 1e3:.1f} ms ({len(seconds)} calls)"
    return Line(what, shown, f"p99 ≤ {P99_TARGET_SECONDS * 1e3:.0f} ms", slow <= P99_TARGET_SECONDS)


def version_line(seconds: Sequence[float]) -> Line:
    middle = statistics.median(seconds)
    shown = f"{middle * 1e3:.0f} ms"
    return Line("wattle --version", shown, f"≤ {VERSION_TARGET_SECONDS * 1e3:.0f} ms", middle <= VERSION_TARGET_SECONDS)


def sweep_lines(trees: int, first: float, seconds: Sequence[float]) -> list[Line]:
    middle, longest = statistics.median(seconds), percentile(seconds, 0.99)
    what = f"a sweep over {trees} trees of 2 processes"
    shown = f"{middle * 1e3:.1f} ms (p99 {longest * 1e3:.1f} ms)"
    target = f"≤ {SWEEP_TARGET_SECONDS * 1e3:.0f} ms"
    return [Line(what, shown, target, middle <= SWEEP_TARGET_SECONDS), Line("the first one", f"{first * 1e3:.1f} ms")]


def writing_lines(writing: Writing) -> list[Line]:
    """How much longer a watched writer takes, and what the watch itself used."""
    ratio = statistics.median(ratios(writing.watched, writing.alone))
    size = f"{writing.size} bytes" if writing.size < 1024 else f"{writing.size // 1024} KiB"
    what = f"writing a log, {size} at a time" + (", within 16 MiB" if writing.capped else "")
    speed = writing.size * writing.count / statistics.median(writing.watched) / 1e6
    cpu = statistics.median(writing.watch_cpu)
    gigabytes = writing.size * writing.count / 1e9
    shown = f"{ratio:.2f} times as long as unwatched ({speed:.0f} MB/s)"
    used = f"{cpu:.3f} s CPU for {gigabytes:.1f} GB"
    if writing.capped:
        target = f"≤ {CAPPED_CPU_TARGET_SECONDS:.1f} s"
        return [Line(what, shown), Line("the watch meanwhile", used, target, cpu <= CAPPED_CPU_TARGET_SECONDS)]
    target = f"≤ {WATCHED_TARGET:.2f}"
    return [Line(what, shown, target, ratio <= WATCHED_TARGET), Line("the watch meanwhile", used)]


def printed_lines(found: Printed) -> list[Line]:
    """Of all the CPU there is, little is the server's: L11."""
    what = f"{found.workers:,} workers that print a line a second, nobody watching: daemon + keeper"
    used = found.daemon_cpu + found.keeper_cpu
    shown = f"{found.daemon_cpu:.1%} + {found.keeper_cpu:.1%} of a core ({found.bytes / found.seconds / 1e3:.0f} kB/s)"
    return [Line(what, shown, f"≤ {PRINTING_TARGET:.0%}", used <= PRINTING_TARGET)]


def watched_lines(found: Watched) -> list[Line]:
    """Targets are those of 1,000 watchers, of one log or of many, and of one; more than 1,000 shall hear all."""
    which = "one log" if found.logs == 1 else f"{found.logs:,} logs"
    many = f"{found.clients:,} watchers of {which} at 20 lines/s"
    middle, slow = percentile(found.delivery, 0.5), percentile(found.delivery, 0.99)
    limit, slow_limit = (0.015, math.inf) if found.clients > 1 else (0.001, 0.010)
    target = f"≤ {limit * 1e3:.0f} ms" + (f", {slow_limit * 1e3:.0f} ms" if slow_limit < math.inf else "")
    whole = found.heard == found.expected
    lines = [
        Line(f"{many}: lines heard", f"{found.heard:,} of {found.expected:,}", "all", whole),
        Line(
            f"{many}: print to client, p50, p99",
            f"{middle * 1e3:.1f} ms, {slow * 1e3:.1f} ms",
            target,
            middle <= limit and slow <= slow_limit,
        ),
    ]
    if found.clients == 1:
        return lines
    if found.clients > 1000:
        return [lines[0], *(Line(line.measure, line.value) for line in lines[1:])]
    api = percentile(found.api, 0.99)
    return [
        *lines,
        Line(f"{many}: API p50, p99", f"{percentile(found.api, 0.5) * 1e3:.1f} ms, {api * 1e3:.1f} ms", "≤ 25 ms",
             api <= 0.025),
        Line(f"{many}: daemon", f"{found.cpu:.0%} of a core", "≤ 25 %", found.cpu <= 0.25),
        Line(f"{many}: daemon's RSS", f"{found.rss_bytes / 1e6:.0f} MB, {found.bytes_each / 1e3:.1f} kB for each",
             "≤ 120 MB", found.rss_bytes <= 120e6),
        Line(f"{many}: load, and the clients' own CPU", f"{found.load:.1f}, {found.client_cpu:.0%} of a core"),
    ]  # fmt: skip


def cases_table(cases: Sequence[Case], peers: Sequence[str]) -> str:
    """One row per case; peers are multiples of the C loop too."""
    head = ["shape", "k", "program", "C loop s", "Wattle s", "ratio", "from – to", "target", "reached", *peers]
    rows = []
    for case in cases:
        if not case.wattle:
            continue
        middle = statistics.median(case.ratios)
        rows.append(
            [
                case.shape,
                str(case.slots),
                case.program,
                f"{statistics.median(case.loop):.3f}",
                f"{statistics.median(case.seconds):.3f}",
                f"**{middle:.2f}**",
                f"{min(case.ratios):.2f} – {max(case.ratios):.2f}",
                f"{case.target}",
                _answer(middle <= case.target),
                *(_number(case.peer_ratio(peer)) for peer in peers),
            ]
        )
    return table(head, rows)


def costs_table(cases: Sequence[Case]) -> str:
    """Where a run's time goes besides the workers: CPU, the part before the run began, the part until it was seen."""
    head = ["shape", "k", "program", "daemon µs/worker", "keeper µs/worker", "call to run ms", "end to seen ms"]
    rows = []
    for case in cases:
        if case.wattle:
            before = statistics.median(timing.recorded - timing.own for timing in case.wattle)
            after = statistics.median(timing.observed - timing.recorded for timing in case.wattle)
            cells = [case.daemon_us, case.keeper_us, before * 1e3, after * 1e3]
            rows.append([case.shape, str(case.slots), case.program, *(f"{cell:.0f}" for cell in cells)])
    return table(head, rows)


def lines_table(lines: Sequence[Line]) -> str:
    return table(
        ["measure", "value", "target", "reached"],
        [[line.measure, line.value, line.target, _answer(line.reached)] for line in lines],
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_json(
    machine: dict[str, str], cases: Sequence[Case], lines: Sequence[Line], missing: Sequence[str]
) -> dict[str, Any]:
    """All samples, and what was made of them."""
    return {
        "machine": machine,
        "cases": [
            asdict(case) | {"ratio": statistics.median(case.ratios), "target": case.target}
            for case in cases
            if case.wattle
        ],
        "lines": [asdict(line) for line in lines],
        "not_measured": list(missing),
    }


def _middle(case: Case) -> str:
    return f"{statistics.median(case.ratios):.2f}"


def _answer(reached: bool | None) -> str:
    return "" if reached is None else "yes" if reached else "**no**"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
