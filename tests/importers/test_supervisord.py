import shlex

import pytest

from tests.importers.others import FIXTURES, only, problems, said, supervisord, workers

PROGRAM = "[program:p]\ncommand = prog\n"


def test_the_fixture_has_every_program_with_its_settings():
    imported = supervisord((FIXTURES / "supervisord.conf").read_text())
    made = workers(imported)
    assert list(made) == ["worker_03", "worker_04", "home", "once"]
    worker = made["worker_03"]
    assert worker["restart"] == {
        "policy": "always", "limit": 5, "window_seconds": 315360000, "healthy_seconds": 2,
    }  # fmt: skip
    assert worker["stop"] == {"grace_seconds": 4, "signal": "INT"} and worker["priority"] == -10
    assert worker["env_vars"] == {"ONE": "1%"} and made["home"]["umask"] == "027"
    assert made["home"]["working_dir"] == "/project/sub" and made["home"]["stop"]["scope"] == "leader"
    assert made["once"]["success_exit_codes"] == [0, 2]
    assert imported.document["env_vars"] == {"STAGE": "test", "ALL": "a, b"}
    left = " ".join(said(imported, "left_out"))
    assert "[group:all]" in left and "[eventlistener:mail]" in left and "autostart" in left and "umask" in left


def test_programs_that_are_not_started_by_themselves_are_taken_where_asked_for():
    text = "[program:off]\ncommand=true\nautostart=false\n"
    assert problems(supervisord, text) == [(1, "no [program:x] section that would be started")]
    assert list(workers(supervisord(text, include_disabled=True))) == ["off"]


@pytest.mark.parametrize(
    "command, words",
    [
        ("/bin/cat -n \"a b\"", ["/bin/cat", "-n", "a b"]),
        ("echo $HOME *.txt a;b", ["echo", "$HOME", "*.txt", "a;b"]),
        ("echo 100%%", ["echo", "100%"]),
        ("%(program_name)s %(here)s %(group_name)s", ["p", "/project", "p"]),
    ],
)  # fmt: skip
def test_a_command_is_words_and_no_shell(command, words):
    made = only(supervisord(f"[program:p]\ncommand = {command}\n"))["command"]
    assert shlex.split(made.removeprefix("exec ")) == words


def test_variables_of_the_server_are_put_in_by_the_shell():
    made = only(supervisord("[program:p]\ncommand=run --at %(ENV_HOME)s/$x --on %(host_node_name)s\n"))
    assert made["command"] == 'exec run --at "${HOME}/\\$x" --on "$(uname -n)"'


@pytest.mark.parametrize(
    "line, worker",
    [
        ("autorestart=false", {"restart": {"policy": "never"}}),
        ("user=www", {"user": "www"}),
        ("umask=022", {"umask": "022"}),
        ("exitcodes=0,2,255", {"success_exit_codes": [0, 2, 255]}),
        ("stopasgroup=true", {"stop": {"grace_seconds": 10}}),
        ("environment=A=\"x,y\",B='q',C=z ", {"env_vars": {"A": "x,y", "B": "q", "C": "z"}}),
        ("directory=/srv ; comment", {"working_dir": "/srv"}),
    ],
)  # fmt: skip
def test_settings_become_fields(line, worker):
    assert worker.items() <= only(supervisord(PROGRAM + line + "\n")).items()


@pytest.mark.parametrize(
    "text, line",
    [
        ("[program:p]\n", 1),
        ("command = x\n", 1),
        ("[program:p]\nnonsense\n", 2),
        (PROGRAM + "numprocs=2\n", 1),
        (PROGRAM + "numprocs=99999\nprocess_name=%(process_num)d\n", 3),
        (PROGRAM + "stopsignal=FOO\n", 3),
        (PROGRAM + "autorestart=sometimes\n", 3),
        (PROGRAM + "umask=999\n", 3),
        (PROGRAM + "startsecs=soon\n", 3),
        (PROGRAM + "exitcodes=a\n", 3),
        (PROGRAM + 'environment=A="1" B\n', 3),
        (PROGRAM + "directory=%(nothing)s\n", 3),
        ("[program:p]\ncommand = a 'b\n", 2),
        ("[program:p]\ncommand = 50%\n", 2),
        ("", 1),
    ],
)
def test_what_cannot_be_understood_is_told_by_line(text, line):
    assert line in [at for at, _ in problems(supervisord, text)]
