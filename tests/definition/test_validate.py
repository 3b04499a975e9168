import copy
import json
from typing import Any

import pytest
from definition.documents import CONTEXT, FULL, SEED_BODIES, full, loaded, read, refusal, resolve, worker, workflow
from hypothesis import given
from hypothesis import strategies as st

from wattle.definition.canonical import canonical_json, digest
from wattle.definition.document import parse_json
from wattle.definition.model import InputRef, Output, Retry, Stop
from wattle.definition.paths import Context
from wattle.definition.validate import check, read_workflow, without_worker
from wattle.errors import Invalid, Malformed, WattleError

ELSEWHERE = Context("/", "/root", "/elsewhere/work", "/elsewhere")


@pytest.mark.parametrize("name", SEED_BODIES)
def test_the_documented_bodies_are_valid(name: str) -> None:
    """W-50, W-54, W-55, byte for byte."""
    body = SEED_BODIES[name]
    result = read(parse_json(body, max_bytes=1 << 20))
    assert result.document == loaded(body)  # every path in them is absolute: nothing to fill in


def test_the_seeds_commands_are_planned_as_its_author_meant() -> None:
    """W-50, W-54, W-55."""
    hello, pipeline, example = (read(loaded(body)) for body in SEED_BODIES.values())
    assert hello.workers[0].argv == ("/bin/sh", "-c", "echo Hello, Wattle Scheduler!")
    assert pipeline.workers[0].argv[:2] == ("python3", "-c")
    assert pipeline.workers[0].argv[2] == 'import json; print(json.dumps({"data": [1,2,3,4,5]}))'
    assert pipeline.workers[1].inputs == {"input_file": InputRef("fetch_data", "raw_data")}
    assert example.workers[0].argv == ("python", "fetch_data.py", "--source", "database")
    assert example.workers[0].direct


def test_every_field_is_read() -> None:
    """W-30, W-31 and the optional fields."""
    result = read(full())
    make, attempt, tell = result.workers
    assert (result.working_dir, result.max_parallel, result.timeout_seconds) == ("/home/ann/full", 4, 3600)
    assert result.env_vars == {"MODE": "fast", "LEVEL": "3", "DEBUG": "true"}
    assert make.working_dir == "/home/ann/full/src"
    assert make.argv == ("make", "-j2", "all parts", "--quiet")
    assert make.outputs == {"binary": Output("/home/ann/full/src/bin/app"), "log": Output("/tmp/full.log", True)}
    assert make.retry == Retry(3, 0.5, 1, 10, 0.1)
    assert make.stop == Stop(2, 1, "leader")
    assert make.success_exit_codes == {0, 2}
    assert (make.priority, make.stdout, make.env_vars, make.timeout_seconds) == (5, "log", {"N": "1.5"}, 60)
    assert (attempt.direct, attempt.capture_stdout) == (False, False)
    assert (tell.position, tell.depends_on, tell.working_dir) == (2, ("try",), "/home/ann/full")


@pytest.mark.parametrize("nothing", [None, "absent", "empty"])
def test_optional_fields_may_be_absent_null_or_empty(nothing: str | None) -> None:
    """W-31, A8 (`workflow_name` is filled in); what was given is kept as given."""
    fields: dict[str, Any] = {
        "args": [],
        "env_vars": {},
        "inputs": {},
        "outputs": {},
        "depends_on": [],
        "success_exit_codes": [],
        "retry": {},
        "stop": {},
    }
    if nothing is None:
        fields = dict.fromkeys(
            [*fields, "working_dir", "workflow_name", "timeout_seconds", "priority", "stdout", "capture_stdout"]
        )
    elif nothing == "absent":
        fields = {}
    result = read(worker(**fields)).workers[0]
    assert (result.args, result.env_vars, result.inputs, result.outputs, result.depends_on) == ((), {}, {}, {}, ())
    assert (result.retry, result.stop, result.success_exit_codes, result.priority) == (Retry(), Stop(), {0}, 0)
    filled_in = {"name": "a", "command": "x", "workflow_name": "w", "working_dir": "/tmp/w"}
    assert result.document == fields | filled_in


@pytest.mark.parametrize(
    "given_dir, effective",
    [
        (None, "/var/wattle/work/w"),
        ("x", "/srv/app/x"),
        ("~", "/home/ann"),
        ("~/x", "/home/ann/x"),
        ("~bob", "/srv/app/~bob"),
        ("//tmp//a/../b/", "/tmp/b"),
        ("../..", "/"),
        (".", "/srv/app"),
    ],
)
def test_a_workflows_directory_is_absolute(given_dir: str | None, effective: str) -> None:
    result = read(workflow({"name": "a"}, working_dir=given_dir))
    assert result.working_dir == result.workers[0].working_dir == effective
    assert result.document["working_dir"] == result.document["workers"][0]["working_dir"] == effective


def test_a_workers_directory_is_relative_to_the_workflows_and_outputs_to_its_own() -> None:
    result = read(worker(working_dir="sub", outputs={"o": "../o", "h": "~/h"})).workers[0]
    assert (result.working_dir, result.outputs["o"].path, result.outputs["h"].path) == (
        "/tmp/w/sub",
        "/tmp/w/o",
        "/home/ann/h",
    )


@pytest.mark.parametrize("signal", ["INT", "SIGINT", "sigint", 2])
def test_a_signal_has_a_name_or_a_number(signal: str | int) -> None:
    result = read(worker(stop={"signal": signal})).workers[0]
    assert result.stop.signal == 2
    assert result.document["stop"] == {"signal": 2}


def test_no_workers_are_valid() -> None:
    assert read({"name": "w", "workers": []}).workers == ()


def test_the_schema_reference_is_ignored() -> None:
    assert read(workflow(**{"$schema": 3})) == read(workflow())


@pytest.mark.parametrize(
    "document, pointers, message",
    [
        (workflow({"name": "a"}, {"name": "a"}), ["/workers/1/name"], "stands twice"),
        (worker(workflow_name="other"), ["/workers/0/workflow_name"], "'other' is not the workflow's name 'w'"),
        (
            worker(outputs={"x": "f", "y": "./f"}),
            ["/workers/0/outputs/y"],
            "also written by worker 'a' as its output 'x'",
        ),
        (
            workflow({"name": "a", "outputs": {"x": "f"}}, {"name": "b", "outputs": {"x": "/tmp/w/f"}}),
            ["/workers/1/outputs/x"],
            "also written",
        ),
        (
            workflow({"name": "a", "outputs": {"x": "b/stderr.log"}}, {"name": "b"}),
            ["/workers/0/outputs/x"],
            "the log of worker 'b'",
        ),
        (worker(outputs={"x": "/var/wattle/db"}), ["/workers/0/outputs/x"], "inside Wattle's data directory"),
        (worker(outputs={"x": "/var/wattle/work"}), ["/workers/0/outputs/x"], "inside Wattle's data directory"),
        (
            worker(outputs={"x": "d/", "y": "d/..", "z": "."}),
            [f"/workers/0/outputs/{x}" for x in "xyz"],
            "names a directory",
        ),
        (worker(outputs={"x": "../w"}), ["/workers/0/outputs/x"], "is the working directory"),
        (worker(outputs={"x": "p" * 5000}), ["/workers/0/outputs/x"], "longer than 4095 bytes"),
        (worker(working_dir="p" * 5000), ["/workers/0/working_dir"], "longer than 4095 bytes"),
        (worker(outputs={"report": "f"}, stdout="reprot"), ["/workers/0/stdout"], "which it does not declare"),
        (worker(outputs={"x": "f"}, stdout="x", capture_stdout=False), ["/workers/0/capture_stdout"], "forbids"),
        (
            worker(env_vars={"WATTLE_ATTEMPT_UID": "x", "WATTLE_INPUT_A": "x"}),
            [f"/workers/0/env_vars/WATTLE_{x}" for x in ("ATTEMPT_UID", "INPUT_A")],
            "is set by Wattle",
        ),
        (workflow(env_vars={"WATTLE_RUN_ID": "x"}), ["/env_vars/WATTLE_RUN_ID"], "is set by Wattle"),
        (workflow(name="a ${{ run.id }}", working_dir=None), ["/working_dir"], "'${{', which is not replaced here"),
    ],
)
def test_values_that_cannot_be_meant(document: dict[str, Any], pointers: list[str], message: str) -> None:
    error = refusal(document)
    assert isinstance(error, Invalid)
    assert error.code == "VALIDATION_ERROR"
    assert [problem.pointer for problem in error.details] == pointers
    assert message in error.message


@pytest.mark.parametrize(
    "fields",
    [
        {"outputs": {"x": "/var/wattle/work/w/f"}},
        {"outputs": {"x": "c/stdout.log", "y": "a/b/stdout.log", "z": "stdout.log"}},
        {"env_vars": {"WATTLE_URL": "http://x", "WATTLE_RUNNER": "x"}},
    ],
)
def test_what_is_only_near_to_what_is_forbidden_is_allowed(fields: dict[str, Any]) -> None:
    assert read(worker(**fields))


def test_problems_are_reported_in_the_documented_order() -> None:
    bad = [
        {"name": "a", "inputs": {"x": "b/o"}},
        {"name": "b", "inputs": {"x": "a/none"}, "command": "'", "outputs": {"o": "x/"}},
    ]
    error = refusal(workflow(*bad))
    assert isinstance(error, Invalid)
    codes = ["VALIDATION_ERROR", "INVALID_COMMAND", "DEPENDENCY_VALIDATION_FAILED", "CIRCULAR_DEPENDENCY"]
    assert [problem.code for problem in error.details] == codes
    error = refusal(workflow(*bad, colour="red"))
    assert isinstance(error, Malformed)
    assert [problem.code for problem in error.details] == ["VALIDATION_ERROR", *codes]


@pytest.mark.parametrize("document", [*map(loaded, SEED_BODIES.values()), FULL], ids=[*SEED_BODIES, "full"])
def test_a_normalised_document_reads_as_the_same_workflow_anywhere(document: dict[str, Any]) -> None:
    first = read(document)
    for second in (
        read_workflow(first.document, ELSEWHERE),
        check(first.document),
        check(json.loads(canonical_json(first.document))),
    ):
        assert second == first
        assert second.digest == digest(first.document)


def test_reading_changes_and_keeps_nothing_of_the_callers() -> None:
    document = full()
    result = read(document)
    assert document == FULL
    before = copy.deepcopy(result.document)
    document["workers"][0]["args"].append("x")
    document["workers"][0]["retry"]["limit"] = 9
    document["workers"][0]["outputs"]["log"]["path"] = "y"
    document["env_vars"]["NEW"] = "z"
    assert result.document == before


def test_the_digest_is_of_the_meaning_not_of_the_writing() -> None:
    written = {"workers": [{"command": "x", "name": "a"}], "working_dir": "/tmp/./w", "name": "w"}
    assert read(written).digest == read(worker()).digest
    assert read(worker(priority=1)).digest != read(worker()).digest


def test_a_workflow_without_its_producer_is_stored_and_refused_at_the_start() -> None:
    """W-24, A18: deleting a producer is allowed; the next start is 422."""
    stored = read(loaded(SEED_BODIES["W-54"])).document
    rest = without_worker(stored, "fetch_data")
    assert [each["name"] for each in rest["workers"]] == ["process_data"]
    assert len(stored["workers"]) == 2
    with pytest.raises(Invalid) as caught:
        check(rest)
    assert caught.value.code == "DEPENDENCY_VALIDATION_FAILED"


_STRANGE: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1.5,
        10**30,
        float("nan"),
        "",
        "x",
        ".",
        "a/b",
        "~",
        "e\u0301",
        "\ud800",
        "\0",
        "make",
        "make/binary",
        "x" * 5000,
        [],
        {},
        [None],
        {"": None},
        {"x": "make/binary"},
        {"\ud800": 1},
        [[[]]],
        {"path": "x"},
        ["try"],
        {"signal": "x"},
    ]
)


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, each in inner for place in _places(each, (*at, key)))]


@given(st.data())
def test_no_document_raises_anything_but_a_wattle_error(data: st.DataObject) -> None:
    document: Any = full()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.sampled_from(_places(document)))
        change = data.draw(st.sampled_from(["replace", "delete", "rename"]))
        if not at:
            document = (
                copy.deepcopy(data.draw(_STRANGE))
                if change == "replace" and data.draw(st.integers(0, 9)) == 0
                else document
            )
            continue
        parent = document
        for key in at[:-1]:
            parent = parent[key]
        if change == "replace":
            parent[at[-1]] = copy.deepcopy(data.draw(_STRANGE))
        else:
            value = parent.pop(at[-1])
            if change == "rename" and isinstance(parent, dict):
                parent[data.draw(st.sampled_from(["", "x", "path", "name", "a/~b", "\ud800", "e\u0301", "limt"]))] = (
                    value
                )
    try:
        result = read(document, json.dumps(document))
    except WattleError as error:
        assert error.details
        for problem in error.details:
            problem.message.encode()
            found, _ = resolve(document, problem.pointer)
            assert found or "is missing" in problem.message or "?" in problem.pointer, problem
            assert problem.line and problem.column
    else:
        again = read_workflow(result.document, ELSEWHERE)
        assert again == result
        assert read_workflow(again.document, CONTEXT).document == result.document
