"""Starting, stopping, restarting and deleting, by HTTP on a real server (W-13, W-18 to W-20, W-24, A9 to A18)."""

import concurrent.futures
import time
from pathlib import Path

from tests.whole.server import Server, eventually


def gate(path: Path) -> str:
    """A command that waits for a file."""
    return f"while [ ! -e {path} ]; do sleep 0.02; done"


def code(answer: object) -> tuple[int, str]:
    return answer.status, answer.body["error"]["code"]  # type: ignore[attr-defined]


def test_a_start_answers_at_once_and_no_later_get_shows_the_run_before(server: Server, tmp_path: Path) -> None:
    """W-13, A10, A12."""
    go = tmp_path / "go"
    server.create("slow", [{"name": "w", "command": gate(go)}])
    for _ in range(2):
        go.unlink(missing_ok=True)
        began = time.monotonic()
        assert server.post("/api/workflows/slow/start") == "Workflow 'slow' started successfully"
        assert time.monotonic() - began < 5
        entity = server.get("/api/workflows/slow")
        assert (entity["status"], entity["completed_at"]) == ("running", None)
        assert server.workers("slow")["w"]["status"] in ("created", "running")
        assert server.workers("slow")["w"]["completed_at"] is None
        go.touch()
        assert server.ended("slow") == "completed"


def test_an_active_workflow_cannot_be_started_or_deleted(server: Server) -> None:
    """A11, A18, F61: 409, and force stops first."""
    server.run("busy", [{"name": "w", "command": "sleep 600"}])
    assert code(server.request("POST", "/api/workflows/busy/start")) == (409, "WORKFLOW_ALREADY_RUNNING")
    assert code(server.request("DELETE", "/api/workflows/busy")) == (409, "WORKFLOW_RUNNING")
    eventually(lambda: server.workers("busy")["w"]["status"] == "running")
    assert code(server.request("DELETE", "/api/workers/busy/w")) == (409, "WORKER_RUNNING")
    assert code(server.request("POST", "/api/workers/busy/w/start")) == (409, "WORKER_ALREADY_RUNNING")
    pid = server.get("/api/runs/1")["attempts"][0]["pid"]
    answer = server.request("DELETE", "/api/workflows/busy?force=true")
    assert answer.data == "Workflow 'busy' deleted successfully"
    assert not Path(f"/proc/{pid}").exists()
    assert code(server.request("GET", "/api/workflows/busy")) == (404, "WORKFLOW_NOT_FOUND")
    server.create("busy", [])  # A9: the name is free again


def test_an_empty_workflow_is_created_and_cannot_be_started(server: Server) -> None:
    """A32."""
    server.create("empty", [])
    assert code(server.request("POST", "/api/workflows/empty/start")) == (422, "WORKFLOW_EMPTY")


def test_a_worker_alone_runs_without_its_producers_but_not_without_its_inputs(server: Server, tmp_path: Path) -> None:
    """W-18, A15."""
    rows = tmp_path / "rows.txt"
    server.create(
        "etl",
        [
            {"name": "extract", "command": f"echo 1 > {rows}", "outputs": {"rows": str(rows)}},
            {"name": "load", "command": f"cat {rows}", "inputs": {"rows": "extract/rows"}},
        ],
    )
    answer = server.request("POST", "/api/workers/etl/load/start")
    assert code(answer) == (409, "INPUT_NOT_READY")
    assert str(rows) in answer.body["error"]["message"]
    rows.write_text("2\n")
    assert server.post("/api/workers/etl/load/start") == "Worker 'etl/load' started"
    eventually(lambda: server.workers("etl")["load"]["status"] == "completed")
    assert server.status("etl") == "created", "a worker alone changes no workflow status"
    assert server.workers("etl")["extract"]["status"] == "created"
    rows.unlink()
    assert server.request("POST", "/api/workers/etl/load/start?force=true").status == 200
    eventually(lambda: server.workers("etl")["load"]["status"] == "failed")


def test_a_worker_that_runs_alone_holds_up_a_start_of_its_workflow(server: Server) -> None:
    server.create("wf", [{"name": "w", "command": "sleep 600"}])
    server.post("/api/workers/wf/w/start")
    assert code(server.request("POST", "/api/workflows/wf/start")) == (409, "WORKER_RUNNING")
    assert server.post("/api/workers/wf/w/stop") == "Worker 'wf/w' stopped"
    server.post("/api/workflows/wf/start")


def test_a_restart_ends_the_process_and_starts_the_next_attempt(server: Server) -> None:
    """W-20, A17."""
    server.run("re", [{"name": "w", "command": "echo $WATTLE_ATTEMPT; sleep 600"}])
    eventually(lambda: server.get("/api/runs/1")["attempts"])
    first = server.get("/api/runs/1")["attempts"][0]["pid"]
    assert server.post("/api/workers/re/w/restart") == "Worker 're/w' restarted"
    assert not Path(f"/proc/{first}").exists()
    attempts = eventually(lambda: len(a := server.get("/api/runs/1")["attempts"]) == 2 and a)
    assert [attempt["number"] for attempt in attempts] == [1, 2]
    assert attempts[0]["status"] == "cancelled"
    eventually(lambda: server.get("/api/workers/re/w/logs?tail=5") == [{"type": "stdout", "content": "2"}])
    assert server.status("re") == "running"


def test_a_restart_of_what_does_not_run_starts_it(server: Server) -> None:
    """A17."""
    server.create("re", [{"name": "w", "command": "true"}])
    assert server.post("/api/workers/re/w/restart") == "Worker 're/w' restarted"
    eventually(lambda: server.workers("re")["w"]["status"] == "completed")


def test_a_waiting_worker_can_be_forced_to_start_now(server: Server, tmp_path: Path) -> None:
    go = tmp_path / "go"
    server.run("q", [{"name": "a", "command": gate(go)}, {"name": "b", "command": "true", "depends_on": ["a"]}])
    assert code(server.request("POST", "/api/workers/q/b/start")) == (409, "WORKER_QUEUED")
    assert server.request("POST", "/api/workers/q/b/start?force=true").status == 200
    eventually(lambda: server.workers("q")["b"]["status"] == "completed")
    assert server.workers("q")["a"]["status"] == "running"
    go.touch()
    assert server.ended("q") == "completed"


def test_why_is_a_sentence_in_every_state(server: Server, tmp_path: Path) -> None:
    """Promise 3."""
    go = tmp_path / "go"
    workers = [
        {"name": "bad", "command": "echo broken >&2; exit 3"},
        {"name": "after_bad", "command": "true", "depends_on": ["bad"]},
        {"name": "good", "command": "true"},
        {"name": "held", "command": gate(go)},
        {"name": "after_held", "command": "true", "depends_on": ["held"]},
    ]
    server.create("why", workers)
    for worker in workers:
        assert server.get(f"/api/workers/why/{worker['name']}/why")["reason"] == "its workflow has not been started"
    server.post("/api/workflows/why/start")
    eventually(lambda: server.workers("why")["after_bad"]["status"] == "cancelled")
    eventually(lambda: server.workers("why")["held"]["status"] == "running")
    why = {worker["name"]: server.get(f"/api/workers/why/{worker['name']}/why") for worker in workers}
    assert why["bad"]["reason"] == "exit code 3: broken"
    assert why["after_bad"]["reason"] == "it needs bad, which failed (exit code 3: broken)"
    assert (why["good"]["status"], bool(why["good"]["reason"])) == ("completed", True)
    assert why["after_held"]["reason"] == "waits for held (not finished)"
    assert "attempt 1 runs" in why["held"]["reason"]
    go.touch()
    server.ended("why")


def test_the_dag_shows_nodes_edges_and_levels(server: Server, tmp_path: Path) -> None:
    server.create(
        "dag",
        [
            {"name": "a", "command": "true", "outputs": {"x": str(tmp_path / "x")}},
            {"name": "b", "command": "true", "inputs": {"in": "a/x"}},
            {"name": "c", "command": "true", "depends_on": ["a"]},
        ],
    )
    dag = server.get("/api/workflows/dag/dag")
    assert [node["name"] for node in dag["nodes"]] == ["a", "b", "c"]
    assert dag["edges"] == [
        {"from": "a", "to": "b", "input": "in", "output": "x", "path": str(tmp_path / "x")},
        {"from": "a", "to": "c", "input": None, "output": None, "path": None},
    ]
    assert dag["levels"] == [["a"], ["b", "c"]]


def test_an_idempotency_key_starts_one_run(server: Server) -> None:
    server.create("once", [{"name": "w", "command": "true"}])
    first = server.request("POST", "/api/workflows/once/start", Idempotency_Key="k1")
    assert first.status == 200
    server.ended("once")
    again = server.request("POST", "/api/workflows/once/start", Idempotency_Key="k1")
    assert (again.status, again.body["run_id"]) == (200, first.body["run_id"])
    assert len(server.get("/api/workflows/once/runs")) == 1


def test_params_are_refused_where_none_are_declared(server: Server) -> None:
    server.create("p", [{"name": "w", "command": "true"}])
    answer = server.request("POST", "/api/workflows/p/start", {"params": {"x": 1}})
    assert code(answer) == (422, "INVALID_PARAMS")
    assert server.request("POST", "/api/workflows/p/start", {"params": {}}).status == 200


def test_a_hundred_starts_at_once_start_one_run(server: Server) -> None:
    """F59."""
    server.create("race", [{"name": "w", "command": "sleep 600"}])
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: server.request("POST", "/api/workflows/race/start"), range(100)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 99
    assert len(server.get("/api/workflows/race/runs")) == 1


def test_a_long_poll_answers_as_soon_as_something_happens(server: Server) -> None:
    last = server.get("/api/events?after=0&limit=1000")
    after = last[-1]["id"] if last else 0
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.get, f"/api/events?after={after}&wait=30")
        server.create("poll", [])
        events = waiting.result(20)
    assert (events[0]["kind"], events[0]["subject"]) == ("workflow.created", "poll")


def test_a_new_version_concerns_later_runs_and_the_active_one_keeps_its_own(server: Server, tmp_path: Path) -> None:
    """F62."""
    go = tmp_path / "go"
    old = {"name": "v", "workers": [{"name": "a", "command": gate(go)}, {"name": "old", "command": "sleep 600"}]}
    new = {"name": "v", "workers": [{"name": "a", "command": "true"}]}
    server.post("/api/workflows", old)
    server.post("/api/workflows/v/start")
    eventually(lambda: server.workers("v")["old"]["status"] == "running")
    answer = server.request("PUT", "/api/workflows/v", new)
    assert (answer.status, answer.body["data"]) == (200, "Workflow 'v' updated successfully")
    assert set(server.workers("v")) == {"a", "old"}
    assert server.post("/api/workers/v/old/stop") == "Worker 'v/old' stopped"
    go.touch()
    assert server.ended("v") == "cancelled"
    assert set(server.workers("v")) == {"a"}
    server.post("/api/workflows/v/start")
    assert server.ended("v") == "completed"


def test_a_retry_sets_the_failed_attempts_outputs_aside(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    command = f'echo "$WATTLE_ATTEMPT" > {out}; [ "$WATTLE_ATTEMPT" = 2 ]'
    retry = {"limit": 1, "delay_seconds": 0.1}
    server.run("again", [{"name": "w", "command": command, "outputs": {"o": str(out)}, "retry": retry}])
    assert server.ended("again") == "completed"
    assert out.read_text() == "2\n"
    assert (tmp_path / "out.txt.failed-1").read_text() == "1\n"


def test_a_file_that_wattle_did_not_capture_is_never_replaced(server: Server, tmp_path: Path) -> None:
    """A1: only its own earlier capture is."""
    out = tmp_path / "out.txt"
    server.create("cap", [{"name": "w", "command": "date +%N", "outputs": {"o": str(out)}}])
    seen = []
    for _ in range(2):
        server.post("/api/workflows/cap/start")
        assert server.ended("cap") == "completed"
        seen.append(out.read_text())
    assert seen[0] != seen[1], "its own capture is replaced"
    out.write_text("mine\n")
    eventually(lambda: time.time() > out.stat().st_ctime + 0.1)  # clocks of file systems are coarse
    server.post("/api/workflows/cap/start")
    assert server.ended("cap") == "completed"
    assert out.read_text() == "mine\n"
    run = server.get("/api/workflows/cap/runs")[0]["id"]
    notices = server.get(f"/api/runs/{run}")["workers"][0]["notices"]
    assert notices == [f"{out} was there before and is unchanged"]


def test_a_worker_sees_its_names_paths_and_a_findable_python(server: Server, tmp_path: Path) -> None:
    """A4, A5 (the directory is made), A6."""
    server.run(
        "env",
        [
            {"name": "make", "command": "echo x > raw.txt", "outputs": {"raw data": "raw.txt"}},
            {
                "name": "see",
                "command": "env | sort; python -c 'import sys; print(sys.version_info[0])'",
                "inputs": {"raw-in": "make/raw data"},
                "env_vars": {"MINE": "a b"},
            },
        ],
        env_vars={"MINE": "overridden", "SHARED": "yes"},
        working_dir=str(tmp_path / "not/there/yet"),
    )
    assert server.ended("env") == "completed"
    lines = [line["content"] for line in server.get("/api/workers/env/see/logs?tail=500")]
    seen = dict(line.partition("=")[::2] for line in lines)
    raw = str(tmp_path / "not/there/yet/raw.txt")
    assert seen["WATTLE_INPUT_RAW_IN"] == raw
    assert (seen["MINE"], seen["SHARED"], seen["PYTHONUNBUFFERED"]) == ("a b", "yes", "1")
    assert (seen["WATTLE_WORKFLOW"], seen["WATTLE_WORKER"], seen["WATTLE_ATTEMPT"]) == ("env", "see", "1")
    assert seen["WATTLE_RUN_ID"] == "1" and len(seen["WATTLE_ATTEMPT_UID"]) == 36
    assert "WATTLE_DATA_DIR" not in seen
    assert lines[-1] == "3"
