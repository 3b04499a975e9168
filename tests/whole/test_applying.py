"""`wattle apply` while a run is active: its services take their new definition, and nothing else of it moves."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.whole.server import Server, eventually, marked

FAST = {"ready": {"file": "up", "period_seconds": 0.05}}
TELLS = {"ready": {"notify": 5}}  # once its line is in `witness`: what needs it comes after that


def service(name: str, number: int, directory: Path, **fields: Any) -> dict[str, Any]:
    """It leaves a line in `witness`, the last thing its shell does, and is found by its name and the directory."""
    says = f"echo {name} {number} $$"
    tells = "; echo >&5" if fields.get("ready") == TELLS["ready"] else ""
    sleeps = f"exec python -c 'import signal; signal.pause()' {directory}/{name}"
    command = f"touch up; {says}; {says} >> witness{tells}; {sleeps}"
    return {"name": name, "kind": "service", "command": command, **fields}


def definition(directory: Path, *services: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """`app` uses them all and runs until `go` is there."""
    app = {
        "name": "app",
        "command": "while [ ! -e go ]; do sleep 0.05; done; echo went",
        "depends_on": [each["name"] for each in services],
    }
    return {"name": "shop", "working_dir": str(directory), "workers": [*services, app], **fields}


def seen(directory: Path) -> list[list[str]]:
    """[name, number, pid] of each that began, in their order."""
    try:
        return [line.split() for line in (directory / "witness").read_text().splitlines()]
    except FileNotFoundError:
        return []


def apply(server: Server, document: dict[str, Any]) -> Any:
    path = server.directory / "shop.json"
    path.write_text(json.dumps(document))
    return server.wattle("apply", str(path))


def run_of(server: Server) -> Any:
    return server.get("/api/runs/1")


def pid_of(server: Server, worker: str) -> int:
    attempts = [each for each in run_of(server)["attempts"] if each["worker"] == worker]
    (pid,) = [each["pid"] for each in attempts if not each["completed_at"]]
    return int(pid)


def begin(server: Server, directory: Path, *services: dict[str, Any]) -> None:
    directory.mkdir()
    document = definition(directory, *services)
    server.run("shop", document.pop("workers"), working_dir=document["working_dir"])
    eventually(lambda: server.workers("shop")["app"]["status"] == "running")
    eventually(lambda: len(seen(directory)) == len(services))  # their shells have come to run


def test_services_of_an_active_run_are_restarted_producers_first_and_the_rest_goes_on(
    server: Server, tmp_path: Path
) -> None:
    here = tmp_path / "shop"
    begin(server, here, service("base", 1, here), service("still", 1, here),
          service("db", 1, here, depends_on=["base"]))  # fmt: skip
    app, still = pid_of(server, "app"), pid_of(server, "still")
    services = [service("db", 2, here, depends_on=["base"]), service("base", 2, here, **TELLS)]
    new = definition(here, *services, service("still", 1, here))
    done = apply(server, new)
    assert (done.returncode, done.stdout.splitlines()) == (0, [
        "Workflow 'shop' updated",
        "Service 'shop/base' restarted with its new definition",
        "Service 'shop/db' restarted with its new definition",
        "Run 1 is active and keeps the rest of the definition that it began with. "
        "`wattle restart shop` ends it and begins a new one",
    ]), done.stderr  # fmt: skip
    eventually(lambda: len(seen(here)) == 5)
    assert [line[:2] for line in seen(here)[3:]] == [["base", "2"], ["db", "2"]]
    assert (pid_of(server, "app"), pid_of(server, "still")) == (app, still)
    assert {each["name"]: each["version"] for each in run_of(server)["workers"]} == {
        "base": 2, "still": 1, "db": 2, "app": 1,
    }  # fmt: skip
    assert server.wattle("logs", "shop/db").stdout == f"db 2 {seen(here)[4][2]}\n"
    assert server.get("/api/workers/shop/db/why")["reason"] == "its attempt 2 runs and is ready"
    assert apply(server, new).stdout == "Workflow 'shop' unchanged\n"
    (here / "go").touch()
    assert server.ended("shop") == "completed"
    assert len(seen(here)) == 5 and marked(str(here)) == []
    assert server.wattle("fsck").returncode == 0


def test_a_service_that_keeps_crashing_is_mended_within_its_run(server: Server, tmp_path: Path) -> None:
    """In back-off; its consumer waits for it meanwhile."""
    here = tmp_path / "shop"
    here.mkdir()
    broken = {"name": "db", "kind": "service", "command": "exit 3", "restart": {"delay_seconds": 300}, **FAST}
    document = definition(here, broken)
    server.run("shop", document.pop("workers"), working_dir=document["working_dir"])
    eventually(lambda: server.workers("shop")["db"]["phase"] == "retrying")
    done = apply(server, definition(here, service("db", 2, here, **FAST)))
    assert "Service 'shop/db' restarted with its new definition" in done.stdout
    (here / "go").touch()
    assert server.ended("shop") == "completed"
    assert [attempt["number"] for attempt in run_of(server)["attempts"] if attempt["worker"] == "db"] == [1, 2]


def test_what_a_run_cannot_take_is_said_and_begins_with_the_next(server: Server, tmp_path: Path) -> None:
    here = tmp_path / "shop"
    begin(server, here, service("base", 1, here, **TELLS), service("db", 1, here))
    before = pid_of(server, "db")
    new = definition(here, service("base", 1, here, **TELLS), service("db", 2, here, depends_on=["base"]))
    done = apply(server, new)
    assert done.returncode == 0 and done.stdout.splitlines()[1] == (
        "Worker 'shop/db' keeps its definition in run 1: its inputs or depends_on are others; "
        "the new one is for the next run, which a restart of 'shop' begins"
    )
    refused = server.request("POST", "/api/workers/shop/db/apply")
    assert (refused.status, refused.body["error"]["code"]) == (409, "NEEDS_NEW_RUN")
    assert server.request("POST", "/api/workers/shop/app/apply").data == "Worker 'shop/app' has that definition already"
    assert server.request("POST", "/api/workers/shop/nobody/apply").status == 404
    assert pid_of(server, "db") == before
    why = server.get("/api/workers/shop/db/why")["reason"]
    assert why == "its attempt 1 runs and is ready, with an older definition than the stored one"
    server.post("/api/workflows/shop/restart")
    eventually(lambda: [line[:2] for line in seen(here)[2:]] == [["base", "1"], ["db", "2"]])


@pytest.mark.parametrize("point", ["daemon.stop.accepted:1:kill", "daemon.stop.answered:1:kill"])
def test_a_daemon_that_dies_about_it_leaves_one_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """Before the commit nothing has happened, after it the next daemon goes on; either way `apply` may be repeated."""
    monkeypatch.setenv("WATTLE_FAILPOINT", point)
    fired = tmp_path / "fired"
    monkeypatch.setenv("WATTLE_FAILPOINT_FIRED", str(fired))
    server = Server(tmp_path).start()
    here = tmp_path / "shop"
    try:
        begin(server, here, service("db", 1, here))
        app = pid_of(server, "app")
        new = definition(here, service("db", 2, here))
        assert apply(server, new).returncode == 4
        assert fired.read_text().startswith(point), "the fault fired"
        assert server.process is not None
        server.process.wait(10)
        monkeypatch.delenv("WATTLE_FAILPOINT")
        server.start()
        if "answered" in point:
            eventually(lambda: [line[:2] for line in seen(here)] == [["db", "1"], ["db", "2"]])
        assert apply(server, new).returncode == 0
        eventually(lambda: [line[:2] for line in seen(here)] == [["db", "1"], ["db", "2"]])
        eventually(lambda: marked(f"{here}/db") == [int(seen(here)[1][2])])  # one copy, and no child of its shell
        assert (pid_of(server, "app"), pid_of(server, "db")) == (app, int(seen(here)[1][2]))
        (here / "go").touch()
        assert server.ended("shop") == "completed"
    finally:
        server.down()


@pytest.mark.parametrize("with_keeper", [False, True], ids=["daemon", "daemon and keeper"])
def test_a_daemon_killed_while_the_old_one_takes_its_time_keeps_its_grace(tmp_path: Path, with_keeper: bool) -> None:
    """The stop is committed, the old process lives on for a while: it ends by its own definition."""
    server = Server(tmp_path).start()
    here = tmp_path / "shop"
    try:
        slow = service("db", 1, here) | {"stop": {"grace_seconds": 60}}
        slow["command"] = "trap 'while [ ! -e end ]; do sleep 0.05; done; exit 0' TERM; echo db 1 $$ >> witness; " \
            "while :; do sleep 0.05; done"  # fmt: skip
        begin(server, here, slow)
        new = definition(here, service("db", 2, here, stop={"grace_seconds": 0}))
        asking = threading.Thread(target=apply, args=(server, new))
        asking.start()
        eventually(lambda: server.workers("shop")["db"]["phase"] == "stopping")
        keepers = server.keeper_pids() if with_keeper else []
        server.kill()
        for keeper in keepers:
            os.kill(keeper, signal.SIGKILL)
        server.start()
        old = int(seen(here)[0][2])
        assert os.path.exists(f"/proc/{old}") and server.workers("shop")["db"]["phase"] == "stopping"
        (here / "end").touch()
        eventually(lambda: [line[:2] for line in seen(here)] == [["db", "1"], ["db", "2"]])
        asking.join(30)
        (here / "go").touch()
        assert server.ended("shop") == "completed"
    finally:
        server.down()
