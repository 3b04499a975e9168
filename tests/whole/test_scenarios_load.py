"""Workers that are too many, too big or too busy, and thousands of cycles: nobody else notices, nothing is left
(F15, F37, F38, F39, F60, F61, F68, I11, I14, O7)."""

import contextlib
import os
import random
import signal
import socket
import statistics
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.whole.server import Server, eventually, marked, pids

PYTHON = [os.path.realpath(sys.executable), "-I", "-S", "-c"]
CYCLES, WARM_UP = 80, 40
MANY = 50  # connections, more than may have been given back since the warm-up


def python(code: str, *arguments: str) -> dict[str, Any]:
    """The command of a worker that is a Python program."""
    return {"command": PYTHON[0], "args": [*PYTHON[1:], code, *arguments]}


def holdings(pid: int) -> dict[str, int]:
    """What a process holds."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(status["Threads"]),
        "rss_kib": int(status["VmRSS"].split()[0]),
    }


def zombies(of: list[int]) -> list[int]:
    found = []
    for pid in pids():
        try:
            facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if facts[0] == "Z" and int(facts[1]) in of:
            found.append(pid)
    return found


def p99(server: Server, seconds: float) -> float:
    """Of the answers of /healthz, asked one after the other."""
    took, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        assert server.request("GET", "/healthz").status == 200
        took.append(time.perf_counter() - began)
    return statistics.quantiles(took, n=100)[98]


def test_cycles_of_start_and_stop_leave_nothing_behind(server: Server) -> None:
    """O7, I11: descriptors and threads are the same, memory within 5 % after the warm-up; scripts/bench does 10,000."""
    (keeper,) = server.keeper_pids()
    server.create("cycle", [{"name": "w", "command": "sleep 600"}, {"name": "bad", "command": "no-such-command"}])
    server.create("alone", [{"name": "w", "command": "sleep 600"}])

    def cycle(number: int) -> None:
        server.post("/api/workflows/cycle/start")
        server.post("/api/workers/alone/w/start")
        assert server.request("GET", "/api/workers/cycle/w/logs?tail=5").status == 200
        if number % 3 == 0:
            server.post("/api/workers/alone/w/restart")
        server.post("/api/workflows/cycle/stop")
        server.post("/api/workflows/alone/stop")

    wide = [{"name": f"w{i}", "command": f"echo > o{i}", "outputs": {"o": f"o{i}"}} for i in range(40)]
    server.run("wide", wide)  # every thread of the pool has to do
    server.ended("wide")
    for number in range(WARM_UP):
        cycle(number)
    with ThreadPoolExecutor(32) as callers:  # each thread of the server opens the database when it is first asked
        list(callers.map(lambda _: server.get("/api/workflows/cycle/workers"), range(400)))
    who = {"daemon": server.pid, "keeper": keeper}
    before = {name: holdings(pid) for name, pid in who.items()}
    for number in range(CYCLES):
        cycle(number)

    def grown() -> dict[tuple[str, str], tuple[int, int]]:
        now = {name: holdings(pid) for name, pid in who.items()}
        pairs = {(name, what): (before[name][what], now[name][what]) for name in who for what in now[name]}
        return {key: (was, has) for key, (was, has) in pairs.items() if has > was * (1.05 if "rss" in key[1] else 1)}

    with contextlib.suppress(AssertionError):
        eventually(lambda: not grown(), 5)
    assert grown() == {}
    assert zombies([server.pid, keeper]) == []
    assert list(server.data_dir.rglob("*.tmp*")) == []
    with contextlib.ExitStack() as held:
        for _ in range(MANY):
            held.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        eventually(lambda: ("daemon", "descriptors") in grown())  # positive control: what is held is seen


def test_one_that_floods_its_log_and_one_that_forks_slow_nobody_down(server: Server) -> None:
    """I14: the p99 of /healthz stays under 100 ms. The best of eight: who else uses the machine is not meant."""
    line = "x" * 200
    flood = f"import os, time\nwhile True:\n    os.write(1, b'{line}\\n' * 200); os.ftruncate(1, 0); time.sleep(0.002)"
    fork = "import os\nwhile True:\n    pid = os.fork()\n    if not pid: os._exit(0)\n    os.waitpid(pid, 0)"
    workers = [{"name": "flood", **python(flood)}, {"name": "fork", **python(fork), "nice": 5}]
    server.run("busy", workers)
    eventually(lambda: all(w["phase"] == "running" for w in server.workers("busy").values()))
    found = []
    while len(found) < 8 and (not found or found[-1] >= 0.1):
        found.append(p99(server, 1.5))
    assert found[-1] < 0.1, found
    began = time.monotonic()
    assert server.request("POST", "/api/workflows/busy/stop").body["stop"]["survivors"] == 0
    assert time.monotonic() - began < 5


BOMB = """
import mmap, os, signal, sys, time
made, until = mmap.mmap(-1, 4), time.monotonic() + 30
while time.monotonic() < until:
    count = int.from_bytes(made[:4], "little") + 1
    if count > 400:
        time.sleep(30)
        break
    made[:4] = count.to_bytes(4, "little")
    try:
        os.fork()
    except OSError:
        time.sleep(0.05)
"""


def test_a_fork_bomb_is_contained_and_ended(server: Server) -> None:
    """F37: by its `rlimits`, which hold all but root; the API answers, the stop leaves nobody within 10 s."""
    mark = f"bomb-{server.port}"
    bomb = {"name": "bomb", **python(BOMB, mark), "working_dir": "/"}
    if os.geteuid() != 0:
        bomb["rlimits"] = {"processes": 2000}
    server.run("bomb", [bomb])
    eventually(lambda: len(marked(mark)) >= 100)
    assert server.request("GET", "/healthz").status == 200
    began = time.monotonic()
    assert server.request("POST", "/api/workflows/bomb/stop").body["stop"]["survivors"] == 0
    assert time.monotonic() - began < 10
    assert marked(mark) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="the kernel counts processes by user: one is needed that has no others")
def test_who_may_have_few_processes_has_no_more(server: Server) -> None:
    """F37: RLIMIT_NPROC, as a user of its own."""
    mark = f"few-{server.port}"
    many = f"i=0; while [ $i -lt 60 ]; do sleep 600 & i=$((i+1)); done; wait; : {mark}"
    user = {"user": "64124:64124", "rlimits": {"processes": 20}, "working_dir": "/"}
    server.run("few", [{"name": "w", "command": many, **user}])
    path = "/api/workers/few/w/logs?tail=20"
    eventually(lambda: any("fork" in line["content"] for line in server.get(path)))  # a shell writes it in pieces
    assert len([each for each in marked("sleep 600") if uid_of(each) == 64124]) <= 20
    server.post("/api/workflows/few/stop")
    assert marked(mark) == []


def uid_of(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def test_one_that_eats_memory_is_the_kernels_first_choice_and_its_end_says_why(server: Server) -> None:
    """F15, F38: what the kernel would kill first is the worker, not Wattle; one that it did kill says SIGKILL; one
    that its limit stops says so itself."""
    hold = "held = bytearray(b'x' * (400 << 20)); print('up', flush=True); import time; time.sleep(600)"
    limit = {"rlimits": {"address_space_bytes": 200 << 20}}
    server.run("eats", [{"name": "big", **python(hold)}, {"name": "limited", **python(hold), **limit}])
    eventually(lambda: {"type": "stdout", "content": "up"} in server.get("/api/workers/eats/big/logs?tail=9"))
    pid = server.get("/api/workers/eats/big/why")["pid"]

    def score(pid: int) -> int:
        return int(Path(f"/proc/{pid}/oom_score").read_text())

    (keeper,) = server.keeper_pids()
    assert score(pid) > max(score(server.pid), score(keeper))
    os.kill(pid, signal.SIGKILL)
    assert server.ended("eats") == "failed"
    workers = server.workers("eats")
    assert workers["big"]["error_message"].startswith("killed by SIGKILL")
    assert "MemoryError" in workers["limited"]["error_message"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_one_that_changes_its_user_and_group_is_ended_like_any_other(server: Server) -> None:
    """F39: the leader is another user's by now, its child in a group of its own."""
    mark = f"other-{server.port}"
    code = "import os, time; os.fork() or os.setpgid(0, 0); os.setgid(64125); os.setuid(64125); time.sleep(600)"
    server.run("other", [{"name": "w", **python(code, mark), "working_dir": "/"}])
    eventually(lambda: len([pid for pid in marked(mark) if uid_of(pid) == 64125]) == 2)
    assert len({os.getpgid(pid) for pid in marked(mark)}) == 2
    assert server.request("POST", "/api/workflows/other/stop").body["stop"]["survivors"] == 0
    assert marked(mark) == []


def test_2000_short_workers_have_their_own_status_each(server: Server) -> None:
    """F68: exit codes at random, no zombie; scripts/bench does 10,000."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    codes = {f"w{i}": chance.choice([0, 0, 1, 3, 7, 255]) for i in range(2000)}
    workers = [{"name": name, "command": f"exit {code}"} for name, code in codes.items()]
    server.run("short", workers, max_parallel=8)
    server.ended("short", 60)
    found = {attempt["worker"]: attempt["exit_code"] for attempt in server.get("/api/runs/1")["attempts"]}
    assert found == codes, f"seed {seed}"
    assert zombies([server.pid, *server.keeper_pids()]) == []


def test_a_storm_of_all_verbs_is_one_history(server: Server, tmp_path: Path) -> None:
    """F60, F61: 8 clients create, start, stop, restart and delete one workflow. Creates and deletes alternate, so
    there is an order in which they happened; nobody sees a 5xx; what lives at the end is what is shown."""
    mark, seed = f"verbs-{server.port}", random.randrange(2**32)
    counts: Counter[tuple[str, int]] = Counter()
    until = time.monotonic() + 4
    document = {"name": "one", "workers": [{"name": "w", "command": f"sleep 600 & wait; : {mark}"}]}
    calls = {
        "create": ("POST", "/api/workflows", document),
        "start": ("POST", "/api/workflows/one/start", None),
        "stop": ("POST", "/api/workflows/one/stop", None),
        "restart": ("POST", "/api/workflows/one/restart", None),
        "again": ("POST", "/api/workers/one/w/restart", None),
        "delete": ("DELETE", "/api/workflows/one", None),
        "force": ("DELETE", "/api/workflows/one?force=true", None),
    }

    def client(number: int) -> None:
        chance = random.Random(f"{seed} {number}")
        while time.monotonic() < until:
            what = chance.choice(list(calls))
            reply = server.request(*calls[what])
            counts[what, reply.status] += 1
            if reply.status == 200 and what in ("delete", "force"):
                assert reply.body["data"] == "Workflow 'one' deleted successfully"

    clients = [threading.Thread(target=client, args=[number]) for number in range(8)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    assert {status for _, status in counts} <= {200, 201, 404, 409}, f"seed {seed}: {counts}"
    assert counts["start", 200] and counts["force", 200] and counts["delete", 409], f"seed {seed}: {counts}"
    exists = server.request("GET", "/api/workflows/one").status == 200
    made, deleted = counts["create", 201], counts["delete", 200] + counts["force", 200]
    assert made - deleted == exists, f"seed {seed}: {counts}"
    if exists:
        server.request("DELETE", "/api/workflows/one?force=true")
    assert marked(mark) == []
    assert all(run["status"] != "running" for run in (server.get(f"/api/runs/{i}") for i in (1, 2)))
