"""User, umask, nice and limits of a worker, each as the worker itself finds them in /proc (O6, O8, O9)."""

import os
import pwd
import resource
import stat
from pathlib import Path

import pytest
from keeper.client import PYTHON, Client
from keeper.test_spawning import _start_without_capabilities

from wattle.keeper.account import find_account

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change the user")
NOBODY = pwd.getpwnam("nobody")
SETTINGS = {
    "umask": 0o027,
    "nice": 7,
    "rlimits": {"open_files": 77, "core_bytes": 4096, "address_space_bytes": 300_000_000, "processes": 5000},
}


def look(keeper: Client, *files: str, **fields: object) -> dict[str, str]:
    """{name: value} of the worker's own files in /proc."""
    uid = keeper.order(["cat", *(f"/proc/self/{file}" for file in files)], cwd="/", **fields)
    record = keeper.wait_record("ended", uid)
    assert record["exit_code"] == 0, keeper.errors(uid)
    pairs = (line.partition(":") for line in keeper.output(uid).splitlines())
    return {name: " ".join(value.split()) for name, _, value in pairs}


def limits(keeper: Client, **fields: object) -> dict[str, list[str]]:
    """{limit: [soft, hard]} as the kernel tells the worker."""
    uid = keeper.order(["cat", "/proc/self/limits"], cwd="/", **fields)
    assert keeper.wait_record("ended", uid)["exit_code"] == 0
    return {line[:26].strip(): line[26:].split()[:2] for line in keeper.output(uid).splitlines()}


def test_a_worker_has_the_umask_nice_and_limits_it_asked_for(keeper: Client) -> None:
    assert look(keeper, "status", settings=SETTINGS)["Umask"] == "0027"
    uid = keeper.order(["cat", "/proc/self/stat"], settings=SETTINGS)
    keeper.wait_record("ended", uid)
    assert keeper.output(uid).rpartition(")")[2].split()[16] == "7", "nice is field 19"
    found = limits(keeper, settings=SETTINGS)
    assert found["Max open files"] == ["77", "77"]
    assert found["Max core file size"] == ["4096", "4096"]
    assert found["Max address space"] == ["300000000", "300000000"]
    assert found["Max processes"] == ["5000", "5000"]


def test_unlimited_is_a_limit_too(keeper: Client) -> None:
    resource.prlimit(keeper.pid, resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    found = limits(keeper, settings={"rlimits": {"core_bytes": "unlimited"}})
    assert found["Max core file size"] == ["unlimited", "unlimited"]


def test_the_keeper_keeps_its_own(keeper: Client) -> None:
    """What one worker asked for is neither the keeper's nor the next worker's."""
    before = Path(f"/proc/{keeper.pid}/limits").read_text()
    plain = look(keeper, "status")["Umask"], limits(keeper)
    look(keeper, "status", settings=SETTINGS)
    assert Path(f"/proc/{keeper.pid}/limits").read_text() == before
    assert (look(keeper, "status")["Umask"], limits(keeper)) == plain


def test_a_worker_with_settings_sees_three_descriptors_a_session_of_its_own_and_clean_signals(keeper: Client) -> None:
    script = """
import os
print(sorted(int(n) for n in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + n)))
print(os.getpid() == os.getsid(0) == os.getpgid(0), os.readlink("/proc/self/fd/0"), os.getppid())
"""
    uid = keeper.order([*PYTHON, script], settings={"nice": 3})
    keeper.wait_record("ended", uid)
    assert keeper.output(uid).splitlines() == ["[0, 1, 2]", f"True /dev/null {keeper.pid}"]
    status = look(keeper, "status", settings={"nice": 3})
    ignored = int(status["SigIgn"], 16) & ~(3 << 31)  # 32 and 33 are the C library's
    assert (int(status["SigBlk"], 16), ignored) == (0, 0)


def test_it_keeps_its_pid_and_its_marker(keeper: Client) -> None:
    uid = keeper.order(["/bin/sh", "-c", "echo $$; exec sleep 60"], settings={"nice": 3})
    [pid] = keeper.wait_pids(uid, 1)
    assert keeper.wait_record("started", uid)["pid"] == pid
    assert f"WATTLE_ATTEMPT_UID={uid}\0" in Path(f"/proc/{pid}/environ").read_text()
    assert keeper.stop(uid)["signal"] == 15


def test_the_logs_are_private_and_readable_whatever_the_umask(keeper: Client) -> None:
    uid = keeper.order(["/bin/sh", "-c", "echo out; umask; : > made"], settings={"umask": 0o777})
    keeper.wait_record("ended", uid)
    assert keeper.output(uid) == "out\n0777\n"
    assert stat.S_IMODE((keeper.logs / f"{uid}.out").stat().st_mode) == 0o600
    assert stat.S_IMODE((keeper.data_dir / "made").stat().st_mode) == 0


@AS_ROOT
def test_a_worker_runs_as_its_user_with_the_groups_of_it(keeper: Client) -> None:
    status = look(keeper, "status", settings={"user": "nobody", **SETTINGS})
    mine, group = str(NOBODY.pw_uid), str(NOBODY.pw_gid)
    assert status["Uid"].split() == [mine] * 4
    assert status["Gid"].split() == [group] * 4
    assert sorted(map(int, status["Groups"].split())) == sorted(os.getgrouplist("nobody", NOBODY.pw_gid))
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert status["Umask"] == "0027"


@AS_ROOT
@pytest.mark.parametrize(
    ("user", "ids"),
    [
        ("nobody:root", (NOBODY.pw_uid, 0)),
        (f"{NOBODY.pw_uid}", (NOBODY.pw_uid, NOBODY.pw_gid)),
        (f"{NOBODY.pw_uid}:54321", (NOBODY.pw_uid, 54321)),
        ("54321:54322", (54321, 54322)),
    ],
)
def test_users_and_groups_have_names_or_numbers(keeper: Client, user: str, ids: tuple[int, int]) -> None:
    status = look(keeper, "status", settings={"user": user})
    assert (int(status["Uid"].split()[0]), int(status["Gid"].split()[0])) == ids


@AS_ROOT
def test_the_user_finds_its_home_and_name_unless_the_worker_sets_them(keeper: Client) -> None:
    uid = keeper.order(["/usr/bin/env"], cwd="/", settings={"user": "nobody"}, env={"LOGNAME": "mine"})
    keeper.wait_record("ended", uid)
    lines = keeper.output(uid).splitlines()
    assert f"HOME={NOBODY.pw_dir}" in lines and "USER=nobody" in lines and "LOGNAME=mine" in lines
    uid = keeper.order(["/usr/bin/env"], cwd="/", settings={"nice": 1})
    keeper.wait_record("ended", uid)
    assert "HOME=/" in keeper.output(uid).splitlines(), "without a user it is the server's"


@AS_ROOT
def test_the_user_can_open_its_standard_output_again(keeper: Client) -> None:
    uid = keeper.order(
        ["/bin/sh", "-c", "echo a; echo b >> /dev/stdout; echo c >> /dev/stderr"], cwd="/", settings={"user": "nobody"}
    )
    assert keeper.wait_record("ended", uid)["exit_code"] == 0
    assert (keeper.output(uid), keeper.errors(uid)) == ("a\nb\n", "c\n")


@AS_ROOT
def test_a_limit_over_the_hard_one_is_had_before_the_user_is_changed(keeper: Client) -> None:
    resource.prlimit(keeper.pid, resource.RLIMIT_AS, (2 << 30, 2 << 30))
    settings = {"user": "nobody", "rlimits": {"address_space_bytes": 4 << 30}}
    mine = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    if not int(mine.split()[1], 16) >> 24 & 1:  # a container's root without CAP_SYS_RESOURCE
        record = keeper.refusal(["true"], cwd="/", settings=settings)
        assert record["reason_code"] == "rlimit_not_permitted"
        assert str(2 << 30) in record["reason"]
        return
    assert limits(keeper, settings=settings)["Max address space"] == [str(4 << 30)] * 2


@AS_ROOT
def test_what_the_user_may_not_is_refused_in_its_name(keeper: Client, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    tool = hidden / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    settings = {"user": "nobody"}
    record = keeper.refusal(["true"], cwd=str(hidden), settings=settings)
    assert (record["reason_code"], record["retryable"]) == ("working_dir_unreadable", False)
    assert "by user 'nobody'" in record["reason"]
    assert keeper.refusal([str(tool)], cwd="/", settings=settings)["reason_code"] == "not_executable"
    record = keeper.refusal(["tool"], cwd="/", env={"PATH": str(hidden)}, settings=settings)
    assert record["reason_code"] == "command_not_found", "it is not among those the user can see"
    assert keeper.run(["tool"], cwd="/", env={"PATH": str(hidden)})["exit_code"] == 0, "the server can"


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"user": "no-such-user"}, "user_unknown"),
        ({"user": "nobody:no-such-group"}, "user_unknown"),
        ({"user": "54321"}, "user_unknown"),
        ({"rlimits": {"open_files": 2**50}}, "rlimit_not_permitted"),
    ],
)
def test_what_the_machine_does_not_have_is_refused(keeper: Client, settings: dict, code: str) -> None:
    record = keeper.refusal(["true"], cwd="/", settings=settings)
    assert (record["reason_code"], record["retryable"]) == (code, False)
    assert len(record["reason"].split()) > 5


def test_a_server_that_is_not_root_cannot_change_the_user(data: Client) -> None:
    _start_without_capabilities(data)
    other = "nobody" if os.geteuid() == 0 else "root"
    for settings, code in [
        ({"user": other}, "user_not_permitted"),
        ({"nice": -5}, "nice_not_permitted"),
    ]:
        record = data.refusal(["true"], settings=settings)
        assert (record["reason_code"], record["retryable"]) == (code, False)
    mine = pwd.getpwuid(os.geteuid()).pw_name
    assert data.run(["true"], settings={"user": mine})["exit_code"] == 0, "its own user needs no right"


def test_refusals_of_a_command_are_the_same_with_settings(keeper: Client, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("x")
    bad = tmp_path / "bad"
    bad.write_text("#!/no/such/interpreter\n")
    bad.chmod(0o755)
    cases = [
        (["no-such-command"], {}),
        (["/no/such/command"], {}),
        ([str(plain)], {}),
        ([str(bad)], {}),
        (["true", "x" * 200_000], {}),
        (["true"], {"env": {"A": "x" * 200_000}}),
        (["true"], {"cwd": str(tmp_path / "gone")}),
        (["true"], {"cwd": str(plain)}),
        (["true"], {"stdout": str(tmp_path / "no" / "log")}),
        (["true", "a\0b"], {}),
    ]
    for argv, fields in cases:
        without, having = keeper.refusal(argv, **fields), keeper.refusal(argv, settings={"nice": 1}, **fields)
        for key in ("reason_code", "reason", "retryable"):
            assert without[key] == having[key], argv


def test_a_script_without_an_interpreter_line_is_run_by_sh_too(keeper: Client, tmp_path: Path) -> None:
    script = tmp_path / "plain script"
    script.write_text("echo $0 $1 $#\n")
    script.chmod(0o755)
    uid = keeper.order([str(script), "a b", "c"], settings={"nice": 1})
    keeper.wait_record("ended", uid)
    assert keeper.output(uid) == f"{script} a b 2\n"


def test_only_the_variables_that_are_inherited_are_seen(keeper: Client) -> None:
    keeper.send(type="environment", id=2, vars={"A": "1", "B": "2", "PATH": os.environ["PATH"]}, umask=0o022)
    for inherit, settings, seen in [
        ([], None, set()),
        (["A", "ABSENT"], None, {"A"}),
        (["A", "B"], {"nice": 1}, {"A", "B"}),
        (None, None, {"A", "B", "PATH"}),
    ]:
        uid = keeper.order(["/usr/bin/env"], inherit=inherit, settings=settings)
        keeper.wait_record("ended", uid)
        names = {line.partition("=")[0] for line in keeper.output(uid).splitlines()}
        assert names == seen | {"WATTLE_ATTEMPT_UID"}


def test_a_malformed_order_ends_the_connection_not_the_keeper(keeper: Client) -> None:
    keeper.order(["true"], inherit=[1])
    keeper.wait_closed()
    keeper.connect()
    assert keeper.run(["true"])["exit_code"] == 0


def test_an_account_is_looked_up_as_the_machine_has_it() -> None:
    root = find_account("root")
    assert (root.uid, root.gid, root.home) == (0, 0, pwd.getpwnam("root").pw_dir)
    assert find_account("0").name == "root"
    with pytest.raises(LookupError, match="no account"):
        find_account("no-such-user")
