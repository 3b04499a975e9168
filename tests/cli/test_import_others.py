"""`wattle import` of other tools' files, and that what it makes runs on a real server as it would have run there."""

import json
import shutil

import pytest
from cli.shell import wait_for

from tests.importers.others import FIXTURES


@pytest.fixture
def project(shell):
    """The fixtures, in a directory of their own."""
    shutil.copytree(FIXTURES, shell.directory / "project")
    (shell.directory / "project/sub").mkdir()
    return shell.directory / "project"


def imported(shell, kind, name):
    done = shell.run("import", kind, f"project/{name}", "-o", "project/made.json")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "wattle: kept: " in done.stderr and "wattle: left out: " in done.stderr
    validated = shell.run("validate", "project/made.json")
    assert validated.returncode == 0, validated.stdout
    return json.loads((shell.directory / "project/made.json").read_text())


def read(path):
    return path.read_text() if path.exists() else ""


def states(shell, workflow):
    return {w["name"]: w["status"] for w in json.loads(shell.run("status", workflow, "--json").stdout)["workers"]}


def test_a_procfile_is_up_until_it_is_stopped(shell, project):
    (project / ".env").write_text("GREETING='hi there'\n")
    assert imported(shell, "procfile", "Procfile")["env_file"] == ".env"
    running = shell.start("run", "project/made.json")
    wait_for(lambda: read(project / "web.txt") == "port 5100, hi there\n" and read(project / "worker.txt") == "ran\n")
    assert states(shell, "project") == {
        "release": "completed", "web": "running", "worker-1": "running", "clock": "running", "stay-up": "running",
    }  # fmt: skip
    assert shell.run("stop", "project").returncode == 0
    assert running.ends() == 1


def test_programs_of_supervisord_run_in_their_places(shell, project):
    imported(shell, "supervisord", "supervisord.conf")
    running = shell.start("run", "project/made.json")
    home = shell.environ["HOME"]
    wait_for(lambda: read(project / "worker-04.txt") == "4 1% test\n" and read(project / "worker-03.txt"))
    wait_for(lambda: read(project / "sub/home.txt") == f"{home}/x\n")
    wait_for(lambda: read(project / "once.txt") == f"{home}; quoted\n")
    wait_for(lambda: states(shell, "supervisord")["once"] == "completed")
    assert (project / "sub/home.txt").stat().st_mode & 0o777 == 0o640
    assert shell.run("stop", "supervisord").returncode == 0
    assert running.ends() == 1


def test_a_process_compose_project_ends_with_the_process_that_ends_all(shell, project):
    imported(shell, "process-compose", "process-compose.yaml")
    done = shell.run("run", "project/made.json")
    assert done.returncode == 0, done.stderr
    assert read(project / "tests.txt") == "hello\n" and read(project / "twice-1.txt") == "1\n"
    assert read(project / "log.txt") == f"{shell.environ['HOME']}/there\n"
    assert done.stderr.index("ready      db") < done.stderr.index("running    tests")


def test_a_dag_of_dagu_hands_on_its_outputs(shell, project):
    imported(shell, "dagu", "dag.yaml")
    done = shell.run("run", "project/made.json", "--param", "COUNT=4")
    assert done.returncode == 0, done.stderr
    assert read(project / "sum.txt") == "10\n" and read(project / "words.txt") == "two words|test|"
    assert read(project / "script.txt") == f"2026-01-31 {shell.environ['HOME']}/x\nit is quoted\n"
    assert not (project / "never.txt").exists()


@pytest.mark.parametrize(
    "kind, name",
    [("procfile", "Procfile"), ("supervisord", "supervisord.conf"), ("process-compose", "process-compose.yaml"),
     ("dagu", "dag.yaml")],
)  # fmt: skip
def test_the_report_is_for_machines_too_and_names_and_places_can_be_given(shell, project, kind, name):
    done = shell.run("import", kind, f"project/{name}", "--json", "--name", "mine", "--working-dir", "/srv")
    made, report = json.loads(done.stdout), json.loads(done.stderr)
    assert made["name"] == "mine" and made["working_dir"] == "/srv"
    assert set(report) == {"kept", "changed", "left_out"}
    assert all(set(each) == {"worker", "count", "text"} for entries in report.values() for each in entries)
    on_stdout = json.loads(shell.run("import", kind, f"project/{name}").stdout)
    assert on_stdout["working_dir"] == str(project)


@pytest.mark.parametrize(
    "kind, text", [("procfile", "no colon"), ("supervisord", "[x"), ("process-compose", "a: ]"), ("dagu", "steps: 1")]
)
def test_problems_are_shown_with_their_lines_and_nothing_is_written(shell, kind, text):
    shell.write("source", text)
    done = shell.run("import", kind, "source", "-o", "made.json")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("source:1:") and "^" in done.stderr
    assert not (shell.directory / "made.json").exists()
