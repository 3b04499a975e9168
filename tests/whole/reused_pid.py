"""Run in a pid namespace of its own: `python -m tests.whole.reused_pid DIRECTORY`.

Daemon, keeper and worker are killed, another process gets the worker's pid, the next daemon is told to stop the worker
and to go down. Prints {"reused": …, "unharmed": …, "status": …}.
"""

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from tests.whole.server import Server, eventually


def take(pid: int) -> int:
    """A process of ours with just that pid, in a session of its own."""
    for _ in range(200):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        found = os.posix_spawn("/bin/sleep", ["sleep", "600"], {}, setsid=True)
        if found == pid:
            return found
        os.kill(found, signal.SIGKILL)
        os.waitpid(found, 0)
    raise AssertionError(f"nobody could be given pid {pid}")


def main(directory: Path) -> None:
    server = Server(directory).start()
    server.run("one", [{"name": "w", "command": "sleep 600"}])
    pid = int(eventually(lambda: server.get("/api/runs/1")["attempts"])[0]["pid"])
    (keeper,) = server.keeper_pids()
    for each in (server.pid, keeper, pid):
        os.kill(each, signal.SIGKILL)
    assert server.process is not None
    server.process.wait()
    eventually(lambda: not os.path.exists(f"/proc/{pid}"))
    decoy = take(pid)
    server.start()
    server.request("POST", "/api/workers/one/w/stop")
    status = server.ended("one")
    server.down()
    time.sleep(0.1)  # a signal that was sent has arrived
    unharmed = os.waitpid(decoy, os.WNOHANG) == (0, 0)
    with contextlib.suppress(ProcessLookupError):
        os.kill(decoy, signal.SIGKILL)
    print(json.dumps({"reused": decoy == pid, "unharmed": unharmed, "status": status}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
