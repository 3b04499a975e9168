"""What a second word does to a server that was told to end and waits for its workers (F11)."""

import os
import signal
from pathlib import Path

import pytest

from tests.whole.server import Server, eventually

STUBBORN = "trap '' TERM; echo up; while :; do sleep 0.1; done"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_second_signal_does_not_wait_for_workers_that_do_not_end(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """With --stop-workers. What it leaves is still being stopped, and the next server tells how that went on."""
    server = Server(tmp_path, "--stop-workers").start()
    stubborn = {"name": "w", "command": STUBBORN, "stop": {"grace_seconds": 600}}
    server.run("slow", [stubborn])
    eventually(lambda: {"type": "stdout", "content": "up"} in server.get("/api/workers/slow/w/logs?tail=9"))
    pid = server.get("/api/workers/slow/w/why")["pid"]
    assert server.process is not None
    server.process.send_signal(number)
    eventually(lambda: server.workers("slow")["w"]["phase"] == "stopping")
    assert server.process.poll() is None, "positive control: it waits for the worker"
    server.process.send_signal(number)
    assert server.process.wait(20) == code
    server.process = None
    assert os.path.exists(f"/proc/{pid}")
    server.options = ()
    server.start()
    assert server.workers("slow")["w"]["phase"] == "stopping"
    os.kill(pid, signal.SIGKILL)
    assert server.ended("slow") == "cancelled"
    server.down()
