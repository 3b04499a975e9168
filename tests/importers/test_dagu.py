import subprocess

import pytest

from tests.importers.others import FIXTURES, dagu, only, problems, said, workers
from wattle.definition import plan_command


def step(text):
    return only(dagu(f"steps:\n  - {text}\n"))


def test_the_fixture_has_every_step_with_what_it_needs():
    imported = dagu((FIXTURES / "dag.yaml").read_text())
    made = workers(imported)
    assert list(made) == ["list", "script", "sum", "may fail", "never", "words", "end"]
    assert imported.document["params"] == {"DAY": {"default": "2026-01-31"}, "COUNT": {"default": "3"}}
    assert imported.document["max_parallel"] == 4 and imported.document["timeout_seconds"] == 600
    assert made["sum"]["inputs"] == {"NUMBERS": "list/NUMBERS"} and "depends_on" not in made["sum"]
    assert made["script"]["retry"] == {"limit": 2, "delay_seconds": 1, "factor": 1}
    assert made["may fail"]["stop"] == {"signal": "INT", "grace_seconds": 5}
    left = " ".join(said(imported, "left_out"))
    assert all(word in left for word in ("schedule", "handlerOn", "tags"))


@pytest.mark.parametrize(
    "text, made",
    [
        ("make all", {"command": "make all"}),
        ("{name: a, command: [echo, 'two words']}", {"command": "echo 'two words'"}),
        ("{id: a, run: echo $HOME}", {"command": "echo $HOME"}),
        ("{id: a, run: [make, make test]}", {"command": "set -e\nmake\nmake test"}),
        ("{id: a, run: make hi, with: {shell: bash -e}}", {"command": "make hi"}),
        ("{id: a, run: 'echo $A', with: {shell: bash -e}}", {"command": "bash -e -c", "args": ["echo $A"]}),
        ("{id: a, run: x, retry_policy: {limit: 3, interval_sec: 10, backoff: true}}",
         {"retry": {"limit": 3, "delay_seconds": 10, "factor": 2}}),
        ("{id: a, run: x, timeout_sec: 5, working_dir: /srv}", {"timeout_seconds": 5, "working_dir": "/srv"}),
        ("{id: a, run: x, continue_on: {exit_code: [3, 4]}}", {"success_exit_codes": [0, 3, 4]}),
        ("{id: a, run: x, continue_on: failed}", {"success_exit_codes": list(range(256))}),
    ],
)  # fmt: skip
def test_both_spellings_of_a_step(text, made):
    assert made.items() <= step(text).items()


@pytest.mark.parametrize(
    "text", ["{id: a, action: http.request, with: {url: x}}", "{name: a, executor: {type: docker}, command: x}",
             "{name: a, run: sub.yaml, params: A=1}", "{name: a, call: {function: f}}"],
)  # fmt: skip
def test_what_is_no_local_command_is_a_worker_that_fails_and_says_so(text):
    imported = dagu(f"steps:\n  - {text}\n")
    done = subprocess.run(["sh", "-c", only(imported)["command"]], capture_output=True, text=True)
    assert done.returncode == 78 and "write its command" in done.stderr
    assert any("no local command" in each for each in said(imported, "left_out"))


def test_steps_of_a_chain_follow_each_other_and_others_do_not():
    chain = workers(dagu("type: chain\nsteps: [{id: a, run: x}, {id: b, run: y}, {id: c, run: z, depends: a}]"))
    assert [chain[name].get("depends_on") for name in "abc"] == [None, ["a"], ["a"]]
    assert all("depends_on" not in worker for worker in workers(dagu("steps: [x, y]")).values())


def test_names_and_ids_are_both_names():
    made = workers(dagu("steps: [{id: a, name: the first, run: x}, {id: b, run: y, depends: [the first]}]"))
    assert made["b"]["depends_on"] == ["a"]


@pytest.mark.parametrize("given", ["A=1 B='two words' three", "[{A: 1}, {B: two words}, three]"])
def test_params(given):
    imported = dagu(f"params: {given}\nsteps: ['echo $3 ${{A}}']\n")
    assert imported.document["params"] == {
        "A": {"default": "1"}, "B": {"default": "two words"}, "arg3": {"default": "three"},
    }  # fmt: skip
    assert only(imported)["command"] == "echo ${arg3} ${A}"
    assert imported.document["env_vars"]["A"] == "${{ params.A }}"


def test_a_default_that_would_have_to_be_computed_is_left_out():
    imported = dagu("params: A=`date`\nsteps: [x]")
    assert imported.document["params"] == {"A": {}} and "computed" in said(imported, "left_out")[0]


@pytest.mark.parametrize(
    "condition, status",
    [
        ("'true'", 0),
        ("'false'", 75),
        ("[{condition: '`echo 01`', expected: '01'}]", 0),
        ("[{condition: '$NOTHING', expected: 'a'}]", 75),
        ("[{condition: 'abc', expected: 're:^a.c$'}]", 0),
        ("[{condition: 'abc', expected: 'abc', negate: true}]", 75),
    ],
)
def test_a_precondition_that_is_not_met_ends_the_step(condition, status):
    made = step(f"{{id: a, run: 'true', preconditions: {condition}}}")
    plan = plan_command(made["command"], made.get("args"))
    assert subprocess.run(plan.argv, capture_output=True).returncode == status


def test_the_precondition_of_the_dag_comes_before_all():
    made = workers(dagu("precondition: test -f go\nsteps: [{id: a, run: x}, {id: b, run: y, depends: a}]"))
    assert made["a"]["depends_on"] == ["precondition"] and made["b"]["depends_on"] == ["a"]


@pytest.mark.parametrize(
    "text, line, says",
    [
        ("steps: []", 1, "at least one step"),
        ("name: x", 1, "at least one step"),
        ("steps:\n  - {id: a}", 2, "has no command"),
        ("steps:\n  - {id: a, run: x}\n  - {id: a, run: x}", 3, "stands twice"),
        ("steps:\n  - {id: a, run: x, depends: b}", 2, "which is not there"),
        ("steps:\n  - {id: a, run: {type: shell}}", 2, "text or a list"),
        ("steps:\n  - {id: a, run: x, timeout_sec: soon}", 2, "a number"),
        ("steps:\n  - {id: a, run: x, signalOnStop: FOO}", 2, "not a signal"),
        ("type: agent\nsteps: [x]", 1, "not graph or chain"),
        ("steps: [x]\n---\nsteps: [y]", 2, "second document"),
    ],
)
def test_what_cannot_be_understood_is_told_with_its_place(text, line, says):
    found = problems(dagu, text)
    assert any(at == line and says in message for at, message in found), found
