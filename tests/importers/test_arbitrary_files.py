"""Whatever the file: a definition that our own reader takes, or problems in words; never anything else."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.importers.others import CONTEXT, dagu, process_compose, procfile, supervisord
from wattle.definition import read_workflow
from wattle.errors import WattleError

KEYS = {
    process_compose: (
        "processes a b command depends_on condition availability restart replicas readiness_probe exec http_get port "
        "shutdown signal environment vars shell env_cmds entrypoint working_dir disabled ready_log_line x"
    ).split(),
    dagu: (
        "steps name id command run script depends env params preconditions condition continueOn failure exitCode "
        "retryPolicy limit output stdout with shell args timeoutSec type dotenv description a backoff"
    ).split(),
}
TEXTS = [
    "a", "b", "true", "$X", "`date`", "${{ a }}", "{{.X}}", "a 'b", "", "process_completed", "0", "A=1", "always",
    "process_healthy", "chain", "\x1b", "re:(", "x" * 300, "1-2", "/",
]  # fmt: skip
NUMBERS = st.integers(-3, 2**40) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.sampled_from(TEXTS))


def documents(function):
    keys = st.sampled_from(KEYS[function])
    return st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5), max_leaves=25
    )


def taken(function, text):
    """The document, None where there are problems."""
    try:
        document = function(text).document
    except WattleError as error:
        assert error.message and all(problem.message for problem in error.details)
        return None
    try:
        read_workflow(document, CONTEXT)
    except WattleError:  # the command line says these too
        return None
    return document


@pytest.mark.parametrize("function", KEYS, ids=lambda function: function.__name__)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_yaml(function, data):
    inner = documents(function)
    if function is dagu:
        step = st.dictionaries(st.sampled_from(KEYS[dagu]), inner, max_size=6)
        document = data.draw(st.fixed_dictionaries({"steps": st.lists(step | SCALARS, max_size=3) | inner}))
    else:
        process = st.dictionaries(st.sampled_from(KEYS[process_compose]), inner, max_size=6)
        processes = st.dictionaries(st.sampled_from("ab"), process | inner)
        document = data.draw(st.fixed_dictionaries({"processes": processes}))
    document |= data.draw(st.dictionaries(st.sampled_from(KEYS[function]), inner, max_size=2))
    taken(function, json.dumps(document))


LINES = st.lists(
    st.sampled_from(
        """[program:a]|[program:]|[supervisord]|[x|command=true|command=%(ENV_X)s '|a: b|numprocs=3|1: y|web:|web: x
        |process_name=%(program_name)s_%(process_num)02d|environment=A=1,B=|priority=-1|umask=8| more|%|command=
        |exitcodes=1,|startsecs=0|user=|directory=%(here)s|;c|stopsignal=|autostart=no"""
        .replace("\n        ", "")
        .split("|")
    ),
    max_size=12,
)


@pytest.mark.parametrize("function", [procfile, supervisord], ids=lambda function: function.__name__)
@settings(max_examples=400, deadline=None)
@given(lines=LINES)
def test_lines(function, lines):
    taken(function, "\n".join(lines))


@pytest.mark.parametrize("function", [procfile, supervisord, process_compose, dagu], ids=lambda each: each.__name__)
@given(text=st.text(max_size=200))
def test_text(function, text):
    if text.isascii() or "\ud800" not in text:
        taken(function, text.encode("utf-8", "replace").decode())


def test_good_files_are_taken():
    """Positive control: not everything is a problem."""
    assert taken(procfile, "web: x") and taken(supervisord, "[program:a]\ncommand=x")
    assert taken(process_compose, '{"processes": {"a": {"command": "x"}}}') and taken(dagu, '{"steps": ["x"]}')
