"""Who is who where numbers are used again, and where two daemons want one data directory (F18, F63, C7, C11)."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests import forking
from tests.whole.server import Server, eventually

ROOT = Path(__file__).parents[2]
ROUNDS = 5


def play_in_a_namespace(directory: Path) -> dict[str, object]:
    play = [sys.executable, "-m", "tests.whole.reused_pid", str(directory)]
    shell = ["sh", "-c", '"$@"; exit $?', "sh", *play]  # the namespace's init, which reaps
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *shell]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    if "unshare failed" in done.stderr or "cannot" in done.stderr:
        says = f"no pid namespace can be had here: {done.stderr.strip()}"
        if os.environ.get("CI"):
            pytest.fail(says)
        pytest.skip(says)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare of util-linux")
def test_a_process_that_was_given_the_pid_of_a_dead_worker_is_left_alone(tmp_path: Path) -> None:
    """F18, C7: really used again, in a pid namespace. The control is in tests/keeper/test_adoption.py."""
    found = play_in_a_namespace(tmp_path)
    assert found == {"reused": True, "unharmed": True, "status": found["status"]}
    assert found["status"] in ("failed", "cancelled")


def test_of_two_daemons_that_start_at_one_instant_one_has_the_data_directory(tmp_path: Path) -> None:
    """F63, C11: the other one is told whose it is, not whose it was; what runs is not disturbed."""
    server = Server(tmp_path).start()
    server.run("long", [{"name": "w", "command": f"echo x >> {tmp_path}/witness; sleep 600"}])
    eventually((tmp_path / "witness").exists)
    server.kill()
    environ = os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    serve = ["serve", "--data-dir", str(server.data_dir), "--listen", "127.0.0.1:0"]
    refused = 0
    for number in range(ROUNDS):
        barrier = threading.Barrier(2)
        both: dict[str, forking.Process | subprocess.Popen[bytes]] = {}

        def start(name: str, number: int = number, barrier: threading.Barrier = barrier) -> None:
            with open(tmp_path / f"{name}.{number}", "wb") as log, open(os.devnull) as nothing:
                streams = {"stdin": nothing.fileno(), "stdout": log.fileno(), "stderr": log.fileno()}
                barrier.wait()
                both[name] = forking.start(serve, cwd=tmp_path, env=environ, **streams)  # noqa: B023

        starting = [threading.Thread(target=start, args=[name]) for name in ("one", "two")]
        for thread in starting:
            thread.start()
        for thread in starting:
            thread.join()
        eventually(lambda both=both: [name for name, process in both.items() if process.poll() is not None])
        (loser,) = [name for name, process in both.items() if process.poll() is not None]
        (winner,) = set(both) - {loser}
        said = (tmp_path / f"{loser}.{number}").read_text()
        assert both[loser].poll() == 5, said
        assert re.search(rf"\(pid {both[winner].pid}\)", said), (said, both[winner].pid)
        refused += 1
        eventually(lambda: "listening" in (tmp_path / f"{winner}.{number}").read_text())  # noqa: B023
        both[winner].send_signal(signal.SIGKILL)
        both[winner].wait()
    assert refused == ROUNDS
    server.start()
    assert server.workers("long")["w"]["status"] == "running"
    server.down()
    assert (tmp_path / "witness").read_text() == "x\n"
