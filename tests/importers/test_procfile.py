import pytest

from tests.importers.others import FIXTURES, problems, procfile, said, workers


def test_every_process_is_a_service_with_a_port_of_its_own():
    made = workers(procfile("web: bin/web --fast\n\n# jobs\nworker:\techo $PORT | cat\r\n"))
    assert made["web"] == {
        "name": "web", "kind": "service", "restart": "never", "stop": {"grace_seconds": 5},
        "command": "bin/web --fast", "env_vars": {"PORT": "5000"},
    }  # fmt: skip
    assert made["worker"]["command"] == "echo $PORT | cat" and made["worker"]["env_vars"] == {"PORT": "5100"}


def test_ports_and_variables_are_as_asked_for():
    assert "env_vars" not in workers(procfile("a: true", port=None))["a"]
    imported = procfile("a: true", port=80, env_file=".env", name="mine")
    assert imported.document["env_file"] == ".env" and imported.document["name"] == "mine"
    assert workers(imported)["a"]["env_vars"] == {"PORT": "80"}


def test_release_runs_to_its_end_before_the_others():
    imported = procfile((FIXTURES / "Procfile").read_text())
    made = workers(imported)
    assert "kind" not in made["release"] and made["web"]["depends_on"] == ["release"]
    assert "kind" not in made["stay-up"] and "depends_on" not in made["stay-up"]
    assert any("as at Heroku" in each for each in said(imported, "changed"))
    assert "kind" in workers(procfile("web: true"))["web"]


def test_a_placeholder_of_ours_is_text():
    assert workers(procfile("a: echo ${{ params.x }}"))["a"]["command"] == "echo $${{ params.x }}"


@pytest.mark.parametrize(
    "text, found",
    [
        ("<<<<<<< HEAD\nweb: true\n=======\n", [1, 3]),
        ("web: true\nweb: false\n", [2]),
        ("web:\n", [1]),
        ("a b: true", [1]),
        ("# nothing\n", [1]),
        ("web: true\0", [1]),
    ],
)
def test_what_is_no_procfile_is_told_by_line(text, found):
    assert [line for line, _ in problems(procfile, text)] == found


def test_names_that_wattle_does_not_take_are_changed_and_said():
    imported = procfile("-x: true\n1: true")
    assert all(name[0] not in "-" and not name.isdigit() for name in workers(imported))
    assert len(said(imported, "changed")) == 2
