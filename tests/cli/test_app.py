"""`wattle` from outside: version, help, usage errors, settings, streams that are closed."""

import signal
import subprocess
import sys
import threading

import pytest
from cli.http_server import Api, refusal
from cli.shell import ROOT

from wattle import __version__
from wattle.cli.app import VERBS

WORKFLOW = {
    "name": "w",
    "working_dir": "/d",
    "status": "completed",
    "created_at": "2026-01-01T00:00:00.000Z",
    "started_at": "2026-01-01T00:00:01.000Z",
    "completed_at": "2026-01-01T00:00:03.500Z",
    "deleted_at": None,
    "phase": "ended",
    "reason": None,
}


def test_version(shell):
    done = shell.run("--version")
    assert (done.stdout, done.stderr, done.returncode) == (f"wattle {__version__}\n", "", 0)


def test_version_loads_nothing_that_costs(shell):
    program = (
        "import sys, atexit; sys.argv = ['wattle', '--version'];"
        "atexit.register(lambda: print(*sorted(sys.modules)));"
        "from wattle.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=shell.environ)
    loaded = set(done.stdout.split())
    assert {"click", "wattle.cli.app"} <= loaded
    assert not loaded & {"httpx", "flask", "peewee", "networkx", "pydantic", "sqlite3", "psutil", "waitress", "json.x"}
    assert not {name for name in loaded if name.startswith(("wattle.client", "wattle.definition", "wattle.daemon"))}


def test_help_names_every_verb(shell):
    for arguments in (["--help"], ["-h"], []):
        done = shell.run(*arguments)
        said = done.stdout + done.stderr
        assert all(f"  {verb}" in said for verb in VERBS)
        assert done.returncode == (0 if arguments else 2)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_takes_the_shared_options(shell, verb):
    done = shell.run(verb, "--help")
    assert done.returncode == 0
    assert f"wattle {verb}" in done.stdout and "--data-dir" in done.stdout and "--server" in done.stdout


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["lst"], "Did you mean 'list'?"),
        (["frobnicate"], "'frobnicate' is not a command"),
        (["--nonsense"], "No such option"),
        (["list", "x"], "unexpected extra argument"),
        (["show"], "Missing argument"),
        (["show", "a/b/c"], "neither WORKFLOW nor WORKFLOW/WORKER"),
        (["why", "w/"], "'w/' is neither WORKFLOW nor WORKFLOW/WORKER"),
        (["runs", "w/a"], "did you mean 'w'?"),
        (["start", "w", "--force"], "--force is for a worker"),
        (["validate"], "Missing argument"),
        (["validate", "nowhere.json"], "nowhere.json cannot be read: No such file or directory"),
        (["create", "."], "cannot be read: Is a directory"),
        (["logs", "w", "-n", "x"], "not a valid integer"),
        (["--lang", "fr", "list"], "lang is 'fr' (from --lang)"),
        (["serve", "--listen", "nowhere"], "listen is 'nowhere' (from --listen)"),
        (["serve", "--max-processes", "0"], "max_processes is '0'"),
    ],
)
def test_a_mistake_of_usage_is_one_line_and_ends_with_2(shell, arguments, said):
    done = shell.run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("wattle: ") and done.stderr.count("\n") == 1
    assert said in done.stderr


def test_settings_that_are_wrong_name_their_source(shell):
    done = shell.run("list", WATTLE_MAX_PROCESSES="many")
    assert (done.returncode, done.stdout) == (2, "")
    assert "max_processes is 'many' (from WATTLE_MAX_PROCESSES)" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["create", "f.json"], ["delete", "w"], ["start", "w"], ["stop", "w/a"], ["restart", "w"], ["kill", "w/a"]],
)
def test_what_changes_something_needs_a_server(shell, arguments):
    shell.write("f.json", {"name": "w", "workers": [{"name": "a", "command": "true"}]})
    done = shell.run(*arguments)
    assert (done.returncode, done.stdout) == (4, "")
    assert "`wattle serve`" in done.stderr and str(shell.data_dir) in done.stderr
    assert not shell.data_dir.exists()


@pytest.mark.parametrize("arguments", [["list"], ["status"], ["show", "w"], ["start", "w"], ["logs", "w"], ["down"]])
def test_a_server_that_was_named_must_answer(shell, arguments):
    done = shell.run("--server", "http://127.0.0.1:1", *arguments)
    assert (done.returncode, done.stdout) == (4, "")
    assert "http://127.0.0.1:1" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [["--server", "URL", "list"], ["list", "--server", "URL"], ["--server", "http://x", "list", "--server", "URL"]],
)
def test_shared_options_stand_before_or_after_the_verb(shell, serving, arguments):
    url = serving(Api({("GET", "/api/workflows"): [WORKFLOW]}))
    done = shell.run(*[url if argument == "URL" else argument for argument in arguments])
    assert (done.returncode, done.stderr) == (0, "")
    assert "✓ completed" in done.stdout


@pytest.mark.parametrize(
    "answer, wanted",
    [
        (refusal(404, "WORKFLOW_NOT_FOUND", "Workflow 'w' does not exist"), 5),
        (refusal(409, "WORKFLOW_ALREADY_RUNNING", "Workflow 'w' is running"), 5),
        (refusal(422, "WORKFLOW_EMPTY", "Workflow 'w' has no workers"), 3),
        (refusal(503, "STORE_UNAVAILABLE", "no room"), 5),
        ((502, "text/html", [b"<html>"]), 5),
    ],
)
def test_a_refusal_is_one_line_and_has_its_exit_code(shell, serving, answer, wanted):
    url = serving(Api({("POST", "/api/workflows/w/start"): answer}))
    done = shell.run("start", "w", WATTLE_URL=url)
    assert (done.returncode, done.stdout) == (wanted, "")
    assert done.stderr.startswith("wattle: ") and done.stderr.count("\n") == 1


def test_a_defect_is_a_line_and_a_traceback_only_for_those_who_ask(shell, serving):
    url = serving(Api({("GET", "/api/workflows"): [{"name": "w"}]}))  # lacks what every workflow has
    done = shell.run("list", WATTLE_URL=url)
    assert done.returncode == 5
    assert "internal error: KeyError" in done.stderr and done.stderr.count("\n") == 1
    assert "Traceback" in shell.run("list", WATTLE_URL=url, WATTLE_DEBUG="1").stderr


@pytest.mark.parametrize("redirection, wanted", [("| head -c 1", 0), (">&-", 0), ("2>&-", 0), (">/dev/full", 5)])
def test_a_closed_pipe_is_silent(shell, serving, redirection, wanted):
    many = [{**WORKFLOW, "name": f"w{number}"} for number in range(5000)]
    url = serving(Api({("GET", "/api/workflows"): many}))
    script = f"set -o pipefail; {sys.executable} -m wattle.cli --server {url} list {redirection}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=shell.environ, cwd=ROOT)
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    assert done.returncode == wanted
    if wanted == 0:
        assert done.stderr == ""


def test_what_draws_is_imported_only_where_it_draws(shell):
    command = [sys.executable, "-X", "importtime", "-m", "wattle.cli"]
    for arguments in (["--help"], ["status"], ["list"]):
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, env=shell.environ, timeout=60)
        lines = [line for line in done.stderr.splitlines() if "|" in line]
        modules = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
        assert done.returncode == 0 and "click" in modules
        assert not modules & {"rich", "networkx", "pygments"} and ("httpx" in modules) is (arguments != ["--help"])


def test_control_c_ends_with_130(shell, serving):
    asked, go = threading.Event(), threading.Event()

    def slow(_):
        asked.set()
        go.wait(20)
        return []

    url = serving(Api({("GET", "/api/workflows"): slow}))
    process = shell.start("list", "--server", url)
    assert asked.wait(20)
    process.signal(signal.SIGINT)
    assert (process.ends(), process.out, process.err) == (130, "", "")
    go.set()


def test_without_a_home_the_data_directory_is_named(shell):
    environ = {key: value for key, value in shell.environ.items() if key not in ("HOME", "WATTLE_DATA_DIR")}
    shell.environ = environ
    done = shell.run("start", "w")
    assert done.returncode == 4
    assert "/var/tmp/wattle-" in done.stderr


def test_an_ascii_terminal_gets_ascii(shell, serving):
    url = serving(Api({("GET", "/api/workflows"): [{**WORKFLOW, "name": "数据"}]}))
    done = shell.run("list", "--server", url, PYTHONIOENCODING="ascii")
    assert done.stdout.isascii() and "+ completed" in done.stdout and "\\u6570\\u636e" in done.stdout
