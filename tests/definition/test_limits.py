"""What a definition may ask of user, umask, nice, limits and inherited variables."""

from typing import Any

import pytest
from definition.documents import full, read, refusal, worker

from wattle.definition.limits import why_not_user
from wattle.definition.model import Limits
from wattle.definition.validate import check
from wattle.errors import Invalid, Malformed


@pytest.mark.parametrize(
    ("fields", "limits"),
    [
        ({}, None),
        ({"user": None, "umask": None, "nice": None, "rlimits": None, "inherit_env": None}, None),
        ({"user": "nobody"}, Limits(user="nobody")),
        ({"user": 0}, Limits(user="0")),
        ({"user": "1000:users"}, Limits(user="1000:users")),
        ({"umask": "027"}, Limits(umask=0o027)),
        ({"umask": 18}, Limits(umask=0o022)),
        ({"nice": 0}, Limits(nice=0)),
        ({"rlimits": {"core_bytes": 0, "processes": "unlimited"}},
         Limits(rlimits={"core_bytes": 0, "processes": "unlimited"})),
        ({"rlimits": {}}, Limits()),
        ({"memory_max_bytes": 1}, Limits(memory_max_bytes=1)),
        ({"inherit_env": True}, Limits()),
        ({"inherit_env": False}, Limits(inherit_env=())),
        ({"inherit_env": []}, Limits(inherit_env=())),
        ({"inherit_env": ["LANG", "TZ", "LANG"]}, Limits(inherit_env=("LANG", "TZ"))),
    ],
)  # fmt: skip
def test_what_is_asked_for_is_read(fields: dict[str, Any], limits: Limits | None) -> None:
    workflow = read(worker(**fields))
    assert workflow.workers[0].limits == limits
    assert check(workflow.document) == workflow, "what is stored means the same"


@pytest.mark.parametrize(
    ("fields", "pointer", "message"),
    [
        ({"user": ["a"]}, "user", "must be the name of a user or a number"),
        ({"user": True}, "user", "must be the name of a user or a number"),
        ({"umask": "8"}, "umask", 'must be octal digits, as in "027"'),
        ({"umask": "0o27"}, "umask", 'must be octal digits, as in "027"'),
        ({"umask": "1777"}, "umask", 'must be from "000" to "777" (octal), or an integer from 0 to 511'),
        ({"umask": 512}, "umask", "or an integer from 0 to 511"),
        ({"umask": -1}, "umask", "or an integer from 0 to 511"),
        ({"umask": 1.5}, "umask", "must be octal digits in a text"),
        ({"nice": 20}, "nice", "must be less than or equal to 19"),
        ({"nice": -21}, "nice", "must be greater than or equal to -20"),
        ({"nice": "low"}, "nice", "must be an integer (it is a string)"),
        ({"rlimits": [1]}, "rlimits", "must be an object (it is an array)"),
        ({"rlimits": {"open_files": -1}}, "rlimits/open_files", "must be from 0 to 4611686018427387904"),
        ({"rlimits": {"open_files": "none"}}, "rlimits/open_files", 'must be an integer or "unlimited"'),
        ({"rlimits": {"open_files": 1.5}}, "rlimits/open_files", 'must be an integer or "unlimited"'),
        ({"rlimits": {"files": 1}}, "rlimits/files", "field 'files' is unknown"),
        ({"memory_max_bytes": 0}, "memory_max_bytes", "must be greater than or equal to 1"),
        ({"memory_max_bytes": "1G"}, "memory_max_bytes", "must be an integer (it is a string)"),
        ({"inherit_env": "LANG"}, "inherit_env", "must be true, false, or an array of names"),
        ({"inherit_env": ["A=B"]}, "inherit_env/0", "variable name 'A=B' holds a '='"),
        ({"inherit_env": [1]}, "inherit_env/0", "must be a string (it is a number)"),
    ],
)
def test_malformed_limits_are_problems_of_shape(fields: dict[str, Any], pointer: str, message: str) -> None:
    error = refusal(worker(**fields))
    [problem] = error.details
    assert isinstance(error, Malformed)
    assert problem.pointer == f"/workers/0/{pointer}"
    assert problem.message.startswith("worker 'a': ") and message in problem.message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"user": "a b"}, "user 'a b' is not a user"),
        ({"user": ""}, "user '' is not a user"),
        ({"user": ":users"}, "is not a user"),
        ({"user": "a:b:c"}, "is not a user"),
        ({"user": "a\n"}, "is not a user"),
        ({"user": -1}, "user '-1' is not a user"),
        ({"user": 2**32 - 1}, "the highest number is 4294967294"),
        ({"inherit_env": ["WATTLE_DATA_DIR"]}, "variable 'WATTLE_DATA_DIR' is the server's own setting"),
    ],
)
def test_values_that_can_be_nobodys_are_invalid(fields: dict[str, Any], message: str) -> None:
    error = refusal(worker(**fields))
    assert isinstance(error, Invalid) and not isinstance(error, Malformed)
    assert message in error.message


@pytest.mark.parametrize(
    "user", ["root", "www-data", "_apt", "0", "65534", "a.b", "DOMAIN\\ann", "ann@example.org", "machine$", "9p"]
)
def test_names_that_accounts_have_are_users(user: str) -> None:
    assert why_not_user(user) is None
    assert why_not_user(f"{user}:{user}") is None


def test_what_was_given_is_stored_as_it_was() -> None:
    given = full()["workers"][0]
    stored = read(full()).document["workers"][0]
    for field in ("user", "umask", "nice", "rlimits", "memory_max_bytes", "inherit_env"):
        assert stored[field] == given[field]


@pytest.mark.parametrize(
    ("field", "meant"), [("ulimits", "rlimits"), ("memory_limit", "memory_max_bytes"), ("inherit", "inherit_env")]
)
def test_what_others_call_it_is_suggested(field: str, meant: str) -> None:
    assert refusal(worker(**{field: 1})).details[0].suggestion == f"did you mean `{meant}`?"
