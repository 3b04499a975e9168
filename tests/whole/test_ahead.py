"""What the keeper begins by itself (supervisor/ahead.py), seen from outside: real chains, a killed server, stops."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.whole.server import Server, eventually

WITNESS = 'echo "$WATTLE_WORKER" >> {witness}'


def chain(witness: Path, length: int, then: str = "true") -> list[dict]:
    command = f"{WITNESS.format(witness=witness)}; {then}"
    return [
        {"name": f"w{number}", "command": command, "depends_on": [f"w{number - 1}"] if number else []}
        for number in range(length)
    ]


def lines(witness: Path) -> list[str]:
    return witness.read_text().splitlines() if witness.exists() else []


def test_a_chain_goes_on_without_a_server_and_is_known_to_the_next(tmp_path: Path) -> None:
    witness, server = tmp_path / "witness", Server(tmp_path).start()
    server.run("chain", chain(witness, 40, "sleep 0.1"))
    eventually(lambda: len(lines(witness)) >= 2)
    server.kill()
    before = len(lines(witness))
    assert before < 30
    eventually(lambda: len(lines(witness)) == 40)
    server.start()
    assert server.ended("chain") == "completed"
    assert lines(witness) == [f"w{number}" for number in range(40)], "each once, and in order"
    attempts = server.get("/api/runs/1")["attempts"]
    assert [(attempt["worker"], attempt["exit_code"]) for attempt in attempts] == [(f"w{n}", 0) for n in range(40)]
    server.down()


@pytest.mark.parametrize("kind", ["keeper", "both"])
def test_a_chain_whose_keepers_are_killed_begins_each_worker_once(tmp_path: Path, kind: str) -> None:
    """Statuses are exact where the kernel tells them; else the chain may end early, with a reason."""
    witness, server = tmp_path / "witness", Server(tmp_path).start()
    server.run("chain", chain(witness, 60, "sleep 0.03"))
    for number in range(1, 4):
        eventually(lambda most=12 * number: len(lines(witness)) >= most or server.status("chain") != "running")
        if server.status("chain") != "running":
            break
        (keeper,) = eventually(server.keeper_pids)
        if kind == "both":
            server.kill()
        os.kill(keeper, signal.SIGKILL)
        if kind == "both":
            server.start()
        eventually(lambda keeper=keeper: [pid for pid in server.keeper_pids() if pid != keeper])
        eventually(lambda: server.request("GET", "/readyz").status == 200)
    status = server.ended("chain")
    assert lines(witness) == [f"w{number}" for number in range(len(lines(witness)))], "each once, and in order"
    if status == "completed":
        assert len(lines(witness)) == 60
    else:
        reasons = [worker["error_message"] for worker in server.workers("chain").values() if worker["error_message"]]
        assert reasons[0] == "exit status unknown"
    server.down()


@pytest.mark.parametrize("whole", [True, False], ids=["workflow", "worker"])
def test_a_stop_in_the_middle_of_a_fast_chain_ends_it_there(tmp_path: Path, whole: bool) -> None:
    """Whatever the keeper has begun by then is stopped, or has ended; nothing begins after the answer."""
    server = Server(tmp_path).start()
    for number in range(6):
        witness, name = tmp_path / f"witness-{number}", f"chain-{number}"
        server.run(name, chain(witness, 1000))
        eventually(lambda witness=witness: len(lines(witness)) >= 20)
        what = f"workflows/{name}" if whole else f"workers/{name}/w{len(lines(witness)) + 40}"
        server.post(f"/api/{what}/stop")
        if not whole:
            server.ended(name)
        begun = lines(witness)
        workers = server.workers(name)
        statuses = [workers[f"w{number}"]["status"] for number in range(1000)]
        time.sleep(0.05)  # what would begin unasked has had the time of many
        assert lines(witness) == begun == [f"w{number}" for number in range(len(begun))]
        done = statuses.count("completed")
        assert statuses == ["completed"] * done + ["cancelled"] * (1000 - done)
        assert done <= len(begun) <= done + 2, "what was begun has completed, or was just being stopped"
    server.down()
