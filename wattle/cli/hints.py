"""The next command to try after an error, and what users of other tools call our verbs. No words of errors."""

import shlex
from collections.abc import Callable
from typing import NamedTuple

from wattle.cli.session import Session
from wattle.errors import WattleError


class Hint(NamedTuple):
    """`sentence` follows the error's words ("" where they say it already); `command` alone is for programs."""

    sentence: str = ""
    command: str | None = None


# What compose, kubectl, docker, systemctl, supervisorctl and Dagu call what we do.
ELSEWHERE = {
    "ps": "status", "ls": "list", "get": "list", "up": "run", "exec": "run", "dry": "run --dry-run",
    "describe": "show", "inspect": "show", "cat": "show", "rm": "delete", "remove": "delete", "tail": "logs",
    "log": "logs", "journal": "logs", "explain": "why", "retry": "restart", "rerun": "restart", "new": "init",
    "lint": "validate", "check": "validate", "server": "serve", "daemon": "serve", "shutdown": "down",
    "monit": "top", "stats": "top", "watch": "top", "version": "--version", "update": "apply",
}  # fmt: skip


def hint_of(session: Session, error: WattleError) -> Hint:
    make = _BY_CODE.get(error.code)
    if make is None or "`" in error.message:
        return _said(error)
    hint = make(session, error)
    return hint if session.config.lang == "en" else hint._replace(sentence="")  # it has no other words


def _said(error: WattleError) -> Hint:
    """The first command that the words of the error themselves name."""
    parts = error.message.split("`")
    return Hint(command=next((part for part in parts[1::2] if part.startswith("wattle ")), None))


def _missing(session: Session, error: WattleError) -> Hint:
    """The nearest name, and what lists all."""
    target = next((target for target in session.targets if f"'{target[0]}" in error.message), None)
    if target is None:
        return Hint()
    from wattle.cli.names import did_you_mean

    hint, command = did_you_mean(session.config, error.code, *target)
    return Hint(f". {hint[0].upper()}{hint[1:]}" if hint else "", command)


def _running(session: Session, error: WattleError) -> Hint:
    name = _named(session, error)
    return Hint(f": `wattle wait {name}`, `wattle stop {name}`", f"wattle wait {name}") if name else Hint()


def _deleting(session: Session, error: WattleError) -> Hint:
    """Only of a delete: a start may be refused by the same code."""
    return _force(session, error, "delete") if "delete it by force" in error.message else Hint()


def _starting(session: Session, error: WattleError) -> Hint:
    return _force(session, error, "start")


def _force(session: Session, error: WattleError, verb: str) -> Hint:
    name = _named(session, error)
    return Hint(f": `wattle {verb} {name} --force`", f"wattle {verb} {name} --force") if name else Hint()


def _exists(session: Session, error: WattleError) -> Hint:
    return Hint(". `wattle apply FILE` stores a new version of it, `wattle diff FILE` shows what it would change",
                "wattle apply FILE")  # fmt: skip


_BY_CODE: dict[str, Callable[[Session, WattleError], Hint]] = {
    "WORKFLOW_NOT_FOUND": _missing,
    "WORKER_NOT_FOUND": _missing,
    "WORKFLOW_ALREADY_RUNNING": _running,
    "WORKFLOW_ALREADY_EXISTS": _exists,
    "WORKFLOW_RUNNING": _deleting,
    "WORKER_RUNNING": _deleting,
    "WORKER_QUEUED": _starting,
    "INPUT_NOT_READY": _starting,
}


def _named(session: Session, error: WattleError) -> str | None:
    """The target that the error is about, as it is typed to a shell."""
    for workflow, worker in reversed(session.targets):
        name = workflow if worker is None else f"{workflow}/{worker}"
        if f"'{name}'" in error.message:
            return shlex.quote(name)
    return None
