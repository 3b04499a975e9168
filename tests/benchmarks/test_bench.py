"""scripts/bench: the C loop is a fair reference, the DAGs are the ones named, the arithmetic is right. No timings."""

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from benchmarks import machine, peers, printing, report, shapes, sweeps, watching, writers
from benchmarks.report import Case
from benchmarks.served import Served, Timing
from benchmarks.shapes import Shape

ROOT = Path(__file__).parents[2]

# A task writes a line when it begins and one when it ends into the witness, and says who it is.
TASK = """#!/bin/sh
echo "begin $1" >>"$WITNESS"
echo "out $1"
echo "err $1" >&2
sleep 0.02
echo "end $1" >>"$WITNESS"
[ "$1" != "$FAILS" ]
"""


@pytest.fixture(scope="session")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return peers.compile_loop(tmp_path_factory.mktemp("loop"))


class Loop:
    """The C loop on tasks that leave a witness."""

    def __init__(self, program: Path, directory: Path) -> None:
        self.program = program
        self.directory = directory
        self.output = directory / "output"
        self.output.mkdir()
        self.task = directory / "task"
        self.task.write_text(TASK)
        self.task.chmod(0o700)

    def run(self, shape: Shape, slots: int, *options: str, fails: int = -1) -> subprocess.CompletedProcess[str]:
        lines = [str(len(shape))]
        for task, needs in enumerate(shape.needs):
            lines.append(" ".join(map(str, [len(needs), *needs, 2, self.task, task])))
        dag = self.directory / "dag.txt"
        dag.write_text("\n".join(lines))
        environ = os.environ | {"WITNESS": str(self.directory / "witness"), "FAILS": str(fails)}
        command = [str(self.program), str(dag), str(slots), str(self.output), *options]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)

    def witness(self) -> list[tuple[str, int]]:
        lines = (self.directory / "witness").read_text().split("\n")[:-1]
        return [(line.split()[0], int(line.split()[1])) for line in lines]


@pytest.fixture
def tasks(loop: Path, tmp_path: Path) -> Loop:
    return Loop(loop, tmp_path)


@pytest.mark.parametrize("shape", [shapes.chain(5), shapes.fan_out(9), shapes.layers(3, 4)], ids=lambda s: s.name)
def test_the_c_loop_starts_no_task_before_its_needs_have_ended(tasks: Loop, shape: Shape) -> None:
    done = tasks.run(shape, 4)
    assert done.returncode == 0, done.stderr
    witness = tasks.witness()
    assert sorted(task for kind, task in witness if kind == "end") == list(range(len(shape)))
    for task, needs in enumerate(shape.needs):
        for need in needs:
            assert witness.index(("end", need)) < witness.index(("begin", task))


@pytest.mark.parametrize("slots", [1, 3])
def test_the_c_loop_uses_its_slots_and_no_more(tasks: Loop, slots: int) -> None:
    assert tasks.run(shapes.fan_out(9), slots).returncode == 0
    live = most = 0
    for kind, _ in tasks.witness():
        live += 1 if kind == "begin" else -1
        most = max(most, live)
    assert most == slots


def test_the_c_loop_writes_a_file_per_task(tasks: Loop) -> None:
    assert tasks.run(shapes.fan_out(3), 2).returncode == 0
    assert sorted(path.name for path in tasks.output.iterdir()) == ["0.out", "1.out", "2.out"]
    assert (tasks.output / "1.out").read_text() == "out 1\nerr 1\n"
    assert stat.S_IMODE((tasks.output / "1.out").stat().st_mode) == 0o600


def test_the_c_loop_writes_two_files_per_task_when_told(tasks: Loop) -> None:
    assert tasks.run(shapes.fan_out(2), 2, "2").returncode == 0
    assert (tasks.output / "1.out").read_text() == "out 1\n"
    assert (tasks.output / "1.err").read_text() == "err 1\n"


def test_the_c_loop_says_how_long_and_how_many(tasks: Loop) -> None:
    seconds, count = tasks.run(shapes.chain(3), 2).stdout.split()
    assert float(seconds) >= 3 * 0.02
    assert count == "3"


def test_the_c_loop_starts_nothing_that_needs_a_failed_task(tasks: Loop) -> None:
    done = tasks.run(shapes.chain(4), 2, fails=1)
    assert done.returncode == 1
    assert {task for _, task in tasks.witness()} == {0, 1}


@pytest.mark.parametrize("dag", ["", "1\n1 7 1 /bin/true", "1\n0 0", "2\n0 1 /bin/true", "1\n0 1 /no/such/program"])
def test_the_c_loop_refuses_what_it_cannot_run(loop: Path, tmp_path: Path, dag: str) -> None:
    (tmp_path / "dag.txt").write_text(dag)
    command = [str(loop), str(tmp_path / "dag.txt"), "1", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("loop: ")


def test_a_failing_contestant_is_an_error_and_no_figure(loop: Path, tmp_path: Path) -> None:
    with pytest.raises(peers.PeerFailed, match="exited 1"):
        peers.loop(loop, tmp_path / "run", shapes.chain(2), "/bin/false", 1)


def test_without_a_compiler_the_bench_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(peers.PeerFailed, match="C compiler"):
        peers.compile_loop(tmp_path)


@pytest.mark.parametrize("peer", ["make", "ninja"])
def test_make_and_ninja_run_every_task_after_its_needs(tmp_path: Path, peer: str) -> None:
    if shutil.which(peer) is None:
        pytest.skip(f"{peer} is not installed")
    shape = shapes.layers(3, 4)
    runner = peers.make if peer == "make" else peers.ninja
    assert runner(tmp_path / "run", shape, "/bin/echo", 2) > 0
    said = [line for line in (tmp_path / "run" / "output.txt").read_text().split() if line.startswith("w0")]
    if peer == "make":
        assert sorted(said) == [shapes.worker_name(task) for task in range(len(shape))]
        assert all(said.index(shapes.worker_name(need)) < said.index(shapes.worker_name(task))
                   for task, needs in enumerate(shape.needs) for need in needs)  # fmt: skip


# --- DAGs


@pytest.mark.parametrize(
    "name, tasks, edges",
    [
        ("chain-1000", 1000, 999),
        ("chain-1", 1, 0),
        ("fan-out-1000", 1000, 0),
        ("layers-10x100", 1000, 3150),  # 9 layers of 50 × 3 and 50 × 4
        ("layers-100x100", 10_000, 34_650),
        ("layers-2x1", 2, 1),
    ],
)
def test_a_shape_has_the_size_its_name_says(name: str, tasks: int, edges: int) -> None:
    shape = shapes.parse(name)
    assert (shape.name, len(shape), shape.edges) == (name, tasks, edges)


@pytest.mark.parametrize("name", ["chain", "chain-0", "fan-out--1", "layers-10", "layers-0x5", "circle-3", "chain-10 "])
def test_an_unknown_shape_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="there is no shape"):
        shapes.parse(name)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 7, 100])
def test_a_layers_tasks_need_the_layer_before_and_nothing_else(width: int) -> None:
    shape = shapes.layers(3, width)
    for task, needs in enumerate(shape.needs):
        assert {need // width for need in needs} == ({task // width - 1} if task >= width else set())
        assert len(set(needs)) == len(needs)


def test_a_tasks_argv_is_the_same_for_all_contestants() -> None:
    shape = shapes.chain(2)
    assert shapes.loop_text(shape, "/bin/echo") == "2\n0 2 /bin/echo w00000\n1 0 2 /bin/echo w00001\n"
    workers = shapes.definition(shape, "/bin/echo", "x", "/tmp/x", 2)["workers"]
    assert workers == [
        {"name": "w00000", "command": "/bin/echo w00000"},
        {"name": "w00001", "command": "/bin/echo w00001", "depends_on": ["w00000"]},
    ]
    assert "w00001: w00000\n\t@/bin/echo w00001\n" in shapes.makefile(shape, "/bin/echo")
    assert "build w00001: run w00000\n  words = /bin/echo w00001\n" in shapes.ninja_file(shape, "/bin/echo")


def test_a_wide_definition_has_so_many_inputs() -> None:
    workers = shapes.wide_definition(100, 100, 40_000, "wide", "/tmp/x")["workers"]
    assert len(workers) == 10_000
    assert sum(len(worker.get("inputs", {})) for worker in workers) == 40_000
    names = {worker["name"] for worker in workers}
    assert all(ref.partition("/")[0] in names for worker in workers for ref in worker.get("inputs", {}).values())


# --- arithmetic


def timing(seconds: float, cpu: float = 0.0) -> Timing:
    return Timing(recorded=seconds, observed=seconds, own=seconds, daemon_cpu=cpu, keeper_cpu=2 * cpu)


def case(
    loop: list[float], wattle: list[float], workers: int = 1000, slots: int = 2, shape: str = "fan-out-1000"
) -> Case:
    return Case(shape, workers, "/bin/true", slots, loop, [timing(seconds, 0.1) for seconds in wattle])


def test_a_ratio_is_taken_within_a_round() -> None:
    slowed_down = case([1.0, 2.0, 1.0], [1.5, 3.0, 1.4])
    assert slowed_down.ratios == [1.5, 1.5, 1.4]
    assert "| **1.50** | 1.40 – 1.50 | 1.5 | yes |" in report.cases_table([slowed_down], [])


def test_a_peer_is_compared_with_the_first_rounds() -> None:
    measured = case([1.0, 2.0, 8.0], [1.0, 2.0, 8.0])
    measured.peers["make"] = [1.2, 2.4]
    assert measured.peer_ratio("make") == 1.2
    assert measured.peer_ratio("ninja") is None


@pytest.mark.parametrize(
    "shape, slots, target",
    [("chain-1000", 2, 1.7), ("chain-1000", 8, 1.7), ("fan-out-1000", 2, 1.5), ("layers-10x100", 2, 1.5)]
    + [("fan-out-1000", 8, 1.4), ("layers-100x100", 8, 1.4)],
)
def test_the_targets_are_those_that_were_promised(shape: str, slots: int, target: float) -> None:
    assert Case(shape, 1000, "/bin/true", slots).target == target


def test_what_misses_its_target_is_said_plainly() -> None:
    assert "| **1.51** | 1.51 – 1.51 | 1.5 | **no** |" in report.cases_table([case([1.0], [1.51])], [])
    assert report.version_line([0.1, 0.151, 0.2]).reached is False
    assert report.create_line("10,000 workers", [1.4, 1.5, 9.0]).reached is True


def test_scale_compares_the_cost_of_one_worker() -> None:
    lines = report.scale_lines(case([1.0], [1.5]), case([11.0], [16.5], workers=10_000))
    assert [(line.value, line.reached) for line in lines] == [("1.10", True), ("1.10", None)]


def test_capture_is_what_is_added_to_the_ratio() -> None:
    with_capture, without = case([1.0, 2.0], [1.75, 3.5]), case([1.0, 2.0], [1.5, 3.0])
    assert report.extra(with_capture, without) == [0.25, 0.25]
    assert report.capture_lines(with_capture, without)[0].reached is False


def test_cpu_is_counted_per_worker() -> None:
    measured = case([1.0, 1.0], [1.0, 1.0], workers=500)
    assert (round(measured.daemon_us), round(measured.keeper_us)) == (200, 400)


@pytest.mark.parametrize("share, value", [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: int) -> None:
    assert report.percentile(list(range(100, 0, -1)), share) == value


def test_the_file_system_is_that_of_the_nearest_mount() -> None:
    mounts = "a / ext4 rw 0 0\nb /tmp tmpfs rw 0 0\nc /tmpfiles xfs rw 0 0\n"
    kinds = [machine.file_system(Path(path), mounts) for path in ("/tmp/x", "/tmp", "/home", "/tmpfiles/x")]
    assert kinds == ["tmpfs", "tmpfs", "ext4", "xfs"]


def test_writers_are_compared_round_by_round(tmp_path: Path) -> None:
    program = writers.compile_writer(tmp_path)
    writing = writers.measure(program, tmp_path, writers.Writing(100, 50), 2)
    assert len(writing.alone) == len(writing.watched) == len(writing.watch_cpu) == 2
    assert not list(tmp_path.glob("logs-*"))
    slow = writers.Writing(100, 10, alone=[1.0, 2.0, 1.0], watched=[1.2, 2.2, 1.2], watch_cpu=[0.1, 0.1, 0.1])
    line, used = report.writing_lines(slow)
    assert (line.value.split()[0], line.reached, used.reached) == ("1.20", False, None)
    slow.capped = True
    assert [line.reached for line in report.writing_lines(slow)] == [None, True]


def test_a_sweep_is_judged_by_its_median() -> None:
    first, seconds = sweeps.sweep_seconds(2, 5)
    assert len(seconds) == 5 and first > 0
    lines = report.sweep_lines(100, 0.02, [0.004, 0.009, 0.5])
    assert (lines[0].value, lines[0].reached) == ("9.0 ms (p99 500.0 ms)", True)
    assert report.sweep_lines(100, 0.02, [0.0101])[0].reached is False


def test_watchers_of_several_logs_are_to_hear_what_their_own_log_said() -> None:
    assert watching._expected({1: 10, 2: 9, 3: 4}, {1: 0, 2: 0, 3: 1}) == 24
    found = watching.Watched(1000, 5.0, 24, 24, [0.01, 0.02], 0.2, 1e3, 10**8, 1.0, 0.5, 200, [0.02])
    lines = report.watched_lines(found)
    assert "1,000 watchers of 200 logs" in lines[0].measure and [line.reached for line in lines[:5]] == [True] * 5
    found.clients, found.heard = 3000, 23
    assert [line.reached for line in report.watched_lines(found)] == [False, None]


# --- the whole


def test_the_bench_measures_prints_and_leaves_nothing_behind(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    runs = tmp_path / "runs"
    runs.mkdir()
    choice = ["--quick", "--shape", "fan-out-20", "--shape", "layers-3x4", "--rounds", "1", "--slots", "2"]
    command = [ROOT / "scripts" / "bench", *choice, "--json", figures, "--dir", runs]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    assert "| fan-out-20 | 2 | /bin/true |" in done.stdout
    found = json.loads(figures.read_text())
    assert [(one["shape"], one["workers"], len(one["wattle"])) for one in found["cases"]] == [
        ("fan-out-20", 20, 1),
        ("layers-3x4", 12, 1),
    ]
    assert all(one["ratio"] > 0 for one in found["cases"])
    assert {"cores", "kernel", "python", "sqlite", "file system"} <= found["machine"].keys()
    assert list(runs.iterdir()) == []
    assert processes_with(str(runs)) == []


def test_what_there_was_no_time_for_is_named(tmp_path: Path) -> None:
    choice = ["--quick", "--shape", "chain-2", "--slots", "2", "--rounds", "1", "--limit-seconds", "0"]
    command = [ROOT / "scripts" / "bench", *choice, "--dir", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 1, done.stderr
    assert "Not measured: chain-2 k=2 /bin/true (the time was up)" in done.stdout


def processes_with(text: str) -> list[str]:
    lines = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                lines.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
            except OSError:
                continue
    return [line for line in lines if text in line]


def test_workers_that_print_are_counted_with_what_the_server_uses_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L11: of a few workers, and not judged; with 500 that is the bench's."""
    monkeypatch.setattr(printing, "SETTLE_SECONDS", 0.0)
    served = Served(tmp_path, "--max-processes", "7")
    try:
        found = printing.unwatched(served, 5, 2.0)
    finally:
        served.down()
    line = 1 + len(f"{10**9}.{0:09d} {'x' * 80}")
    assert found.workers == 5 and line <= found.bytes <= 5 * (found.seconds + 2) * line  # a line a second each
    assert found.daemon_cpu >= 0 and found.keeper_cpu >= 0
    for cpu, reached in ((0.01, True), (0.05, False)):
        assert report.printed_lines(printing.Printed(500, 1.0, 0.03, cpu, 10**4))[0].reached is reached
