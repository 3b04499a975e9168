"""The errors a caller can act on.

Each class is one thing a caller can *do*; each instance knows its documented `code`. HTTP statuses
(api/errors.py) and exit codes (cli/exits.py) are mapped at those edges only. The English text is the
message; `zh` holds the documented Chinese where the document has one.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a document: what, where, and what to write instead.

    `pointer` is a JSON Pointer (RFC 6901) into the document; `line` and `column` count from 1 and are
    None where the document's text is not at hand. `suggestion` is a replacement or a hint, or None.
    """

    code: str
    message: str
    pointer: str
    suggestion: str | None = None
    line: int | None = None
    column: int | None = None
    zh: str | None = None


class WattleError(Exception):
    """Base of all errors shown to a caller. `details` are further problems, in order."""

    def __init__(self, code: str, message: str, *, zh: str | None = None, details: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.zh = zh
        self.details = tuple(details)


class Malformed(WattleError):
    """The request is not what the call takes: mend the request."""


class NotFound(WattleError):
    """The thing named does not exist: look at what does."""


class Conflict(WattleError):
    """The thing is in a state that does not admit the call: wait, stop it, or force it."""


class Invalid(WattleError):
    """Well-formed, but it cannot mean anything: mend the definition."""


class Forbidden(WattleError):
    """It may not be done: not from where this caller calls, or not by this server."""


class TooLarge(WattleError):
    """The body is over its limit: send less."""


class UnsupportedMedia(WattleError):
    """The body is not JSON: say `Content-Type: application/json`."""


class Unavailable(WattleError):
    """It cannot be done now: try again later."""


class OutOfSpace(Unavailable):
    """The disk is full: free some of it; Wattle goes on by itself."""


class Refused(WattleError):
    """Wattle itself will not start so (locked, newer schema, port in use): the message says the remedy."""


def workflow_not_found(name: str) -> NotFound:
    return NotFound("WORKFLOW_NOT_FOUND", f"Workflow '{name}' does not exist", zh=f"工作流 '{name}' 不存在")


def workflow_already_exists(name: str) -> Conflict:
    return Conflict("WORKFLOW_ALREADY_EXISTS", f"Workflow '{name}' already exists", zh=f"工作流 '{name}' 已存在")


def worker_not_found(workflow: str, worker: str) -> NotFound:
    return NotFound("WORKER_NOT_FOUND", f"Worker '{workflow}/{worker}' does not exist")


def run_not_found(run: object) -> NotFound:
    return NotFound("RUN_NOT_FOUND", f"Run '{run}' does not exist")
