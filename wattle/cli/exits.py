"""Exit codes, and which error ends the process with which. No others are used."""

from enum import IntEnum

from wattle.errors import Invalid, Malformed, TooLarge, WattleError


class Exit(IntEnum):
    DONE = 0
    FAILED = 1  # a workflow failed or was cancelled; of diff: there is a difference
    USAGE = 2
    INVALID_DEFINITION = 3
    NO_SERVER = 4
    REFUSED = 5  # exists, is missing, is running, locked, port in use, newer schema, corrupt; a defect of Wattle
    WAIT_TIMEOUT = 124
    INTERRUPTED = 130


BY_CODE = {
    "NO_SERVER": Exit.NO_SERVER,
    "INVALID_SETTING": Exit.USAGE,
    "INVALID_PARAMS": Exit.USAGE,
    "ENV_FILE_UNREADABLE": Exit.REFUSED,
    "INVALID_JSON": Exit.INVALID_DEFINITION,
    "VALIDATION_ERROR": Exit.INVALID_DEFINITION,
    "INVALID_COMMAND": Exit.INVALID_DEFINITION,
    "DEPENDENCY_VALIDATION_FAILED": Exit.INVALID_DEFINITION,
    "CIRCULAR_DEPENDENCY": Exit.INVALID_DEFINITION,
    "WORKFLOW_EMPTY": Exit.INVALID_DEFINITION,
}
BY_CLASS: tuple[tuple[type[WattleError], Exit], ...] = (
    (Malformed, Exit.INVALID_DEFINITION),
    (Invalid, Exit.INVALID_DEFINITION),
    (TooLarge, Exit.INVALID_DEFINITION),
)
BY_STATUS = {"failed": Exit.FAILED, "cancelled": Exit.FAILED}  # of a run


def exit_of(error: WattleError) -> Exit:
    """By the error's code, else by what a caller can do about it; whatever remains was refused."""
    if error.code in BY_CODE:
        return BY_CODE[error.code]
    return next((code for kind, code in BY_CLASS if isinstance(error, kind)), Exit.REFUSED)


def exit_of_run(status: str) -> Exit:
    """Of a run that has ended."""
    return BY_STATUS.get(status, Exit.DONE)
