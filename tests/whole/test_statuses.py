"""Exact exit statuses whoever of Wattle dies (C4, C5, F04, F10), and what nobody can know said so."""

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

from tests.whole.server import Server, eventually

HAS_EXIT_INFO = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 15)
COUNT = 30
SIGNALS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGUSR1, signal.SIGABRT)


def endings() -> dict[str, str]:
    """{worker: how it ends by itself}, all different."""
    codes = {f"w{n}": f"exit {n}" for n in range(1, COUNT - len(SIGNALS) + 1)}
    return codes | {f"s{number}": f"kill -{int(number)} $$" for number in SIGNALS}


def expected() -> dict[str, str]:
    codes = {f"w{n}": f"exit code {n}" for n in range(1, COUNT - len(SIGNALS) + 1)}
    return codes | {f"s{number}": f"killed by {number.name}" for number in SIGNALS}


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


def held(pid: int) -> list[str]:
    """What a process has open; connections come and go meanwhile."""
    found = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(path))
    return found


def reasons(server: Server) -> dict[str, str]:
    return {name: worker["error_message"] for name, worker in server.workers("ends").items()}


def running(server: Server, command: str) -> tuple[dict[str, int], int]:
    """All run under a keeper that the daemon did not start; ({worker: pid}, the keeper's pid)."""
    workers = [{"name": name, "command": f"{command}; {how}"} for name, how in endings().items()]
    server.run("ends", workers, max_parallel=COUNT)
    eventually(lambda: [w["status"] for w in server.workers("ends").values()].count("running") == COUNT)
    (keeper,) = server.keeper_pids()
    server.kill()
    server.start()
    assert server.keeper_pids() == [keeper], "the daemon found it"
    return {a["worker"]: a["pid"] for a in server.get("/api/runs/1")["attempts"]}, keeper


def end_unseen(server: Server, pids: dict[str, int], keeper: int, go: Path) -> None:
    """Let all end while the keeper is stopped, kill it, and hold up the daemon until whoever inherited them has reaped
    them: neither this keeper nor the next finds a trace of one."""
    if server.process is not None:
        os.kill(server.pid, signal.SIGSTOP)
    os.kill(keeper, signal.SIGSTOP)
    go.touch()
    eventually(lambda: {state_of(pid) for pid in pids.values()} == {"Z"})
    os.kill(keeper, signal.SIGKILL)
    eventually(lambda: {state_of(pid) for pid in pids.values()} == {"gone"})
    if server.process is not None:
        os.kill(server.pid, signal.SIGCONT)


def test_a_daemon_that_found_its_keeper_knows_every_end_that_it_took_along(server: Server, tmp_path: Path) -> None:
    """C4: thirty codes and signals, none unknown, none guessed."""
    go = tmp_path / "go"
    pids, keeper = running(server, f"while [ ! -e {go} ]; do sleep 0.02; done")
    end_unseen(server, pids, keeper, go)
    assert server.ended("ends") == "failed"
    if HAS_EXIT_INFO:
        assert reasons(server) == expected()
    else:
        assert set(reasons(server).values()) == {"exit status unknown"}
    assert eventually(lambda: not [name for name in held(server.pid) if "pidfd" in name]), "and lets go of them"


def test_control_without_a_daemon_nobody_sees_those_ends(server: Server, tmp_path: Path) -> None:
    """C5: the same ends, with the daemon dead too. Unknown is failed, and never started again."""
    go = tmp_path / "go"
    pids, keeper = running(server, f"while [ ! -e {go} ]; do sleep 0.02; done")
    server.kill()
    end_unseen(server, pids, keeper, go)
    server.start()
    assert server.ended("ends") == "failed"
    assert set(reasons(server).values()) == {"exit status unknown"}
    assert len(server.get("/api/runs/1")["attempts"]) == COUNT


def test_a_keeper_killed_while_its_workers_end_costs_no_status(server: Server, tmp_path: Path) -> None:
    """C4: they end one after the other, before, while and after their keeper dies."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    go, killed = tmp_path / "go", tmp_path / "killed"
    last = f"[ $WATTLE_WORKER != w1 ] || while [ ! -e {killed} ]; do sleep 0.02; done; "
    _, keeper = running(server, f"while [ ! -e {go} ]; do sleep 0.02; done; {last}sleep 0.$(($$ % 5))")
    go.touch()
    time.sleep(chance.uniform(0.05, 0.4))  # the fault's instant, not a hope
    os.kill(keeper, signal.SIGKILL)
    killed.touch()
    assert server.ended("ends") == "failed"
    found = reasons(server)
    unknown = [name for name, reason in found.items() if reason == "exit status unknown"]
    assert not HAS_EXIT_INFO or not unknown, f"seed {seed}: {len(unknown)} unknown"
    assert {**found, **{name: expected()[name] for name in unknown}} == expected(), f"seed {seed}"


def test_an_end_that_a_daemon_saw_outlives_that_daemon(server: Server, tmp_path: Path) -> None:
    """The daemon tells the next keeper, which writes it into its journal."""
    go = tmp_path / "go"
    pids, keeper = running(server, f"while [ ! -e {go} ]; do sleep 0.02; done")
    end_unseen(server, pids, keeper, go)
    assert server.ended("ends") == "failed"
    shown = subprocess.run(
        f"cat {server.data_dir}/journal/*.jsonl", shell=True, capture_output=True, text=True, check=True
    ).stdout
    assert shown.count('"kind":"ended"') == COUNT
    assert not HAS_EXIT_INFO or shown.count('"known":true') == COUNT


def test_after_both_died_the_end_of_a_worker_that_lives_is_exact(server: Server, tmp_path: Path) -> None:
    """C5: all thirty are adopted by identity, and end afterwards."""
    go = tmp_path / "go"
    pids, keeper = running(server, f"while [ ! -e {go} ]; do sleep 0.02; done")
    server.kill()
    os.kill(keeper, signal.SIGKILL)
    server.start()
    eventually(lambda: server.request("GET", "/readyz").status == 200)
    assert {a["worker"]: a["pid"] for a in server.get("/api/runs/1")["attempts"]} == pids
    go.touch()
    assert server.ended("ends") == "failed"
    found = reasons(server)
    unknown = [name for name, reason in found.items() if reason == "exit status unknown"]
    assert not HAS_EXIT_INFO or not unknown
    assert {**found, **{name: expected()[name] for name in unknown}} == expected()
    assert len(server.get("/api/runs/1")["attempts"]) == COUNT, "nothing was started twice"
