"""What is told when something could not be done: each row of the table of exit statuses, as a line and as JSON."""

import json
import signal

import jsonschema
import pytest
from cli.shell import wait_for

from tests.cli.test_everyday import clients_that_wait
from wattle.cli.answers import schema_of
from wattle.cli.exits import Exit

PATIENT = {"name": "patient", "workers": [{"name": "nap", "command": "exec sleep 600"}]}


def test_every_row_of_the_table_of_exit_statuses(shell):
    """Errors in one line on stderr, with --json as JSON, and nothing on stdout where there is nothing to tell."""
    shell.write("good.json", {"name": "good", "workers": [{"name": "a", "command": "true"}]})
    shell.write("bad.json", {"name": "bad", "workers": [{"name": "a", "command": "exit 3"}]})
    shell.write("odd.json", {"name": "odd", "workers": [{"name": "a", "comand": "true"}]})
    shell.write("patient.json", PATIENT)
    shell.write("Procfile", "no process\n")
    seen = {
        shell.run("run", "good.json").returncode: "completed",
        shell.run("run", "bad.json").returncode: "failed",
        shell.run("create", "odd.json").returncode: "a definition",
    }
    assert seen == {Exit.DONE: "completed", Exit.FAILED: "failed", Exit.INVALID_DEFINITION: "a definition"}
    assert told(shell, Exit.USAGE, "status", "-z") == ("USAGE", "wattle status --help")
    assert told(shell, Exit.USAGE, "sattus") == ("USAGE", "wattle --help")
    places = shell.run("import", "procfile", "Procfile")
    assert places.returncode == Exit.INVALID_DEFINITION and places.stderr.startswith("Procfile:1:1: ")
    document = shell.run("import", "procfile", "Procfile", "--json")
    assert (document.returncode, document.stdout) == (Exit.INVALID_DEFINITION, "")
    (problem,) = json.loads(document.stderr)["details"]
    assert (problem["line"], problem["column"]) == (1, 1)
    assert told(shell, Exit.NO_SERVER, "top") == ("NO_SERVER", "wattle serve")
    assert told(shell, Exit.REFUSED, "status", "nowhere") == ("WORKFLOW_NOT_FOUND", "wattle list")
    assert told(shell, Exit.REFUSED, "why", "bad/b") == ("WORKER_NOT_FOUND", "wattle status bad")
    server = shell.start("serve", "--listen", "127.0.0.1:0")
    server.says("listening")
    assert shell.run("run", "--detach", "patient.json").returncode == Exit.DONE
    late = told(shell, Exit.WAIT_TIMEOUT, "wait", "patient", "--timeout", "0")
    assert late[0] == "WAIT_TIMEOUT" and late[1].startswith("wattle wait ")
    waiting = shell.start("wait", "patient", "--json")
    wait_for(lambda: clients_that_wait(server))
    waiting.signal(signal.SIGINT)
    assert (waiting.ends(), waiting.out, waiting.err) == (Exit.INTERRUPTED, "", "")


def told(shell, status, *arguments):
    """Code and next command of the error, after both of its forms are looked at."""
    line = shell.run(*arguments)
    assert (line.returncode, line.stdout) == (status, "")
    assert line.stderr.startswith("wattle: ") and line.stderr.count("\n") == 1
    document = shell.run(*arguments, "--json")
    assert (document.returncode, document.stdout, document.stderr.count("\n")) == (status, "", 1)
    error = json.loads(document.stderr)
    jsonschema.Draft202012Validator(schema_of("error")).validate(error)
    assert error["exit_status"] == status and error["message"].rstrip(".") in line.stderr
    return error["code"], error["next"]


def test_the_details_of_a_definition_are_in_the_error(shell, serving):
    from cli.http_server import Api

    problem = {"code": "VALIDATION_ERROR", "message": "m", "pointer": "/name"}
    refused = {"success": False, "error": {"code": "VALIDATION_ERROR", "message": "m", "details": [problem]}}
    url = serving(Api({("GET", "/api/workflows"): (422, "application/json", [json.dumps(refused).encode()])}))
    done = shell.run("list", "--jsonl", "--server", url)
    assert done.returncode == Exit.INVALID_DEFINITION and done.stdout == ""
    (found,) = json.loads(done.stderr)["details"]
    assert (found["pointer"], found["line"]) == ("/name", None)


@pytest.mark.parametrize(
    "refused, says",
    [
        (["start", "patient"], "`wattle wait patient`, `wattle stop patient`"),
        (["delete", "patient"], "`wattle delete patient --force`"),
        (["delete", "patient/nap"], "`wattle delete patient/nap --force`"),
        (["create", "patient.json"], "`wattle apply FILE` stores a new version"),
        (["status", "nap"], "Did you mean the worker 'patient/nap'?"),
        (["run", "patient"], "Did you mean 'patient.json'?"),
        (["ps"], "Did you mean 'status'?"),
        (["-q", "stop", "patient/nip", "patient/nup"], "Did you mean 'patient/nap'?"),
    ],
    ids=" ".join,
)
def test_a_refusal_names_the_next_command(patient, refused, says):
    done = patient.run(*refused)
    assert done.returncode in (Exit.REFUSED, Exit.USAGE) and done.stdout == ""
    assert says in done.stderr, "with -q too: errors are not talk"


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    from cli.shell import Shell

    shell = Shell(tmp_path_factory.mktemp("patient"))
    shell.write("patient.json", PATIENT)
    assert shell.run("run", "--detach", "patient.json").returncode == 0
    yield shell
    shell.close()


def test_help_is_found_however_one_asks_for_it(shell):
    asked = shell.run("help", "run")
    assert asked.returncode == 0 and asked.stdout == shell.run("run", "--help").stdout
    assert shell.run("help").stdout == shell.run("--help").stdout
    for bare in (shell.run(), shell.run("import")):
        assert bare.returncode == Exit.USAGE and bare.stdout == "" and bare.stderr.startswith("Usage: wattle")
