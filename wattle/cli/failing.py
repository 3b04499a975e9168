"""How a verb that could not do its work says so: a line on stderr or, where JSON was asked for, one document there.

Nothing of it is ever on stdout, so a script that reads data there reads data or nothing. The words are those of the
error; what is added is the next command to try.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from wattle.cli.exits import Exit, exit_of
from wattle.cli.hints import hint_of
from wattle.cli.session import Session
from wattle.errors import Problem, WattleError


def tell_error(session: Session, error: WattleError) -> Exit:
    """Every problem that the error stands for, with what to try next."""
    code, hint = exit_of(error), hint_of(session, error)
    if session.wants_json:
        _document(session, error.code, error.message, code, hint.command, error.details)
        return code
    several = error.details[1:] and error.details
    for problem in several or (error,):
        say(f"wattle: {problem.message}{hint.sentence}")
    return code


def tell_usage(session: Session, error: click.ClickException) -> Exit:
    """A mistake in the command line; of a group without a verb its help."""
    context = getattr(error, "ctx", None)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        say(error.format_message())
        return Exit.USAGE
    command = f"{context.command_path if context is not None else 'wattle'} --help"
    what = error.format_message().rstrip(".")
    said = f"{what}{'' if what.endswith('?') else '.'} Try `{command}`"
    return tell(session, "USAGE", what if session.wants_json else said, Exit.USAGE, command)


def tell_system_error(session: Session, error: OSError) -> Exit:
    """A full disk, a directory that has gone."""
    what = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
    return tell(session, "SYSTEM_ERROR", what, Exit.REFUSED)


def tell_defect(session: Session, error: Exception) -> Exit:
    """A defect of ours: in a line, never a traceback by surprise."""
    what = f"internal error: {type(error).__name__}: {error}. WATTLE_DEBUG=1 shows where; please report it"
    return tell(session, "INTERNAL_ERROR", what, Exit.REFUSED)


def tell(session: Session, code: str, message: str, exit_status: Exit, command: str | None = None) -> Exit:
    """One thing that went wrong; `command` is the next one to try."""
    if session.wants_json:
        _document(session, code, message, exit_status, command)
    else:
        say(f"wattle: {message}")
    return exit_status


def _document(
    session: Session, code: str, message: str, exit_status: Exit, command: str | None, details: Sequence[Problem] = ()
) -> None:
    """One line, so that it is found among what else is said there."""
    shown: dict[str, Any] = {
        "code": code,
        "message": message,
        "exit_status": int(exit_status),
        "next": command,
        "details": [
            {name: value for name, value in dataclasses.asdict(problem).items() if name != "zh"} for problem in details
        ],
    }
    say(json.dumps(shown, ensure_ascii=not session.talk.has_glyphs))


def say(text: str) -> None:
    try:
        click.echo(text, err=True)
    except OSError:
        abandon_output()


def abandon_output() -> None:
    """Nobody reads any more: the interpreter must not complain when it flushes at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
