"""Runs of some workers of a workflow on a real server, over a crash too."""

from pathlib import Path
from typing import Any

from tests.whole.server import Server, eventually

LEFT_OUT = ("completed", "not_in_run", "not part of this run")


def etl(directory: Path) -> list[dict[str, Any]]:
    """Each leaves a line in `ran`; `clean` waits for the file `go`."""
    return [
        {"name": "fetch", "command": "echo fetch >> ran; echo rows > rows", "outputs": {"rows": "rows"}},
        {
            "name": "clean",
            "command": "until [ -e go ]; do sleep 0.02; done; echo clean >> ran; echo good > good",
            "inputs": {"rows": "fetch/rows"},
            "outputs": {"good": "good"},
        },
        {"name": "load", "command": "echo load >> ran", "inputs": {"good": "clean/good"}},
        {"name": "lint", "command": "echo lint >> ran"},
    ]


def start(server: Server, query: str = "", **body: Any) -> Any:
    return server.request("POST", f"/api/workflows/etl/start{query}", body)


def states(server: Server, run: int) -> dict[str, tuple[str, str, str]]:
    found = server.get(f"/api/runs/{run}")["workers"]
    return {worker["name"]: (worker["status"], worker["reason_code"], worker["reason"]) for worker in found}


def test_a_run_of_chosen_workers_needs_the_files_of_the_others(server: Server, tmp_path: Path) -> None:
    work = tmp_path / "work"
    server.create("etl", etl(work), working_dir=str(work))
    refused = start(server, only=["clean"])
    assert (refused.status, refused.body["error"]["code"]) == (409, "INPUT_NOT_READY")
    assert f"clean needs {work}/rows of fetch, which does not exist" in refused.body["error"]["message"]
    assert server.status("etl") == "created"
    assert start(server, only=["none"]).status == 404
    assert start(server, only=[]).status == start(server, **{"from": "clean"}).status == 400
    work.mkdir(exist_ok=True)
    (work / "go").touch()
    forced = start(server, "?force=true", only=["clean"])
    assert forced.status == 200 and server.ended("etl") == "completed"
    assert (work / "ran").read_text() == "clean\n"
    found = states(server, forced.body["run_id"])
    assert found["fetch"] == found["load"] == found["lint"] == LEFT_OUT
    assert server.wattle("fsck").returncode == 0


def test_the_rest_of_a_run_goes_on_after_a_crash_and_leaves_the_others_out(server: Server, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "rows").write_text("rows\n")
    server.create("etl", etl(work), working_dir=str(work))
    run = start(server, **{"from": ["clean"]}).body["run_id"]
    eventually(lambda: server.workers("etl")["clean"]["phase"] == "running")
    assert server.workers("etl")["load"]["reason"] == "waits for clean (not finished)"
    server.kill()
    server.start()
    (work / "go").touch()
    assert server.ended("etl") == "completed"
    assert (work / "ran").read_text() == "clean\nload\n"
    found = states(server, run)
    assert found["fetch"] == found["lint"] == LEFT_OUT and found["load"][0] == "completed"
    assert server.get(f"/api/runs/{run}")["counts"] == {"completed": 4}


def test_a_worker_left_out_can_be_started_alone_meanwhile(server: Server, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "rows").write_text("rows\n")
    server.create("etl", etl(work), working_dir=str(work))
    start(server, only=["clean"])
    refused = server.request("POST", "/api/workers/etl/load/start")
    assert (refused.status, refused.body["error"]["code"]) == (409, "INPUT_NOT_READY")
    server.post("/api/workers/etl/lint/start")
    eventually(lambda: (work / "ran").exists())
    (work / "go").touch()
    assert server.ended("etl") == "completed"
    assert server.request("POST", "/api/workflows/etl/restart").status == 200
    assert server.ended("etl") == "completed"
    assert sorted((work / "ran").read_text().split()) == ["clean", "clean", "fetch", "lint", "lint", "load"]
