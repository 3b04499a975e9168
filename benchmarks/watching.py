"""Many people who watch one busy log or many, what that costs the server, and those who ask it for something else."""

import http.client
import json
import math
import os
import resource
import select
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import peers, process
from benchmarks.served import Served, ServerFailed

LINES_A_SECOND = 20
SETTLE_SECONDS = 3.0
PAUSE_SECONDS = 0.05  # between questions
CONNECT_SECONDS = 120.0
ROOT = Path(__file__).parents[1]
SOURCE = Path(__file__).with_name("ticker.c")  # in C: 200 of them cost the machine little


@dataclass(slots=True)
class Watched:
    """`api`: seconds of each `GET /api/workflows/{n}`. `delivery`: seconds from print to a client, each client's.

    `heard` and `expected` are lines, of all clients together; `cpu`: cores; bytes and descriptors of the daemon.
    """

    clients: int
    seconds: float
    heard: int
    expected: int
    delivery: list[float]
    cpu: float
    bytes_each: float
    rss_bytes: int
    load: float
    client_cpu: float
    logs: int = 1
    api: list[float] = field(default_factory=list)


def watched(served: Served, clients: int, seconds: float, logs: int = 1) -> Watched:
    """Each of `logs` workers prints 20 lines a second, `clients` in all follow these logs, as many each."""
    name = served.new_name("watched")
    program = peers.compile_program(SOURCE, served.directory / "ticker")
    workers = [
        {"name": f"w{number}", "command": str(program), "args": [str(LINES_A_SECOND)], "capture_stdout": False}
        for number in range(logs)
    ]
    served.create({"name": name, "workers": workers, "max_parallel": logs})
    served.request("POST", f"/api/workflows/{name}/start")
    try:
        rss_before = served.memory()[0].rss_bytes
        command = [sys.executable, "-P", "-m", "benchmarks.watching", str(served.port), name, str(clients), str(logs)]
        watcher = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            return _measured(served, name, watcher, clients, seconds, rss_before, logs)
        finally:
            watcher.kill()
            watcher.wait()
    finally:
        served.request("POST", f"/api/workflows/{name}/stop")  # once more where something went wrong


def _measured(
    served: Served,
    name: str,
    watcher: "subprocess.Popen[bytes]",
    clients: int,
    seconds: float,
    rss_before: int,
    logs: int,
) -> Watched:
    assert watcher.stdout is not None and watcher.stdin is not None
    said = watcher.stdout.readline().decode()
    if said.strip() != "watching":
        raise ServerFailed(f"not all of {clients} clients came to watch: {said}")
    time.sleep(SETTLE_SECONDS)
    api: list[float] = []
    stop = threading.Event()
    asking = threading.Thread(target=_ask, args=(served.port, f"/api/workflows/{name}", api, stop))
    watcher.stdin.write(b"count\n")
    watcher.stdin.flush()
    cpu, began = process.cpu_seconds(served.pid), time.monotonic()
    asking.start()
    time.sleep(seconds)
    cpu, lasted = process.cpu_seconds(served.pid) - cpu, time.monotonic() - began
    stop.set()
    asking.join()
    rss = served.memory()[0].rss_bytes
    served.request("POST", f"/api/workflows/{name}/stop")  # so all streams end, each after its last line
    told: dict[str, Any] = json.loads(watcher.stdout.readline())
    return Watched(
        clients,
        lasted,
        told["heard"],
        told["expected"],
        told["delivery"],
        cpu / lasted,
        (rss - rss_before) / clients,
        rss,
        os.getloadavg()[0],
        told["cpu"] / lasted,
        logs,
        api,
    )


def _ask(port: int, path: str, seconds: list[float], stop: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while not stop.wait(PAUSE_SECONDS):
        began = time.monotonic()
        connection.request("GET", path)
        connection.getresponse().read()
        seconds.append(time.monotonic() - began)
    connection.close()


# --- the process that watches: one thread, so that it costs the machine little


def main(port: int, name: str, clients: int, logs: int = 1) -> None:
    """Client i follows worker `w<i modulo logs>`.

    Says `watching` when all clients have heard something; counts from `count` on, and tells when all have ended.
    """
    poller = select.epoll()
    sockets: dict[int, socket.socket] = {}
    heard: dict[int, int] = {}
    log_of: dict[int, int] = {}
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for number in range(clients):
        path = f"/api/workers/{name}/w{number % logs}/logs/stream?tail=1"
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        client = socket.create_connection(("127.0.0.1", port), timeout=CONNECT_SECONDS)
        client.sendall(request)
        client.setblocking(False)
        sockets[client.fileno()] = client
        log_of[client.fileno()] = number % logs
        poller.register(client.fileno(), select.EPOLLIN)
    delivery: list[float] = []
    rest: defaultdict[int, bytes] = defaultdict(bytes)
    since, is_counting, until = math.inf, False, time.monotonic() + CONNECT_SECONDS
    cpu = time.process_time()
    poller.register(0, select.EPOLLIN)
    while True:
        for fd, _ in poller.poll(1.0):
            if fd == 0:
                os.read(0, 64)
                heard, delivery, since, cpu = dict.fromkeys(sockets, 0), [], time.time(), time.process_time()
                continue
            data = sockets[fd].recv(1 << 18)
            if not data:
                sockets.pop(fd).close()
                continue
            now = time.time()
            whole, _, rest[fd] = (rest[fd] + data).rpartition(b"\n")
            printed = [float(part[:20].split(b" ")[0]) for part in whole.split(b'"content": "')[1:]]
            if since == math.inf:
                heard[fd] = heard.get(fd, 0) + len(printed)
                continue
            # By the time that a line tells: those of before are under way to some and have come to others.
            counted = sum(at > since for at in printed)
            heard[fd] += counted
            if counted:
                delivery.append(now - printed[-1])
        if not sockets:
            expected, cpu = _expected(heard, log_of), time.process_time() - cpu
            told = {"heard": sum(heard.values()), "expected": expected, "delivery": delivery, "cpu": cpu}
            print(json.dumps(told), flush=True)
            return
        if not is_counting and len(heard) == clients:
            is_counting = True
            print("watching", flush=True)
        if not is_counting and time.monotonic() > until:
            print(f"{len(heard)} came", flush=True)
            return


def _expected(heard: dict[int, int], log_of: dict[int, int]) -> int:
    """Of all clients together, were each to hear as much as the one that heard most of its log."""
    by_log: defaultdict[int, list[int]] = defaultdict(list)
    for client, lines in heard.items():
        by_log[log_of[client]].append(lines)
    return sum(max(lines) * len(lines) for lines in by_log.values())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
