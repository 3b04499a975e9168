"""Params, placeholders, env_files and WATTLE_IO_FILE on a real server, over restarts too."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.whole.server import Server, eventually

ODD = "a b\t'\"\\$HOME `id` $(id) ; * ~ -n \u00e9\nend "


def last_run(server: Server, name: str) -> dict[str, Any]:
    return dict(server.get(f"/api/workflows/{name}/runs?limit=1")[0])


def lines(server: Server, name: str, worker: str) -> list[str]:
    return [line["content"] for line in server.get(f"/api/workers/{name}/{worker}/logs?tail=100")]


def test_params_reach_commands_variables_and_paths(server: Server, tmp_path: Path) -> None:
    workers: list[dict[str, Any]] = [
        {
            "name": "direct",
            "command": "/usr/bin/printf %s ${{ params.text }}",
            "outputs": {"o": "${{ params.dir }}/${{ run.id }}"},
        },
        {
            "name": "shell",
            "command": "printf %s ${{ params.text }} | cat",
            "outputs": {"o": "shell.${{ params.count }}"},
        },
        {
            "name": "compare",
            "command": "cmp ${{ inputs.a }} \"${{ inputs.b }}\" && printf '%s,' \"$V\" \"$W\" $WATTLE_PARAM_COUNT",
            "env_vars": {"V": "<${{ inputs.a }}>"},
            "inputs": {"a": "direct/o", "b": "shell/o"},
        },
    ]
    params = {"text": {}, "dir": {"default": "d e"}, "count": {"type": "integer", "default": 2}}
    server.create("p", workers, working_dir=str(tmp_path / "p"), params=params, env_vars={"W": "${{ params.dir }}"})
    started = server.request("POST", "/api/workflows/p/start", {"params": {"text": ODD, "count": 5}})
    assert started.status == 200 and server.ended("p") == "completed", server.workers("p")
    run = started.body["run_id"]
    assert (tmp_path / "p/d e" / str(run)).read_text() == ODD == (tmp_path / "p/shell.5").read_text()
    assert lines(server, "p", "compare") == [f"<{tmp_path}/p/d e/{run}>,d e,5,"]


@pytest.mark.parametrize("path", ["/api/workflows/p/start", "/api/workers/p/a/start", "/api/workflows/p/restart"])
def test_bad_params_are_named_and_nothing_starts(server: Server, path: str) -> None:
    params = {"n": {"type": "integer"}, "s": {"default": "x"}}
    server.create("p", [{"name": "a", "command": "true"}], params=params)
    for given, said in (
        ({}, ["/params/n"]),
        ({"n": "1", "t": 2}, ["/params/t", "/params/n"]),
        ({"n": 1, "s": "x" * 70_000}, ["/params"]),
    ):
        reply = server.request("POST", path, {"params": given})
        assert reply.status == 422 and reply.body["error"]["code"] == "INVALID_PARAMS"
        assert [problem["pointer"] for problem in reply.body["error"]["details"]] == said
    assert server.request("POST", path, {"params": []}).status == 400
    assert server.get("/api/workflows/p/runs") == []
    assert server.request("POST", path, {"params": {"n": 1}}).status == 200


def test_values_may_not_lead_outputs_where_none_may_be(server: Server, tmp_path: Path) -> None:
    workers = [
        {"name": "a", "command": "true", "outputs": {"o": {"path": "out/${{ params.x }}", "optional": True}}},
        {"name": "b", "command": "true", "outputs": {"o": {"path": "out/b", "optional": True}}},
    ]
    server.create("p", workers, params={"x": {}}, working_dir=str(tmp_path / "p"))
    for value in ("", ".", "b", "../a/stdout.log", f"../../{server.data_dir.name}/wattle.db"):
        reply = server.request("POST", "/api/workflows/p/start", {"params": {"x": value}})
        assert (reply.status, reply.body["error"]["code"]) == (422, "INVALID_PARAMS"), (value, reply.body)
    assert server.request("POST", "/api/workflows/p/start", {"params": {"x": "c"}}).status == 200


def test_a_restarted_daemon_goes_on_with_the_same_params(server: Server, tmp_path: Path) -> None:
    go, directory = tmp_path / "go", tmp_path / "p"
    (tmp_path / "v.env").write_text("SECRET='s 1'\n")
    workers = [
        {"name": "wait", "command": f"until test -e {go}; do sleep 0.05; done"},
        {
            "name": "after",
            "command": "printf '%s,' ${{ params.x }} $SECRET > ${{ outputs.o }}",
            "depends_on": ["wait"],
            "outputs": {"o": "${{ params.x }}.${{ run.id }}"},
        },
    ]
    server.create("p", workers, params={"x": {}}, working_dir=str(directory), env_file=str(tmp_path / "v.env"))
    run = server.request("POST", "/api/workflows/p/start", {"params": {"x": "a b"}}).body["run_id"]
    eventually(lambda: server.workers("p")["wait"]["status"] == "running")
    server.kill()
    server.start()
    go.touch()
    assert server.ended("p") == "completed", server.workers("p")
    assert (directory / f"a b.{run}").read_text() == "a b,s,1,"
    database = b"".join(path.read_bytes() for path in server.data_dir.glob("wattle.db*"))
    assert b"s 1" not in database and b"a b" in database


def test_a_restart_keeps_the_params_unless_it_is_given_others(server: Server) -> None:
    server.create("p", [{"name": "a", "command": "echo ${{ params.x }}; exec sleep 60"}], params={"x": {}})
    server.request("POST", "/api/workflows/p/start", {"params": {"x": "one"}})
    eventually(lambda: lines(server, "p", "a") == ["one"])
    server.post("/api/workflows/p/restart")
    assert last_run(server, "p")["id"] == 2
    eventually(lambda: lines(server, "p", "a") == ["one"])
    server.post("/api/workflows/p/restart", {"params": {"x": "two"}})
    eventually(lambda: lines(server, "p", "a") == ["two"])
    reply = server.request("POST", "/api/workers/p/a/restart", {"params": {"x": "three"}})
    assert reply.status == 422 and "has its params" in reply.body["error"]["message"]


def test_an_env_file_is_under_env_vars_and_over_the_servers(server: Server, tmp_path: Path) -> None:
    (tmp_path / "w.env").write_text("# all\nHOME=/nowhere\nexport A=file # not this\nB='file $X'\nC=file\n")
    (tmp_path / "one.env").write_text('C="one\\nline"\n')
    show = "printf '%s|' \"$HOME\" \"$A\" \"$B\" \"$C\" \"$D\""
    workers = [
        {"name": "plain", "command": show},
        {"name": "own", "command": show, "env_file": str(tmp_path / "one.env"), "env_vars": {"D": "own"}},
    ]
    server.run("p", workers, env_file="w.env", env_vars={"A": "vars", "C": "vars", "D": "vars"})
    assert server.ended("p") == "completed"
    assert lines(server, "p", "plain") == ["/nowhere|vars|file $X|vars|vars|"]
    assert lines(server, "p", "own") == ["/nowhere|vars|file $X|one", "line|own|"]


def test_an_env_file_that_cannot_be_read_is_named_and_nothing_starts(server: Server, tmp_path: Path) -> None:
    server.create("p", [{"name": "a", "command": "true", "env_file": "none.env"}], working_dir=str(tmp_path))
    for path in ("/api/workflows/p/start", "/api/workers/p/a/start"):
        reply = server.request("POST", path)
        assert (reply.status, reply.body["error"]["code"]) == (422, "ENV_FILE_UNREADABLE")
        assert str(tmp_path / "none.env") in reply.body["error"]["message"]
    (tmp_path / "none.env").write_text("A=secret\nno assignment\n")
    message = server.request("POST", "/api/workflows/p/start").body["error"]["message"]
    assert "line 2" in message and "secret" not in message
    assert server.get("/api/workflows/p/runs") == []


def test_an_env_file_that_goes_while_the_daemon_is_down_fails_what_needs_it(server: Server, tmp_path: Path) -> None:
    go, env = tmp_path / "go", tmp_path / "v.env"
    env.write_text("A=1\n")
    workers = [
        {"name": "wait", "command": f"until test -e {go}; do sleep 0.05; done"},
        {"name": "after", "command": "true", "depends_on": ["wait"], "env_file": str(env)},
    ]
    server.run("p", workers)
    eventually(lambda: server.workers("p")["wait"]["status"] == "running")
    server.kill()
    env.unlink()
    server.start()
    go.touch()
    assert server.ended("p") == "failed"
    assert str(env) in server.workers("p")["after"]["reason"]


def test_more_names_than_an_environment_should_hold_stand_in_a_file(server: Server, tmp_path: Path) -> None:
    """Design: a recorded workflow has a worker with 1,001 inputs."""
    directory = tmp_path / "w"
    outputs = {f"part {i}": f"{'long' * 10}/{i}" for i in range(1001)}
    make = (
        "python3 -c \"import json, os\nfor path in json.load(open(os.environ['WATTLE_IO_FILE']))['outputs'].values():\n"
        " open(path, 'w').write(path)\""
    )
    workers = [
        {"name": "make", "command": make, "outputs": outputs},
        {
            "name": "use",
            "command": "cp \"$WATTLE_IO_FILE\" io.json; cat ${{ inputs.part 7 }}; env | grep -c ^WATTLE_INPUT_",
            "inputs": {name: f"make/{name}" for name in outputs},
            "success_exit_codes": [0, 1],
        },
        {"name": "two", "command": "cat \"$WATTLE_IO_FILE\"; test -z \"$WATTLE_OUTPUT_A_B\"",
         "outputs": {"a b": {"path": "x", "optional": True}, "a-b": {"path": "y", "optional": True}}},
        {"name": "none", "command": "test -z \"$WATTLE_IO_FILE\"", "outputs": {"o": {"path": "o", "optional": True}}},
    ]  # fmt: skip
    server.create("p", workers, working_dir=str(directory), params={"j": {"type": "json", "default": [1, None]}})
    server.post("/api/workflows/p/start")
    assert server.ended("p") == "completed", server.workers("p")
    told = json.loads((directory / "io.json").read_text())
    assert told["inputs"] == {name: str(directory / path) for name, path in outputs.items()}
    assert told["outputs"] == {} and told["params"] == {"j": [1, None]}
    # the one that the command names is there, whatever is left out
    assert lines(server, "p", "use") == [str(directory / outputs["part 7"]) + "1"]
    two = json.loads(lines(server, "p", "two")[0])
    assert two["outputs"] == {"a b": str(directory / "x"), "a-b": str(directory / "y")}
    files = list((server.data_dir / "logs").rglob("*.io.json"))
    assert len(files) == 3 and {os.stat(path).st_mode & 0o777 for path in files} == {0o600}


def test_a_worker_that_runs_alone_takes_params(server: Server, tmp_path: Path) -> None:
    workers = [
        {"name": "a", "command": "echo ${{ params.x }}", "outputs": {"o": "${{ params.x }}.txt"}},
        {"name": "b", "command": "cat ${{ inputs.i }}", "inputs": {"i": "a/o"}},
    ]
    server.create("p", workers, params={"x": {"default": "dflt"}}, working_dir=str(tmp_path / "p"))
    server.post("/api/workers/p/a/start", {"params": {"x": "one"}})
    eventually(lambda: (tmp_path / "p/one.txt").exists())
    eventually(lambda: last_run(server, "p")["status"] != "running")
    reply = server.request("POST", "/api/workers/p/b/start")
    assert reply.status == 409 and str(tmp_path / "p/dflt.txt") in reply.body["error"]["message"]
    server.post("/api/workers/p/b/start", {"params": {"x": "one"}})
    eventually(lambda: lines(server, "p", "b") == ["one"])
