"""An imported definition has the recorded graph, and is one that Wattle takes.

Over our own instances, and over those in the directory that the environment variable WATTLE_WFINSTANCES
names (`*.json` of schema 1.5, for instance from github.com/wfcommons/WfInstances): they are not ours to copy.
"""

import json

import pytest

from tests.importers.instances import LEGAL_120, LONG, encoded, every, fork_join, instance, odd, task, wide
from wattle.definition import Context, build_graph, read_workflow
from wattle.importers.wfformat import Options, import_wfformat

CONTEXT = Context("/somewhere", "/home/ada", "/data/work", "/data")
EVERY = every()
the_instances = pytest.mark.parametrize("data", EVERY.values(), ids=EVERY)


def imported(document, **options):
    return import_wfformat(encoded(document), Options(**options))


def workers_of(document, **options):
    """`{id of the task: its worker in the definition}`"""
    tasks = document["workflow"]["specification"]["tasks"]
    return dict(zip([each["id"] for each in tasks], imported(document, **options).document["workers"], strict=True))


@the_instances
def test_the_edges_are_exactly_the_recorded_parents_and_children(data):
    tasks = json.loads(data)["workflow"]["specification"]["tasks"]
    workflow = read_workflow(import_wfformat(data).document, CONTEXT)
    graph = build_graph(workflow)
    ids = [each["id"] for each in tasks]
    assert len(set(graph.names)) == len(graph.names) == len(ids)
    edges = [(ids[producer], ids[at]) for at, needs in enumerate(graph.producers) for producer in needs]
    parents = {(parent, each["id"]) for each in tasks for parent in each["parents"] if parent}
    children = {(each["id"], child) for each in tasks for child in each["children"] if child}
    assert len(edges) == len(set(edges))
    assert set(edges) == parents == children


@the_instances
def test_an_edge_is_depends_on_only_where_no_file_is(data):
    for worker in import_wfformat(data).document["workers"]:
        producers = {ref.partition("/")[0] for ref in worker.get("inputs", {}).values()}
        assert producers.isdisjoint(worker.get("depends_on", []))


@the_instances
def test_every_recorded_output_is_declared_below_the_working_directory(data):
    tasks = json.loads(data)["workflow"]["specification"]["tasks"]
    workflow = read_workflow(import_wfformat(data).document, CONTEXT)
    for recorded, worker in zip(tasks, workflow.workers, strict=True):
        assert len(worker.outputs) == len(set(recorded.get("outputFiles") or ()))
        assert all(output.path.startswith("/data/work/") for output in worker.outputs.values())


@the_instances
def test_the_same_instance_gives_the_same_definition(data):
    assert json.dumps(import_wfformat(data).document) == json.dumps(import_wfformat(data).document)


def test_names_that_are_legal_stay_and_others_are_shortened():
    names = {id: worker["name"] for id, worker in workers_of(odd()).items()}
    assert {id for id, name in names.items() if id == name} == {
        "split.it_ID000001", LEGAL_120, "both", "alone", "stranger's", "files"
    }  # fmt: skip
    assert names[LONG + "1"].startswith(LONG[:100] + "~") and len(names[LONG + "1"]) == 109
    assert names[LONG + "1"] != names[LONG + "2"]
    assert names["a/b"].startswith("a_b~") and names["42"].startswith("42~") and names["-dash"].startswith("_dash~")


def test_an_input_is_a_file_that_a_parent_makes():
    workers = workers_of(odd())
    assert "inputs" not in workers["split.it_ID000001"], "nobody makes given.fasta"
    (port,) = workers[LEGAL_120]["outputs"]
    assert workers[LONG + "1"]["inputs"] == {port: f"{LEGAL_120}/{port}"}
    dash = workers["-dash"]
    assert all(ref.startswith("both/") for ref in dash["inputs"].values()), "'stranger' is made by no parent"
    assert dash["depends_on"] == [workers["42"]["name"]]
    assert workers["42"]["depends_on"] == ["both"] and "inputs" not in workers["42"]


def test_a_file_with_two_makers_comes_from_each_that_is_a_parent():
    workers = workers_of(odd())
    both = workers["both"]
    first, second = workers[LONG + "1"], workers[LONG + "2"]
    assert list(both["inputs"].values()) == [f"{first['name']}/in.place", f"{second['name']}/in.place"]
    paths = [worker["outputs"]["in.place"] for worker in (first, second, both)]
    assert paths[0] == "files~/in.place" and len(set(paths)) == 3
    assert both["args"][both["args"].index("from") + 1 :] == paths[:2]


def test_sizes_are_the_recorded_ones_up_to_the_cap():
    def written(**options):
        args = workers_of(odd(), **options)["stranger's"]["args"]
        return dict(zip([path.rpartition("/")[2] for path in args[::2]], map(int, args[1::2])))

    assert written() == {"stranger": 10, "empty": 0, "large": 65536}
    assert written(max_bytes=4) == {"stranger": 4, "empty": 0, "large": 4}
    assert written(max_bytes=10**9)["large"] == 10_000_000


def test_runtimes_are_scaled():
    def commands(**options):
        return {id: worker["command"] for id, worker in workers_of(odd(), **options).items()}

    assert "sleep 0.5 " in commands()["both"] and "sleep 1 " in commands(scale=2)["both"]
    assert "sleep" not in commands(scale=0)["both"]
    assert commands()["alone"] == commands(scale=0)["alone"] == "true", "it took -1 s"
    assert commands()["42"] == "sleep 315360000"


def test_files_are_kept_apart_from_the_logs_of_a_worker_of_that_name():
    args = workers_of(odd())["files"]["args"]
    assert args[0] == "files~/stdout.log"
    assert workers_of(fork_join())["fork"]["args"] == ["files/piece", "10"]


def test_a_thousand_inputs_are_arguments():
    join = workers_of(wide(1001))["join"]
    assert len(join["inputs"]) == 1001 and len(join["args"]) == 1001 + 3
    assert "WATTLE" not in join["command"]


def test_the_workflow_is_named_after_the_instance_or_as_asked():
    assert imported(fork_join()).document["name"] == "recorded"
    assert imported(fork_join() | {"name": "a/b"}).document["name"].startswith("a_b~")
    assert imported(fork_join() | {"name": "page"}).document["name"].startswith("page~")
    document = imported(fork_join() | {"description": "Of a day"}, name="mine", working_dir="there").document
    assert list(document.items())[:3] == [("name", "mine"), ("description", "Of a day"), ("working_dir", "there")]


def test_a_name_that_holds_a_placeholder_is_shortened():
    """It would be a part of the default directory, where nothing is replaced."""
    document = imported(fork_join() | {"name": "run ${{ run.id }}"}).document
    assert document["name"].startswith("run ___ run.id __~")
    read_workflow(document, CONTEXT)


def test_the_report_counts_what_was_kept_changed_and_left_out():
    report = imported(odd(), scale=2.5).report
    assert [str(count) for count in report.kept] == [
        "12 workers", "11 edges", "21 outputs", "17 inputs", "3 depends_on without a file"
    ]  # fmt: skip
    assert [str(count) for count in report.changed] == [
        "6 names of workers", "8 names of outputs", "7 paths of files", "1 file cut to 65536 bytes",
        "12 runtimes × 2.5", "2 runtimes put between 0 and ten years",
    ]  # fmt: skip
    assert [str(count) for count in report.left_out] == ["2 inputs that no task makes", "1 input that no parent makes"]


def test_what_is_not_recorded_is_reported():
    document = fork_join()
    document["workflow"]["execution"]["tasks"] = [{"id": "nobody", "runtimeInSeconds": 1}]
    document["workflow"]["specification"]["files"] = []
    report = imported(document).report
    assert [str(count) for count in report.changed] == [
        "6 files of unknown size, made empty", "6 unknown runtimes, taken as 0"
    ]  # fmt: skip
    assert [str(count) for count in report.left_out] == ["1 input that no task makes", "1 runtime of an unknown task"]


def test_inputs_beyond_a_command_line_are_waited_for_but_not_read():
    files = [f"{'x' * 150}{n}" for n in range(10_000)]
    makers = [task(f"make{part}", writes=files[part * 1000 : part * 1000 + 1000]) for part in range(10)]
    made = imported(instance(*makers, task("join", [each["id"] for each in makers], reads=files)))
    (unread,) = made.report.left_out
    assert unread.many == "inputs waited for but not read" and 0 < unread.number < 10_000
    assert len(made.document["workers"][-1]["inputs"]) == 10_000
