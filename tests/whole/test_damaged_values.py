"""Pages that are whole and hold what nobody wrote: found out, told in words, and no command of it is run (F20)."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.whole.server import Server, eventually

MINE, ANOTHERS = "echo mine > said", "echo oops > said"
VERBS = [["status"], ["list"], ["show", "one"], ["runs", "one"], ["why", "one/w"], ["logs", "one/w"], ["events"]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path).start()
    server.run("one", [{"name": "w", "command": MINE}])
    assert server.ended("one") == "completed"
    server.run("two", [{"name": "w", "command": "true"}])
    assert server.ended("two") == "completed"
    server.down()
    yield server
    server.down()


def alter(server: Server, statement: str) -> None:
    connection = sqlite3.connect(server.data_dir / "wattle.db")
    with connection:
        assert connection.execute(statement).rowcount == 1
    connection.close()


DAMAGES = {
    "another command": "document = replace(document, 'mine', 'oops')",
    "no JSON": "document = substr(document, 2)",
    "no text": "document = CAST(CAST(document AS BLOB) || x'ff' AS TEXT)",
    "no document": "document = '[]'",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_definition_that_nobody_wrote_is_found_out_and_not_run(server: Server, damage: str) -> None:
    assert server.wattle("fsck").returncode == 0, "control: it is sound"
    alter(server, f"UPDATE version SET {DAMAGES[damage]} WHERE document LIKE '%mine%'")
    checked = server.wattle("fsck")
    assert checked.returncode == 5
    assert "wrong  definitions: " in checked.stdout or "damaged" in checked.stdout, checked
    for verb in VERBS:
        done = server.wattle(*verb)
        said = done.stdout + done.stderr
        assert done.returncode in (0, 5) and "Traceback" not in said and " bug " not in said, (verb, said)
        assert "internal error" not in said, (verb, said)
    said = Path(server.directory / "data/work/one/said")
    said.unlink()
    server.start()
    started = server.request("POST", "/api/workflows/one/start")
    assert (started.status, started.body["error"]["code"]) == (503, "STORE_CORRUPT"), started
    assert not said.exists()
    server.post("/api/workflows/two/start")
    assert server.ended("two") == "completed", "the others go on"
    assert "Traceback" not in (server.directory / "serve.log").read_text()


def test_a_run_whose_definition_is_damaged_keeps_no_other_from_going_on(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    for name in ("one", "two"):
        server.run(name, [{"name": "w", "command": f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; exit 7"}])
    eventually(lambda: [server.workers(name)["w"]["status"] for name in ("one", "two")] == ["running"] * 2)
    server.kill()
    alter(server, "UPDATE version SET document = replace(document, 'exit 7', 'exit 0') WHERE workflow_id = 1")
    server.start()
    (tmp_path / "go").touch()
    assert server.ended("two") == "failed"
    log = (tmp_path / "serve.log").read_text()
    assert "run 1 of one cannot be read and is left as it is" in log and "Traceback" not in log
    server.down()


def test_figures_and_launchers_that_are_damaged_hinder_nobody(server: Server) -> None:
    alter(server, "UPDATE attempt SET metrics = 'x' WHERE run_id = 1")
    launcher = server.data_dir / "bin" / "python3"
    launcher.write_bytes(b"\xff\xfe" + launcher.read_bytes())
    server.start()
    assert server.get("/api/runs/1")["attempts"][0]["exit_code"] == 0
    server.run("python", [{"name": "w", "command": "python3 -c pass", "env_vars": {"PATH": os.defpath}}])
    assert server.ended("python") == "completed"
