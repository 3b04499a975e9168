"""Everyday verbs on a real server: several targets and patterns, waiting, the past, the stored and the new."""

import json
import re
import shlex
import signal
import urllib.request

import pytest
from cli.shell import wait_for


def gate(name, *workers):
    """`gate` waits for the file `go`."""
    first = {"name": "gate", "command": "echo at the gate; until [ -e go ]; do sleep 0.02; done"}
    return {"name": name, "working_dir": name, "workers": [first, *workers]}


def go(shell, name):
    (shell.directory / name / "go").touch()


def state(shell, target):
    found = json.loads(shell.run("status", target, "--json").stdout)
    return found["status"]


@pytest.fixture
def server(shell):
    server = shell.start("serve", "--listen", "127.0.0.1:0")
    server.says("listening")
    return server


def clients_that_wait(server):
    address = re.search(r"http://127\.0\.0\.1:\d+", server.err)[0]
    with urllib.request.urlopen(f"{address}/metrics", timeout=10) as answer:
        return float(re.search(r"^wattle_stream_clients (\S+)$", answer.read().decode(), re.MULTILINE)[1])


def stored(shell, document):
    path = shell.write(f"{document['name']}.json", document)
    done = shell.run("apply", path)
    assert done.returncode == 0, done.stderr
    return path


def test_wait_ends_with_the_run_and_its_exit_status(shell, server):
    stored(shell, gate("good"))
    stored(shell, gate("bad", {"name": "fails", "command": "exit 3", "depends_on": ["gate"]}))
    never = shell.run("wait", "good")
    assert (never.returncode, "has never run" in never.stderr) == (2, True)
    assert shell.run("start", "good", "bad").returncode == 0
    late = shell.run("wait", "good", "--timeout", "0.3")
    assert late.returncode == 124 and "run 1 of 'good' still runs after 0.3 s" in late.stderr
    waiting = shell.start("wait", "1")
    wait_for(lambda: clients_that_wait(server))
    server.signal(signal.SIGKILL)  # and it is waited for the next one
    server.ends()
    shell.start("serve", "--listen", "127.0.0.1:0").says("listening")
    go(shell, "good")
    assert waiting.ends() == 0 and waiting.out.startswith("✓ completed: run 1 of 'good' after")
    go(shell, "bad")
    ended = shell.run("wait", "bad")
    assert ended.returncode == 1 and "(fails failed: exit code 3)" in ended.stdout
    assert json.loads(shell.run("wait", "bad", "--json").stdout)["status"] == "failed"
    assert shell.run("wait", "none").returncode == shell.run("wait", "99").returncode == 5


def test_waiting_for_what_nobody_runs_ends_with_no_server(shell):
    shell.write("w.json", gate("w"))
    run = shell.start("run", "w.json")
    run.says("running")
    run.signal(signal.SIGINT)
    assert run.ends() == 130
    waited = shell.run("wait", "w")
    assert waited.returncode == 4 and "does not go on. Start one with `wattle serve`" in waited.stderr


def test_verbs_take_several_targets_and_patterns(shell, server):
    for name in ("etl-a", "etl-b", "other"):
        stored(shell, gate(name))
    started = shell.run("start", "etl-*")
    assert [line.split(" (")[0] for line in started.stdout.splitlines()] == [
        "Workflow 'etl-a' started successfully",
        "Workflow 'etl-b' started successfully",
    ]
    assert (state(shell, "other"), state(shell, "etl-b")) == ("created", "running")
    mixed = shell.run("stop", "etl-a/ga*", "missing", "etl-b")
    assert mixed.returncode == 5 and "Workflow 'missing' does not exist" in mixed.stderr
    assert "Worker 'etl-a/gate' stopped" in mixed.stdout and "Workflow 'etl-b' stopped" in mixed.stdout
    assert {state(shell, name) for name in ("etl-a/gate", "etl-b")} == {"cancelled"}
    nothing = shell.run("restart", "nope*")
    assert nothing.returncode == 5 and "'nope*' matches nothing" in nothing.stderr
    several = json.loads(shell.run("status", "etl-*", "--json").stdout)
    assert [one["name"] for one in several] == ["etl-a", "etl-b"]
    assert shell.run("delete", "etl-*").returncode == 0
    assert [one["name"] for one in json.loads(shell.run("list", "--json").stdout)] == ["other"]


def test_status_of_a_worker_is_one_screen(shell, server):
    service = {"name": "db", "kind": "service", "command": "echo up; sleep 600 & sleep 600",
               "ready": {"log": "up"}}  # fmt: skip
    stored(shell, gate("app", service))
    shell.run("start", "app")
    wait_for(lambda: "● ready" in (text := shell.run("status", "app/db").stdout) and "3 processes" in text)
    shown = shell.run("status", "app/db").stdout
    for words in ("app/db  ● ready, started", "attempt    1, took", ", pid ", "cpu        ", "memory     ",
                  "tree       3 processes", "readiness  ready: its consumers may use it", "| up"):  # fmt: skip
        assert words in shown, shown
    go(shell, "app")
    shell.run("wait", "app")


def test_logs_of_several_and_only_what_is_wanted(shell, server):
    speak = {"name": "speak", "command": "for i in 1 2 3; do echo out $i; echo err $i >&2; done; printf '\\033[2Jx\\n'"}
    stored(shell, {"name": "a", "workers": [speak]})
    stored(shell, {"name": "b", "workers": [speak]})
    shell.run("start", "a", "b")
    assert shell.run("wait", "a").returncode == shell.run("wait", "b").returncode == 0
    both = shell.run("logs", "?/speak", "--stderr", "-n", "1").stdout
    assert both == "a/speak | err 3\nb/speak | err 3\n"
    assert shell.run("logs", "a", "--grep", "[13]$", "--stdout").stdout == "out 1\nout 3\n"
    assert shell.run("logs", "a", "--grep", "out", "-n", "2").stdout == "out 2\nout 3\n"
    assert shell.run("logs", "a", "--attempt", "1", "--stderr", "-n", "1").stdout == "err 3\n"
    assert shell.run("logs", "a", "-n", "1", "--stdout").stdout == "\x1b[2Jx\n", "a pipe gets it as it was"
    bad = shell.run("logs", "a", "--grep", "(")
    assert bad.returncode == 2 and "no regular expression" in bad.stderr
    assert shell.run("logs", "a", "--since", "yesterday").returncode == 2
    assert shell.run("logs", "a", "-f", "--attempt", "1", "--stderr").stdout.endswith("err 3\n")


def test_only_colours_reach_a_terminal_unless_it_is_to_be_raw(shell, server, terminal):
    command = "printf '\\033[31mred\\033[0m \\033]0;title\\007\\033[2Jtext\\n'"
    stored(shell, {"name": "odd", "workers": [{"name": "w", "command": command}]})
    shell.run("start", "odd")
    assert shell.run("wait", "odd").returncode == 0
    shown = terminal("logs", "odd")
    assert shown.ends() == 0 and shown.lines[0] == "  red text" and shown.colour_of("red") == "red"
    assert b"\x1b[2J" not in shown.raw
    raw = terminal("logs", "odd", "--raw")
    assert raw.ends() == 0 and b"\x1b]0;title\x07\x1b[2J" in raw.raw


def test_following_several_ends_with_their_runs_and_survives_a_crash(shell, server):
    after = {"name": "after", "command": "echo afterwards", "depends_on": ["gate"]}
    for name in ("a", "b"):
        stored(shell, gate(name, after))
    shell.run("start", "a", "b")
    followed = shell.start("logs", "-f", "?")
    wait_for(lambda: followed.out.count("at the gate") == 2)
    server.signal(signal.SIGKILL)
    server.ends()
    shell.start("serve", "--listen", "127.0.0.1:0").says("listening")
    go(shell, "a")
    go(shell, "b")
    assert followed.ends() == 0, followed.err
    assert sorted(followed.out.splitlines()) == [
        "a/after | afterwards", "a/gate  | at the gate", "b/after | afterwards", "b/gate  | at the gate",
    ]  # fmt: skip


def test_a_run_with_its_logs(shell):
    after = {"name": "afterwards", "command": "echo two; echo three >&2", "depends_on": ["gate"]}
    shell.write("w.json", gate("w", after))
    (shell.directory / "w").mkdir()
    go(shell, "w")
    done = shell.run("run", "w.json", "--follow-logs")
    assert done.returncode == 0 and "✓ completed  afterwards" in done.stderr
    first, *others = done.stdout.splitlines()
    assert first == "gate       | at the gate", "one stream, in the order in which they were written"
    assert sorted(others) == ["afterwards | three", "afterwards | two"]


def test_an_attempt_is_followed_to_its_end_and_no_further(shell, server):
    tries = "echo try $WATTLE_ATTEMPT; while [ ! -e end$WATTLE_ATTEMPT ]; do sleep 0.05; done; exit 1"
    worker = {"name": "w", "command": tries, "retry": {"limit": 1, "delay_seconds": 0.05}}
    stored(shell, {"name": "a", "working_dir": str(shell.directory), "workers": [worker, worker | {"name": "v"}]})
    shell.run("start", "a")
    wait_for(lambda: all(shell.run("logs", each).stdout == "try 1\n" for each in ("a/w", "a/v")))
    followed = shell.start("logs", "a/w", "-f", "--attempt", "1")
    both = shell.start("logs", "a", "-f", "--attempt", "1")
    searched = shell.start("logs", "a/w", "-f", "--attempt", "1", "--grep", "try", "--json")
    for each in (followed, both, searched):
        wait_for(lambda each=each: "try 1" in each.out)
    assert shell.run("logs", "a/w", "-f", "--attempt", "2").returncode == 5
    shell.write("end1", {})
    assert (followed.ends(), followed.out) == (0, "try 1\n"), "attempt 2 lives"
    assert (both.ends(), sorted(both.out.splitlines())) == (0, ["v | try 1", "w | try 1"])
    assert searched.ends() == 0
    assert [json.loads(line)["type"] for line in searched.out.splitlines()] == ["stdout", "end"]
    end = json.loads(searched.out.splitlines()[-1])
    assert (end["type"], end["status"], end["exit_code"]) == ("end", "failed", 1)
    wait_for(lambda: shell.run("logs", "a/w").stdout == "try 2\n")
    assert shell.run("logs", "a/w", "-f", "--attempt", "1").stdout == "try 1\n"
    second = shell.start("logs", "a/w", "-f", "--attempt", "2")
    shell.write("end2", {})
    assert (second.ends(), second.out) == (0, "try 2\n")


def test_logs_of_a_worker_that_never_started_say_why(shell, server):
    after = [{"name": f"after{number}", "command": "true", "depends_on": ["gate"]} for number in range(5)]
    stored(shell, gate("w", *after))
    never = shell.run("logs", "w/gate")
    assert (never.returncode, never.stdout) == (0, "")
    assert "'gate' has not started: its workflow has not been started" in never.stderr
    shell.run("start", "w")
    wait_for(lambda: "at the gate" in shell.run("logs", "w/gate").stdout)
    waits = shell.run("logs", "w/after0", "--json")
    assert (waits.returncode, json.loads(waits.stdout)) == (0, [])
    assert "'after0' has not started: waits for gate (not finished)" in waits.stderr
    many = shell.run("logs", "w").stderr
    assert "'after0', 'after1', 'after2' and 2 more have not started; `wattle why w` says why" in many
    go(shell, "w")
    shell.run("wait", "w")
    assert shell.run("logs", "w/after0").stderr == ""


def test_events_and_history(shell, server):
    stored(shell, {"name": "w", "workers": [{"name": "a", "command": "true"}, {"name": "b", "command": "exit 1"}]})
    shell.run("start", "w")
    shell.run("wait", "w")
    shell.run("run", "w.json", "--only", "a")
    lines = [json.loads(line) for line in shell.run("events", "w", "--after", "0", "--jsonl").stdout.splitlines()]
    assert [line["kind"] for line in lines][:2] == ["workflow.created", "run.started"]
    assert [line["id"] for line in lines] == sorted(line["id"] for line in lines)
    assert len(shell.run("events", "w", "-n", "3").stdout.splitlines()) == 3
    grid = [line.split() for line in shell.run("history", "w").stdout.splitlines()]
    assert grid[:4] == [["RUN", "1", "2"], ["a", "✓", "✓"], ["b", "✗", "·"], ["run", "✗", "✓"]]
    follower = shell.start("events", "-f", "--jsonl")
    wait_for(lambda: shell.run("start", "w").returncode in (0, 5) and "run.started" in follower.out)
    follower.signal(signal.SIGINT)
    assert follower.ends() == 130


def test_what_is_stored_and_a_file(shell, server):
    path = shell.write("w.json", gate("w"))
    new = shell.run("diff", path)
    assert new.returncode == 1 and "+++ " in new.stdout and '+  "name": "w"' in new.stdout
    stored(shell, gate("w"))
    assert (same := shell.run("diff", path)).returncode == 0 and same.stdout == ""
    for form in ((), ("--yaml",)):
        exported = shell.run("export", "w", *form).stdout
        assert shell.run("apply", "-", stdin=exported).stdout == "Workflow 'w' unchanged\n"
    changed = gate("w") | {"max_parallel": 3}
    shell.write("w.json", changed)
    diff = shell.run("diff", path)
    assert diff.returncode == 1 and '+  "max_parallel": 3' in diff.stdout


def test_apply_restarts_services_that_changed_alone_and_in_a_run_and_nothing_else(shell, server):
    def document(**changes):
        services = [
            {"name": name, "kind": "service", "command": f"echo {name} {changes.get(name, 1)}; exec sleep 600"}
            for name in ("one", "two")
        ]
        return gate("app", *services)

    def said(name):
        return shell.run("logs", f"app/{name}").stdout

    stored(shell, document())
    assert shell.run("start", "app/one", "app/two", "app/gate").returncode == 0
    wait_for(lambda: said("one") == "one 1\n" and said("two") == "two 1\n")
    before = wait_for(lambda: json.loads(shell.run("status", "app/two", "--json").stdout)["pid"])
    applied = shell.run("apply", shell.write("app.json", document(one=2)))
    assert applied.stdout.splitlines() == [
        "Workflow 'app' updated", "Service 'app/one' restarted with its new definition",
    ]  # fmt: skip
    wait_for(lambda: said("one") == "one 2\n")
    assert json.loads(shell.run("status", "app/two", "--json").stdout)["pid"] == before
    assert json.loads(shell.run("status", "app/gate", "--json").stdout)["attempt"] == 1
    shell.run("stop", "app/*")
    shell.run("start", "app")
    wait_for(lambda: said("one") == "one 2\n")
    pid = json.loads(shell.run("status", "app/one", "--json").stdout)["pid"]
    told = shell.run("apply", shell.write("app.json", document(one=3)))
    assert (told.returncode, told.stdout.splitlines()) == (0, [
        "Workflow 'app' updated", "Service 'app/one' restarted with its new definition",
    ])  # fmt: skip
    assert json.loads(shell.run("status", "app/one", "--json").stdout)["pid"] != pid
    wait_for(lambda: said("one") == "one 3\n")


def test_a_service_that_cannot_be_restarted_keeps_no_other_from_it(shell, server):
    def document(number, **fields):
        services = [
            {"name": name, "kind": "service", "command": f"echo {name} {number}; exec sleep 600"} for name in "ab"
        ]
        services[0] |= fields
        return {"name": "app", "workers": services}

    stored(shell, document(1))
    assert shell.run("start", "app/a", "app/b").returncode == 0
    wait_for(lambda: shell.run("logs", "app").stdout.count(" 1\n") == 2)
    applied = shell.run("apply", shell.write("app.json", document(2, env_file="/nowhere/env")))
    assert applied.returncode == 5
    assert "'app/a' could not be restarted, it is as it was: " in applied.stderr
    assert "/nowhere/env" in applied.stderr
    assert applied.stdout.splitlines()[1:] == ["Service 'app/b' restarted with its new definition"]
    wait_for(lambda: shell.run("logs", "app/b").stdout == "b 2\n")


def test_a_dry_run_says_what_would_run_and_why(shell):
    workers = [
        {"name": "fetch", "command": "echo rows", "outputs": {"rows": "rows"}},
        {"name": "clean", "command": "echo good", "inputs": {"r": "fetch/rows"}, "outputs": {"good": "good"}},
        {"name": "load", "command": "true", "inputs": {"g": "clean/good"}},
        {"name": "lint", "command": "true"},
    ]
    shell.write("etl.json", {"name": "etl", "working_dir": "etl", "workers": workers})
    whole = shell.run("run", "etl.json", "--dry-run")
    assert whole.returncode == 0 and [line.split(None, 2) for line in whole.stdout.splitlines()] == [
        ["1", "fetch", "needs nothing"], ["1", "lint", "needs nothing"],
        ["2", "clean", "after fetch"], ["3", "load", "after clean"],
    ]  # fmt: skip
    assert not shell.data_dir.exists()
    part = shell.run("run", "etl.json", "--from", "clean", "--dry-run")
    assert part.returncode == 5 and "rows of fetch does not exist" in part.stdout
    assert "   -  lint   not part of this run" in part.stdout.splitlines()
    refused = shell.run("run", "etl.json", "--from", "clean")
    assert refused.returncode == 5 and "clean needs" in refused.stderr
    assert shell.run("run", "etl.json", "--only", "fetch").returncode == 0
    later = shell.run("run", "etl.json", "--from", "clean")
    assert later.returncode == 0 and "2 completed, 2 not part of this run" in later.stderr
    odd = shell.run("run", "etl.json", "--only", "cleam")
    assert odd.returncode == 2 and "did you mean 'clean'?" in odd.stderr


def test_a_target_that_is_refused_keeps_no_other_from_it(shell, server):
    for name in ("a", "b"):
        stored(shell, gate(name))
    shell.run("start", "a")
    wait_for(lambda: state(shell, "a/gate") == "running")
    sent = shell.run("kill", "-q", "-s", "CONT", "b", "nope*", "a/none", "a", "a/gate")
    assert sent.returncode == 5 and sent.stdout.startswith("Worker 'a/gate' was sent SIGCONT (")
    assert [line.split(" ", 1)[1][:20] for line in sent.stderr.splitlines()] == [
        "of 'b' nothing is ru", "'nope*' matches noth", "Worker 'a/none' does",
    ]  # fmt: skip
    mixed = shell.run("stop", "nope*", "a/g*")
    assert mixed.returncode == 5 and mixed.stdout == "Worker 'a/gate' stopped\n"
    assert "'nope*' matches nothing" in mixed.stderr


def test_status_is_one_screen_whatever_a_worker_prints(shell, server, terminal):
    odd = "printf '\\033[31mred\\033[0m \\033]0;title\\007\\033[2Jtext\\n'; head -c 5000 /dev/zero | tr '\\0' x; echo"
    stored(shell, {"name": "odd", "workers": [{"name": "w", "command": odd}]})
    shell.run("start", "odd")
    assert shell.run("wait", "odd").returncode == 0
    shown = terminal("status", "odd/w", columns=50, lines=12)
    assert shown.ends() == 0 and shown.lines[0].startswith("odd/w  ✓ completed")
    assert "  | red text" in shown.lines and shown.colour_of("red text") == "red" and b"\x1b[2J" not in shown.raw
    long = next(line for line in shown.lines if "xxx" in line)
    assert long.endswith("...") and len(long) <= 50
    assert "  | red text\n" in shell.run("status", "odd/w").stdout, "in a pipe too"
    (run,) = json.loads(shell.run("runs", "odd", "--json").stdout)
    for path in (shell.data_dir / "logs" / str(run["id"])).iterdir():
        path.unlink()
    lost = shell.run("status", "odd/w")
    assert lost.returncode == 0 and "  | [a part of stdout is missing: " in lost.stdout, lost.stderr
    assert "[a part of stderr is missing: " in shell.run("logs", "odd").stdout


def test_why_a_worker_failed_is_a_sentence_without_escapes(shell):
    command = "printf 'half\\rwhole \\033[31mtruth\\033[0m\\n' >&2; exit 3"
    shell.write("w.json", {"name": "w", "workers": [{"name": "a", "command": command}]})
    assert shell.run("run", "w.json").returncode == 1
    assert json.loads(shell.run("why", "w/a", "--json").stdout)["reason"] == "exit code 3: whole truth"


@pytest.mark.parametrize("name", ["it's 5 o'clock", "数据 $HOME"])
def test_the_commands_that_are_named_can_be_typed(shell, name):
    """Of names that a shell would take apart."""
    workers = [{"name": "nap it", "command": "exec sleep 600"}]
    shell.write("w.json", {"name": name, "workers": workers})
    said = shell.run("run", "-d", "w.json").stderr + shell.run("run", "w.json").stderr
    said += shell.run("runs", name).stderr + shell.run("start", name).stderr
    shell.run("create", shell.write("other.json", {"name": f"{name}2", "workers": workers}))
    said += shell.run("runs", f"{name}2").stderr + shell.run("history", f"{name}2").stderr
    said += shell.run("wait", f"{name}2").stderr
    commands = re.findall(r"`wattle ([^`]*)`", said)
    assert len(commands) > 9
    for command in commands:
        words = shlex.split(command)
        assert words[1:2] in ([], ["--help"], [name], [f"{name}2"]), command


def test_wait_and_graph_know_the_nearest_name(shell):
    shell.write("w.json", {"name": "report", "workers": [{"name": "a", "command": "true"}]})
    assert shell.run("run", "w.json").returncode == 0
    for verb in ("wait", "graph"):
        done = shell.run(verb, "reprot")
        assert done.returncode == 5 and "Did you mean 'report'? `wattle list` names all" in done.stderr


def test_history_fits_a_narrow_terminal(shell, terminal):
    shell.write("w.json", {"name": "w", "workers": [{"name": "long " * 20 + "name", "command": "true"}]})
    assert shell.run("run", "w.json").returncode == 0
    shown = terminal("history", "w", columns=40, lines=10)
    assert shown.ends() == 0
    assert [line[-1] for line in shown.lines[:3]] == ["1", "✓", "✓"], shown.text
