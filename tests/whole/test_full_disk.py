"""The disk of the data directory is full (F22 to F24) or breaks (F25), the database is locked (F19): what runs goes
on, nothing is lost or runs twice, calls are refused in words, and everything goes on by itself once that is over.
"""

import fcntl
import itertools
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.disks import MIB, fill, fill_inodes, small_disk
from tests.whole.server import Reply, Server, eventually
from wattle.keeper.journal import read_records

WITNESS = 'echo "$WATTLE_ATTEMPT_UID" >> {witness}'
FULL_WORDS = "is full: what runs goes on"


class Scene:
    """A server whose data directory is on a small disk, and everything else is not."""

    def __init__(self, place: Path, disk: Path, ballast_bytes: int = MIB) -> None:
        self.disk, self.place, self.keeps_room = disk, place, ballast_bytes > 0
        self.go, self.witness = place / "go", place / "witness"
        self.server = Server(place, "--ballast-bytes", str(ballast_bytes))
        self.server.data_dir = disk / "data"
        self.server.start()

    @property
    def log(self) -> str:
        return (self.place / "serve.log").read_text()

    def waiting(self, count: int, then: str = "exit {i}") -> list[dict[str, Any]]:
        """Workers that leave a line elsewhere, wait for the go, and end with a status of their own."""
        wait = f"{WITNESS.format(witness=self.witness)}; while [ ! -e {self.go} ]; do sleep 0.05; done; "
        return [{"name": f"w{i}", "command": wait + then.format(i=i)} for i in range(count)]

    def run(self, name: str, workers: list[dict[str, Any]], **fields: Any) -> None:
        self.server.run(name, workers, working_dir=str(self.place / "work" / name), **fields)

    def end(self) -> None:
        """Leave nothing behind, whatever came of it."""
        (self.disk / "filler").unlink(missing_ok=True)
        (self.place / "flood.py").unlink(missing_ok=True)
        self.go.touch()
        if self.server.process is None:
            self.server.start()
        self.server.down()

    def lines(self) -> list[str]:
        return self.witness.read_text().splitlines() if self.witness.exists() else []

    def journaled(self, kind: str) -> int:
        records = list(read_records(str(self.server.data_dir / "journal"), {}))
        return len([record for _, record in records if record["kind"] == kind])

    def fill(self) -> None:
        """Fill the disk until it stays full: the ballast is given up meanwhile."""
        fill(self.disk)
        eventually(lambda: fill(self.disk) == 0 and self.ready()[0] == 503)
        fill(self.disk)

    def free(self) -> None:
        (self.disk / "filler").unlink()

    def ready(self) -> tuple[int, str]:
        reply = self.server.request("GET", "/readyz")
        return reply.status, reply.body.get("error", {}).get("message", "")

    def refused(self, method: str, path: str, body: Any = None) -> str:
        """The message of a call that must be refused for want of room, in the documented envelope."""
        reply = self.server.request(method, path, body)
        assert reply.status == 507, (path, reply)
        return self.refusal(reply)

    def refusal(self, reply: Reply) -> str:
        assert reply.body["success"] is False and reply.body["error"]["code"] == "INSUFFICIENT_STORAGE", reply
        assert "retry-after" in reply.headers
        return str(reply.body["error"]["message"])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path


SCENES = [("tmpfs", MIB), ("ext4", MIB), ("ext4-4k", MIB), ("tmpfs", 0), ("ext4", 0)]


@pytest.fixture(params=SCENES, ids=lambda p: f"{p[0]}-{p[1]}")
def scene(place: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    kind, ballast_bytes = request.param
    with small_disk(place / "mount", kind, 16 * MIB) as disk:
        scene = Scene(place, disk, ballast_bytes)
        try:
            yield scene
        finally:
            scene.end()


def test_thirty_workers_live_through_a_full_disk(scene: Scene) -> None:
    """F22: I1 to I4 hold afterwards, without a restart. Positive control: with no room kept the database cannot be
    written, and what happens waits in memory; with it the end of the run is on disk before there is space again."""
    server = scene.server
    server.create("idle", [{"name": "only", "command": "true"}])
    scene.run("thirty", scene.waiting(30), max_parallel=10)
    eventually(lambda: len(scene.lines()) == 10)
    assert (server.data_dir / "ballast").exists() is scene.keeps_room
    scene.fill()

    document = {"name": "new", "workers": [{"name": "only", "command": "true"}]}
    assert "full" in scene.refused("POST", "/api/workflows", document)
    scene.refused("POST", "/api/workflows/idle/start")
    scene.refused("POST", "/api/workers/idle/only/start")
    scene.refused("PUT", "/api/workflows/idle", document | {"name": "idle", "description": "changed"})
    scene.refused("DELETE", "/api/workflows/idle")
    assert server.request("GET", "/api/workflows/new").status == 404, "nothing half done"
    assert server.status("idle") == "created"
    assert server.get("/healthz") == {"status": "ok"}
    assert server.status("thirty") == "running"
    status, message = scene.ready()
    assert status == 503 and str(server.data_dir) in message and "full" in message
    assert "the server is not ready: The disk of" in server.wattle("status").stderr

    scene.go.touch()
    eventually(lambda: scene.journaled("ended") == 30)  # the journal has kept room for it, whatever the database has
    if scene.keeps_room:
        assert server.ended("thirty") == "failed"
    else:
        eventually(lambda: "the database cannot be written" in scene.log)
        assert server.status("thirty") == "running", "what was on disk last"
        scene.refused("POST", "/api/workflows/thirty/stop")
    assert scene.ready()[0] == 503

    scene.free()
    assert server.ended("thirty") == "failed"
    attempts = server.get("/api/runs/1")["attempts"]
    assert {attempt["worker"]: attempt["exit_code"] for attempt in attempts} == {f"w{i}": i for i in range(30)}
    assert len(attempts) == len(set(scene.lines())) == len(scene.lines()) == 30, "each was started once"
    eventually(lambda: scene.ready()[0] == 200)
    assert (server.data_dir / "ballast").exists() is scene.keeps_room
    assert scene.log.count(FULL_WORDS) == 1
    assert scene.log.count("the database cannot be written") == (0 if scene.keeps_room else 1)
    kinds = [event["kind"] for event in server.get("/api/events?after=0&limit=1000")]
    assert kinds.count("worker.running") == 30 and kinds.count("run.failed") == 1
    server.create("new", document["workers"])
    assert "Traceback" not in scene.log + (server.data_dir / "keeper.log").read_text()


def test_a_daemon_killed_on_a_full_disk_comes_back_on_it_and_loses_nothing(scene: Scene) -> None:
    """F22 with F04: it starts although there is no room, takes in the journal, and writes it down later."""
    server = scene.server
    scene.run("kept", scene.waiting(8))
    eventually(lambda: len(scene.lines()) == 8)
    scene.fill()
    server.kill()
    scene.go.touch()
    eventually(lambda: scene.journaled("ended") == 8)
    server.start()
    eventually(lambda: FULL_WORDS in scene.log)
    assert server.get("/healthz") == {"status": "ok"}
    assert scene.ready()[0] == 503
    scene.free()
    assert server.ended("kept") == "failed"
    attempts = server.get("/api/runs/1")["attempts"]
    assert {attempt["worker"]: attempt["exit_code"] for attempt in attempts} == {f"w{i}": i for i in range(8)}
    assert len(scene.lines()) == 8


FLOOD = """
import os, sys, time
while not os.path.exists(sys.argv[1]):
    time.sleep(0.02)
while os.path.exists(sys.argv[0]):  # it ends with the test, whatever came of that
    try:
        os.write(1, b"x" * 65536)
    except OSError:
        pass  # what it cannot write is its own affair, and it tries again at once
"""


def test_a_worker_that_floods_the_disk_can_be_stopped(scene: Scene) -> None:
    """F23, F41: it takes every block as soon as it is free. Positive control: with no room kept, the stop cannot be
    written down, and so is not done."""
    server = scene.server
    (scene.place / "flood.py").write_text(FLOOD)
    scene.run("quiet", scene.waiting(5))
    flood = [str(scene.place / "flood.py"), str(scene.place / "flood.go")]
    scene.run("loud", [{"name": "flood", "command": sys.executable, "args": flood}])
    pid = eventually(lambda: server.get("/api/runs/2")["attempts"])[0]["pid"]
    try:
        eventually(lambda: len(scene.lines()) == 5)
        (scene.place / "flood.go").touch()
        eventually(lambda: scene.ready()[0] == 503)
        scene.go.touch()
        eventually(lambda: scene.journaled("ended") == 5)
        new = ({"name": f"new{number}", "workers": []} for number in itertools.count())
        # The file system has a few blocks for a moment now and then: refused is what finds none.
        scene.refusal(
            eventually(lambda: (reply := server.request("POST", "/api/workflows", next(new))).status == 507 and reply)
        )
        if scene.keeps_room:
            assert server.request("POST", "/api/workers/loud/flood/stop").status == 200
            assert not os.path.exists(f"/proc/{pid}")
            assert (server.ended("loud"), server.ended("quiet")) == ("cancelled", "failed")
        else:
            eventually(lambda: "the database cannot be written" in scene.log)
            assert "full" in scene.refused("POST", "/api/workers/loud/flood/stop")
    finally:
        if not scene.keeps_room:
            os.kill(pid, signal.SIGKILL)
        for path in (server.data_dir / "logs").rglob("*.out"):
            os.truncate(path, 0)
    assert (server.ended("loud"), server.ended("quiet")) == ("cancelled" if scene.keeps_room else "failed", "failed")
    runs = server.get("/api/workflows/quiet/runs")
    attempts = server.get(f"/api/runs/{runs[0]['id']}")["attempts"]
    assert {attempt["worker"]: attempt["exit_code"] for attempt in attempts} == {f"w{i}": i for i in range(5)}
    eventually(lambda: scene.ready()[0] == 200)
    assert "Traceback" not in scene.log


def test_where_no_inode_is_left_workers_wait_for_their_logs(place: Path) -> None:
    """F24: no log file can be made, so nothing is started, nothing has failed, and nothing is started twice."""
    with small_disk(place / "mount", size_bytes=16 * MIB, options=",nr_inodes=200") as disk:
        scene = Scene(place, disk)
        server = scene.server
        try:
            scene.run("some", scene.waiting(12), max_parallel=4)
            eventually(lambda: len(scene.lines()) == 4)
            assert fill_inodes(disk) > 50
            scene.go.touch()
            eventually(lambda: scene.journaled("ended") >= 4 and "log file" in scene.log)
            assert scene.ready()[0] == 503
            assert server.status("some") == "running"
            assert len(scene.lines()) < 12, "the fault fired"
        finally:
            shutil.rmtree(disk / "inodes")
        assert server.ended("some") == "failed"
        attempts = server.get("/api/runs/1")["attempts"]
        assert {attempt["worker"]: attempt["exit_code"] for attempt in attempts} == {f"w{i}": i for i in range(12)}
        assert len(set(scene.lines())) == len(scene.lines()) == 12
        eventually(lambda: scene.ready()[0] == 200)
        scene.end()


def test_a_full_disk_of_the_users_files_harms_their_worker_only(server: Server, tmp_path: Path) -> None:
    """Outputs, links and directories of another file system: a reason in words, and no half a file."""
    with small_disk(tmp_path / "mount", "ext4", 2 * MIB) as disk:
        (disk / "work").mkdir()
        fill(disk)
        big = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done"
        workers = [
            {"name": "captured", "command": big, "outputs": {"out": "out.txt"}},
            {"name": "made", "command": "true", "outputs": {"out": "there/out.txt"}},
            {"name": "writes", "command": "head -c 100000 /dev/zero > mine"},
            {"name": "printed", "command": "echo fine"},
        ]
        server.run("on-full", workers, working_dir=str(disk / "work"))
        server.run("elsewhere", [{"name": "w", "command": "echo fine", "outputs": {"out": "fine.txt"}}])
        assert server.ended("elsewhere") == "completed"
        assert server.ended("on-full") == "failed"
        attempts = {attempt["worker"]: attempt for attempt in server.get("/api/runs/1")["attempts"]}
        assert attempts["captured"]["reason_code"] == "capture_failed"
        assert "No space left on device" in attempts["captured"]["reason"]
        assert attempts["captured"]["exit_code"] == 0
        assert attempts["made"]["reason_code"] == "directory_unusable"
        assert attempts["writes"]["reason_code"] == "exit_code"
        assert attempts["printed"]["exit_code"] == 0
        assert {path.name for path in (disk / "work").iterdir()} <= {"mine"}, "no half a copy"
        logs = server.get("/api/workers/on-full/printed/logs?tail=5")
        assert [line["content"] for line in logs] == ["fine"]
        assert server.request("GET", "/readyz").status == 200


def test_a_first_start_on_a_full_disk_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with small_disk(tmp_path / "mount", size_bytes=MIB) as disk:
        server = Server(tmp_path)
        server.data_dir = disk / "data"
        fill(disk)
        answer = server.wattle("serve", "--listen", "127.0.0.1:0")
        assert answer.returncode == 5
        assert len(answer.stderr.splitlines()) == 1 and str(server.data_dir) in answer.stderr, answer.stderr
        assert "No space left on device" in answer.stderr or "full" in answer.stderr
        (disk / "filler").unlink()
        subprocess.run(["mount", "-o", f"remount,size={8 * MIB}", str(disk)], check=True)
        assert server.start().get("/healthz") == {"status": "ok"}, "positive control: it was the disk"
        server.down()


def test_a_disk_that_breaks_is_503_and_workers_go_on(place: Path) -> None:
    """F25: every write of the data directory is EIO from one moment to the next, for good."""
    with small_disk(place / "mount", "ext4", 16 * MIB) as disk:
        scene = Scene(place, disk)
        server = scene.server
        try:
            scene.run("some", scene.waiting(6, then=f"echo end >> {place / 'witness'}"), max_parallel=4)
            eventually(lambda: len(scene.lines()) == 4)
            break_down(disk)
            eventually(lambda: scene.ready()[0] == 503)
            for method, path, body in (
                ("POST", "/api/workflows", {"name": "new", "workers": []}),
                ("POST", "/api/workflows/some/stop", None),
                ("POST", "/api/workers/some/w0/restart", None),
            ):
                reply = server.request(method, path, body)
                assert reply.status == 503, reply
                assert reply.body["error"]["code"] in ("STORE_UNAVAILABLE", "STORE_CORRUPT")
            assert server.get("/healthz") == {"status": "ok"}
            scene.go.touch()
            eventually(lambda: scene.lines().count("end") == 4)
            eventually(lambda: "the journal cannot be written: Input/output error" in scene.log)
            assert len(scene.lines()) == 8, "nothing new was started"
            assert "Traceback" not in scene.log
        finally:
            (keeper,) = server.keeper_pids()
            server.kill()
            os.kill(keeper, signal.SIGKILL)


def break_down(disk: Path) -> None:
    """Shut an ext4 file system down as its own error handling does (FS_IOC_SHUTDOWN, nothing is written back)."""
    descriptor = os.open(disk, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, 0x8004587D, struct.pack("I", 2))
    finally:
        os.close(descriptor)


def test_a_database_locked_by_another_process_is_503_until_it_is_free(server: Server, tmp_path: Path) -> None:
    """F19: a stop that is refused has changed nothing; what ends meanwhile is written down afterwards."""
    go = tmp_path / "go"
    workers = [
        {"name": "ends", "command": f"while [ ! -e {go} ]; do sleep 0.02; done; exit 7"},
        {"name": "stays", "command": "sleep 600"},
    ]
    server.run("locked", workers)
    eventually(lambda: [worker["status"] for worker in server.workers("locked").values()] == ["running"] * 2)
    with closing(sqlite3.connect(server.data_dir / "wattle.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        stop, delete = ("POST", "/api/workers/locked/stays/stop"), ("DELETE", "/api/workflows/locked?force=true")
        for method, path in (stop, delete):
            reply = server.request(method, path)
            assert (reply.status, reply.body["error"]["code"]) == (503, "STORE_UNAVAILABLE"), reply
            assert "locked" in reply.body["error"]["message"] and "retry-after" in reply.headers
        assert server.workers("locked")["stays"]["status"] == "running"
        go.touch()
        eventually(lambda: "the database cannot be written" in (tmp_path / "serve.log").read_text())
        other.execute("ROLLBACK")
    eventually(lambda: server.workers("locked")["ends"]["error_message"] == "exit code 7")
    stays = server.workers("locked")["stays"]
    assert (stays["status"], stays["phase"]) == ("running", "running"), "the refused stop has left it alone"
    assert server.request("POST", "/api/workers/locked/stays/stop").status == 200
    assert server.ended("locked") == "failed"
