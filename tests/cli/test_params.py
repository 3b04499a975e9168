"""`--param`, YAML files, `apply` and `schema`."""

import json

import pytest
from cli.http_server import Api, refusal, success

YAML = """\
name: w
params:
  n: {type: integer}
  text: {default: none}
workers:
  - name: a
    # the colon needs no quotes here
    command: |
      printf '%s|' ${{ params.n }} ${{ params.text }}
"""
API = "/api/workflows/w"


def test_run_takes_params_by_their_types(shell):
    shell.write("w.yaml", YAML)
    done = shell.run("run", "w.yaml", "--param", "n=7", "--param", "text=a = 'b'")
    assert done.returncode == 0, done.stderr
    assert shell.run("logs", "w/a").stdout.strip().endswith("7|a = 'b'|")


@pytest.mark.parametrize(
    "given, says",
    [
        ([], "param 'n' is missing"),
        (["n=x"], "param 'n' must be an integer; it is 'x'"),
        (["n=1", "t=1"], "param 't' does not exist"),
        (["n"], "'n' is not NAME=VALUE"),
    ],
)
def test_params_that_do_not_fit_are_a_mistake_of_usage_and_nothing_is_stored(shell, given, says):
    shell.write("w.yaml", YAML)
    done = shell.run("run", "w.yaml", *(word for each in given for word in ("--param", each)))
    assert done.returncode == 2 and says in done.stderr
    assert "w" not in shell.run("list").stdout.split()


@pytest.mark.parametrize("verb, target", [("start", "w"), ("restart", "w"), ("start", "w/a"), ("restart", "w/a")])
def test_start_and_restart_ask_the_server_for_the_types(shell, serving, verb, target):
    path = f"{API}/{verb}" if target == "w" else f"/api/workers/w/a/{verb}"
    declared = {"params": {"n": {"type": "integer"}, "j": {"type": "json"}, "s": {}}}
    api = Api({("GET", API): {"definition": declared}, ("POST", path): success("started", run_id=3)})
    url = serving(api)
    done = shell.run("--server", url, verb, target, "-p", "n=7", "-p", "j=[1]", "-p", "s=7")
    assert done.returncode == 0, done.stderr
    assert api.asked[0].query == {"include": "definition"}
    assert json.loads(api.asked[-1].body) == {"params": {"n": 7, "j": [1], "s": "7"}}
    assert shell.run("--server", url, verb, target, "-p", "n=x").returncode == 2
    assert shell.run("--server", url, verb, target).returncode == 0 and api.asked[-1].body == b""


@pytest.mark.parametrize(
    "found, answer, word",
    [(False, {}, "created"), (True, {"changed": True}, "updated"), (True, {"changed": False}, "unchanged")],
)
def test_apply_says_what_it_did(shell, serving, found, answer, word):
    there = {("GET", API): {"name": "w", "definition": {"workers": []}}, ("PUT", API): success("whatever", **answer)}
    there["GET", f"{API}/runs"] = success([], total=0)
    api = Api(there if found else {("POST", "/api/workflows"): success("whatever", warnings=["odd"])})
    shell.write("w.yaml", YAML)
    done = shell.run("--server", serving(api), "apply", "w.yaml")
    assert (done.returncode, done.stdout) == (0, f"Workflow 'w' {word}\n"), done.stderr
    stored = next(each for each in api.asked if each.body)
    assert json.loads(stored.body)["params"] == {"n": {"type": "integer"}, "text": {"default": "none"}}
    assert ("odd" in done.stderr) is not found


def test_apply_passes_other_refusals_on(shell, serving):
    shell.write("w.yaml", YAML)
    api = Api({("GET", API): refusal(403, "HOST_NOT_ALLOWED", "not here")})
    assert shell.run("--server", serving(api), "apply", "w.yaml").returncode == 5


def test_apply_mends_what_lacks_a_producer(shell):
    """A worker was deleted that another one needs; there are services, whose state is asked for."""
    workers = [
        {"name": "fetch", "command": "true"},
        {"name": "load", "command": "true", "depends_on": ["fetch"]},
        {"name": "db", "kind": "service", "command": "sleep 60"},
    ]
    shell.write("app.json", {"name": "app", "workers": workers})
    shell.start("serve", "--listen", "127.0.0.1:0").says("listening")
    assert shell.run("apply", "app.json").returncode == 0
    assert shell.run("delete", "app/fetch").returncode == 0
    assert shell.run("start", "app").returncode == 3
    done = shell.run("apply", "app.json")
    assert (done.returncode, done.stdout) == (0, "Workflow 'app' updated\n"), done.stderr
    assert shell.run("start", "app").returncode == 0


def test_a_text_that_is_not_utf8_is_a_mistake_of_usage_and_nothing_is_stored(shell):
    shell.write("w.yaml", YAML)
    done = shell.run("run", "w.yaml", "--param", "n=1", "--param", "text=\udcff")
    assert done.returncode == 2 and "param 'text' must be a text in UTF-8" in done.stderr
    assert "w" not in shell.run("list").stdout.split()


def test_the_problems_of_yaml_have_their_places(shell):
    shell.write("w.yml", YAML.replace("params.text", "params.txt") + "    inputs: {i: c/o}\n  - {name: b, comand: x}\n")
    done = shell.run("validate", "w.yml")
    assert done.returncode == 3
    places = [line.split(": ")[0] for line in done.stdout.splitlines() if line.startswith("w.yml:")]
    assert places == ["w.yml:11:23", "w.yml:11:5", "w.yml:8:14", "w.yml:10:17"], done.stdout
    assert "`text`" in done.stdout
    shell.write("x.yaml", "name: a\nname: b\n")
    done = shell.run("validate", "x.yaml")
    assert done.returncode == 3 and done.stdout.startswith("x.yaml:2:1: ") and "twice" in done.stdout


def test_a_file_says_by_its_name_or_its_beginning_what_it_is(shell):
    assert shell.run("validate", "-", stdin=YAML).returncode == 0
    shell.write("definition", YAML)
    shell.write("yaml.json", YAML)
    assert shell.run("validate", "definition").returncode == 0
    assert "JSON" in shell.run("validate", "yaml.json").stdout


def test_the_schema_is_printed(shell):
    schema = json.loads(shell.run("schema").stdout)
    assert schema["$schema"].endswith("2020-12/schema") and "params" in schema["properties"]
