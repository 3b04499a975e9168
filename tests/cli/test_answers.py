"""`wattle schema --of …` says what the verbs really print."""

import json
import re

import jsonschema
import pytest

from wattle.cli.answers import ANSWERS, schema_of

DEFINITION = {
    "name": "w",
    "workers": [
        {"name": "a", "command": "echo x; echo y >&2", "outputs": {"o": {"path": "o.txt", "optional": True}}},
        {"name": "b", "command": "exit 3", "inputs": {"i": "a/o"}, "args": ["1"], "env_vars": {"A": "1"}},
        {"name": "c", "command": "true", "depends_on": ["b"]},
    ],
}
COMMANDS = {
    "list": ["list"], "runs": ["runs", "w"], "status": ["status"], "status-workflow": ["status", "w"],
    "status-worker": ["status", "w/b"], "show-workflow": ["show", "w"], "show-worker": ["show", "w/a"],
    "why": ["why", "w/c"], "why-workflow": ["why", "w"], "logs": ["logs", "w"],
    "validate": ["validate", "w.json", "bad.json"], "import": ["import", "procfile", "Procfile"],
    "doctor": ["doctor"], "fsck": ["fsck"], "error": ["status", "nowhere"], "wait": ["wait", "w"],
    "history": ["history", "w"],
}  # fmt: skip
OF_LINES = {"events": ["events", "--jsonl", "-n", "50"], "logs-follow": ["logs", "w", "-f", "--json"]}


def known(schema, value, path=""):
    """Keys that the schema does not have: a key that is printed is documented."""
    for part in schema.get("anyOf", ()):
        if (part.get("type") == "null") == (value is None):
            return known(part, value, path)
    if isinstance(value, list):
        return [key for each in value for key in known(schema["items"], each, path + "/*")]
    if isinstance(value, dict) and "properties" in schema:
        extra = [f"{path}/{key}" for key in value if key not in schema["properties"]]
        inner = [known(schema["properties"][k], v, f"{path}/{k}") for k, v in value.items() if k not in extra
                 and k in schema["properties"]]  # fmt: skip
        return extra + [key for each in inner for key in each]
    return []


def test_what_the_verbs_print_is_as_the_schemas_say(shell):
    shell.write("w.json", DEFINITION)
    shell.write("bad.json", {"name": "w", "workers": [{"name": "a", "comand": "x"}]})
    shell.write("Procfile", "release: true\nweb: true\n")
    assert shell.run("run", "w.json").returncode == 1
    assert {*COMMANDS, *OF_LINES, "kill", "top"} == set(ANSWERS), "tests/whole/test_signals.py has that of kill"
    for answer, command in COMMANDS.items():
        done = shell.run(*command, "--json")
        value = json.loads(done.stderr if answer in ("import", "error") else done.stdout)
        schema = json.loads(shell.run("schema", "--of", answer).stdout)
        assert schema == schema_of(answer)
        jsonschema.Draft202012Validator(schema).validate(value)
        assert known(schema, value) == [], answer
        assert value not in ([], {}), answer
    schemas = shell.run("schema", "--help").stdout
    assert [answer for answer in ANSWERS if not re.search(rf"[ ,]{answer}[,.\n]", schemas)] == []


def test_lines_of_json_are_as_the_schemas_say(shell):
    shell.write("w.json", DEFINITION)
    shell.write("nap.json", {"name": "nap", "workers": [{"name": "nap", "command": "sleep 600"}]})
    shell.start("serve").says("listening")
    assert shell.run("run", "w.json").returncode == 1
    assert shell.run("run", "--detach", "nap.json").returncode == 0
    for answer, command in OF_LINES.items():
        lines = [json.loads(line) for line in shell.run(*command).stdout.splitlines()]
        assert len(lines) > 2
        for value in lines:
            jsonschema.Draft202012Validator(schema_of(answer)).validate(value)
            assert answer != "events" or known(schema_of(answer), value) == []
    found = json.loads(shell.run("top", "--json").stdout)
    jsonschema.Draft202012Validator(schema_of("top")).validate(found)
    assert known(schema_of("top"), found) == [] and [one["name"] for one in found] == ["nap/nap"]


@pytest.mark.parametrize("answer", ANSWERS)
def test_every_schema_is_one_and_refuses_what_it_does_not_mean(answer):
    """The second half is the positive control: an empty object or a list of them is no answer."""
    schema = schema_of(answer)
    jsonschema.Draft202012Validator.check_schema(schema)
    wrong = [{}] if schema["type"] == "array" else {}
    assert not jsonschema.Draft202012Validator(schema).is_valid(wrong)


def test_a_line_of_json_for_each_and_names_alone(shell):
    shell.write("w.json", DEFINITION)
    shell.run("run", "w.json")
    for verb, plain in ((["list"], "w"), (["runs", "w"], "1")):
        (line,) = shell.run(*verb, "--jsonl").stdout.splitlines()
        assert [json.loads(line)] == json.loads(shell.run(*verb, "--json").stdout)
        done = shell.run(*verb, "-q")
        assert (done.stdout, done.stderr) == (f"{plain}\n", "")
