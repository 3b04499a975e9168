"""`wattle validate`, and what becomes of a FILE before it is sent."""

import json
import os
import re
from pathlib import Path

import pytest
from cli.http_server import Api, success

GOLDEN_DIRECTORY = Path(__file__).parent / "golden"
GOLDEN = sorted(path.name for path in GOLDEN_DIRECTORY.iterdir() if path.suffix != ".txt")
GOOD = {"name": "w", "workers": [{"name": "a", "command": "true"}]}
BAD = """{
  "name": "w",
  "workers": [
    {"name": "a", "command": "true", "outputs": {"rows": "rows.csv"}},
    {"name": "b", "comand": "true"},
    {"name": "c", "command": "true", "inputs": {"i": "a/row"}}
  ]
}
"""


def test_every_problem_has_its_place_and_a_suggestion(shell):
    shell.write("bad.json", BAD)
    done = shell.run("validate", "bad.json")
    assert done.returncode == 3
    lines = done.stdout.splitlines()
    at = next(position for position, line in enumerate(lines) if line.startswith("bad.json:5:") and "comand" in line)
    assert "`command`" in lines[at + 3]
    at = next(position for position, line in enumerate(lines) if line.startswith("bad.json:6:") and "a/row" in line)
    assert "`a/rows`" in lines[at + 3]
    assert done.stderr == "wattle: 3 problems in 1 file\n"


@pytest.mark.parametrize("name", GOLDEN)
def test_problems_are_told_as_a_compiler_tells_them(shell, name):
    """`tests/cli/golden/NAME.txt` is what `wattle validate NAME` prints, to the character."""
    shell.write(name, (GOLDEN_DIRECTORY / name).read_text())
    done = shell.run("validate", name)
    assert done.returncode == 3
    assert done.stdout == (GOLDEN_DIRECTORY / f"{name}.txt").read_text()


def test_colour_marks_the_place_and_changes_nothing_else(shell):
    shell.write("tabs.json", (GOLDEN_DIRECTORY / "tabs.json").read_text())
    done = shell.run("validate", "tabs.json", FORCE_COLOR="1")
    assert "\x1b[1;31m" in done.stdout
    assert re.sub(r"\x1b\[[0-9;]*m", "", done.stdout) == (GOLDEN_DIRECTORY / "tabs.json.txt").read_text()



def test_good_files_are_said_to_be_good_and_one_bad_one_decides(shell):
    shell.write("good.json", GOOD)
    shell.write("bad.json", "{")
    assert shell.run("validate", "good.json").returncode == 0
    done = shell.run("validate", "good.json", "bad.json")
    assert done.returncode == 3
    assert "good.json is a valid definition" in done.stderr and done.stdout.startswith("bad.json:1:2: ")


def test_json_has_every_file_with_its_problems(shell):
    shell.write("good.json", GOOD)
    shell.write("bad.json", BAD)
    done = shell.run("validate", "--json", "good.json", "bad.json")
    good, bad = json.loads(done.stdout)
    assert good == {"file": "good.json", "valid": True, "problems": []}
    assert bad["valid"] is False and bad["problems"][0]["line"] == 5
    assert done.returncode == 3


def test_standard_input_is_a_file_too(shell):
    assert shell.run("validate", "-", stdin=json.dumps(GOOD)).returncode == 0
    done = shell.run("validate", "-", stdin="[]")
    assert done.returncode == 3 and done.stdout.startswith("<stdin>:")


def test_problems_are_told_in_chinese_where_the_document_does(shell):
    document = {"name": "w", "workers": [{"name": "a", "command": "true", "inputs": {"i": "b/x"}}]}
    shell.write("bad.json", document)
    assert "依赖验证失败" in shell.run("--lang", "zh", "validate", "bad.json").stdout


@pytest.mark.parametrize("verb", ["create", "run"])
def test_nothing_is_sent_that_has_problems(shell, serving, verb):
    api = Api()
    shell.write("bad.json", BAD)
    done = shell.run(verb, "bad.json", "--server", serving(api))
    assert (done.returncode, done.stdout, api.asked) == (3, "", [])
    assert "bad.json:5:" in done.stderr


@pytest.mark.parametrize(
    "given, sent",
    [
        ("out", "FILE/out"),
        ("../out", "DIRECTORY/out"),
        (".", "FILE"),
        ("/abs", "/abs"),
        ("~/out", "HOME/out"),
        ("~", "HOME"),
        (None, None),
    ],
)
def test_directories_mean_those_of_the_file_and_the_caller(shell, serving, given, sent):
    """A directory that is not given stays so: the server knows its own data directory."""
    api = Api({("POST", "/api/workflows"): success("Workflow 'w' created successfully", warnings=["odd"])})
    (shell.directory / "sub").mkdir()
    worker = {
        "name": "a",
        "command": "true",
        "working_dir": "rel",
        "outputs": {"o": "o.txt", "h": "~/h.txt", "p": {"path": "~/p.txt", "optional": True}},
    }
    document = {"name": "w", "workers": [worker]} | ({} if given is None else {"working_dir": given})
    shell.write("sub/f.json", document)
    done = shell.run("create", "sub/f.json", "--server", serving(api))
    assert (done.returncode, done.stdout) == (0, "Workflow 'w' created successfully\n")
    assert done.stderr == "wattle: warning: odd\n"
    body = json.loads(api.asked[0].body)
    home, directory = shell.environ["HOME"], str(shell.directory)
    words = {"FILE": os.path.join(directory, "sub"), "DIRECTORY": directory, "HOME": home}
    for word, path in words.items():
        sent = sent and sent.replace(word, path)
    assert body.get("working_dir") == sent
    assert body["workers"][0]["working_dir"] == "rel"
    assert body["workers"][0]["outputs"] == {
        "o": "o.txt",
        "h": f"{home}/h.txt",
        "p": {"path": f"{home}/p.txt", "optional": True},
    }
