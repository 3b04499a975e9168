"""User, limits and inherited variables through the whole product: from the document to /proc (O5, O6)."""

import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from tests.whole.server import Server, eventually, marked


def attempt(server: Server, name: str) -> dict[str, Any]:
    run = server.get(f"/api/workflows/{name}/runs")[0]["id"]
    found: dict[str, Any] = server.get(f"/api/runs/{run}")["attempts"][-1]
    return found


def printed(server: Server, name: str, worker: str) -> list[str]:
    return [line["content"] for line in server.get(f"/api/workers/{name}/{worker}/logs?tail=500")]


def test_a_worker_finds_itself_as_the_definition_says(server: Server) -> None:
    """O6: what the kernel tells the worker of itself."""
    worker = {
        "name": "look",
        "command": "cat /proc/self/status /proc/self/limits && cut -d ' ' -f 19 /proc/self/stat && ls /proc/self/fd",
        "working_dir": "/",
        "umask": "027",
        "nice": 7,
        "rlimits": {"open_files": 77, "core_bytes": 0, "address_space_bytes": 400_000_000},
    }
    if os.geteuid() == 0:
        worker["user"] = "nobody"
    server.run("self", [worker])
    assert server.ended("self") == "completed", attempt(server, "self")
    lines = [" ".join(line.split()) for line in printed(server, "self", "look")]
    assert "Umask: 0027" in lines and "7" in lines
    assert "Max open files 77 77 files" in lines
    assert "Max core file size 0 0 bytes" in lines
    assert "Max address space 400000000 400000000 bytes" in lines
    assert "SigBlk: 0000000000000000" in lines
    assert lines[-4:-1] == ["0", "1", "2"], "and ls' own"
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody").pw_uid
        assert f"Uid: {nobody} {nobody} {nobody} {nobody}" in lines


@pytest.mark.parametrize(
    ("inherit", "seen"),
    [(None, {"HOME", "PYTHONPATH"}), (True, {"HOME", "PYTHONPATH"}), (["HOME", "NONE"], {"HOME"}), (False, set())],
)
def test_a_worker_sees_what_it_inherits_and_what_it_cannot_do_without(
    server: Server, inherit: Any, seen: set[str]
) -> None:
    worker = {"name": "env", "command": "env", "inherit_env": inherit, "env_vars": {"MINE": "1"}}
    server.run("env", [worker, {"name": "python", "command": "python -c pass", "inherit_env": inherit}])
    assert server.ended("env") == "completed"
    variables = dict(line.partition("=")[::2] for line in printed(server, "env", "env"))
    assert {"PATH", "PYTHONUNBUFFERED", "MINE", "WATTLE_ATTEMPT_UID"} <= variables.keys()
    assert variables.keys() & {"HOME", "PYTHONPATH"} == seen
    if inherit is False:
        others = {name for name in variables if not name.startswith("WATTLE_")}
        assert others <= {"PATH", "PYTHONUNBUFFERED", "MINE", "PWD", "OLDPWD", "SHLVL", "_"}


def test_a_tree_that_takes_too_much_memory_fails_with_the_figures(server: Server) -> None:
    """O5: the child allocates; all of it is gone within 2 s; `retry` applies."""
    mark = f"greedy-{server.port}"
    hold = f"import time; held = bytearray(b'x' * (96 << 20)); time.sleep(600)  # {mark}"
    command = f'python -c "{hold}" & python -c "import time; time.sleep(600)  # {mark}"'
    worker = {"name": "greedy", "command": command, "memory_max_bytes": 64 << 20}
    server.run("memory", [{**worker, "retry": {"limit": 1, "delay_seconds": 0}}])
    assert server.ended("memory") == "failed"
    found = attempt(server, "memory")
    assert (found["number"], found["reason_code"]) == (2, "memory")
    assert "memory_max_bytes is 64 MiB (67108864 bytes)" in found["reason"]
    assert marked(mark) == []


def test_a_user_that_the_machine_lacks_fails_the_attempt_not_the_call(server: Server) -> None:
    server.run("who", [{"name": "who", "command": "id", "user": "no-such-user", "retry": {"limit": 3}}])
    assert server.ended("who") == "failed"
    found = attempt(server, "who")
    assert (found["number"], found["reason_code"]) == (1, "user_unknown")
    assert "no-such-user" in server.workers("who")["who"]["error_message"]
    bad = {"name": "bad", "workers": [{"name": "a", "command": "id", "user": "a b"}]}
    answer = server.request("POST", "/api/workflows", bad)
    assert (answer.status, answer.body["error"]["code"]) == (422, "VALIDATION_ERROR")


def test_limits_hold_for_what_a_next_daemon_starts(server: Server, tmp_path: Path) -> None:
    """The order of a recovered daemon is the same, and so is the limit of memory of what it found running."""
    go = tmp_path / "go"
    hold = "held = bytearray(b'x' * (96 << 20)); time.sleep(600)"
    wait = f"import os, time\\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)\\n{hold}"
    first = {"name": "first", "command": "python", "args": ["-c", wait.replace("\\n", "\n")],
             "memory_max_bytes": 64 << 20, "success_exit_codes": [0]}  # fmt: skip
    last = {"name": "last", "command": "cut -d ' ' -f 19 /proc/self/stat", "nice": 5}
    gate = {"name": "gate", "command": f"until [ -e {go} ]; do sleep 0.05; done"}
    server.run("next", [first, {**last, "depends_on": ["gate"]}, gate])
    eventually(lambda: server.workers("next")["first"]["status"] == "running")
    keeper = server.keeper_pids()
    server.kill()
    for pid in keeper:
        os.kill(pid, 9)
    eventually(lambda: not server.keeper_pids())
    server.start()
    go.touch()
    assert server.ended("next") == "failed"
    run = server.get(f"/api/runs/{server.get('/api/workflows/next/runs')[0]['id']}")
    reasons = {found["worker"]: found["reason_code"] for found in run["attempts"]}
    assert reasons["first"] == "memory", json.dumps(run["attempts"], indent=1)
    assert printed(server, "next", "last") == ["5"]
