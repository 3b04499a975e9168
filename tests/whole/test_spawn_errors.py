"""What cannot be started fails its attempt in words: no 500, no leaked descriptor, retried only if that can help
(R6, R7, F40)."""

import os
import resource
import shutil
from pathlib import Path
from typing import Any

from tests.whole.server import Server, eventually


def attempts(server: Server, name: str) -> dict[str, list[dict[str, Any]]]:
    """{worker: its attempts} of the newest run."""
    run = server.get(f"/api/runs/{server.get(f'/api/workflows/{name}/runs')[0]['id']}")
    found: dict[str, list[dict[str, Any]]] = {}
    for attempt in run["attempts"]:
        found.setdefault(attempt["worker"], []).append(attempt)
    return found


def broken(directory: Path) -> dict[str, dict[str, Any]]:
    """{reason code: a worker that cannot be started for it}."""
    (directory / "plain").write_text("x")
    (directory / "bad").write_text("#!/no/such/interpreter\n")
    (directory / "bad").chmod(0o755)
    (directory / "gone").mkdir()
    return {
        "command_not_found": {"command": "no-such-command"},
        "not_executable": {"command": f"{directory}/plain"},
        "bad_interpreter": {"command": f"{directory}/bad"},
        "directory_unusable": {"command": "true", "working_dir": f"{directory}/plain"},
        "argument_list_too_long": {"command": "true", "args": ["x" * 200_000]},
        "environment_too_large": {"command": "true", "env_vars": {"LONG": "x" * 200_000}},
        "user_unknown": {"command": "true", "user": "no-such-user"},
        "rlimit_not_permitted": {"command": "true", "rlimits": {"open_files": 2**50}},
    }


def test_each_spawn_error_is_told_apart_and_not_retried(server: Server, tmp_path: Path) -> None:
    cases = broken(tmp_path)
    [keeper] = server.keeper_pids()
    server.run("warm", [{"name": "up", "command": "true"}])
    server.ended("warm")
    before = len(os.listdir(f"/proc/{keeper}/fd"))
    workers = [{"name": code, **fields, "retry": {"limit": 3, "delay_seconds": 0}} for code, fields in cases.items()]
    server.run("broken", workers)
    assert server.ended("broken") == "failed"
    found = attempts(server, "broken")
    assert {name: [each["reason_code"] for each in tries] for name, tries in found.items()} == {
        code: [code] for code in cases
    }
    for code, worker in server.workers("broken").items():
        assert worker["status"] == "failed"
        assert len(worker["error_message"].split()) > 3, code
    assert len({worker["error_message"] for worker in server.workers("broken").values()}) == len(cases)
    assert len(os.listdir(f"/proc/{keeper}/fd")) == before
    for code in cases:
        assert server.request("POST", f"/api/workers/broken/{code}/start").status == 200
        assert server.request("GET", f"/api/workers/broken/{code}/logs?tail=5").status == 200
    eventually(lambda: all(worker["status"] == "failed" for worker in server.workers("broken").values()))


def test_a_program_being_written_is_tried_again_until_it_is_there(server: Server, tmp_path: Path) -> None:
    program = tmp_path / "program"
    shutil.copy("/bin/true", program)
    retry = {"limit": 50, "delay_seconds": 0.1, "factor": 1}
    with open(program, "ab"):
        server.run("busy", [{"name": "run", "command": str(program), "retry": retry}])
        eventually(lambda: len(attempts(server, "busy").get("run", [])) > 1)
    assert server.ended("busy") == "completed"
    codes = [each["reason_code"] for each in attempts(server, "busy")["run"]]
    assert codes[-1] is None and set(codes[:-1]) == {"command_busy"}


def test_a_keeper_without_descriptors_is_tried_again_until_it_has_some(server: Server) -> None:
    """The limit is the fault, its end the repair; without `retry` the attempt fails with the reason."""
    server.run("warm", [{"name": "up", "command": "true"}])
    server.ended("warm")
    [keeper] = server.keeper_pids()
    former = resource.prlimit(keeper, resource.RLIMIT_NOFILE)
    resource.prlimit(keeper, resource.RLIMIT_NOFILE, (1, former[1]))
    try:
        retry = {"limit": 50, "delay_seconds": 0.1, "factor": 1}
        server.run("starved", [{"name": "run", "command": "true", "retry": retry}])
        server.run("once", [{"name": "run", "command": "true"}])
        eventually(lambda: len(attempts(server, "starved").get("run", [])) > 1)
        assert server.ended("once") == "failed"
    finally:
        resource.prlimit(keeper, resource.RLIMIT_NOFILE, former)
    assert server.ended("starved") == "completed"
    codes = [each["reason_code"] for each in attempts(server, "starved")["run"]]
    assert codes[-1] is None and set(codes[:-1]) == {"descriptor_limit"}
    assert [each["reason_code"] for each in attempts(server, "once")["run"]] == ["descriptor_limit"]
    assert "descriptor" in server.workers("once")["run"]["error_message"]


def test_a_log_that_cannot_be_made_is_said_to_be_so(server: Server) -> None:
    """Something else stands where the log of run 1 is to be."""
    log = server.data_dir / "logs" / "1" / "0.1.out"
    log.mkdir(parents=True)
    server.run("logless", [{"name": "run", "command": "true"}])
    assert server.ended("logless") == "failed"
    [only] = attempts(server, "logless")["run"]
    assert only["reason_code"] == "log_unwritable"
    assert str(log) in only["reason"]
