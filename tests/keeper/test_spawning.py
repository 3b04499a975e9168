"""What a worker is given, how its end is told, and why one does not start."""

import errno
import os
import resource
import shutil
import signal
import stat
import sys
import time
from pathlib import Path

import pytest
from keeper.client import PYTHON, Client, until

from wattle.keeper import launch
from wattle.keeper.refusals import refusal_of
from wattle.keeper.worker import Order


@pytest.mark.parametrize("code", [0, 1, 7, 126, 127, 255])
def test_exit_codes_are_exact(keeper: Client, code: int) -> None:
    record = keeper.run(["/bin/sh", "-c", f"exit {code}"])
    assert (record["exit_code"], record["signal"], record["known"], record["cause"]) == (code, None, True, None)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGPIPE, signal.SIGUSR1])
def test_signals_are_exact_and_no_exit_code(keeper: Client, number: int) -> None:
    record = keeper.run(["/bin/sh", "-c", f"kill -{int(number)} $$; sleep 60"])
    assert (record["exit_code"], record["signal"]) == (None, number)


def test_a_record_tells_when_and_how_much(keeper: Client) -> None:
    before = time.time_ns() // 1000
    record = keeper.run([*PYTHON, "x = b'x' * (64 << 20)"], tag=["any", {"json": None}])
    started = keeper.wait_record("started", record["uid"])
    assert before <= record["started_at"] == started["at"] <= record["at"] <= time.time_ns() // 1000
    assert abs(record["at"] - record["started_at"] - record["duration_us"]) < 100_000
    assert record["tag"] == started["tag"] == ["any", {"json": None}]
    assert record["user_us"] + record["system_us"] > 5_000
    assert record["max_rss_bytes"] > 64 << 20
    assert (record["escalated"], record["left"], record["unattributed"], record["core"]) == (False, 0, 0, False)
    assert started["inode"] or started["start_ticks"]


def test_what_a_small_worker_used_is_not_made_up(keeper: Client) -> None:
    assert keeper.run(["true"])["max_rss_bytes"] is None, "it would be the keeper's own"


def test_output_goes_to_private_files_that_are_appended_to(keeper: Client) -> None:
    log = keeper.logs / "both.log"
    log.write_text("before\n")
    uid = keeper.order(["/bin/sh", "-c", "echo out; echo err >&2"], stdout=str(log))
    keeper.wait_record("ended", uid)
    assert log.read_text() == "before\nout\n"
    assert keeper.errors(uid) == "err\n"
    assert stat.S_IMODE((keeper.logs / f"{uid}.err").stat().st_mode) == 0o600


def test_a_worker_sees_three_descriptors_a_session_of_its_own_and_clean_signals(keeper: Client) -> None:
    look = """
import os, signal
print(sorted(int(n) for n in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + n)))
print(os.getpid() == os.getsid(0) == os.getpgid(0), os.readlink("/proc/self/fd/0"))
"""
    uid = keeper.order([*PYTHON, look])
    keeper.wait_record("ended", uid)
    assert keeper.output(uid).splitlines() == ["[0, 1, 2]", "True /dev/null"]
    assert _blocked_and_ignored(keeper) == {"SigBlk": 0, "SigIgn": 0}


def _blocked_and_ignored(keeper: Client) -> dict[str, int]:
    """A worker's own view; without 32 and 33, which belong to the C library and nobody can reset."""
    uid = keeper.order(["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"])
    keeper.wait_record("ended", uid)
    pairs = [line.split(":") for line in keeper.output(uid).splitlines()]
    return {name: int(mask, 16) & ~(3 << 31) for name, mask in pairs}


def test_a_keeper_started_by_one_that_ignores_signals_gives_clean_ones(data: Client) -> None:
    former = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        data.start()
    finally:
        signal.signal(signal.SIGUSR2, former)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    assert _blocked_and_ignored(data) == {"SigBlk": 0, "SigIgn": 0}


def test_the_environment_is_the_base_with_the_orders_own_on_top(keeper: Client) -> None:
    odd = b"\xff\xfe".decode("utf-8", "surrogateescape")
    keeper.send(type="environment", id=2, vars={"A": "1", "B": "2", "C": "3"}, umask=0o027)
    uid = keeper.order(["/usr/bin/env", "-0"], env={"B": "zwei", "C": None, "ODD": odd, "漢": "字"})
    keeper.wait_record("ended", uid)
    text = (keeper.logs / f"{uid}.out").read_bytes().decode("utf-8", "surrogateescape")
    assert dict(entry.split("=", 1) for entry in text.split("\0") if entry) == {
        "A": "1", "B": "zwei", "ODD": odd, "漢": "字", "WATTLE_ATTEMPT_UID": uid,
    }  # fmt: skip


def test_the_umask_and_the_directory_are_the_workers(keeper: Client, tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    keeper.send(type="environment", id=2, vars={"PATH": os.environ["PATH"]}, umask=0o077)
    uid = keeper.order(["/bin/sh", "-c", "umask; pwd; : > made"], cwd=str(tmp_path / "a b"))
    keeper.wait_record("ended", uid)
    assert keeper.output(uid).splitlines() == ["0077", str(tmp_path / "a b")]
    assert stat.S_IMODE((tmp_path / "a b" / "made").stat().st_mode) == 0o600


def test_a_directory_made_anew_is_the_new_one(keeper: Client, tmp_path: Path) -> None:
    keeper.send(type="limits", groups={"run": 1})
    for number in range(2):
        (tmp_path / "w").mkdir()
        uid = keeper.order(["/bin/sh", "-c", ": > made"], cwd=str(tmp_path / "w"))
        assert keeper.wait_record("ended", uid)["exit_code"] == 0
        assert (tmp_path / "w" / "made").exists(), number
        (tmp_path / "w" / "made").unlink()
        (tmp_path / "w").rmdir()


def test_an_idle_keeper_holds_no_directory(keeper: Client, tmp_path: Path) -> None:
    keeper.run(["true"], cwd=str(tmp_path))
    assert os.readlink(f"/proc/{keeper.pid}/cwd") == "/"


def _script(path: Path, text: str, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_commands_are_looked_up_in_the_workers_own_path(keeper: Client, tmp_path: Path) -> None:
    _script(tmp_path / "one" / "tool", "#!/bin/sh\necho one $0\n")
    _script(tmp_path / "two" / "tool", "#!/bin/sh\necho two\n")
    _script(tmp_path / "tool", "#!/bin/sh\necho here\n")
    (tmp_path / "dir" / "tool").mkdir(parents=True)
    _script(tmp_path / "plain" / "tool", "echo not me\n", 0o644)
    for path, cwd, expected in [
        (f"/nowhere:{tmp_path}/dir:{tmp_path}/plain:{tmp_path}/two:{tmp_path}/one", tmp_path, "two"),
        ("one", tmp_path, "one one/tool"),
        (":/bin", tmp_path, "here"),
        ("/bin:", tmp_path, "here"),
    ]:
        uid = keeper.order(["tool"], cwd=str(cwd), env={"PATH": path})
        keeper.wait_record("ended", uid)
        assert keeper.output(uid).strip() == expected, path
    uid = keeper.order(["./two/tool"], cwd=str(tmp_path))
    keeper.wait_record("ended", uid)
    assert keeper.output(uid).strip() == "two"


def test_a_command_that_moved_is_found_again(keeper: Client, tmp_path: Path) -> None:
    path = f"{tmp_path}/one:{tmp_path}/two"
    _script(tmp_path / "one" / "tool", "#!/bin/sh\necho one\n")
    _script(tmp_path / "two" / "tool", "#!/bin/sh\necho two\n")
    first = keeper.run(["tool"], env={"PATH": path})
    (tmp_path / "one" / "tool").unlink()
    second = keeper.run(["tool"], env={"PATH": path})
    assert [keeper.output(record["uid"]).strip() for record in (first, second)] == ["one", "two"]


def test_a_script_without_an_interpreter_line_is_run_by_sh(keeper: Client, tmp_path: Path) -> None:
    script = _script(tmp_path / "plain script", "echo $0 $1 $#\n")
    uid = keeper.order([str(script), "a b", "c"])
    keeper.wait_record("ended", uid)
    assert keeper.output(uid) == f"{script} a b 2\n"


def _refusal_cases(tmp_path: Path) -> dict[str, tuple[list[str], dict]]:
    _script(tmp_path / "plain", "x", 0o644)
    _script(tmp_path / "bad", "#!/no/such/interpreter -x\n")
    _script(tmp_path / "bin" / "plain", "x", 0o644)
    return {
        "command_not_found": (["no-such-command"], {}),
        "command_not_found by path": (["/no/such/command"], {}),
        "command_not_found below a file": ([f"{tmp_path}/plain/x"], {}),
        "not_executable": ([f"{tmp_path}/plain"], {}),
        "not_executable directory": ([str(tmp_path)], {}),
        "not_executable in PATH": (["plain"], {"env": {"PATH": str(tmp_path / "bin")}}),
        "bad_interpreter": ([f"{tmp_path}/bad"], {}),
        "working_dir_missing": (["true"], {"cwd": str(tmp_path / "gone")}),
        "working_dir_not_directory": (["true"], {"cwd": str(tmp_path / "plain")}),
        "argument_list_too_long": (["true", "x" * 200_000], {}),
        "argument_list_too_long in all": (["true", *["x" * 100_000] * 40], {}),
        "environment_too_large": (["true"], {"env": {"LONG": "x" * 200_000}}),
        "environment_too_large in all": (["true"], {"env": {f"V{n}": "x" * 100_000 for n in range(40)}}),
        "log_unwritable": (["true"], {"stdout": str(tmp_path / "no" / "such.out")}),
        "log_unwritable directory": (["true"], {"stderr": str(tmp_path)}),
        "spawn_failed NUL": (["true", "a\0b"], {}),
        "spawn_failed variable": (["true"], {"env": {"A=B": "x"}}),
        "spawn_failed surrogate": (["true", "\ud800"], {}),
    }


def test_each_refusal_has_its_own_words(keeper: Client, tmp_path: Path) -> None:
    for case, (argv, fields) in _refusal_cases(tmp_path).items():
        record = keeper.refusal(argv, **fields)
        assert record["reason_code"] == case.split()[0], (case, record)
        assert record["retryable"] is False, case
        assert len(record["reason"].split()) > 3, case
    assert "/no/such/interpreter" in keeper.refusal([f"{tmp_path}/bad"])["reason"]
    assert keeper.run(["true"])["exit_code"] == 0, "the keeper goes on"


def test_a_directory_that_may_not_be_entered(data: Client, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "in").mkdir(parents=True)
    closed.chmod(0)
    try:
        _start_without_capabilities(data)
        for cwd in (closed, closed / "in"):
            assert data.refusal(["true"], cwd=str(cwd))["reason_code"] == "working_dir_unreadable"
    finally:
        closed.chmod(0o700)


def _start_without_capabilities(data: Client) -> None:
    """Even root's keeper obeys file modes then."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        data.start()
        return
    source = str(Path(launch.__file__).parents[2])
    argv = [setpriv, "--bounding-set=-all", "--inh-caps=-all", "--", sys.executable, "-I", "-S", "-X", "utf8", "-c"]
    argv += [launch._CODE, "wattle-keeper", source, "--data-dir", str(data.data_dir)]
    data.pid = os.posix_spawn(setpriv, argv, os.environ, setsid=True)
    data.connect()
    data.send(type="environment", id=1, vars={"PATH": os.environ["PATH"]}, umask=0o022)


@pytest.mark.parametrize(
    ("number", "code", "retryable"),
    [
        (errno.EAGAIN, "process_limit", True),
        (errno.ENOMEM, "out_of_memory", True),
        (errno.ENFILE, "descriptor_limit", True),
        (errno.EMFILE, "descriptor_limit", True),
        (errno.ETXTBSY, "command_busy", True),
        (errno.E2BIG, "argument_list_too_long", False),
        (errno.EIO, "spawn_failed", False),
    ],
)
def test_errors_of_the_machine_say_whether_a_retry_helps(
    tmp_path: Path, number: int, code: str, retryable: bool
) -> None:
    logs = {"stdout": str(tmp_path / "o"), "stderr": str(tmp_path / "e")}
    order = Order({"uid": "u", "argv": ["true"], "cwd": "/", **logs})
    refusal = refusal_of(order, "/bin/true", OSError(number, "told by the test"), {})
    assert (refusal.code, refusal.retryable) == (code, retryable)


def test_out_of_descriptors_is_worth_a_retry(keeper: Client) -> None:
    keeper.run(["true"])
    hard = resource.prlimit(keeper.pid, resource.RLIMIT_NOFILE)[1]
    limits = resource.prlimit(keeper.pid, resource.RLIMIT_NOFILE, (1, hard))
    record = keeper.refusal(["true"])
    resource.prlimit(keeper.pid, resource.RLIMIT_NOFILE, limits)
    assert (record["reason_code"], record["retryable"]) == ("descriptor_limit", True)
    assert keeper.run(["true"])["exit_code"] == 0


def test_orders_are_carried_out_once_however_often_they_come(keeper: Client) -> None:
    keeper.send(type="limits", groups={"run": 1})
    entries = [keeper.entry(["/bin/sh", "-c", "echo ran"]) for _ in range(3)]
    for _ in range(3):
        keeper.send(type="order", orders=entries)
    for entry in entries:
        keeper.wait_record("ended", entry["uid"])
    keeper.send(type="order", orders=entries)
    keeper.run(["true"])
    assert [keeper.output(entry["uid"]) for entry in entries] == ["ran\n"] * 3
    assert len([record for record in keeper.records if record["kind"] == "ended"]) == 4


def test_the_command_line_says_what_it_is(keeper: Client) -> None:
    words = Path(f"/proc/{keeper.pid}/cmdline").read_bytes().split(b"\0")
    assert b"wattle-keeper" in words and str(keeper.data_dir).encode() in words


def test_the_keeper_inherits_no_descriptor(data: Client) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    data.start()
    os.close(writing)
    try:
        assert os.read(reading, 1) == b"", "nobody else holds the pipe"
    finally:
        os.close(reading)
    assert until(lambda: os.readlink(f"/proc/{data.pid}/fd/0")) == "/dev/null"
