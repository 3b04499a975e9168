import pytest

from tests.importers.others import FIXTURES, only, problems, process_compose, said, workers
from wattle.errors import WattleError


def of(*lines):
    return process_compose("processes:\n" + "".join(f"  {line}\n" for line in lines))


def test_the_fixture_has_tasks_and_services_by_what_is_waited_for():
    imported = process_compose((FIXTURES / "process-compose.yaml").read_text())
    made = workers(imported)
    kinds = {name: worker.get("kind", "task") for name, worker in made.items()}
    assert kinds == {
        "migrate": "task", "db": "service", "log": "service", "flaky": "task", "tests": "task",
        "twice-0": "task", "twice-1": "task",
    }  # fmt: skip
    assert made["db"]["ready"] == {
        "exec": "bash -c 'test -f up'", "period_seconds": 1, "timeout_seconds": 2, "within_seconds": 20,
    } or made["db"]["ready"]["exec"] == "test -f up"  # fmt: skip
    assert made["db"]["stop"] == {"signal": 2, "grace_seconds": 3}
    assert made["db"]["restart"]["limit"] == 5 and made["db"]["restart"]["delay_seconds"] == 2
    assert made["log"]["ready"] == {"log": "ready to (serve|wait)"}
    assert made["tests"]["depends_on"] == ["db", "log", "flaky"]
    assert made["flaky"]["success_exit_codes"] == list(range(256))
    assert any("--all" in each for each in said(imported, "left_out"))


def test_services_are_kept_up_beside_tasks_as_they_are_there():
    imported = of("migrate: {command: 'true'}", "web: {command: serve, availability: {restart: always}}")
    assert list(workers(imported)) == ["migrate", "web", "stay-up"]
    ends_all = "t: {command: x, availability: {exit_on_end: true}}"
    ending = of(ends_all, "w: {command: y, availability: {restart: always}}")
    assert list(workers(ending)) == ["t", "w"]


@pytest.mark.parametrize(
    "command, made",
    [
        ("'serve --port 80'", {"command": "serve --port 80"}),
        ("'echo $$A ${B}'", {"command": "bash -c", "args": ["echo $A ${B}"]}),
        ("'[[ a == b ]] && echo ${{x}}'", None),
    ],
)
def test_a_command_keeps_the_shell_that_it_has_there(command, made):
    if made is None:
        with pytest.raises(WattleError, match="templates"):
            of(f"p: {{command: {command}}}")
        return
    assert made.items() <= only(of(f"p: {{command: {command}}}")).items()


def test_another_shell_is_kept():
    shell = "shell: {shell_command: python3, shell_argument: -c}\n"
    made = only(process_compose(f"{shell}processes: {{p: {{command: 'f(1)'}}}}"))
    assert made["command"] == "python3 -c" and made["args"] == ["f(1)"]


def test_probes():
    probe = "{http_get: {host: localhost, port: 80, path: /up}, initial_delay_seconds: 2, failure_threshold: 4}"
    made = only(of(f"p: {{command: x, readiness_probe: {probe}, liveness_probe: {probe}}}"))
    assert made["ready"] == {
        "http": "http://localhost:80/up", "period_seconds": 10, "timeout_seconds": 1, "initial_delay_seconds": 2,
        "within_seconds": 42,
    }  # fmt: skip
    assert made["alive"]["failure_threshold"] == 4 and "within_seconds" not in made["alive"]


def test_consumers_of_what_must_complete_wait_for_that_alone():
    imported = of(
        "a: {command: x}",
        "b: {command: x, depends_on: {a: {condition: process_completed_successfully}}}",
        "c: {command: x, depends_on: {a: {condition: process_started}}}",
    )
    made = workers(imported)
    assert made["b"]["depends_on"] == ["a"] and "depends_on" not in made["c"]
    assert any(each.startswith("c: depends_on a") for each in said(imported, "left_out"))


def test_dependencies_on_replicas_are_on_each_or_on_the_one_named():
    made = workers(of("a: {command: x, replicas: 2}", "b: {command: x, depends_on: {a: process_completed}}",
                      "c: {command: x, depends_on: {a-1: process_completed}}"))  # fmt: skip
    assert made["b"]["depends_on"] == ["a-0", "a-1"] and made["c"]["depends_on"] == ["a-1"]


@pytest.mark.parametrize(
    "text, line, says",
    [
        ("processes: {}", 1, "no processes"),
        ("[]", 1, "must be a mapping"),
        ("processes:\n  a: {}", 2, "has no command"),
        ("processes:\n  a:\n    command: x\n    depends_on: {b: process_started}", 4, "which is not there"),
        ("processes:\n  a:\n    command: x\n    depends_on: {a: soon}", 4, "is not a condition"),
        ("processes:\n  a:\n    command: x\n    replicas: -1", 4, "at least 1"),
        ("processes:\n  a:\n    command: x\n    availability: {restart: maybe}", 4, "not one of"),
        ("processes:\n  a:\n    command: 'echo {{if .X}}'", 3, "templates"),
        ("processes:\n  a:\n    command: x\n    readiness_probe: {}", 4, "exec or http_get"),
        ("processes:\n  a:\n    command: x\n    working_dir: $HOME", 4, "variable"),
        ("a: &a [*a]", 1, "within what it means"),
        ("a: *a", 1, "no anchor"),
    ],
)
def test_what_cannot_be_understood_is_told_with_its_place(text, line, says):
    found = problems(process_compose, text)
    assert any(at == line and says in message for at, message in found), found


def test_anchors_that_multiply_are_refused():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    assert "more than" in problems(process_compose, bomb + "processes: {}")[0][1]
