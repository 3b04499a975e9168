"""`wattle logs -f` on a real server that is killed meanwhile: no line is lost, none comes twice, and it ends."""

import signal

import pytest
from cli.shell import wait_for

# Numbers as fast as a user could read them, on both streams, until the file `enough` is there.
COUNT = (
    "i=0; until [ -e enough ]; do i=$((i+1)); echo line $i; echo note $i >&2; sleep 0.01; done; echo last $i"
)


@pytest.fixture
def server(shell):
    server = shell.start("serve", "--listen", "127.0.0.1:0")
    server.says("listening")
    return server


def counting(*names):
    workers = [{"name": name, "command": COUNT} for name in names]
    return {"name": "w", "working_dir": "w", "workers": [*workers, {"name": "after", "command": "echo after",
                                                                     "depends_on": list(names)}]}  # fmt: skip


def numbers(text, prefix):
    """Of the whole lines: who writes may be in the middle of one."""
    lines = text[: text.rfind("\n") + 1].splitlines()
    return [int(line.removeprefix(prefix)) for line in lines if line.startswith(prefix)]


@pytest.mark.parametrize(
    ("arguments", "prefixes", "has_after"),
    [
        (["w"], ["one   | line ", "one   | note ", "two   | line ", "two   | note "], True),
        (["w/*", "--stderr"], ["one   | note ", "two   | note "], False),
        (["w/one"], ["line ", "note "], False),
        (["w", "--grep", "line|after"], ["one   | line ", "two   | line "], True),
        (["w/one", "w/two", "--since", "1h", "-n", "100000"], ["one | line ", "one | note ", "two | line "], False),
    ],
    ids=["whole", "one-stream", "one-worker", "grep", "several"],
)
def test_a_crash_of_the_server_leaves_neither_gap_nor_double(shell, server, arguments, prefixes, has_after):
    shell.write("w.json", counting("one", "two"))
    assert shell.run("create", "w.json").returncode == 0
    shell.run("start", "w")
    wait_for(lambda: "line 3\n" in shell.run("logs", "w/two").stdout)
    followed = shell.start("logs", "-f", *arguments)
    wait_for(lambda: all(numbers(followed.out, prefix) for prefix in prefixes))
    server.signal(signal.SIGKILL)
    server.ends()
    shell.start("serve", "--listen", "127.0.0.1:0").says("listening")
    seen = max(numbers(followed.out, prefixes[-1]))
    wait_for(lambda: max(numbers(followed.out, prefixes[-1])) > seen + 3, 60)
    (shell.directory / "w" / "enough").touch()
    assert followed.ends() == 0, followed.err
    assert followed.err == ""
    whole = {name: shell.run("logs", f"w/{name}", "-n", "100000").stdout for name in ("one", "two")}
    for prefix in prefixes:
        name = "two" if prefix.startswith("two") else "one"
        word = prefix.split("| ")[-1]
        told = numbers(followed.out, prefix)
        assert told == list(range(1, len(told) + 1)) == numbers(whole[name], word)
    assert ("after | after" in followed.out) is has_after


def test_the_last_lines_that_match_come_first_and_then_those_to_come(shell, server):
    shell.write("w.json", counting("one"))
    shell.run("create", "w.json")
    shell.run("start", "w")
    wait_for(lambda: "line 20\n" in shell.run("logs", "w/one").stdout)
    followed = shell.start("logs", "-f", "w/one", "--grep", "^line", "-n", "2")
    wait_for(lambda: len(numbers(followed.out, "line ")) > 10)
    (shell.directory / "w" / "enough").touch()
    assert followed.ends() == 0, followed.err
    told = numbers(followed.out, "line ")
    assert told == list(range(told[0], told[-1] + 1)) and told[0] >= 19
    assert "note" not in followed.out and "last" not in followed.out


def test_what_has_ended_and_what_has_never_run_is_not_waited_for(shell, server):
    shell.write("w.json", {"name": "w", "workers": [{"name": name, "command": f"echo {name}"} for name in "ab"]})
    shell.run("create", "w.json")
    never = shell.run("logs", "-f", "w")
    assert (never.returncode, never.stdout) == (0, "")
    shell.run("start", "w")
    shell.run("wait", "w")
    for arguments in (["w"], ["w", "--grep", "."], ["w/a", "w/b"], ["w", "--since", "1h"]):
        ended = shell.run("logs", "-f", *arguments)
        assert (ended.returncode, sorted(ended.stdout.splitlines())) == (0, ["a | a", "b | b"]), ended.stderr
    assert shell.run("logs", "-f", "w", "--until", "2020-01-01").stdout == ""
