"""What real process trees use (W-23, A23)."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from metrics.processes import BURN, SLEEP, TREE, Trees, eventually, trees

from wattle.metrics.process import Allowance, Process
from wattle.metrics.sampler import Sampler
from wattle.metrics.tree import SHORTEST_READING_SECONDS, Tree, TreeSample
from wattle.store.rows import AttemptRow

__all__ = ["trees"]

# A child burns for half a second, is reaped, and nothing more happens.
REAPED = """
import subprocess, sys
print('ready', flush=True)
burn = 'import time\\nwhile time.process_time() < 0.5: pass\\ninput()'
child = subprocess.Popen([sys.executable, '-c', burn], stdin=subprocess.PIPE)
sys.stdin.readline()
child.communicate(b'go')
sys.stdin.readline()
"""
IGNORED = REAPED.replace("import subprocess, sys", "import subprocess, sys, signal", 1).replace(
    "child.communicate", "signal.signal(signal.SIGCHLD, signal.SIG_IGN); child.communicate"
)
# It takes in orphans, as the keeper does; its worker starts a daemon: another session, no parent, only the marker.
HOME = f"""
import ctypes, os, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
worker = '''
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
os.wait()
print(os.getpid(), flush=True)
time.sleep(600)
'''
leader = subprocess.Popen([sys.executable, '-c', worker], start_new_session=True, stdout=subprocess.PIPE)
pid = int(leader.stdout.readline())
with open(os.environ["PID_FILE"], 'w') as file: file.write(str(pid))
{SLEEP}
"""


def sampled(attempt: AttemptRow, allowance: Allowance | None = None) -> tuple[Sampler, TreeSample]:
    sampler = Sampler(allowance=allowance)
    sampler.watch("wf", attempt)
    assert sampler.sweep() == 1
    return sampler, sampler.live()[0].last


@pytest.mark.parametrize("cached", [0, 1000])
def test_a_tree_is_summed_children_of_every_thread_included(trees: Trees, cached: int) -> None:
    """A23; with descriptors that stay open and, beyond the limit, without."""
    attempt = trees(TREE)
    sampler, sample = sampled(attempt, Allowance(cached))
    assert attempt.pid is not None
    leader = psutil.Process(attempt.pid)
    members = [leader, *leader.children(recursive=True)]
    assert len(members) == sample.num_processes == 3
    assert sample.memory_bytes == pytest.approx(sum(member.memory_info().rss for member in members), rel=0.2)
    assert sample.num_threads == sum(member.num_threads() for member in members) == 4
    assert sample.num_descriptors == sum(member.num_fds() for member in members)
    assert sample.read_bytes == pytest.approx(sum(member.io_counters().read_chars for member in members), rel=0.2)
    pss = sampler.proportional_bytes(attempt)
    assert pss is not None and 0 < pss < sample.memory_bytes
    sampler.close()


def test_the_first_reading_already_measures(trees: Trees) -> None:
    """A23: psutil's first reading would be 0."""
    assert eventually(lambda: Sampler().now(trees(BURN)).cpu_percent) > 0
    resting = trees(SLEEP, 1)
    eventually(lambda: Sampler().now(resting).cpu_percent < 90)  # its start alone may have taken a whole processor


@pytest.mark.parametrize("program", [REAPED, IGNORED])
def test_members_that_have_ended_keep_counting_once(trees: Trees, program: str) -> None:
    """Whether their parent reaped them, or nobody did."""
    attempt = trees(program)
    sampler = Sampler()
    sampler.watch("wf", attempt)

    def total() -> float:
        sampler.sweep()
        return sampler.live()[0].last.cpu_seconds

    before = eventually(lambda: (seconds := total()) >= 0.5 and seconds)
    assert sampler.live()[0].last.num_processes == 2
    trees.tell()
    seen = [before]
    while sampler.live()[0].last.num_processes == 2:
        seen.append(total())
    seen.append(total())
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(before, abs=0.3)  # not twice
    trees.end()
    assert total() >= seen[-1]
    assert sampler.live()[0].last.num_processes == 0
    sampler.close()


def test_an_orphan_in_a_session_of_its_own_still_counts(
    trees: Trees, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """supervision.md 3.4: by its marker, among the children of who takes in orphans."""
    path = tmp_path / "pid"
    monkeypatch.setenv("PID_FILE", str(path))
    home = trees(HOME)
    pid = int(path.read_text())
    attempt = AttemptRow(home.uuid, 1, 0, "w", 1, "running", pid=pid, start_ticks=None)
    sampler, sample = sampled(attempt)
    assert sample.num_processes == 1  # now it is known who takes in its orphans
    sampler.sweep()
    assert sampler.live()[0].last.num_processes == 2
    os.kill(pid, 9)
    eventually(lambda: (sampler.sweep(), sampler.live()[0].last.num_processes)[1] == 1)
    assert sampler.live()[0].homes == {home.pid}
    sampler.close()


def test_another_process_with_the_pid_is_not_measured(trees: Trees) -> None:
    attempt = trees(SLEEP)
    assert attempt.start_ticks is not None
    for other in (attempt._replace(start_ticks=attempt.start_ticks - 1), attempt._replace(inode=1)):
        assert Sampler().now(other).num_processes == 0
    assert Sampler().now(attempt).num_processes == 1


def test_a_process_that_is_gone_is_no_error(trees: Trees) -> None:
    attempt = trees(SLEEP)
    sampler, sample = sampled(attempt)
    assert sample.num_processes == 1
    trees.started[0].kill()
    os.waitid(os.P_PID, trees.started[0].pid, os.WEXITED | os.WNOWAIT)
    sampler.sweep()
    assert sampler.live()[0].last.num_processes == 0  # a zombie
    trees.end()
    sampler.sweep()
    for last in (sampler.live()[0].last, Sampler().now(attempt)):
        assert (last.num_processes, last.memory_bytes, last.num_descriptors, last.cpu_percent) == (0, 0, 0, 0.0)
    assert sampler.end(attempt)["peak_num_processes"] == 1  # type: ignore[index]
    sampler.close()


@pytest.mark.parametrize("pid", [2**22 + 5, None])
def test_a_pid_that_never_was_is_no_error(pid: int | None) -> None:
    attempt = AttemptRow("u", 1, 0, "w", 1, "running", pid=pid)
    assert Sampler().now(attempt).num_processes == 0
    assert Sampler().proportional_bytes(attempt) == 0


def test_trees_that_vanish_while_they_are_sampled_are_no_error() -> None:
    churn = "import subprocess\nprint('ready', flush=True)\nfor _ in range(150): subprocess.run(['/bin/true'])"
    parent = subprocess.Popen([sys.executable, "-c", churn], stdout=subprocess.DEVNULL, start_new_session=True)
    attempt = AttemptRow("u", 1, 0, "w", 1, "running", pid=parent.pid)
    failures: list[BaseException] = []
    stop = threading.Event()

    def sample() -> None:
        sampler, totals = Sampler(), [0.0]
        sampler.watch("wf", attempt)
        try:
            while not stop.is_set():
                sampler.sweep()
                totals.append(sampler.live()[0].last.cpu_seconds)
            assert totals == sorted(totals)
        except BaseException as error:
            failures.append(error)
        finally:
            sampler.close()

    thread = threading.Thread(target=sample)
    thread.start()
    parent.wait()
    stop.set()
    thread.join(10)
    assert failures == []


def test_what_an_earlier_daemon_stored_is_the_least(trees: Trees) -> None:
    """Peaks, totals and the series go on over a restart of the daemon."""
    kept = {
        "samples": 9, "cpu_us": 5_000_000, "others_us": 4_000_000, "read_bytes": 10**12, "written_bytes": 3,
        "peak_memory_bytes": 10**12, "peak_num_processes": 7, "peak_num_threads": None,
        "series": [[1, 2.0, 3, 4, 5, 6, 7]],
    }  # fmt: skip
    sampler = Sampler()
    attempt = trees(SLEEP)
    sampler.watch("wf", attempt, kept)
    sampler.sweep()
    usage = sampler.end(attempt)
    assert usage is not None
    assert usage["cpu_us"] >= 5_000_000 and usage["others_us"] == 4_000_000
    assert (usage["read_bytes"], usage["peak_memory_bytes"], usage["peak_num_processes"]) == (10**12, 10**12, 7)
    assert usage["peak_num_threads"] == 1
    assert usage["samples"] == 10 and usage["series"][0] == [1, 2.0, 3, 4, 5, 6, 7] and len(usage["series"]) == 2
    sampler.close()


def test_what_rests_uses_nothing_and_not_a_little_less(trees: Trees) -> None:
    """A23: 4.03 s are no whole number of microseconds as a float, and -0.0 % is none that anybody uses."""
    tree = Tree("wf", trees(SLEEP), Allowance(), {"cpu_us": 4_030_000})
    tree.sample(Process.children)
    eventually(lambda: time.monotonic() > tree.last.at + SHORTEST_READING_SECONDS)
    sample = tree.sample(Process.children)
    tree.close()
    assert (sample.cpu_seconds, str(sample.cpu_percent)) == (4.03, "0.0")
