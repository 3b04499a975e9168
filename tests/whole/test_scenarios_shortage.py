"""What Wattle needs is taken away or damaged while it runs: the call that needs it fails in words, what runs goes on,
and all is well again once it is back (F21, F27, F28, F65, F66, F67, F69, F75)."""

import http.client
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.whole.server import Reply, Server, eventually

SPARE_UID = 64123


@contextmanager
def held_to(pid: int, what: int, soft: int) -> Iterator[None]:
    """The process has that soft limit meanwhile."""
    former = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (soft, former[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, what, former)


def allow_processes(pid: int, soft: str) -> None:
    """As the process's own user, who may do that without any right."""
    command = ["setpriv", f"--reuid={SPARE_UID}", f"--regid={SPARE_UID}", "--clear-groups"]
    subprocess.run([*command, "prlimit", f"--pid={pid}", f"--nproc={soft}:"], check=True)


def cpu_seconds(pid: int) -> float:
    facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")


def running(server: Server, name: str) -> int:
    """Start a workflow that sleeps; the worker's pid."""
    server.run(name, [{"name": "w", "command": "sleep 600"}])
    return int(eventually(lambda: server.get(f"/api/workers/{name}/w/why")["pid"]))


def code(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.body["error"]["code"]


def goes_on(server: Server, name: str) -> bool:
    server.run(name, [{"name": "w", "command": "true"}])
    return server.ended(name) == "completed"


def test_a_database_that_is_taken_away_is_noticed_and_missed_until_it_is_back(server: Server, tmp_path: Path) -> None:
    """F21: readiness within 5 s, nothing is accepted, no call finds an empty Wattle; then nothing is lost."""
    go = tmp_path / "go"
    server.run("held", [{"name": "w", "command": f"while [ ! -e {go} ]; do sleep 0.02; done; exit 7"}])
    eventually(lambda: server.workers("held")["w"]["status"] == "running")
    database, aside = server.data_dir / "wattle.db", server.data_dir / "aside.db"
    database.rename(aside)
    eventually(lambda: server.request("GET", "/readyz").status == 503, 5)
    assert "deleted or replaced" in server.request("GET", "/readyz").body["error"]["message"]
    for replaced in (False, True):
        if replaced:
            shutil.copy(aside, database)
        new = {"name": f"new-{replaced}", "workers": []}
        assert code(server.request("POST", "/api/workflows", new)) == (503, "STORE_UNAVAILABLE")
        for _ in range(30):  # by whichever thread
            assert server.request("GET", "/api/workflows/held").status in (200, 503)
    assert server.request("GET", "/healthz").status == 200
    go.touch()
    aside.rename(database)
    assert server.ended("held") == "failed"
    assert server.workers("held")["w"]["error_message"] == "exit code 7"
    eventually(lambda: server.request("GET", "/readyz").status == 200)
    assert goes_on(server, "after")


def test_logs_that_are_deleted_under_a_worker_harm_nobody(server: Server) -> None:
    """F27: no 500; it goes on writing where it was; the next run has its logs again."""
    server.run("loud", [{"name": "w", "command": "while :; do echo x; sleep 0.02; done"}])
    eventually(lambda: server.get("/api/workers/loud/w/logs?tail=9"))
    pid = server.get("/api/workers/loud/w/why")["pid"]
    shutil.rmtree(server.data_dir / "logs")
    for path in ("logs", "logs?tail=9", "metrics", "why", "logs/stream?follow=false"):
        assert server.request("GET", f"/api/workers/loud/w/{path}").status < 500, path
    assert os.path.exists(f"/proc/{pid}")
    server.run("next", [{"name": "w", "command": "echo hello"}])
    assert server.ended("next") == "completed"
    assert server.get("/api/workers/next/w/logs?tail=9") == [{"type": "stdout", "content": "hello"}]
    assert server.request("POST", "/api/workflows/loud/stop").body["stop"]["survivors"] == 0
    assert server.request("GET", "/api/workers/loud/w/logs/stream").status < 500


def test_a_log_truncated_by_somebody_is_told_to_whoever_follows_it(server: Server) -> None:
    """F28. It is cut by more than is written until that is seen."""
    command = "printf '%09000d\\n' 0; echo first; while :; do echo line; sleep 0.05; done"
    server.run("cut", [{"name": "w", "command": command}])
    log = Path(eventually(lambda: server.get("/api/runs/1")["attempts"])[0]["stdout"])
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/api/workers/cut/w/logs/stream")
    stream = connection.getresponse()

    def hear(what: bytes) -> None:
        until = time.monotonic() + 10
        while what not in (line := stream.readline()):
            assert line and time.monotonic() < until, what

    hear(b'"first"')
    os.truncate(log, 0)
    hear(b"event: truncated")
    hear(b'"line"')
    connection.close()
    before = cpu_seconds(server.pid)
    time.sleep(1.0)  # the time it is measured over
    assert cpu_seconds(server.pid) - before < 0.5
    assert server.request("GET", "/healthz").status == 200


def test_without_descriptors_connections_are_refused_and_the_server_rests(server: Server, tmp_path: Path) -> None:
    """F65: 503 or a closed connection at once, no processor busy, a few lines of log, all well afterwards."""
    pid = running(server, "kept")
    room = len(os.listdir(f"/proc/{server.pid}/fd")) + 10
    log = tmp_path / "serve.log"
    size, connections = log.stat().st_size, []
    with held_to(server.pid, resource.RLIMIT_NOFILE, room):
        for _ in range(40):
            connections.append(socket.create_connection(("127.0.0.1", server.port), timeout=5))
        refused = eventually(lambda: [answer for each in connections if (answer := what_came(each))])
        assert any(b"503" in answer and b"TOO_MANY_CONNECTIONS" in answer for answer in refused)
        before, began = cpu_seconds(server.pid), time.monotonic()
        time.sleep(1.0)  # the time it is measured over
        assert (cpu_seconds(server.pid) - before) / (time.monotonic() - began) < 0.5
        assert os.path.exists(f"/proc/{pid}")
        for each in connections:
            each.close()
    assert log.stat().st_size - size < 10_000
    assert "raise the limit of open files" in log.read_text()
    eventually(lambda: server.request("GET", "/readyz").status == 200)
    assert goes_on(server, "after")


def what_came(connection: socket.socket) -> bytes:
    """What the other side has sent so far; nothing where it has sent nothing or closed."""
    connection.settimeout(0.0)
    try:
        return connection.recv(4096)
    except OSError:
        return b""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start a server as another user")
def test_without_processes_a_spawn_fails_in_words_and_the_api_answers(tmp_path: Path) -> None:
    """F66: then all is well. Of threads see tests/supervisor/test_threads.py. The kernel
    holds no root to RLIMIT_NPROC, so the server is another user's."""
    reads = "+dac_read_search,+dac_override"  # Python's files may be root's
    another = ["setpriv", f"--reuid={SPARE_UID}", f"--regid={SPARE_UID}", "--clear-groups"]
    server = Server(tmp_path, before=[*another, f"--inh-caps={reads}", f"--ambient-caps={reads}"])
    shutil.chown(tmp_path, SPARE_UID, SPARE_UID)
    server.start()
    try:
        (keeper,) = eventually(server.keeper_pids)
        limits = Path(f"/proc/{keeper}/limits").read_text().splitlines()
        former = next(line for line in limits if line.startswith("Max processes")).split()[2]
        for pid in (server.pid, keeper):
            allow_processes(pid, "1")
        server.run("files", [{"name": "w", "command": "true", "working_dir": "made"}])
        for _ in range(20):
            assert server.request("GET", "/api/workflows").status == 200
        assert server.ended("files") == "failed"
        assert "processes" in server.workers("files")["w"]["error_message"]
        for pid in (server.pid, keeper):
            allow_processes(pid, former)
        assert goes_on(server, "after")
    finally:
        server.down()


def test_without_memory_the_call_fails_and_nothing_else(server: Server) -> None:
    """F67: 503, and smaller calls are answered meanwhile."""
    pid = running(server, "kept")
    big = json.dumps({"name": "big", "workers": [{"name": "w", "command": "true", "args": ["x" * 1000] * 30_000}]})
    status = Path(f"/proc/{server.pid}/status").read_text()
    size = int(next(line for line in status.splitlines() if line.startswith("VmSize")).split()[1]) * 1024
    with held_to(server.pid, resource.RLIMIT_AS, size + (16 << 20)):
        for _ in range(3):
            assert code(server.request("POST", "/api/workflows", big.encode())) == (503, "OUT_OF_MEMORY")
            assert server.request("GET", "/healthz").status == 200
    assert os.path.exists(f"/proc/{pid}")
    eventually(lambda: server.request("GET", "/readyz").status == 200)
    assert goes_on(server, "after")


def test_a_storm_of_signals_changes_nothing(server: Server) -> None:
    """F69: 100,000 of those that mean nothing."""
    pid = running(server, "kept")
    (keeper,) = server.keeper_pids()
    harmless = (signal.SIGCHLD, signal.SIGUSR1, signal.SIGWINCH, signal.SIGPIPE, signal.SIGHUP)
    for target, numbers in ((server.pid, harmless), (keeper, (signal.SIGCHLD, signal.SIGWINCH, signal.SIGPIPE))):
        for at in range(50_000):
            os.kill(target, numbers[at % len(numbers)])
    assert goes_on(server, "after")
    assert server.keeper_pids() == [keeper] and server.get("/api/workers/kept/w/why")["pid"] == pid


@pytest.mark.parametrize(
    "environ",
    [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"LC_ALL": "POSIX"}, {"TZ": "Asia/Kathmandu"}],
    ids=["C", "POSIX", "TZ"],
)
def test_names_of_all_scripts_and_bytes_of_none_in_every_locale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    """F75: a workflow, its directory, its file and its output hold what ASCII does not; and bytes that are no UTF-8."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    directory = tmp_path / "データ"
    directory.mkdir()
    odd = os.fsencode(directory) + b"/\xff\xfe.txt"
    server = Server(directory).start()
    try:
        command = "printf 'caf\\303\\251 \\377\\n'; printf x > \"$(printf '\\377\\376').txt\"; ls > 一覧.txt"
        worker = {"name": "größe", "command": command, "outputs": {"liste": "一覧.txt"}}
        server.create("数据", [worker], working_dir=str(directory))
        quoted = "/api/workflows/%E6%95%B0%E6%8D%AE"
        server.post(f"{quoted}/start")
        assert eventually(lambda: (s := server.get(quoted)["status"]) != "running" and s) == "completed"
        assert os.path.exists(odd)
        tail = server.get("/api/workers/%E6%95%B0%E6%8D%AE/gr%C3%B6%C3%9Fe/logs?tail=9")
        assert tail == [{"type": "stdout", "content": "café \ufffd"}]
        assert server.get(quoted)["completed_at"].endswith("Z")
        for verb in (["list"], ["status", "数据"], ["logs", "数据/größe"], ["why", "数据/größe"]):
            done = server.wattle(*verb)
            assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
            assert not verb[1:] or "caf" in done.stdout or "completed" in done.stdout
    finally:
        server.down()
