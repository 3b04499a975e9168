"""Placeholders: what they may name, and that a value arrives as it is, whatever it holds and wherever it stands."""

import subprocess
from shutil import which
from typing import Any

import pytest
from definition.documents import read, refusal, workflow
from hypothesis import given, settings
from hypothesis import strategies as st

from wattle.definition.model import Placeholder, Worker, Workflow
from wattle.definition.params import bind
from wattle.definition.placeholders import Values, fill
from wattle.definition.resolve import resolve
from wattle.definition.shell import Where, places_of

MARK = "\ue000"
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30) | st.text(
    st.sampled_from("'\"\\$`\n\t *?~#!-;&|<>(){}[]ax\u00e9\x01\x81"), max_size=20
)


SHELLS = [["/bin/sh"]] + [[*shell] for shell in (("bash", "--posix"), ("dash",), ("busybox", "sh")) if which(shell[0])]


def with_param(command: str, **fields: Any) -> dict[str, Any]:
    return workflow({"name": "a", "command": command, **fields}, params={"x": {}, "tool": {"default": "printf"}})


def order_of(definition: Workflow, value: str) -> tuple[list[str], dict[str, str]]:
    """The argv and the variables of its worker in run 7, as orders.py makes them."""
    resolved = resolve(definition, bind(definition.params, {"x": value}), 7)
    worker = resolved.workers[0]
    assert worker.templates is not None
    paths = {name: output.path for name, output in worker.outputs.items()}
    values = Values({}, paths, {"x": value, "tool": "printf"}, "7")
    variables = {name: values.text(placeholder) for name, placeholder in worker.templates.variables.items()}
    env = {name: fill(template, values) for name, template in worker.templates.env_vars.items()}
    return [fill(template, values) for template in worker.templates.argv], env | variables


def printed(argv: list[str], variables: dict[str, str]) -> bytes:
    env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **variables}
    return subprocess.run(argv, env=env, capture_output=True, check=True).stdout


def messages(document: Any) -> list[str]:
    return [problem.message for problem in refusal(document).details]


DIRECT = [
    "/usr/bin/printf '%s\\n' ${{ params.x }}",
    "/usr/bin/printf '%s\\n' \"${{ params.x }}\"",
    "/usr/bin/printf '%s\\n' '${{params.x}}'",
    "/usr/bin/${{ params.tool }} '%s\\n' ${{ params.x }}",
]
BY_SH = [
    "printf '%s\\n' ${{ params.x }}",
    "printf '%s\\n' \"${{ params.x }}\"",
    'printf "%s\\n" "$(printf \'%s.\' ${{ params.x }} | cat)" | sed "\\$s/.\\$//"',
    "x=${{ params.x }}; printf '%s\\n' \"$x\"",
    'echo it\\\'s >/dev/null # don\'t ${{ params.x }}\nprintf "%s\\n" ${{ params.x }}',
    "cat <<EOF\n${{ params.x }}\nEOF",
    "printf '%s\\n' $(:)#${{ params.x }} | tail -c +2",
    "cat <<-'NO' >/dev/null; printf '%s\\n' ${{ params.x }}\n\tit's \" `\n\tNO\n",
    'printf "%s\\n" ${NONE:-"${{ params.x }}"}',
    "if true; then printf '%s\\n' ${{ params.x }}; fi",
    "/usr/bin/env -u NONE >/dev/null && printf '%s\\n' ''\"\"${{ params.x }}''",
]


@settings(deadline=None, max_examples=60)
@given(VALUES)
@pytest.mark.parametrize("command", DIRECT)
def test_a_value_is_printed_as_it_is_without_sh(command: str, value: str) -> None:
    definition = read(with_param(command))
    assert definition.workers[0].direct
    assert printed(*order_of(definition, value)) == value.encode() + b"\n"


@settings(deadline=None, max_examples=60)
@given(VALUES)
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("command", BY_SH)
def test_a_value_is_printed_as_it_is_by_sh(command: str, shell: list[str], value: str) -> None:
    definition = read(with_param(command))
    assert not definition.workers[0].direct
    argv, variables = order_of(definition, value)
    assert printed([*shell, *argv[1:]], variables) == value.encode() + b"\n"


@settings(deadline=None, max_examples=30)
@given(VALUES)
def test_arguments_and_variables_hold_a_value_as_it_is(value: str) -> None:
    fields = {"args": ["%s|%s\n", "${{ params.x }}", "<${{ params.x }}>"], "env_vars": {"V": "${{ params.x }}!"}}
    for command in ("/usr/bin/printf", "true && printf"):
        argv, variables = order_of(read(with_param(command, **fields)), value)
        assert printed(argv, variables) == f"{value}|<{value}>\n".encode()
        assert variables["V"] == f"{value}!"


def test_a_value_that_reads_like_a_placeholder_stays_what_it_is() -> None:
    definition = read(with_param("/bin/echo ${{ params.x }}", args=["$${{ params.x }}", "$$${{ a"]))
    argv, _ = order_of(definition, "${{ run.id }}")
    assert argv[1:] == ["${{ run.id }}", "${{ params.x }}", "$${{ a"]


@pytest.mark.parametrize(
    "command, says, suggests",
    [
        ("echo '${{ params.x }}' > f", "single quotes", "double quotes"),
        ("cat <<'E'\n${{ params.x }}\nE", "here-document whose delimiter is quoted", "delimiter"),
        ("echo `cat ${{ params.x }}`", "cannot be sure", "WATTLE_PARAM_X"),
        ("echo $((${{ params.x }} + 1))", "cannot be sure", "WATTLE_PARAM_X"),
        ('echo "${Y:-${{ params.x }}}"', "cannot be sure", "WATTLE_PARAM_X"),
        ("echo $(case a in a) echo ${{ params.x }};; esac)", "cannot be sure", "WATTLE_PARAM_X"),
        ("echo $'a\\'' ${{ params.x }}", "cannot be sure", "WATTLE_PARAM_X"),
        ("echo \\${{ params.x }} > f", "backslash", "$${{"),
        ("/bin/echo \\${{ params.x }}", "backslash", "$${{"),
        ("sh -c 'echo ${{ params.x }}'", "part of the script", "WATTLE_PARAM_X"),
        ("/bin/bash -ec \"echo ${{ params.x }}\"", "part of the script", "WATTLE_PARAM_X"),
        ("bash -c -e \"echo ${{ params.x }}\"", "part of the script", "WATTLE_PARAM_X"),
        ("bash -euo pipefail -c -- \"echo ${{ params.x }}\"", "part of the script", "WATTLE_PARAM_X"),
        ("timeout 9 env A=1 sh -c \"echo ${{ params.x }}\"", "part of the script", "WATTLE_PARAM_X"),
        ("cd /tmp && bash -o pipefail -c \"echo ${{ params.x }}\"", "part of the script", "WATTLE_PARAM_X"),
        ("cd /tmp && sh -c 'echo ${{ params.x }}'", "part of the script", "WATTLE_PARAM_X"),
        ("a=$(/bin/sh -c \"echo ${{ params.x }}\")", "part of the script", "WATTLE_PARAM_X"),
        ("true; eval \"a; echo ${{ params.x }}\"", "part of the script", "WATTLE_PARAM_X"),
    ],
)
def test_where_sh_would_not_see_it_as_one_word_it_is_a_problem(command: str, says: str, suggests: str) -> None:
    error = refusal(with_param(command))
    assert error.code == "INVALID_COMMAND" and len(error.details) == 1
    assert says in error.message and error.details[0].pointer == "/workers/0/command"
    assert suggests in (error.details[0].suggestion or "")


def test_a_script_in_the_arguments_of_a_shell_is_a_problem_too() -> None:
    assert "part of the script" in messages(with_param("bash", args=["-c", "echo ${{ params.x }}"]))[0]
    read(with_param("bash", args=["-c", 'echo "$1"', "bash", "${{ params.x }}"]))


@pytest.mark.parametrize(
    "command",
    [
        "bash build.sh -c ${{ params.x }}",
        "cd /tmp; sh -c 'echo \"$1\"' sh ${{ params.x }}",
        "eval \"$(tool)\"; echo ${{ params.x }}",
        "/opt/git-sh -c ${{ params.x }} | cat",
        "sh -c ls | grep ${{ params.x }}",
    ],
)
def test_an_argument_of_a_script_is_no_part_of_it(command: str) -> None:
    assert read(with_param(command)).workers[0].templates is not None


@pytest.mark.parametrize(
    "field, text, says, suggests",
    [
        ("command", "echo ${{ params.y }}", "no param 'y'", None),
        ("command", "echo ${{ parms.x }}", "there is no 'parms'", "`params`"),
        ("command", "echo ${{ params.toll }}", "no param 'toll'", "`tool`"),
        ("command", "echo ${{ inputs.x }}", "no input 'x'", None),
        ("command", "echo ${{ run.number }}", "only 'run.id'", None),
        ("command", "echo ${{ x }}", "is no placeholder", "${{ params.x }}"),
        ("command", "echo ${{ params.x", "without its '}}'", "$${{"),
        ("args", ["a", "${{ outputs.o }}"], "no output 'o'", None),
        ("env_vars", {"V": "${{ outputs.o }}"}, "no output 'o'", None),
        ("outputs", {"o": "${{ outputs.o }}"}, "may only use params and run.id", None),
        ("working_dir", "${{ params.x }}", "is not replaced here", None),
        ("env_file", "${{ params.x }}", "is not replaced here", None),
    ],
)
def test_what_cannot_be_named_is_a_problem_in_its_place(field: str, text: Any, says: str, suggests: str | None) -> None:
    error = refusal(with_param("x", **{field: text}) if field != "command" else with_param(text))
    assert error.code == "VALIDATION_ERROR" and says in error.message, error.message
    assert error.details[0].pointer.startswith(f"/workers/0/{field}")
    assert suggests is None or suggests in (error.details[0].suggestion or "")


def test_the_workflows_variables_know_only_what_all_workers_know() -> None:
    good = read(workflow({"name": "a"}, params={"x": {}}, env_vars={"V": "${{ params.x }}-${{ run.id }}"}))
    assert resolve(good, {"x": "1"}, 7).env_vars == {"V": "1-7"}
    error = refusal(workflow({"name": "a"}, env_vars={"V": "${{ inputs.x }}"}))
    assert error.details[0].pointer == "/env_vars/V" and "may only use params and run.id" in error.message


def test_malformed_params_are_not_held_against_those_who_use_them() -> None:
    document = with_param("echo ${{ params.x }}")
    document["params"] = {"x": {"type": "text"}}
    error = refusal(document)
    assert [problem.pointer for problem in error.details] == ["/params/x/type"]


def test_the_paths_of_consumers_follow_those_of_producers() -> None:
    document = workflow(
        {"name": "a", "outputs": {"o": "out/${{ params.x }}/${{ run.id }}.txt", "p": "${{ params.x }}"}},
        {"name": "b", "command": "cat ${{ inputs.i }}", "inputs": {"i": "a/o"}},
        params={"x": {"default": "d"}},
    )
    definition = read(document)
    assert definition.workers[0].outputs["o"].path == "/tmp/w/out/${{ params.x }}/${{ run.id }}.txt"
    assert read(definition.document) == definition
    resolved = resolve(definition, {"x": "e"}, 9)
    assert [output.path for output in resolved.workers[0].outputs.values()] == ["/tmp/w/out/e/9.txt", "/tmp/w/e"]
    assert resolved.path_of(resolved.workers[1].inputs["i"]) == "/tmp/w/out/e/9.txt"
    assert resolve(definition, {"x": "/abs"}, 9).workers[0].outputs["p"].path == "/abs"


def test_names_that_share_a_variable_get_one_of_their_own() -> None:
    outputs = {"a b": "1", "a-b": "2", "c": "3"}
    command = ": ${{ outputs.a b }} ${{ outputs.a-b }} ${{ outputs.c }} ${{ run.id }}"
    worker = read(workflow({"name": "a", "command": command, "outputs": outputs})).workers[0]
    assert worker.templates is not None
    assert worker.templates.variables == {
        "WATTLE_P0": Placeholder("outputs", "a b"),
        "WATTLE_P1": Placeholder("outputs", "a-b"),
        "WATTLE_OUTPUT_C": Placeholder("outputs", "c"),
        "WATTLE_RUN_ID": Placeholder("run", "id"),
    }
    assert worker.argv[2] == ': "$WATTLE_P0" "$WATTLE_P1" "$WATTLE_OUTPUT_C" "$WATTLE_RUN_ID"'


def test_a_definition_without_placeholders_is_the_same_for_every_run() -> None:
    plain: Worker = read(workflow({"name": "a", "command": "echo $HOME {{ x }} ${x}"})).workers[0]
    assert plain.templates is None and not read(workflow({"name": "a"})).has_placeholders


@pytest.mark.parametrize(
    "text, where",
    [
        ("M 'M' \"M\" M", [Where.PLAIN, Where.SINGLE, Where.DOUBLE, Where.PLAIN]),
        ('"$(M "M" \'M\')M"M', [Where.PLAIN, Where.DOUBLE, Where.SINGLE, Where.DOUBLE, Where.PLAIN]),
        ("a#b M # M ' \nM", [Where.PLAIN, Where.COMMENT, Where.PLAIN]),
        ("cat <<A <<'B' M\nM\nA\nM\nB\nM", [Where.PLAIN, Where.DOUBLE, Where.QUOTED_HERE, Where.PLAIN]),
        ("cat <<A\nM \\\nA\nM\nA\nM", [Where.DOUBLE, Where.DOUBLE, Where.PLAIN]),
        ("cat <<A\nM", [Where.UNSURE]),
        ("cat <<M\nM\n", [Where.UNSURE, Where.UNSURE]),
        ("$((1 << 2)) M", [Where.PLAIN]),
        ("$(( (1) + $(echo M) )) M", [Where.PLAIN, Where.PLAIN]),
        ("$((echo a); echo M) M", [Where.UNSURE, Where.PLAIN]),
        ("`echo \\`M\\`'` M", [Where.UNSURE, Where.PLAIN]),
        ("${x#'M'} ${#x} M", [Where.UNSURE, Where.PLAIN]),
        ('"${x#\'a}" M', [Where.UNSURE]),
        ("cat <<< M 'M'", [Where.PLAIN, Where.SINGLE]),
        ("\\' M '\\' M", [Where.PLAIN, Where.PLAIN]),
        ("$(echo case M) $(echo encase M)", [Where.UNSURE, Where.UNSURE]),
        ("$(a)#M \\;#M \\ #M $((1))#M (a)#M", [Where.PLAIN] * 4 + [Where.COMMENT]),
        ("a \\\n#M '\nM b\\\n#M", [Where.COMMENT, Where.PLAIN, Where.PLAIN]),
    ],
)
def test_the_place_is_the_one_that_sh_sees(text: str, where: list[Where]) -> None:
    assert places_of(text.replace("M", MARK), MARK) == where


@given(st.text(st.sampled_from(f"'\"\\$`(){{}}<EO\n#- {MARK}"), max_size=40))
def test_every_placeholder_has_a_place_whatever_the_command(text: str) -> None:
    assert len(places_of(text, MARK)) == text.count(MARK)
