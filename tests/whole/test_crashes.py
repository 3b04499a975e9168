"""Promise 1, nothing is lost: SIGKILL of the daemon, the keeper, both (C1 to C5, F04, F10)."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.whole.server import Server, eventually

WITNESS = 'echo "$WATTLE_ATTEMPT_UID $WATTLE_WORKER" >> {witness}'


def layered(witness: Path, layers: int, width: int, seconds: float) -> list[dict]:
    """`layers` × `width` workers; each leaves a line in the witness, prints, sleeps, prints; the last one exits 7."""
    workers = []
    for layer in range(layers):
        for at in range(width):
            command = f"{WITNESS.format(witness=witness)}; i=0; while [ $i -lt 20 ]; do echo line $i; i=$((i+1)); "
            command += f"[ $i = 10 ] && sleep {seconds}; done; true"
            workers.append(
                {
                    "name": f"w{layer}-{at}",
                    "command": command,
                    "depends_on": [f"w{layer - 1}-{other}" for other in range(width)] if layer else [],
                }
            )
    workers.append({"name": "seven", "command": f"{WITNESS.format(witness=witness)}; sleep 1; exit 7"})
    return workers


def test_a_daemon_killed_again_and_again_loses_nothing(tmp_path: Path) -> None:
    """A30, F10: 40 workers in 4 layers; the run ends, each worker ran once, every log is whole, 7 is 7."""
    server = Server(tmp_path).start()
    witness = tmp_path / "witness"
    server.run("layers", layered(witness, 4, 10, 0.4), max_parallel=10)
    seed = random.randrange(2**32)
    chance, kills, overtaken = random.Random(seed), 0, 0
    try:
        while kills < 12:
            before = len(witness.read_text().splitlines()) if witness.exists() else 0
            time.sleep(chance.uniform(0.0, 0.25))  # the fault's instant, not a hope
            if server.status("layers") != "running":
                break
            server.kill()
            kills += 1
            overtaken += len(witness.read_text().splitlines()) > before if witness.exists() else 0
            server.start()
        assert kills >= 4, f"seed {seed}: the fault fired only {kills} times"
        assert server.ended("layers") == "failed"
        lines = witness.read_text().splitlines()
        assert len(lines) == len(set(lines)) == 41, f"seed {seed}, {kills} kills: each worker runs once"
        workers = server.workers("layers")
        assert workers.pop("seven")["error_message"] == "exit code 7"
        assert {worker["status"] for worker in workers.values()} == {"completed"}
        run = server.get(f"/api/runs/{server.get('/api/workflows/layers/runs')[0]['id']}")
        assert {attempt["worker"]: attempt["exit_code"] for attempt in run["attempts"]}["seven"] == 7
        whole = "".join(f"line {i}\n" for i in range(20))
        for attempt in run["attempts"]:
            if attempt["worker"] != "seven":
                assert Path(attempt["stdout"]).read_text() == whole
        kinds = [event["kind"] for event in server.get("/api/events?after=0&limit=1000")]
        assert kinds.count("worker.completed") == 40 and kinds.count("run.failed") == 1
    finally:
        server.down()


def test_workers_run_on_without_a_daemon_and_their_end_is_known_afterwards(tmp_path: Path) -> None:
    """C2, C3: the daemon is dead while they end."""
    server = Server(tmp_path).start()
    go = tmp_path / "go"
    wait = f"while [ ! -e {go} ]; do sleep 0.02; done"
    server.run(
        "orphans",
        [
            {"name": "seven", "command": f"{wait}; exit 7"},
            {"name": "segv", "command": f"{wait}; kill -SEGV $$"},
            {"name": "well", "command": f"{wait}; echo done", "outputs": {"out": "out.txt"}},
            {"name": "next", "command": "cat work/orphans/out.txt || cat out.txt", "depends_on": ["well"]},
        ],
    )
    eventually(lambda: [w["status"] for w in server.workers("orphans").values()].count("running") == 3)
    pids = {a["worker"]: a["pid"] for a in server.get("/api/runs/1")["attempts"]}
    server.kill()
    go.touch()
    eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids.values()))
    server.start()
    assert server.ended("orphans") == "failed"
    attempts = {a["worker"]: a for a in server.get("/api/runs/1")["attempts"]}
    assert attempts["seven"]["exit_code"] == 7
    assert (attempts["segv"]["exit_code"], attempts["segv"]["signal"]) == (None, signal.SIGSEGV)
    assert server.workers("orphans")["segv"]["error_message"].startswith("killed by SIGSEGV")
    assert server.workers("orphans")["next"]["status"] == "completed"
    assert {name: a["pid"] for name, a in attempts.items() if name in pids} == pids
    server.down()


@pytest.mark.parametrize("with_daemon", [False, True], ids=["keeper", "keeper and daemon"])
def test_a_killed_keeper_loses_no_worker_and_starts_none_twice(tmp_path: Path, with_daemon: bool) -> None:
    """C4, C5: the next keeper adopts by identity; exact statuses where the kernel has them (Linux 6.15)."""
    server = Server(tmp_path).start()
    go, witness = tmp_path / "go", tmp_path / "witness"
    wait = f"{WITNESS.format(witness=witness)}; while [ ! -e {go} ]; do sleep 0.02; done"
    server.run("kept", [{"name": f"w{i}", "command": f"{wait}; exit {i}"} for i in range(4)])
    eventually(lambda: witness.exists() and len(witness.read_text().splitlines()) == 4)
    (keeper,) = server.keeper_pids()
    if with_daemon:
        server.kill()
    os.kill(keeper, signal.SIGKILL)
    if with_daemon:
        server.start()
    (successor,) = eventually(lambda: [pid for pid in server.keeper_pids() if pid != keeper])
    eventually(lambda: server.request("GET", "/readyz").status == 200)
    eventually(lambda: {worker["status"] for worker in server.workers("kept").values()} == {"running"})
    go.touch()
    server.ended("kept")
    assert len(witness.read_text().splitlines()) == 4
    reasons = {name: worker["error_message"] for name, worker in server.workers("kept").items()}
    exact = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 15)
    for i in range(1, 4):
        assert reasons[f"w{i}"] == (f"exit code {i}" if exact else "exit status unknown")
    server.run("after", [{"name": "new", "command": "exit 0"}])
    assert server.ended("after") == "completed"
    assert successor in server.keeper_pids()
    server.down()


def test_a_worker_that_ends_while_its_keeper_dies_is_reaped_by_the_daemon(tmp_path: Path) -> None:
    """C4: the daemon that started the keeper inherits its children, zombies included, so 7 is 7 on any kernel."""
    server = Server(tmp_path).start()
    go = tmp_path / "go"
    server.run("late", [{"name": "w", "command": f"while [ ! -e {go} ]; do sleep 0.02; done; exit 7"}])
    pid = eventually(lambda: server.get("/api/runs/1")["attempts"])[0]["pid"]
    (keeper,) = server.keeper_pids()
    os.kill(keeper, signal.SIGSTOP)
    go.touch()
    eventually(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
    os.kill(keeper, signal.SIGKILL)
    assert server.ended("late") == "failed"
    assert server.workers("late")["w"]["error_message"] == "exit code 7"
    journals = server.data_dir / "journal"
    eventually(lambda: len({path.name.partition(".")[0] for path in journals.iterdir()}) == 1)  # the dead one's is gone
    server.down()


def test_a_second_daemon_on_a_data_directory_is_refused_and_told_who_holds_it(server: Server) -> None:
    """C11, F63."""
    answer = server.wattle("serve", "--listen", "127.0.0.1:0")
    assert answer.returncode == 5
    assert str(server.pid) in answer.stderr


def test_sigterm_leaves_workers_running_and_says_so(tmp_path: Path) -> None:
    """Ending Wattle: the next daemon goes on; `down` ends everything."""
    server = Server(tmp_path).start()
    server.run("long", [{"name": "sleeper", "command": "sleep 600"}])
    eventually(lambda: server.workers("long")["sleeper"]["status"] == "running")
    pid = server.get("/api/runs/1")["attempts"][0]["pid"]
    assert server.end() == 0
    said = (tmp_path / "serve.log").read_text()
    assert "1 worker of 1 run goes on" in said and "wattle down" in said
    assert os.path.exists(f"/proc/{pid}")
    server.start()
    assert server.status("long") == "running"
    server.kill()
    answer = server.wattle("down")
    assert answer.returncode == 0, answer.stderr
    eventually(lambda: not os.path.exists(f"/proc/{pid}"))
    server.start()
    assert server.status("long") == "cancelled"
    assert server.workers("long")["sleeper"]["error_message"] == "stopped by wattle down"
    server.down()
