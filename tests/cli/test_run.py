"""`wattle run`: being the server, joining one, taking over; Ctrl-C; --detach. Real processes throughout."""

import json
import re
import signal
import subprocess
import sys

import pytest
from cli.shell import wait_for

CHAIN = {
    "name": "chain",
    "working_dir": "out",
    "workers": [
        {"name": "first", "command": "echo one", "outputs": {"text": "first.txt"}},
        {"name": "second", "command": "cat \"$WATTLE_INPUT_TEXT\"; echo two", "inputs": {"text": "first/text"},
         "outputs": {"text": "second.txt"}},
    ],
}  # fmt: skip
FAILING = {
    "name": "failing",
    "workers": [
        {"name": "bad", "command": "echo out; for i in $(seq 20); do echo err $i >&2; done; exit 7"},
        {"name": "after", "command": "true", "depends_on": ["bad"]},
        {"name": "aside", "command": "true"},
    ],
}


def waiting(name="waiting"):
    """A workflow that ends when the file `go` is in its directory; `starts` counts how often it was started."""
    command = "echo >> starts; while [ ! -e go ]; do sleep 0.02; done; echo went"
    return {
        "name": name,
        "working_dir": name,
        "workers": [
            {"name": "gate", "command": command},
            {"name": "end", "command": "echo end", "depends_on": ["gate"], "outputs": {"o": "o.txt"}},
        ],
    }


def is_waiting(shell, name="waiting"):
    return (shell.directory / name / "starts").exists()


def release(shell, name="waiting"):
    (shell.directory / name / "go").touch()


def starts(shell, name="waiting"):
    return (shell.directory / name / "starts").read_text().count("\n")


def test_a_run_goes_to_its_end_and_says_where_its_outputs_are(shell):
    shell.write("chain.json", CHAIN)
    done = shell.run("run", "chain.json")
    assert done.returncode == 0, done.stderr
    out = shell.directory / "out"
    assert (out / "second.txt").read_text() == "one\ntwo\n"
    assert done.stdout.splitlines() == [
        f"first/text   4 B  {out / 'first.txt'}",
        f"second/text  8 B  {out / 'second.txt'}",
    ]
    states = re.findall(r" s  . (\w+) +(\w+)", done.stderr)
    assert states == [("running", "first"), ("completed", "first"), ("running", "second"), ("completed", "second")]
    assert "completed: run 1 of 'chain'" in done.stderr and f"outputs: {out}" in done.stderr
    assert not (shell.data_dir / "http.sock").exists() or shell.run("start", "chain").returncode == 4


def test_a_failed_run_shows_the_last_lines_and_the_reason(shell):
    shell.write("failing.json", FAILING)
    done = shell.run("run", "failing.json")
    assert (done.returncode, done.stdout) == (1, "")
    tail = re.findall(r"\| (.*)", done.stderr)
    assert tail == [f"err {number}" for number in range(11, 21)]
    assert "failed     bad" in done.stderr and "exit code 7" in done.stderr
    assert re.search(r"cancelled  after  .*it needs bad, which failed", done.stderr)
    assert "1 completed, 1 failed, 1 cancelled" in done.stderr


def test_the_same_again_is_a_new_run_and_another_definition_a_new_version(shell):
    shell.write("chain.json", CHAIN)
    shell.run("run", "chain.json")
    again = shell.run("run", "chain.json")
    assert "run 2 of 'chain'" in again.stderr and "new version" not in again.stderr
    changed = {**CHAIN, "description": "another"}
    shell.write("chain.json", changed)
    third = shell.run("run", "chain.json")
    assert (third.returncode, "stored a new version" in third.stderr) == (0, True)
    assert [run["id"] for run in json.loads(shell.run("runs", "chain", "--json").stdout)] == [3, 2, 1]


def test_a_workflow_without_workers_is_no_definition_to_run(shell):
    shell.write("empty.json", {"name": "empty", "workers": []})
    done = shell.run("run", "empty.json")
    assert (done.returncode, done.stdout) == (3, "")
    assert "empty" in done.stderr


def test_a_second_run_joins_and_an_active_workflow_is_refused(shell):
    shell.write("waiting.json", waiting())
    shell.write("chain.json", CHAIN)
    host = shell.start("run", "waiting.json")
    wait_for(lambda: is_waiting(shell))
    joined = shell.run("run", "chain.json")
    assert joined.returncode == 0, joined.stderr
    refused = shell.run("run", "waiting.json")
    assert (refused.returncode, refused.stdout) == (5, "")
    assert "is running already (run 1)" in refused.stderr and "`wattle stop waiting`" in refused.stderr
    release(shell)
    assert host.ends() == 0, host.err
    assert "end/o" in host.out and starts(shell) == 1


def test_other_commands_reach_the_run_through_the_socket(shell):
    shell.write("waiting.json", waiting())
    host = shell.start("run", "waiting.json")
    wait_for(lambda: is_waiting(shell))
    assert "running" in shell.run("status", "waiting/gate").stdout
    assert "waits for gate" in shell.run("why", "waiting/end").stdout
    assert shell.run("stop", "waiting").stdout == "Workflow 'waiting' stopped\n"
    assert host.ends() == 1
    assert "cancelled: run 1 of 'waiting'" in host.err


def test_control_c_leaves_the_workers_and_the_next_server_goes_on(shell):
    shell.write("waiting.json", waiting())
    host = shell.start("run", "waiting.json")
    host.says("running")
    host.signal(signal.SIGINT)
    assert host.ends() == 130
    assert "run 1 of 'waiting' goes on with 1 worker" in host.err and "`wattle down`" in host.err
    assert "running" in shell.run("status", "waiting").stdout  # read without a server
    assert shell.run("run", "waiting.json").returncode == 5
    server = shell.start("serve", "--listen", "127.0.0.1:0")
    release(shell)
    wait_for(lambda: json.loads(shell.run("list", "--json").stdout)[0]["status"] == "completed")
    server.signal(signal.SIGINT)
    assert (server.ends(), starts(shell)) == (130, 1)
    assert "nothing is running" in server.err


def test_control_c_on_a_run_that_joined_leaves_server_and_run(shell):
    shell.write("one.json", waiting("one"))
    shell.write("two.json", waiting("two"))
    host = shell.start("run", "one.json")
    wait_for(lambda: is_waiting(shell, "one"))
    guest = shell.start("run", "two.json")
    guest.says("running")
    guest.signal(signal.SIGINT)
    assert guest.ends() == 130
    assert "`wattle stop two` stops it" in guest.err
    assert host.process.poll() is None
    release(shell, "one")
    assert host.ends() == 0
    assert "1 worker of 1 other run goes on" in host.err


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_takes_over_from_a_server_that_goes_away(shell, number):
    shell.write("waiting.json", waiting())
    server = shell.start("serve", "--listen", "127.0.0.1:0")
    server.says("listening on")
    runner = shell.start("run", "waiting.json")
    runner.says("running")
    server.signal(number)
    server.ends()
    runner.says("this command is the server now")
    wait_for(lambda: shell.run("stop", "waiting/none").returncode == 5)  # a server answers again
    release(shell)
    assert runner.ends() == 0, runner.err
    assert "completed: run 1 of 'waiting'" in runner.err
    assert starts(shell) == 1 and "end/o" in runner.out


def test_down_ends_a_run_that_is_the_server(shell):
    shell.write("waiting.json", waiting())
    host = shell.start("run", "waiting.json")
    wait_for(lambda: is_waiting(shell))
    assert shell.run("down").returncode == 0
    assert host.ends() == 1
    assert "cancelled: run 1" in host.err and "stopped by wattle down" in host.err


def test_nobody_reading_does_not_end_the_run(shell):
    shell.write("waiting.json", waiting())
    script = f"{sys.executable} -m wattle.cli run waiting.json |& true; echo ${{PIPESTATUS[0]}}"
    with subprocess.Popen(
        ["bash", "-c", script], stdout=subprocess.PIPE, text=True, env=shell.environ, cwd=shell.directory
    ) as host:
        wait_for(lambda: is_waiting(shell))
        release(shell)
        out, _ = host.communicate(timeout=30)
    assert out == "0\n"
    assert "✓ completed" in shell.run("status", "waiting").stdout


def test_detached_runs_in_the_background_and_says_what_to_type_next(shell):
    shell.write("waiting.json", waiting())
    done = shell.run("run", "--detach", "waiting.json", WATTLE_LISTEN="127.0.0.1:0")
    assert (done.returncode, done.stdout) == (0, "Workflow 'waiting' started successfully (run 1)\n"), done.stderr
    assert "`wattle logs waiting -f`" in done.stderr and "`wattle down`" in done.stderr
    wait_for(lambda: is_waiting(shell))
    release(shell)
    followed = shell.run("logs", "waiting", "-f")
    assert sorted(followed.stdout.splitlines()) == ["end  | end", "gate | went"]  # of two streams
    assert (shell.data_dir / "daemon.log").stat().st_mode & 0o777 == 0o600
    assert shell.run("down").returncode == 0
    wait_for(lambda: "ended" in (shell.data_dir / "daemon.log").read_text())


def test_detached_says_why_the_server_did_not_start(shell):
    shell.write("chain.json", CHAIN)
    done = shell.run("run", "--detach", "chain.json", WATTLE_LISTEN="192.0.2.1:9240", WATTLE_INSECURE="1")
    assert (done.returncode, done.stdout) == (5, "")
    assert "the server did not start" in done.stderr and "192.0.2.1" in done.stderr


HOLDER = """
import fcntl, os, sys
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
os.write(lock, b"%d\\n" % os.getpid())
print("held", flush=True)
sys.stdin.read()
"""


def test_detached_waits_for_a_server_that_is_about_to_end(shell):
    """It holds the data directory and answers no more."""
    shell.write("chain.json", CHAIN)
    shell.data_dir.mkdir(mode=0o700)
    arguments = [sys.executable, "-c", HOLDER, str(shell.data_dir / "daemon.lock")]
    holder = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None and holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    detached = shell.start("run", "--detach", "chain.json")
    with pytest.raises(subprocess.TimeoutExpired):
        detached.ends(2)
    holder.communicate()
    assert detached.ends() == 0, detached.err
    assert shell.run("wait", "chain", "--timeout", "30").returncode == 0
    assert shell.run("down").returncode == 0


def test_a_long_data_directory_will_do(shell):
    shell.environ["WATTLE_DATA_DIR"] = str(shell.directory / "/".join(["directory-name"] * 12))
    shell.write("waiting.json", waiting())
    host = shell.start("run", "waiting.json")
    wait_for(lambda: is_waiting(shell))
    assert "running" in shell.run("status", "waiting").stdout
    release(shell)
    assert host.ends() == 0


def test_names_of_any_script_work_with_and_without_a_server(shell):
    document = {"name": "数据 1", "working_dir": "d", "workers": [{"name": "шаг é", "command": "echo ответ"}]}
    shell.write("f.json", document)
    assert shell.run("run", "f.json").returncode == 0
    assert shell.run("logs", "数据 1/шаг é").stdout == "ответ\n"
    assert "✓ completed" in shell.run("why", "数据 1/шаг é").stdout


def test_progress_is_prompt(shell):
    """Lines come as the states change, not at the end."""
    shell.write("waiting.json", waiting())
    host = shell.start("run", "waiting.json")
    host.says("running    gate")
    assert host.process.poll() is None
    release(shell)
    assert host.ends() == 0
