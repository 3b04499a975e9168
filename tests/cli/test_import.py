"""`wattle import wfformat`, and that what it makes runs."""

import json

import pytest

from tests.importers.instances import every, fork_join, odd

EVERY = every()  # also the tester's own, from the directory that WATTLE_WFINSTANCES names


def test_the_definition_is_printed_and_the_report_said_apart(shell):
    shell.write("recorded.json", fork_join())
    done = shell.run("import", "wfformat", "recorded.json", "--scale", "0.5")
    assert done.returncode == 0
    assert json.loads(done.stdout)["name"] == "recorded"
    assert done.stderr.splitlines() == [
        "wattle: kept: 6 workers, 8 edges, 6 outputs, 8 inputs",
        "wattle: changed: 6 runtimes × 0.5",
        "wattle: left out: 1 input that no task makes",
    ]


def test_standard_input_to_a_file_with_another_name_and_directory(shell):
    done = shell.run(
        "import", "wfformat", "-", "-o", "made.json", "--name", "mine", "--working-dir", "there", "--max-bytes", "0",
        stdin=json.dumps(odd()),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
    made = json.loads((shell.directory / "made.json").read_text())
    assert (made["name"], made["working_dir"]) == ("mine", "there")
    assert "cut to 0 bytes" in done.stderr
    assert shell.run("validate", "made.json").returncode == 0


def test_problems_are_told_with_their_places_and_nothing_is_written(shell):
    document = fork_join()
    document["workflow"]["specification"]["tasks"][0]["children"] = ["work0", "wrk1", "work2", "work3"]
    shell.write("bad.json", json.dumps(document, indent=1))
    done = shell.run("import", "wfformat", "bad.json", "-o", "made.json")
    assert (done.returncode, done.stdout) == (3, "")
    lines = done.stderr.splitlines()
    assert sum(line.startswith("bad.json:") for line in lines) == 2
    assert "task 'fork': 'wrk1' of its children is no task of this instance" in lines[0]
    assert lines[3].endswith("did you mean `work1`?")
    assert not (shell.directory / "made.json").exists()
    assert shell.run("import", "wfformat", "-", stdin="{").stderr.startswith("<stdin>:1:2: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["none.json"],
        ["."],
        ["recorded.json", "--scale", "-1"],
        ["recorded.json", "--scale", "nan"],
        ["recorded.json", "--max-bytes", "-1"],
        ["recorded.json", "--name", "a/b"],
        ["recorded.json", "--working-dir", ""],
    ],
)
def test_mistakes_of_usage(shell, arguments):
    shell.write("recorded.json", fork_join())
    done = shell.run("import", "wfformat", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("wattle: ") and "Traceback" not in done.stderr


def test_a_directory_that_no_file_system_takes_is_refused(shell):
    shell.write("recorded.json", fork_join())
    done = shell.run("import", "wfformat", "recorded.json", "--working-dir", "x/" * 3000)
    assert (done.returncode, done.stdout) == (3, "")
    assert "is longer than 4095 bytes" in done.stderr


def test_an_output_file_that_cannot_be_written_is_said(shell):
    shell.write("recorded.json", fork_join())
    done = shell.run("import", "wfformat", "recorded.json", "-o", "no/where.json")
    assert (done.returncode, done.stderr) == (5, "wattle: No such file or directory: no/where.json\n")


def witnessed(document, recorded, directory):
    """The definition, with workers that end with 99 unless every recorded parent of theirs has left its mark."""
    tasks = recorded["workflow"]["specification"]["tasks"]
    marks = {task["id"]: f"{directory}/{number}" for number, task in enumerate(tasks)}
    for task, worker in zip(tasks, document["workers"], strict=True):
        parents = " ".join(marks[parent] for parent in task["parents"] if parent)
        lines = [f"for mark in {parents}; do [ -e $mark ] || exit 99; done"] if parents else []
        *program, last = worker["command"].splitlines()
        lines += [*program, f'marked() {{ {last} "$@" && : > {marks[task["id"]]}; }}', "marked"]
        worker["command"] = "\n".join(lines)
    return document


@pytest.mark.parametrize("name", EVERY)
def test_no_worker_of_an_imported_workflow_starts_before_its_parents_have_completed(shell, name):
    recorded = json.loads(EVERY[name])
    done = shell.run("import", "wfformat", "-", "--scale", "0", "--working-dir", "work", stdin=json.dumps(recorded))
    (shell.directory / "marks").mkdir()
    document = witnessed(json.loads(done.stdout), recorded, shell.directory / "marks")
    shell.write("made.json", document)
    done = shell.run("run", "made.json")
    assert done.returncode == 0, done.stderr
    assert len(list((shell.directory / "marks").iterdir())) == len(document["workers"])


def test_a_worker_that_started_too_early_would_be_found(shell):
    """Positive control."""
    done = shell.run("import", "wfformat", "-", "--working-dir", "work", stdin=json.dumps(fork_join()))
    (shell.directory / "marks").mkdir()
    document = witnessed(json.loads(done.stdout), fork_join(), shell.directory / "marks")
    del document["workers"][-1]["inputs"]
    document["workers"][-1]["priority"] = 1
    document["max_parallel"] = 1  # so that it comes first, however slowly the others start
    shell.write("made.json", document)
    assert "exit code 99" in shell.run("run", "made.json").stderr


def test_an_imported_workflow_makes_its_files(shell):
    document = odd()
    for executed in document["workflow"]["execution"]["tasks"]:
        executed["runtimeInSeconds"] = min(executed["runtimeInSeconds"], 1)
    shell.write("recorded.json", document)
    shell.run("import", "wfformat", "recorded.json", "--scale", "0.01", "--working-dir", "work", "-o", "made.json")
    done = shell.run("run", "made.json")
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(shell.run("runs", "recorded", "--json").stdout)
    assert run["counts"] == {"completed": 12}
    made = json.loads((shell.directory / "made.json").read_text())
    outputs = [path for worker in made["workers"] for path in worker.get("outputs", {}).values()]
    sizes = sorted((shell.directory / "work" / path).stat().st_size for path in outputs)
    assert sizes == [0, *[10] * 19, 65536]
