"""What is wrong with an instance is said, all of it, with its place."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.importers.instances import encoded, fork_join, instance, odd, task, wide
from wattle.definition import Context, read_workflow
from wattle.errors import Invalid, Malformed, TooLarge, WattleError
from wattle.importers.instance import MAX_BYTES, read_instance
from wattle.importers.wfformat import import_wfformat


def problems_of(document):
    """`{pointer: message}`"""
    with pytest.raises((Malformed, Invalid)) as raised:
        read_instance(document if isinstance(document, bytes) else encoded(document))
    assert all(problem.line and problem.column for problem in raised.value.details)
    return {problem.pointer: problem.message for problem in raised.value.details}


def test_what_a_task_is_recorded_with():
    read = read_instance(encoded(odd()))
    assert (read.name, len(read.tasks), read.sizes["large"], read.strangers) == ("recorded", 12, 10_000_000, 0)
    both = read.tasks[4]
    assert (both.id, both.runtime_seconds, both.inputs, both.outputs) == ("both", 0.5, ("in.place",), ("in.place",))
    assert read.tasks[9].parents == ("stranger's",), "an empty id names nobody"


def test_execution_and_files_may_be_absent():
    document = fork_join()
    del document["workflow"]["execution"], document["workflow"]["specification"]["files"]
    read = read_instance(encoded(document))
    assert {each.runtime_seconds for each in read.tasks} == {None} and read.sizes == {}


def test_only_schema_1_5_is_read():
    assert problems_of({"schemaVersion": "1.4", "workflow": {"tasks": []}}) == {
        "/schemaVersion": "schemaVersion is '1.4'; only '1.5' is read (WfFormat's "
        "tools/wfcommons-migrate-instance.py turns older instances into it)"
    }
    assert "is this a WfCommons instance?" in problems_of({"name": "w", "workers": []})["/schemaVersion"]
    assert problems_of([]) == {"": "A WfCommons instance must be an object"}


def test_all_problems_of_shape_are_told_at_once():
    document = fork_join()
    specification, execution = document["workflow"]["specification"], document["workflow"]["execution"]
    specification["tasks"][1]["parents"] = None
    specification["tasks"][2]["inputFiles"] = ["x", 7]
    del specification["tasks"][3]["id"]
    specification["files"][0]["sizeInBytes"] = -1
    specification["files"][1]["sizeInBytes"] = 1.5
    execution["tasks"][0]["runtimeInSeconds"] = "1"
    at = "/workflow/specification"
    assert problems_of(document) == {
        f"{at}/tasks/1/parents": "workflow.specification.tasks[1].parents must be an array",
        f"{at}/tasks/2/inputFiles/1": "workflow.specification.tasks[2].inputFiles[1] must be a string",
        f"{at}/tasks/3/id": "workflow.specification.tasks[3].id is missing",
        f"{at}/files/0/sizeInBytes": "workflow.specification.files[0].sizeInBytes must not be negative",
        f"{at}/files/1/sizeInBytes": "workflow.specification.files[1].sizeInBytes must be an integer",
        "/workflow/execution/tasks/0/runtimeInSeconds":
            "workflow.execution.tasks[0].runtimeInSeconds must be a number",
    }  # fmt: skip


def test_parts_that_are_missing_are_named():
    assert problems_of({"schemaVersion": "1.5"}) == {"/name": "name is missing", "/workflow": "workflow is missing"}
    empty = {"schemaVersion": "1.5", "name": "n", "workflow": {"specification": {"tasks": []}}}
    assert problems_of(empty) == {"/workflow/specification/tasks": "workflow.specification.tasks must not be empty"}


def test_ids_stand_once():
    document = instance(task("a", writes=["f"]), task("b"))
    specification, execution = document["workflow"]["specification"], document["workflow"]["execution"]
    specification["tasks"].append(dict(specification["tasks"][0]))
    specification["files"] += [{"id": "f", "sizeInBytes": 10}]
    assert problems_of(document) == {"/workflow/specification/tasks/2/id": "task 'a' stands twice; ids must be unique"}
    specification["files"] += [{"id": "f", "sizeInBytes": 11}]
    execution["tasks"].append(execution["tasks"][1])
    assert problems_of(document) == {
        "/workflow/specification/files/2/id": "file 'f' stands twice, with 10 and 11 bytes",
        "/workflow/execution/tasks/2/id": "task 'b' stands twice among the executed ones",
    }


def test_parents_and_children_exist():
    document = instance(task("index"), task("align", "index"))
    document["workflow"]["specification"]["tasks"][1] |= {"parents": ["index", "indx"], "children": ["nobody"]}
    with pytest.raises(Invalid) as raised:
        read_instance(encoded(document))
    first, second = raised.value.details
    assert first.message == "task 'align': 'indx' of its parents is no task of this instance"
    assert (first.suggestion, first.pointer[-10:]) == ("did you mean `index`?", "/parents/1")
    assert second.message == "task 'align': 'nobody' of its children is no task of this instance"


def test_parents_and_children_agree():
    document = instance(task("a"), task("b", "a"), task("c"))
    tasks = document["workflow"]["specification"]["tasks"]
    tasks[0]["children"] = ["c"]
    assert sorted(problems_of(document).values()) == [
        "task 'a' has 'c' among its children, but is not among the parents of 'c'",
        "task 'b' has 'a' among its parents, but is not among the children of 'a'",
    ]


def test_a_circle_is_shown():
    document = instance(task("a", "c"), task("b", "a"), task("c", "b"), task("d", "d"))
    found = problems_of(document)
    assert [message.partition(": ")[2] for message in found.values()] == ["a → b → c → a", "d → d"]


def test_more_outputs_than_a_command_can_name_are_refused():
    document = instance(task("a"), task("split", writes=[f"{'x' * 100}{n}" for n in range(10_000)]))
    with pytest.raises(Invalid, match="task 'split' writes 10000 files, whose paths take") as raised:
        import_wfformat(encoded(document))
    assert raised.value.details[0].pointer == "/workflow/specification/tasks/1/outputFiles"


def test_too_much_is_refused():
    with pytest.raises(TooLarge):
        read_instance(b" " * (MAX_BYTES + 1))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5) | st.sampled_from(["1.5", "fork", "work0", "given", "..", "/"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["id", "name", "tasks", "files", "parents", "children"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def places(value, path=()):
    """Every place in a JSON value, deepest last."""
    yield path
    for key, member in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from places(member, (*path, key))


@st.composite
def mutated(draw):
    """An instance of ours with up to four places replaced, removed or repeated."""
    document = draw(st.sampled_from([fork_join, odd, lambda: wide(3)]))()
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(list(places(document))))
        if not path:
            continue
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        match draw(st.sampled_from(["replace", "remove", "repeat"])):
            case "replace":
                parent[path[-1]] = draw(JSON)
            case "remove":
                del parent[path[-1]]
            case "repeat" if isinstance(parent, list):
                parent.append(parent[path[-1]])
    return document


@settings(deadline=None, max_examples=200)
@given(mutated() | JSON)
def test_any_json_is_refused_with_places_or_becomes_a_valid_definition(document):
    data = json.dumps(document).encode()
    try:
        made = import_wfformat(data).document
    except WattleError as error:
        assert isinstance(error, (Malformed, Invalid)) and error.details
        assert all(problem.message and problem.line for problem in error.details)
    else:
        read_workflow(made, Context("/somewhere", "/home/ada", "/data/work", "/data"))


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_refused(data):
    with pytest.raises((Malformed, Invalid)):
        import_wfformat(data)
