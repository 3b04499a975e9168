"""Wattle's processes are killed, frozen or told to go in the middle of work: what was running runs on, what was
asked for happens once (C9, O11, F03, F05, F06, F08, F12)."""

import os
import random
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.whole.server import Server, eventually, marked


def ticks(pid: int) -> str:
    """When the process started: with its pid, which one it is."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def is_alive(pid: int) -> bool:
    """It runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def attempts(server: Server, run: int = 1) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.get(f"/api/runs/{run}")["attempts"]
    return found


def test_a_daemon_replaced_under_load_disturbs_nobody(tmp_path: Path) -> None:
    """C9: killed or upgraded (SIGTERM) while 20 workers print: the same processes, the same keeper, no gap."""
    server = Server(tmp_path).start()
    go = tmp_path / "go"
    count = f"i=0; while [ ! -e {go} ]; do echo $i; i=$((i+1)); [ $((i % 50)) = 0 ] && sleep 0.1; done; echo end"
    server.run("load", [{"name": f"w{i}", "command": count} for i in range(20)], max_parallel=20)
    eventually(lambda: len(attempts(server)) == 20)
    before = {each["worker"]: (each["pid"], ticks(each["pid"])) for each in attempts(server)}
    keeper = server.keeper_pids()
    logs = [Path(each["stdout"]) for each in attempts(server)]
    try:
        for number in range(2):
            sizes = [log.stat().st_size for log in logs]
            if number % 2:
                assert server.end() == 0
            else:
                server.kill()
            eventually(lambda sizes=sizes: all(log.stat().st_size > was for log, was in zip(logs, sizes, strict=True)))
            server.start()
            now = {each["worker"]: (each["pid"], ticks(each["pid"])) for each in attempts(server)}
            assert now == before
            assert server.keeper_pids() == keeper
        go.touch()
        assert server.ended("load") == "completed"
        for log in logs:
            *numbers, last = log.read_text().splitlines()
            assert last == "end" and numbers == [str(i) for i in range(len(numbers))]
        assert len(attempts(server)) == 20
    finally:
        server.down()


@pytest.mark.parametrize("options", [(), ("--stop-workers",)], ids=["leave", "stop"])
def test_sigterm_during_the_start_of_200_workers_is_obeyed_at_once(tmp_path: Path, options: tuple[str, ...]) -> None:
    """O11: what runs by then lives on, and each of the 200 has one process in all; or, where told so, nothing stays."""
    server = Server(tmp_path, *options).start()
    mark, witness = f"many-{server.port}", tmp_path / "witness"
    command = f"echo $WATTLE_WORKER >> {witness}; sleep 600 & wait; : {mark}"
    (keeper,) = server.keeper_pids()  # before: looking takes its time
    server.run("many", [{"name": f"w{i}", "command": command} for i in range(200)], max_parallel=200)
    eventually(lambda: witness.exists() and len(witness.read_text().splitlines()) >= 5)
    assert server.process is not None
    os.kill(keeper, signal.SIGSTOP)  # so that it is in the middle of it, however slowly this process gets to its part
    at_that_time = len(witness.read_text().splitlines())
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    os.kill(keeper, signal.SIGCONT)
    assert server.process.wait(20) == 0
    took = time.monotonic() - began
    server.process = None
    try:
        assert at_that_time < 200, "the fault came too late"
        if options:
            assert marked(mark) == []
            eventually(lambda: not server.keeper_pids())
            assert len(witness.read_text().splitlines()) <= 200
            server.start()
            assert server.status("many") == "cancelled"
            return
        assert took < 5
        server.start()
        eventually(lambda: [w["status"] for w in server.workers("many").values()].count("running") == 200)
        eventually(lambda: len(witness.read_text().splitlines()) >= 200)
        lines = witness.read_text().splitlines()
        assert len(lines) == len(set(lines)) == 200
        assert len(attempts(server)) == 200
    finally:
        server.down()


def test_a_daemon_that_dies_of_the_news_of_a_start_finds_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F03: spawned and not yet written down: it is the same process afterwards, and its end is recorded."""
    fired, witness, go = tmp_path / "fired", tmp_path / "witness", tmp_path / "go"
    monkeypatch.setenv("WATTLE_FAILPOINT", "daemon.report.received:1:kill")
    monkeypatch.setenv("WATTLE_FAILPOINT_FIRED", str(fired))
    server = Server(tmp_path).start()
    command = f"echo $$ >> {witness}; while [ ! -e {go} ]; do sleep 0.02; done; exit 7"
    server.run("found", [{"name": "w", "command": command}])
    assert server.process is not None
    assert server.process.wait(20) == -signal.SIGKILL
    assert fired.read_text().startswith("daemon.report.received:1:kill")
    try:
        server.start()
        eventually(lambda: len(attempts(server)) == 1)
        go.touch()
        assert server.ended("found") == "failed"
        (attempt,) = attempts(server)
        assert [str(attempt["pid"])] == witness.read_text().split()
        assert attempt["exit_code"] == 7
    finally:
        server.down()


def stop_without_waiting(server: Server, path: str) -> socket.socket:
    """Ask, and leave the answer alone: the one who is to give it will be killed."""
    asking = socket.create_connection(("127.0.0.1", server.port))
    asking.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
    return asking


def test_a_stop_that_nobody_was_told_of_yet_is_carried_out_by_the_next_daemon(tmp_path: Path) -> None:
    """F05: the stop is on disk, the keeper is kept from sending the signal, and both die."""
    server = Server(tmp_path).start()
    told = tmp_path / "told"
    command = f"trap 'echo told >> {told}; exit 3' TERM; echo up; while :; do sleep 0.05; done"
    server.run("stop", [{"name": "w", "command": command}])
    eventually(lambda: {"type": "stdout", "content": "up"} in server.get("/api/workers/stop/w/logs?tail=9"))
    (keeper,) = server.keeper_pids()
    os.kill(keeper, signal.SIGSTOP)
    with stop_without_waiting(server, "/api/workers/stop/w/stop"):
        eventually(lambda: server.workers("stop")["w"]["phase"] == "stopping")
    pid = attempts(server)[0]["pid"]
    server.kill()
    os.kill(keeper, signal.SIGKILL)
    try:
        assert not told.exists() and is_alive(pid), "positive control: nobody has told it"
        server.start()
        assert server.ended("stop", 10) == "cancelled"
        assert told.read_text() == "told\n"
        assert not is_alive(pid)
        assert len(attempts(server)) == 1
    finally:
        server.down()


@pytest.mark.parametrize("who", ["daemon", "keeper", "both"])
def test_a_grace_goes_on_where_it_was_whoever_dies_in_it(tmp_path: Path, who: str) -> None:
    """F06: killed between TERM and KILL; the worker ignores TERM and is dead within grace + 2 s of the first."""
    server = Server(tmp_path).start()
    grace, told = 3.0, tmp_path / "told"
    command = f"trap 'date +%s.%N >> {told}' TERM; echo up; while :; do sleep 0.05; done"
    server.run("stop", [{"name": "w", "command": command, "stop": {"grace_seconds": grace}}])
    eventually(lambda: {"type": "stdout", "content": "up"} in server.get("/api/workers/stop/w/logs?tail=9"))
    pid, (keeper,) = attempts(server)[0]["pid"], server.keeper_pids()
    try:
        asked = time.monotonic()
        with stop_without_waiting(server, "/api/workers/stop/w/stop"):
            eventually(told.exists)
            began = time.monotonic()
            time.sleep(1.5)  # the fault's instant
        if who != "keeper":
            server.kill()
        if who != "daemon":
            os.kill(keeper, signal.SIGKILL)
        assert is_alive(pid), "positive control: it does ignore TERM"
        if who != "keeper":
            server.start()
        eventually(lambda: not is_alive(pid), grace + 10)
        dead = time.monotonic()
        assert grace - 0.5 < dead - asked, f"dead {dead - asked:.1f} s after it was asked for"
        assert dead - began < grace + 2, f"dead after {dead - began:.1f} s"
        assert server.ended("stop") == "cancelled"
    finally:
        server.down()


def test_a_fan_out_of_1000_interrupted_again_and_again_starts_each_once(tmp_path: Path) -> None:
    """F08: the daemon is killed while it orders the successors."""
    server = Server(tmp_path).start()
    witness = tmp_path / "witness"
    fan = [{"name": f"w{i}", "command": f"echo {i} >> {witness}", "depends_on": ["root"]} for i in range(1000)]
    server.run("fan", [{"name": "root", "command": "true"}, *fan], max_parallel=8)
    seed = random.randrange(2**32)
    chance, kills = random.Random(seed), 0
    try:
        while kills < 5 and server.status("fan") == "running":
            time.sleep(chance.uniform(0.0, 0.15))  # the fault's instant
            server.kill()
            kills += 1
            server.start()
        assert kills >= 3, f"seed {seed}: the fault fired only {kills} times"
        assert server.ended("fan") == "completed", f"seed {seed}"
        lines = witness.read_text().splitlines()
        assert len(lines) == len(set(lines)) == 1000, f"seed {seed}, {kills} kills"
    finally:
        server.down()


def test_a_frozen_daemon_believes_no_time_outs_when_it_goes_on(tmp_path: Path) -> None:
    """F12: SIGSTOP for 3 s, CONT: a service answers all the time, a retry is due and a worker ends meanwhile."""
    server = Server(tmp_path).start()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        answering = threading.Thread(target=accept_all, args=[listening], daemon=True)
        answering.start()
        port, witness = listening.getsockname()[1], tmp_path / "witness"
        say = f"echo $WATTLE_WORKER $WATTLE_ATTEMPT >> {witness}"
        probe = {"period_seconds": 0.2, "timeout_seconds": 0.4, "failure_threshold": 2}
        alive = {"tcp": port, **probe}
        service = {"name": "up", "kind": "service", "command": f"{say}; sleep 600", "alive": alive}
        workers = [
            service,
            {"name": "ends", "command": f"{say}; sleep 1.5", "timeout_seconds": 3},
            {"name": "next", "command": say, "depends_on": ["ends"]},
            {
                "name": "flaky",
                "command": f"{say}; [ $WATTLE_ATTEMPT = 2 ]",
                "retry": {"limit": 3, "delay_seconds": 2.5, "factor": 1, "jitter": 0},
            },
            {"name": "late", "command": f"{say}; sleep 2.5; true", "depends_on": ["up"], "timeout_seconds": 4},
        ]
        try:
            server.run("freeze", workers, timeout_seconds=30)
            eventually(lambda: server.workers("freeze")["flaky"]["phase"] == "retrying")
            eventually(lambda: server.workers("freeze")["late"]["phase"] == "running")
            os.kill(server.pid, signal.SIGSTOP)
            time.sleep(3.0)  # the fault
            os.kill(server.pid, signal.SIGCONT)
            assert server.ended("freeze") == "completed", server.workers("freeze")
            assert {w["status"] for w in server.workers("freeze").values()} == {"completed"}
            started = sorted(witness.read_text().splitlines())
            assert started == ["ends 1", "flaky 1", "flaky 2", "late 1", "next 1", "up 1"]
        finally:
            server.down()


def accept_all(listening: socket.socket) -> None:
    while True:
        try:
            listening.accept()[0].close()
        except OSError:
            return
