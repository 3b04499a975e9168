"""Help, hints, colour, narrow and old terminals, and how long it takes to say something."""

import os
import shlex
import subprocess
import sys

import click
import pytest
from cli.http_server import Api
from cli.shell import ROOT

from tests.cli.test_app import WORKFLOW
from wattle.cli.app import VERBS, cli
from wattle.cli.examples import EXAMPLES
from wattle.cli.session import Session


def verbs():
    """`{path: command}` of every verb, those of groups too."""
    found = {}
    for name in VERBS:
        command = cli.get_command(click.Context(cli, obj=Session()), name)
        found[name] = command
        found |= {f"{name} {inner}": each for inner, each in getattr(command, "commands", {}).items()}
    return found


@pytest.mark.parametrize("path", verbs())
def test_every_verb_says_what_it_does_and_shows_examples(path):
    command = verbs()[path]
    text = command.get_help(click.Context(command, info_name=path, obj=Session()))
    assert EXAMPLES[path], path
    assert all(example in text for example, _ in EXAMPLES[path])
    assert command.help and command.help.splitlines()[0].rstrip().endswith((".", ":"))
    for option in command.params:
        assert not isinstance(option, click.Option) or option.help, (path, option.name)


@pytest.mark.parametrize("example", [example for each in EXAMPLES.values() for example, _ in each])
def test_every_example_is_a_command_line_that_exists(example):
    for part in example.replace('eval "$(', "").replace(')"', "").split("|"):
        words = shlex.split(part.partition(">")[0])
        command, context = cli, click.Context(cli, info_name="wattle", obj=Session())
        if words.pop(0) != "wattle":
            continue
        while isinstance(command, click.Group):
            name, command, words = command.resolve_command(context, words)
            assert command is not None and name is not None
            context = click.Context(command, info_name=name, parent=context)
        command.make_context(command.name, words, parent=context.parent)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["status", "demmo"], "Workflow 'demmo' does not exist. Did you mean 'demo'? `wattle list` names all"),
        (["why", "demo/fetsch"], "Worker 'demo/fetsch' does not exist. Did you mean 'demo/fetch'?"),
        (["logs", "zzz"], "Workflow 'zzz' does not exist. `wattle list` names all"),
        (["show", "demo/zzz"], "`wattle status demo` names all"),
        (["sattus"], "Did you mean 'status'?"),
        (["import", "procfil", "x"], "Did you mean 'procfile'?"),
        (["import", "nomad", "x"], "There are procfile, supervisord, process-compose, dagu, wfformat."),
    ],
)
def test_a_name_that_does_not_exist_brings_the_nearest_one(shell, arguments, said):
    shell.write("demo.json", {"name": "demo", "workers": [{"name": "fetch", "command": "true"}]})
    assert shell.run("run", "demo.json").returncode == 0
    done = shell.run(*arguments)
    assert done.returncode in (2, 5) and done.stdout == ""
    assert said in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments, environ, is_coloured",
    [
        ([], {}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        (["--color", "never"], {"FORCE_COLOR": "1"}, False),
        (["--color", "auto"], {"FORCE_COLOR": "1"}, True),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colour_is_as_asked_for(shell, serving, arguments, environ, is_coloured):
    url = serving(Api({("GET", "/api/workflows"): [WORKFLOW]}))
    for order in ([*arguments, "list"], ["list", *arguments]):
        assert ("\x1b[" in shell.run(*order, "--server", url, **environ).stdout) == is_coloured


def test_quiet_is_without_talk_and_not_without_errors(shell):
    shell.write("w.json", {"name": "w", "workers": []})
    assert shell.run("validate", "-q", "w.json").stderr == ""
    assert shell.run("-q", "list").stderr == ""
    assert "no server runs" in shell.run("start", "-q", "w").stderr


def cpu_seconds(command, environ, enough=0.0):
    """Of a process that ends well, the best of five or the first below `enough`: what it takes, not what the machine
    was busy with."""
    best, tries = float("inf"), 0
    while tries < 5 and best >= enough:
        tries += 1
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ, cwd=ROOT
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        best = min(best, usage.ru_utime + usage.ru_stime)
    return best


def test_help_costs_a_few_times_what_python_itself_does(shell):
    """Some 150 ms where Python takes 30: a bound for what must not creep in, not a benchmark."""
    nothing = cpu_seconds([sys.executable, "-c", "pass"], shell.environ)
    bound = nothing * 6 + 0.05
    for verb in ([], ["run"], ["logs"], ["validate"], ["import", "dagu"]):
        took = cpu_seconds([sys.executable, "-m", "wattle.cli", *verb, "--help"], shell.environ, bound)
        assert took < bound, (verb, took, nothing)


def test_status_of_a_running_server_costs_a_few_times_more(shell):
    shell.start("serve", "--listen", "127.0.0.1:0").says("listening on")
    nothing = cpu_seconds([sys.executable, "-c", "pass"], shell.environ)
    bound = nothing * 12 + 0.05
    took = cpu_seconds([sys.executable, "-m", "wattle.cli", "status"], shell.environ, bound)
    assert took < bound, (took, nothing)


COSTLY = {
    "httpx", "flask", "werkzeug", "peewee", "networkx", "pydantic", "sqlite3", "psutil", "waitress", "yaml", "rich",
    "jsonschema", "prometheus_client", "asyncio", "ssl", "http.client", "email", "wattle.daemon",
    "wattle.definition", "wattle.store", "wattle.diagnosis",
}  # fmt: skip
OF_A_READER = COSTLY - {"httpx", "ssl", "http.client", "email"}  # what a call to a server needs


def loaded_by(shell, *arguments):
    """Every module that is there when `wattle` with these arguments has ended."""
    program = (
        f"import sys, atexit; sys.argv = ['wattle', *{arguments!r}];"
        "atexit.register(lambda: print('LOADED', *sorted(sys.modules)));"
        "from wattle.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=shell.environ)
    loaded = set(done.stdout.partition("LOADED")[2].split())
    assert "click" in loaded and done.returncode == 0, done.stderr
    return loaded


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], *([verb, "--help"] for verb in VERBS)], ids=" ".join)
def test_help_loads_nothing_that_costs(shell, arguments):
    assert loaded_by(shell, *arguments) & COSTLY == set()


def test_asking_a_server_loads_nothing_that_the_server_is_made_of(shell):
    shell.write("w.json", {"name": "w", "workers": [{"name": "a", "command": "true"}]})
    shell.start("serve", "--listen", "127.0.0.1:0").says("listening")
    assert shell.run("run", "w.json").returncode == 0
    for arguments in (["status"], ["status", "w"], ["status", "w/a"], ["list"], ["why", "w/a"], ["history", "w"]):
        loaded = loaded_by(shell, *arguments)
        assert "httpx" in loaded and loaded & OF_A_READER == set(), arguments


@pytest.mark.parametrize("module", ["click", "wattle.cli.listing", "wattle.client"])
def test_ctrl_c_while_it_is_loaded_ends_it_quietly(shell, module):
    """Where an exception would be a traceback, or be swallowed by a callback of the import system."""
    program = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder()); sys.argv = ['wattle', 'list']\n"
        "from wattle.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=shell.environ)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("asked", ["--help", "--version"])
def test_a_closed_pipe_is_silent_also_of_what_is_said_before_any_verb(shell, asked):
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "wattle.cli", asked]
    done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, env=shell.environ, cwd=ROOT)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_quiet_run_tells_outputs_and_what_went_wrong(shell, terminal):
    good = {"name": "good", "workers": [{"name": "a", "command": "echo x", "outputs": {"o": "o"}}]}
    shell.write("good.json", good)
    shell.write("bad.json", {"name": "bad", "workers": [{"name": "b", "command": "echo oh >&2; exit 3"}]})
    done = shell.run("run", "-q", "good.json")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("a/o  2 B  /")
    shown = terminal("run", "-q", "good.json", columns=200)
    assert shown.ends() == 0 and len(shown.text.split("\n\n")[0].splitlines()) == 1, shown.text
    failed = shell.run("run", "bad.json", "-q")
    assert failed.returncode == 1 and failed.stdout == ""
    assert "b  " in failed.stderr and "| oh" in failed.stderr and "next: `wattle logs bad/b`" in failed.stderr
    assert "▶" not in failed.stderr
