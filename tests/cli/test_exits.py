"""Which error ends `wattle` with which exit code."""

import pytest

from wattle import errors
from wattle.cli.exits import Exit, exit_of, exit_of_run
from wattle.client import ClientError, NoServer


@pytest.mark.parametrize(
    "error, wanted",
    [
        (NoServer("none"), 4),
        (errors.Malformed("INVALID_SETTING", ""), 2),
        (errors.Malformed("INVALID_JSON", ""), 3),
        (errors.Malformed("VALIDATION_ERROR", ""), 3),
        (errors.Invalid("CIRCULAR_DEPENDENCY", ""), 3),
        (errors.TooLarge("BODY_TOO_LARGE", ""), 3),
        (errors.workflow_not_found("w"), 5),
        (errors.workflow_already_exists("w"), 5),
        (errors.Refused("DATA_DIR_LOCKED", ""), 5),
        (errors.Unavailable("STORE_UNAVAILABLE", ""), 5),
        (errors.Forbidden("HOST_NOT_ALLOWED", ""), 5),
        (ClientError("WORKFLOW_ALREADY_RUNNING", "", 409), 5),
        (ClientError("INVALID_COMMAND", "", 422), 3),
        (ClientError("WORKFLOW_EMPTY", "", 422), 3),
        (ClientError("NO_SERVER", "", 503), 4),
        (ClientError("STOP_INCOMPLETE", "", 503), 5),
        (ClientError("NOT_WATTLE", "", 404), 5),
        (ClientError("INTERNAL_ERROR", "", 500), 5),
    ],
    ids=lambda value: getattr(value, "code", value),
)
def test_every_error_has_its_exit_code(error, wanted):
    assert exit_of(error) == wanted


@pytest.mark.parametrize("status, wanted", [("completed", 0), ("failed", 1), ("cancelled", 1)])
def test_a_run_gives_its_exit_code(status, wanted):
    assert exit_of_run(status) == wanted


def test_there_are_no_other_exit_codes():
    assert sorted(Exit) == [0, 1, 2, 3, 4, 5, 124, 130]
