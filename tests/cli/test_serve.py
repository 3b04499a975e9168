"""`wattle serve` with the verbs that talk to it, the same verbs without it, and `wattle down`."""

import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest
from cli.shell import Shell, wait_for

WORKFLOW = {
    "name": "w",
    "description": "what it does",
    "working_dir": "out",
    "workers": [
        {"name": "a", "command": "echo hello", "args": ["big world"], "env_vars": {"X": "1"},
         "outputs": {"o": "o.txt"}},
        {"name": "b", "command": "exit 3", "inputs": {"i": "a/o"}},
        {"name": "c", "command": "true", "depends_on": ["b"]},
    ],
}  # fmt: skip


def serving(shell):
    server = shell.start("serve", "--listen", "127.0.0.1:0")
    server.says("data directory")
    return server


def run_to_its_end(shell):
    shell.write("w.json", WORKFLOW)
    assert shell.run("create", "w.json").stdout == "Workflow 'w' created successfully\n"
    assert shell.run("start", "w").stdout == "Workflow 'w' started successfully (run 1)\n"
    wait_for(lambda: json.loads(shell.run("list", "--json").stdout)[0]["status"] == "failed")


@pytest.fixture
def server(shell):
    return serving(shell)


@pytest.fixture
def ran(shell, server):
    """The workflow has run; the server is up."""
    run_to_its_end(shell)
    return server


READING = ["list", "show w", "show w/a", "status", "status w", "status w/b", "logs w", "runs w", "why w/c"]


def test_serve_says_where_and_ends_on_signals(shell, server):
    assert f"data directory {shell.data_dir}" in server.err and "http.sock" in server.err
    server.signal(signal.SIGTERM)
    assert server.ends() == 0
    assert "nothing is running" in server.err


def test_a_second_server_says_who_holds_the_data_directory(shell, server):
    done = shell.run("serve", "--listen", "127.0.0.1:0")
    assert (done.returncode, done.stdout) == (5, "")
    assert str(server.process.pid) in done.stderr and str(shell.data_dir) in done.stderr


KILLED = """
import fcntl, os, signal, sys
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
os.write(lock, b"%d\\n" % os.getpid())
if os.fork():
    os.kill(os.getpid(), signal.SIGKILL)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_server_waits_for_what_a_killed_one_left_between_fork_and_exec(shell):
    """F01: such a child holds the lock of the data directory until it executes."""
    shell.data_dir.mkdir(mode=0o700)
    arguments = [sys.executable, "-c", KILLED, str(shell.data_dir / "daemon.lock")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as killed:
        assert killed.stdin is not None and killed.stdout is not None
        assert killed.stdout.readline() == b"held\n" and killed.wait() == -signal.SIGKILL
        server = shell.start("serve", "--listen", "127.0.0.1:0")
        with pytest.raises(subprocess.TimeoutExpired):
            server.ends(1.5)
        assert "listening" not in server.err
        killed.stdin.close()
        server.says("data directory")


def test_a_port_in_use_is_refused(shell):
    """F72: the message names the port and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        done = shell.run("serve", "--listen", f"127.0.0.1:{port}")
    assert done.returncode == 5
    assert str(port) in done.stderr and "--listen" in done.stderr


def test_listening_beyond_the_machine_is_refused(shell):
    done = shell.run("serve", "--listen", "0.0.0.0:0")
    assert done.returncode == 5 and "--insecure" in done.stderr


def test_verbs_reach_the_server_by_socket_and_by_url(shell, ran):
    url = re.search(r"http://127\.0\.0\.1:\d+", ran.err)[0]
    by_socket = shell.run("list", "--json").stdout
    shell.environ["WATTLE_DATA_DIR"] = str(shell.directory / "elsewhere")
    assert shell.run("list", "--json").stdout == "[]\n"
    assert shell.run("list", "--json", "--server", url).stdout == by_socket
    assert shell.run("list", "--json", WATTLE_URL=url).stdout == by_socket


@pytest.fixture(scope="module")
def readings(tmp_path_factory):
    """What the reading verbs say, also in JSON, with a server and after it was killed: {verb: [done, done]} twice."""
    shell = Shell(tmp_path_factory.mktemp("readings"))
    try:
        server = serving(shell)
        run_to_its_end(shell)

        def said():
            return {
                arguments: [shell.run(*arguments.split(), *form) for form in ((), ("--json",))] for arguments in READING
            }

        with_server = said()
        server.signal(signal.SIGKILL)
        server.ends()
        without = said()
        assert shell.run("start", "w").returncode == 4
        yield with_server, without
    finally:
        shell.close()


@pytest.mark.parametrize("arguments", READING)
def test_reading_verbs_say_the_same_without_a_server(readings, arguments):
    with_server, without = (said[arguments] for said in readings)
    for before, after in zip(with_server, without, strict=True):
        assert before.returncode == after.returncode == 0
        assert before.stdout == after.stdout != ""
    json.loads(without[1].stdout)


def test_what_is_shown(shell, ran):
    assert re.search(r"^w +✗ failed +[\d:-]+ .*/out$", shell.run("list").stdout, re.M)
    shown = shell.run("show", "w/a").stdout
    for said in ("w/a  ✓ completed", "command   echo hello 'big world'", "X=1", f"o -> {shell.directory}/out/o.txt"):
        assert said in shown
    assert "after     b" in shell.run("show", "w/c").stdout
    status = shell.run("status", "w").stdout
    assert "1 completed, 1 failed, 1 cancelled" in status and "(run 1)" in status
    assert re.search(r"^b +✗ failed +[\d.]+ s +1 +exit code 3", status, re.M)
    assert "| hello big world" in shell.run("status", "w/a").stdout
    assert shell.run("logs", "w/a").stdout == "hello big world\n"
    assert "it needs b, which failed" in shell.run("why", "w/c").stdout
    assert re.search(r"^1 +workflow +✗ failed", shell.run("runs", "w").stdout, re.M)


def test_what_changes_something(shell, ran):
    assert shell.run("create", "w.json").returncode == 5  # it exists
    assert shell.run("start", "w/a").stdout == "Worker 'w/a' started (run 2)\n"
    wait_for(lambda: shell.run("start", "w").returncode == 0)
    assert shell.run("restart", "w").stdout.startswith("Workflow 'w' restarted")
    assert shell.run("stop", "w").stdout == "Workflow 'w' stopped\n"
    assert shell.run("stop", "w").stdout == "Workflow 'w' stopped\n"  # once more: no change, no error
    assert shell.run("delete", "w/c").stdout == "Worker 'w/c' deleted successfully\n"
    assert shell.run("delete", "w", "--force").stdout == "Workflow 'w' deleted successfully\n"
    gone = shell.run("show", "w")
    words = "Workflow 'w' does not exist. There are none yet: `wattle run FILE` stores one and runs it"
    assert (gone.returncode, gone.stderr) == (5, f"wattle: {words}\n")


def test_the_server_speaks_chinese_when_asked(shell, server):
    assert shell.run("--lang", "zh", "show", "w").stderr == "wattle: 工作流 'w' 不存在\n"


def test_reading_an_empty_data_directory_makes_nothing(shell):
    done = shell.run("list")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no workflows" in done.stderr and shell.run("list", "--json").stdout == "[]\n"
    assert not shell.data_dir.exists()


def test_down_ends_workers_and_server(shell, server):
    shell.write("s.json", {"name": "s", "working_dir": "s", "workers": [{"name": "a", "command": "sleep 600"}]})
    shell.run("create", "s.json")
    shell.run("start", "s")
    wait_for(lambda: "running" in shell.run("status", "s/a").stdout)
    pid = json.loads(shell.run("status", "s/a", "--json").stdout)["pid"]
    assert shell.run("down").returncode == 0
    assert server.ends() == 0
    assert "nothing is running" in server.err
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert "stopped by wattle down" in shell.run("why", "s/a").stdout


def test_down_without_a_server_ends_what_it_left(shell, server):
    shell.write("s.json", {"name": "s", "working_dir": "s", "workers": [{"name": "a", "command": "sleep 600"}]})
    shell.run("create", "s.json")
    shell.run("start", "s")
    wait_for(lambda: "running" in shell.run("status", "s/a").stdout)
    pid = json.loads(shell.run("status", "s/a", "--json").stdout)["pid"]
    server.signal(signal.SIGKILL)
    server.ends()
    assert shell.run("down").returncode == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_down_where_nothing_runs_is_done(shell):
    for _ in range(2):
        done = shell.run("down")
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
