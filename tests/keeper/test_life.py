"""The keeper's own life: one per directory, small, quiet, and gone when it is not needed."""

import os
import signal
import time
from pathlib import Path

from keeper.client import Client, until

from wattle.keeper.launch import probe, start_keeper

WAIT = ["/bin/sh", "-c", "echo up; while [ ! -e go ]; do sleep 0.01; done"]


def test_it_ends_when_it_has_neither_worker_nor_queue_nor_daemon(data: Client) -> None:
    data.linger_seconds = 2.0  # this process has to connect within it
    data.start()
    uid = data.order(WAIT)
    data.wait_record("started", uid)
    assert probe(str(data.data_dir))
    data.disconnect()
    time.sleep(2.5)
    assert os.waitpid(data.pid, os.WNOHANG) == (0, 0), "a worker lives"
    (data.data_dir / "go").touch()
    assert data.reap_keeper() == 0
    assert not probe(str(data.data_dir))
    assert not (data.data_dir / "keeper.sock").exists()
    assert [record["kind"] for record in data.journal()] == ["started", "ended"]


def test_it_ends_when_whoever_started_it_never_connects(tmp_path: Path) -> None:
    """A daemon that is killed right after leaves no keeper behind."""
    pid = start_keeper(str(tmp_path), 0.2)
    try:
        assert until(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, "its end")
    except AssertionError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    assert not probe(str(tmp_path))


def test_a_daemon_keeps_it_alive(data: Client) -> None:
    data.linger_seconds = 2.0  # as above
    data.start()
    time.sleep(2.5)
    assert data.run(["true"])["exit_code"] == 0


def test_there_is_one_keeper_per_directory(keeper: Client) -> None:
    second = start_keeper(str(keeper.data_dir))
    assert os.waitpid(second, 0)[1] == 0
    assert "another keeper" in (keeper.data_dir / "keeper.log").read_text()
    assert keeper.run(["true"])["exit_code"] == 0


def test_probe_is_false_where_nothing_is(tmp_path: Path) -> None:
    assert not probe(str(tmp_path))
    assert not probe(str(tmp_path / "missing"))


def test_quit_waits_for_workers_and_then_goes(keeper: Client) -> None:
    uid = keeper.order(WAIT)
    keeper.wait_record("started", uid)
    keeper.send(type="quit")
    (keeper.data_dir / "go").touch()
    keeper.wait_record("ended", uid)
    assert keeper.reap_keeper() == 0


def test_quit_is_immediate_when_nothing_runs(keeper: Client) -> None:
    keeper.send(type="quit")
    assert keeper.reap_keeper() == 0


def test_terminal_signals_do_not_end_it_and_term_waits_for_workers(keeper: Client) -> None:
    uid = keeper.order(WAIT)
    keeper.wait_record("started", uid)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGTERM):
        os.kill(keeper.pid, number)
    assert os.getsid(keeper.pid) == keeper.pid != os.getsid(0)
    (keeper.data_dir / "go").touch()
    assert keeper.wait_record("ended", uid)["exit_code"] == 0
    assert keeper.reap_keeper() == 0


def test_a_thousand_workers_are_exact_and_leave_nothing(keeper: Client) -> None:
    keeper.send(type="limits", groups={"run": 4})
    keeper.run(["true"])
    before = len(os.listdir(f"/proc/{keeper.pid}/fd"))
    entries = [keeper.entry(["/bin/true"], timeout_seconds=60) for _ in range(1000)]
    keeper.send(type="order", orders=entries)
    for entry in entries:
        record = keeper.wait_record("ended", entry["uid"])
        assert (record["exit_code"], record["known"]) == (0, True)
    assert [record["seq"] for record in keeper.records] == list(range(1, 2003))
    assert len(os.listdir(f"/proc/{keeper.pid}/fd")) == before
    assert Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children").read_text() == ""


def test_a_thousand_orphans_become_no_zombies(keeper: Client) -> None:
    script = "i=0; while [ $i -lt 200 ]; do (true &) ; i=$((i+1)); done"
    uids = [keeper.order(["/bin/sh", "-c", script]) for _ in range(5)]
    for uid in uids:
        assert keeper.wait_record("ended", uid)["exit_code"] == 0
    until(lambda: not Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children").read_text(), "the last one's end")


def test_it_does_nothing_while_nothing_happens(keeper: Client) -> None:
    uid = keeper.order(["sleep", "60"], timeout_seconds=3600)
    keeper.wait_record("started", uid)
    keeper.send(type="describe", uid=uid, request=1)
    keeper.wait_message("tree", request=1)
    until(lambda: _sleeps(keeper.pid), "the keeper's rest after its answer")
    before = _switches(keeper.pid)
    time.sleep(0.5)
    assert _switches(keeper.pid) == before


def _sleeps(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def _switches(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if "ctxt_switches" in line)


def test_the_daemons_death_changes_nothing_for_its_workers(keeper: Client) -> None:
    uid = keeper.order(WAIT)
    pid = keeper.wait_record("started", uid)["pid"]
    keeper.disconnect()
    (keeper.data_dir / "go").touch()
    until(lambda: len(keeper.journal()) == 2, "the end in the journal")
    assert keeper.journal()[1]["exit_code"] == 0
    keeper.connect()
    assert keeper.hello["seq"] == 2 and keeper.hello["live"] == [] and pid


def test_it_imports_nothing_else_of_wattle_and_stays_small(keeper: Client) -> None:
    maps = Path(f"/proc/{keeper.pid}/maps").read_text()
    assert "_sqlite3" not in maps and "_ssl" not in maps
    source = Path(start_keeper.__code__.co_filename).parent
    for module in source.glob("*.py"):
        for line in module.read_text().splitlines():
            if line.startswith(("import ", "from ")):
                name = line.split()[1]
                assert not name.startswith("wattle") or name.startswith("wattle.keeper"), (module.name, line)
                assert name.split(".")[0] not in {"typing", "dataclasses", "logging"}, (module.name, line)
