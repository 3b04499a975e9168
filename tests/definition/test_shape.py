import json
from typing import Any

import pytest
from definition.documents import full, refusal, resolve, worker, workflow

from wattle.definition.problems import LIMIT
from wattle.definition.schema import WorkflowDocument
from wattle.errors import Malformed


@pytest.mark.parametrize("document", [None, 1, "x", [], True])
def test_a_workflow_is_an_object(document: object) -> None:
    error = refusal(document)
    assert isinstance(error, Malformed)
    assert (error.code, error.details[0].pointer) == ("VALIDATION_ERROR", "")


@pytest.mark.parametrize(
    "fields, pointer, message",
    [
        ({"command": None}, "command", "must be a string (it is null)"),
        ({"command": ["a"]}, "command", "must be a string (it is an array)"),
        ({"command": "a\0"}, "command", "must not hold NUL"),
        ({"workflow_name": 1}, "workflow_name", "must be a string (it is a number)"),
        ({"args": "x"}, "args", "must be an array (it is a string)"),
        ({"args": ["x", 1]}, "args/1", "must be a string (it is a number)"),
        ({"working_dir": ""}, "working_dir", "must not be empty"),
        ({"env_vars": []}, "env_vars", "must be an object (it is an array)"),
        ({"env_vars": {"A": None}}, "env_vars/A", "must be a string (it is null)"),
        ({"env_vars": {"A=B": "x"}}, "env_vars/A=B", "variable name 'A=B' holds a '='"),
        ({"inputs": {"x": 1}}, "inputs/x", "must be a string"),
        ({"inputs": {"x/y": "a/b"}}, "inputs/x~1y", "input name 'x/y' holds a '/'"),
        ({"outputs": {"o": ""}}, "outputs/o", "must not be empty"),
        ({"outputs": {"o": 1}}, "outputs/o", "must be a path or an object (it is a number)"),
        ({"outputs": {"o": {"optional": True}}}, "outputs/o/path", "field 'outputs.o.path' is missing"),
        ({"outputs": {"o": {"path": "x", "optional": 1}}}, "outputs/o/optional", "must be true or false"),
        ({"depends_on": "b"}, "depends_on", "must be an array"),
        ({"timeout_seconds": 0}, "timeout_seconds", "must be greater than 0"),
        ({"timeout_seconds": True}, "timeout_seconds", "must be a number (it is a boolean)"),
        ({"timeout_seconds": "60"}, "timeout_seconds", "must be a number (it is a string)"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds", "must be a finite number"),
        ({"retry": {"limit": -1}}, "retry/limit", "must be greater than or equal to 0"),
        ({"retry": {"jitter": 1.1}}, "retry/jitter", "must be less than or equal to 1"),
        ({"retry": 3}, "retry", "must be an object (it is a number)"),
        ({"success_exit_codes": [0, 256]}, "success_exit_codes/1", "must be less than or equal to 255"),
        ({"stop": {"signal": 0}}, "stop/signal", "is not a signal"),
        ({"stop": {"signal": 1.5}}, "stop/signal", "must be the name of a signal or its number"),
        ({"stop": {"scope": "all"}}, "stop/scope", "must be 'group' or 'leader'"),
        ({"priority": 1.5}, "priority", "must be an integer (it is 1.5)"),
        ({"priority": 10**30}, "priority", "must be less than or equal to"),
        ({"capture_stdout": "no"}, "capture_stdout", "must be true or false (it is a string)"),
        ({"args": ["x"] * 100_001}, "args", "must have at most 100000"),
        ({"env_vars": {str(n): None for n in range(100_001)}}, "env_vars", "must have at most 100000"),
        ({"retry": {str(n): 0 for n in range(101)}}, "retry", "must have at most 100 fields"),
    ],
)
def test_each_field_of_a_worker_has_its_type_and_limits(fields: dict[str, Any], pointer: str, message: str) -> None:
    error = refusal(worker(**fields))
    [problem] = error.details
    assert isinstance(error, Malformed)
    assert (problem.code, problem.pointer) == ("VALIDATION_ERROR", f"/workers/0/{pointer}")
    assert problem.message.startswith("worker 'a': ")
    assert message in problem.message


@pytest.mark.parametrize(
    "fields, pointer",
    [
        ({"name": 3}, "/name"),
        ({"name": "item"}, "/name"),
        ({"description": 1}, "/description"),
        ({"max_parallel": 0}, "/max_parallel"),
        ({"max_parallel": 10_001}, "/max_parallel"),
        ({"timeout_seconds": -1}, "/timeout_seconds"),
        ({"workers": None}, "/workers"),
        ({"workers": {}}, "/workers"),
        ({"workers": [3]}, "/workers/0"),
        ({"env_vars": {"": "x"}}, "/env_vars/"),
        ({"working_dir": 1}, "/working_dir"),
    ],
)
def test_each_field_of_a_workflow_has_its_type_and_limits(fields: dict[str, Any], pointer: str) -> None:
    error = refusal(workflow() | fields)
    assert isinstance(error, Malformed)
    assert [problem.pointer for problem in error.details] == [pointer]


def test_missing_fields_are_named() -> None:
    error = refusal({"workers": [{}]})
    assert [problem.pointer for problem in error.details] == ["/name", "/workers/0/name", "/workers/0/command"]


@pytest.mark.parametrize(
    "field, meant",
    [
        ("comand", "command"),
        ("env", "env_vars"),
        ("timeout", "timeout_seconds"),
        ("Outputs", "outputs"),
        ("needs", "depends_on"),
        ("zzz", None),
    ],
)
def test_an_unknown_field_is_a_problem_with_a_suggestion(field: str, meant: str | None) -> None:
    [problem] = refusal(worker(**{field: "x"})).details
    assert problem.pointer == f"/workers/0/{field}"
    assert problem.suggestion == (meant and f"did you mean `{meant}`?")


@pytest.mark.parametrize(
    "document, hint",
    [
        (workflow(worker=[]), "did you mean `workers`?"),
        (worker(retry={"limt": 1}), "did you mean `limit`?"),
        (worker(outputs={"o": {"path": "x", "optinal": True}}), "did you mean `optional`?"),
        (worker(stop={"signal": "SIGTREM"}), "did you mean `TERM`?"),
    ],
)
def test_suggestions_reach_every_level(document: dict[str, Any], hint: str) -> None:
    assert refusal(document).details[0].suggestion == hint


def test_what_can_be_judged_of_the_other_workers_is_judged() -> None:
    error = refusal(
        workflow(
            {"name": "bad", "args": 3},
            {"name": "open", "command": "echo 'x"},
            {
                "name": "lost",
                "inputs": {"x": "open/nothing", "y": "bad/perhaps", "z": "nobody/x"},
                "depends_on": ["bad"],
            },
            {"name": "odd", "colour": "red", "depends_on": ["odd"]},
        )
    )
    assert [(problem.code, problem.pointer) for problem in error.details] == [
        ("VALIDATION_ERROR", "/workers/0/args"),
        ("VALIDATION_ERROR", "/workers/3/colour"),
        ("INVALID_COMMAND", "/workers/1/command"),
        ("DEPENDENCY_VALIDATION_FAILED", "/workers/2/inputs/x"),
        ("DEPENDENCY_VALIDATION_FAILED", "/workers/2/inputs/z"),
        ("CIRCULAR_DEPENDENCY", "/workers/3/depends_on/0"),
    ]


def test_a_reference_to_what_may_be_a_nameless_worker_is_not_held_against_it() -> None:
    error = refusal(workflow({"args": []}, {"name": "b", "inputs": {"x": "a/o"}, "depends_on": ["a"]}))
    assert [problem.pointer for problem in error.details] == ["/workers/0/name"]


def test_problems_have_lines_and_columns_where_the_text_is_at_hand() -> None:
    document = worker(comand="x", outputs={"o": 1})
    text = json.dumps(document, indent=2)
    for problem in refusal(document, text).details:
        assert problem.line and problem.column
        line = text.split("\n")[problem.line - 1]
        assert line[: problem.column - 1].strip() == f'"{problem.pointer.rpartition("/")[2]}":'
    assert refusal(document).details[0].line is None


def test_the_number_of_problems_told_is_bounded() -> None:
    error = refusal(workflow(*({"name": "a", "comand": str(n)} for n in range(LIMIT + 500))))
    assert len(error.details) == LIMIT + 1
    # 1,500 unknown fields and 1,499 duplicates
    assert error.details[-1].message == "and 1999 more problems"


def test_messages_show_control_characters_and_are_short() -> None:
    error = refusal(worker(**{"\x1b[31m" + "x" * 10_000: 1}))
    assert "\x1b" not in error.message
    assert len(error.message) < 300


def test_the_schema_can_be_published() -> None:
    schema = WorkflowDocument.model_json_schema()
    assert set(schema["properties"]) == set(full())
    assert schema["required"] == ["name", "workers"]
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["WorkerDocument"]["required"] == ["name", "command"]
    for part in ("properties", "$defs"):
        assert resolve(schema, f"/{part}")[0]
