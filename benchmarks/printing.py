"""Many workers that print now and then while nobody watches: what the server costs meanwhile."""

import os
import time
from dataclasses import dataclass

from benchmarks import peers, process
from benchmarks.served import Served, ServerFailed
from benchmarks.watching import SOURCE

START_SECONDS = 120.0
SETTLE_SECONDS = 3.0


@dataclass(slots=True)
class Printed:
    """`workers` print a line a second each. CPU in cores, of all threads; `bytes` is what was printed meanwhile."""

    workers: int
    seconds: float
    daemon_cpu: float
    keeper_cpu: float
    bytes: int


def unwatched(served: Served, workers: int, seconds: float) -> Printed:
    """The server must have room for so many processes."""
    name = served.new_name("printing")
    program = peers.compile_program(SOURCE, served.directory / "ticker")
    definitions = [
        {"name": f"w{number}", "command": str(program), "args": ["1"], "capture_stdout": False}
        for number in range(workers)
    ]
    served.create({"name": name, "workers": definitions, "max_parallel": workers})
    served.request("POST", f"/api/workflows/{name}/start")
    try:
        _wait_for(served, name, workers)
        time.sleep(SETTLE_SECONDS)
        size, began = _log_bytes(served), time.monotonic()
        daemon, keeper = process.cpu_seconds(served.pid), process.cpu_seconds(served.keeper_pid)
        time.sleep(seconds)
        daemon = process.cpu_seconds(served.pid) - daemon
        keeper = process.cpu_seconds(served.keeper_pid) - keeper
        lasted = time.monotonic() - began
        return Printed(workers, lasted, daemon / lasted, keeper / lasted, _log_bytes(served) - size)
    finally:
        served.request("POST", f"/api/workflows/{name}/stop")


def _wait_for(served: Served, name: str, workers: int) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        counts = [worker["phase"] for worker in served.get(f"/api/workflows/{name}/workers")]
        if counts.count("running") == workers:
            return
        time.sleep(0.1)
    raise ServerFailed(f"not all of {workers} workers run: {counts}")


def _log_bytes(served: Served) -> int:
    found = 0
    for directory, _, names in os.walk(served.data_dir / "logs"):
        found += sum(os.stat(os.path.join(directory, name)).st_size for name in names if name.endswith(".out"))
    return found
