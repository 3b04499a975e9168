"""Names, directories, paths and graphs that nobody means well (F54, F55, F56, F57, F58)."""

import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.whole.server import Reply, Server, eventually

ODD = ["CON", "a b", "%2F", "%2E%2Fx", "x" * 99, "a\\b", "$(id)", "`id`", "'\"", "*", "~root", "аdmin", "a;b&c|d"]
BAD = ["..", ".", "..%2Fx", "a/b", "../../x", "/etc", "\0", "x" * 256, "-x", "a\u200bb", "a\u202eb", "a\nb", "42", ""]


def code(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.body["error"]["code"]


def everything(directory: Path, but: Path) -> set[str]:
    """All that is in the directory, without what is in `but`."""
    return {str(path) for path in directory.rglob("*") if but not in path.parents and path != but}


def test_no_name_is_ever_a_path(tmp_path: Path) -> None:
    """F55: good names, however odd, run; nothing appears but in the data directory and at the declared outputs.
    Names that could be paths are refused."""
    home = tmp_path / "home"
    home.mkdir()
    server = Server(home).start()
    before = everything(tmp_path, server.data_dir)
    try:
        for at, name in enumerate(ODD):
            worker = {"name": name, "command": "echo x", "outputs": {name: f"{tmp_path}/out-{at}"}}
            user = {"name": "next", "command": "true", "inputs": {name: f"{name}/{name}"}}
            server.create(name, [worker, user])
            path = quote(name, safe="")
            server.post(f"/api/workflows/{path}/start")
            assert eventually(lambda path=path: (s := server.status(path)) != "running" and s) == "completed", name
            lines = server.get(f"/api/workers/{path}/{path}/logs?tail=5")
            assert lines == [{"type": "stdout", "content": "x"}], name
        for name in BAD:
            for document in (
                {"name": name, "workers": []},
                {"name": "fine", "workers": [{"name": name, "command": "true"}]},
            ):
                assert server.request("POST", "/api/workflows", document).status in (400, 422), name
        made = everything(tmp_path, server.data_dir) - before
        assert made == {f"{tmp_path}/out-{at}" for at in range(len(ODD))}
    finally:
        server.down()


def test_spellings_of_one_name_are_one_name_and_lookalikes_are_two(server: Server) -> None:
    """F54."""
    composed, decomposed, lookalike = "caf\u00e9", "cafe\u0301", "c\u0430f\u00e9"
    server.create(composed, [])
    taken = server.request("POST", "/api/workflows", {"name": decomposed, "workers": []})
    assert code(taken) == (409, "WORKFLOW_ALREADY_EXISTS")
    for spelling in (composed, decomposed):
        assert server.get(f"/api/workflows/{quote(spelling)}")["name"] == composed
    server.create(lookalike, [])
    assert {workflow["name"] for workflow in server.get("/api/workflows")} == {composed, lookalike}


def test_directories_that_are_missing_links_files_or_gone(server: Server, tmp_path: Path) -> None:
    """F56, F57: made, followed, told; one that goes while its worker runs harms only what needs it."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").touch()
    wait = f"touch up; while [ -e {tmp_path}/gone ]; do sleep 0.02; done; true"
    workers: list[dict[str, Any]] = [
        {"name": "missing", "command": "pwd > out.txt", "working_dir": f"{tmp_path}/a/b", "outputs": {"o": "out.txt"}},
        {"name": "link", "command": "pwd > out.txt", "working_dir": f"{tmp_path}/link", "outputs": {"o": "out.txt"}},
        {"name": "relative", "command": "pwd > out.txt", "working_dir": "rel", "outputs": {"o": "../deep/out.txt"}},
        {"name": "file", "command": "true", "working_dir": f"{tmp_path}/file"},
        {"name": "gone", "command": wait, "working_dir": f"{tmp_path}/gone"},
        {"name": "again", "command": "pwd", "working_dir": f"{tmp_path}/gone", "depends_on": ["gone"]},
    ]
    workers[2]["command"] = "pwd > ../deep/out.txt"
    server.run("places", workers, working_dir=str(tmp_path / "work"))
    eventually((tmp_path / "gone" / "up").exists)
    (tmp_path / "gone" / "up").unlink()
    os.rename(tmp_path / "gone", tmp_path / "elsewhere")
    server.ended("places")
    found = server.workers("places")
    said = {name: worker["status"] for name, worker in found.items()}
    assert said == {
        "missing": "completed", "link": "completed", "relative": "completed", "file": "failed", "gone": "completed",
        "again": said["again"],
    }  # fmt: skip
    assert said["again"] == "completed" or found["again"]["error_message"]
    assert f"{tmp_path}/file" in found["file"]["error_message"]
    assert (tmp_path / "a" / "b" / "out.txt").read_text() == f"{tmp_path}/a/b\n"
    assert (tmp_path / "real" / "out.txt").exists()
    assert (tmp_path / "work" / "deep" / "out.txt").read_text() == f"{tmp_path}/work/rel\n"
    inside = {"name": "w", "command": "true", "outputs": {"o": f"{server.data_dir}/wattle.db"}}
    refused = server.request("POST", "/api/workflows", {"name": "inside", "workers": [inside]})
    assert code(refused) == (422, "VALIDATION_ERROR")


@pytest.mark.parametrize("length", [1, 10_000])
def test_a_circle_of_any_length_is_told_in_one_piece(server: Server, length: int) -> None:
    """F58: one problem, the circle in its words; nothing stored."""
    workers = [
        {"name": f"w{i}", "command": "true", "depends_on": [f"w{(i + 1) % length}"]} for i in range(length)
    ]
    refused = server.request("POST", "/api/workflows", {"name": "circle", "workers": workers})
    assert code(refused) == (422, "CIRCULAR_DEPENDENCY")
    (problem,) = refused.body["error"]["details"]
    assert "w0 →" in problem["message"] and problem["message"].count("→") <= length
    assert server.get("/api/workflows") == []


def test_a_dense_graph_takes_time_by_its_edges_and_nobody_else_waits(server: Server) -> None:
    """F58: 250,000 edges; the API answers meanwhile; a chain of 20,000 needs no recursion."""
    names = [f"a{i}" for i in range(500)]
    left = [{"name": name, "command": "true"} for name in names]
    right = [{"name": f"b{i}", "command": "true", "depends_on": names} for i in range(500)]
    chain = [{"name": f"w{i}", "command": "true", "depends_on": [f"w{i - 1}"] if i else []} for i in range(20_000)]
    for name, workers in (("dense", left + right), ("chain", chain)):
        began = time.monotonic()
        server.create(name, workers)
        assert time.monotonic() - began < 20, name
        assert server.request("GET", "/healthz").status == 200
