"""In a container that lacks what newer kernels have, the fallbacks that `wattle doctor` names do (O12)."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.whole.server import WATTLE, Server, command_of, eventually, marked
from tests.whole.test_doctor import DENIED
from tests.whole.test_stopping import EVASIVE

LACKS = {
    "pidfd_get_info": "exit status",
    "inotify_init1": "inotify",
    "setxattr": "attributes",
    "fallocate": "hole punching",
}
SANDBOX = [word for call in LACKS for word in (*DENIED, call)]


# T5, T6, T8, T10; T9 takes its ten seconds in tests/keeper/test_trees.py and uses none of these calls.
TREES = "storm_is_over_within or may_be_left_behind_lives or was_suspended or thousand_orphans"


def test_other_trees_without_the_newer_calls() -> None:
    """O12: the keeper's own tests of trees, in the same sandbox."""
    files = [str(Path(__file__).parents[1] / "keeper" / name) for name in ("test_trees.py", "test_ending.py")]
    command = [*SANDBOX, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", TREES, *files]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout, done.stdout


def test_trees_and_crashes_without_the_newer_calls(tmp_path: Path) -> None:
    """O12: T1 to T4 (four evasive descendants are stopped), C1 and C2 (the daemon is dead while 7 happens), C3, C4."""
    done = subprocess.run(
        [*SANDBOX, *WATTLE, "--data-dir", str(tmp_path / "data"), "doctor", "--json"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    levels = {finding["subject"]: finding["level"] for finding in json.loads(done.stdout)["findings"]}
    assert {subject: levels[subject] for subject in LACKS.values()} == dict.fromkeys(LACKS.values(), "degraded")
    assert done.returncode == 0

    server = Server(tmp_path, before=SANDBOX).start()
    go, script, mark = tmp_path / "go", tmp_path / "evasive.py", f"lacks-{server.port}"
    script.write_text(EVASIVE)
    wait = f"i=0; while [ ! -e {go} ]; do echo $i; i=$((i+1)); sleep 0.05; done"
    try:
        evasive = {"name": "evasive", "command": f"{sys.executable} {script} {mark}", "stop": {"grace_seconds": 0.3}}
        server.run("tree", [evasive])
        eventually(lambda: len([pid for pid in marked(mark) if "600" in command_of(pid)]) == 4)
        eventually(lambda: {"type": "stdout", "content": "up"} in server.get("/api/workers/tree/evasive/logs?tail=9"))
        assert server.request("POST", "/api/workers/tree/evasive/stop").body["stop"]["survivors"] == 0
        assert marked(mark) == []

        workers = [
            {"name": "seven", "command": f"{wait}; exit 7"},
            {"name": "segv", "command": f"{wait}; kill -SEGV $$"},
            {"name": "well", "command": f"{wait}; echo done > well.txt", "outputs": {"out": "well.txt"}},
            {"name": "next", "command": "cat well.txt", "depends_on": ["well"]},
        ]
        server.run("orphans", workers)
        eventually(lambda: [w["status"] for w in server.workers("orphans").values()].count("running") == 3)
        live = {a["worker"]: a["pid"] for a in server.get("/api/runs/2")["attempts"]}
        server.kill()
        go.touch()
        eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in live.values()))
        server.start()
        assert server.ended("orphans") == "failed"
        attempts = {a["worker"]: a for a in server.get("/api/runs/2")["attempts"]}
        assert (attempts["seven"]["exit_code"], attempts["segv"]["signal"]) == (7, signal.SIGSEGV)
        assert {name: attempts[name]["pid"] for name in live} == live
        assert server.workers("orphans")["next"]["status"] == "completed"
        *numbers, last = Path(attempts["seven"]["stdout"]).read_text().split()
        assert [*numbers, last] == [str(i) for i in range(len(numbers) + 1)]

        go.unlink()
        server.run("kept", [{"name": "w", "command": f"{wait}; true"}])
        pid = eventually(lambda: server.get("/api/workers/kept/w/why")["pid"])
        (keeper,) = server.keeper_pids()
        os.kill(keeper, signal.SIGKILL)
        eventually(lambda: server.keeper_pids() not in ([], [keeper]))
        assert server.get("/api/workers/kept/w/why")["pid"] == pid
        go.touch()
        eventually(lambda: server.status("kept") != "running")
        reason = server.workers("kept")["w"]["error_message"]
        assert reason in (None, "exit status unknown"), "the new keeper is no parent of it"
        server.run("after", [{"name": "new", "command": "exit 0"}])
        assert server.ended("after") == "completed"
    finally:
        server.down()
