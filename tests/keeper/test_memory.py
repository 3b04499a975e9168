"""memory_max_bytes: a tree that holds too much is killed within 2 s, and only then (O5)."""

import os
import signal
import time

import pytest
from keeper.client import PYTHON, Client, is_alive, until

from wattle.keeper import proc
from wattle.keeper.memory import held_bytes

MIB = 1 << 20
CHILDREN = """
import os, sys, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        held = bytearray(b"x" * (40 << 20))
        print(os.getpid(), flush=True)
        time.sleep(600)
time.sleep(600)
"""
SHARED = """
import os, time
held = bytearray(b"x" * (80 << 20))
for _ in range(4):
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(600)
time.sleep(600)
"""


def test_a_tree_over_its_memory_is_killed_as_a_whole(keeper: Client) -> None:
    """Within 2 s, the best of three: who else uses the machine is not meant."""
    took: list[float] = []
    while len(took) < 3 and (not took or took[-1] >= 2):
        uid = keeper.order([*PYTHON, CHILDREN], memory_max_bytes=100 * MIB)
        pids = keeper.wait_pids(uid, 3)
        full_at = time.monotonic()
        record = keeper.wait_record("ended", uid)
        took.append(time.monotonic() - full_at)
        assert (record["cause"], record["signal"]) == ("memory", signal.SIGKILL)
        assert 100 * MIB < record["memory_bytes"] < 400 * MIB
        assert not any(map(is_alive, pids))
    assert took[-1] < 2, took


def test_what_is_shared_counts_once(keeper: Client) -> None:
    """Five processes with the same 80 MiB: 400 by the cheap count, 80 in truth."""
    uid = keeper.order([*PYTHON, SHARED], memory_max_bytes=200 * MIB)
    pids = keeper.wait_pids(uid, 4)
    leader = keeper.wait_record("started", uid)["pid"]
    everyone = [leader, *pids]
    assert sum(map(proc.resident_bytes, everyone)) > 300 * MIB
    assert 80 * MIB < held_bytes(everyone, 200 * MIB) < 200 * MIB
    until_at = time.monotonic() + 1.5  # three looks
    while time.monotonic() < until_at:
        keeper.pump(0.05)
        assert is_alive(leader)
    assert keeper.stop(uid, grace_seconds=0)["cause"] == "stopped"


def test_one_within_its_memory_ends_as_ever(keeper: Client) -> None:
    record = keeper.run([*PYTHON, "import time; time.sleep(0.8)"], memory_max_bytes=100 * MIB)
    assert (record["exit_code"], record["cause"]) == (0, None)
    assert "memory_bytes" not in record


def test_nobody_looks_at_workers_without_a_limit(keeper: Client) -> None:
    uid = keeper.order(["sleep", "60"])
    keeper.wait_record("started", uid)
    assert ticks(keeper.pid) <= ticks_after(keeper, 1.0) <= ticks(keeper.pid)
    keeper.stop(uid)


def ticks(pid: int) -> int:
    facts = proc.read_stat(pid)
    assert facts is not None
    return facts.user_ticks + facts.system_ticks


def ticks_after(keeper: Client, seconds: float) -> int:
    until_at = time.monotonic() + seconds
    while time.monotonic() < until_at:
        keeper.pump(0.1)
    return ticks(keeper.pid)


def test_an_adopted_tree_is_held_to_it_too(data: Client) -> None:
    data.start()
    go = data.data_dir / "go"
    script = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\n{CHILDREN}"
    uid = data.order([*PYTHON, script], memory_max_bytes=100 * MIB)
    data.wait_record("started", uid)
    data.kill_keeper()
    entry = data.adoption(uid, memory_max_bytes=100 * MIB)
    data.start()
    data.send(type="adopt", workers=[entry])
    go.touch()
    pids = data.wait_pids(uid, 3)
    record = data.wait_record("ended", uid)
    assert record["cause"] == "memory"
    assert until(lambda: not any(map(is_alive, pids)))


@pytest.mark.parametrize("pid", [os.getpid()], ids=["ourselves"])
def test_figures_are_the_kernels(pid: int) -> None:
    resident, share = proc.resident_bytes(pid), proc.share_bytes(pid)
    assert share is not None and MIB < share <= resident + MIB
    assert proc.resident_bytes(2**22 + 1) == 0
    assert proc.share_bytes(2**22 + 1) is None
