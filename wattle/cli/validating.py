"""`wattle validate`: every problem of every file, each with its place."""

import dataclasses

import click

from wattle.cli.definition import label_of, problem_lines, problems_of, read_definition
from wattle.cli.exits import Exit
from wattle.cli.session import Session, json_option, pass_session, shared_options
from wattle.config import Config
from wattle.errors import Invalid, Malformed, Problem, TooLarge


@click.command("validate")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@json_option
@shared_options
@pass_session
def validate_verb(session: Session, files: tuple[str, ...], as_json: bool) -> int:
    """Say everything that is wrong with definition files ("-": standard input).

    Exit status 3 where anything is.
    """
    config = session.config
    found = {path: _problems(path, config) for path in files}
    if as_json:
        session.out.json([_as_json(path, problems) for path, problems in found.items()])
    else:
        for path, problems in found.items():
            for line in problem_lines(label_of(path), problems, config.lang):
                session.out.say(line)
            if not problems:
                session.note(f"{label_of(path)} is a valid definition")
    return Exit.INVALID_DEFINITION if any(found.values()) else Exit.DONE


def _problems(path: str, config: Config) -> tuple[Problem, ...]:
    try:
        read_definition(path, config)
    except (Malformed, Invalid, TooLarge) as error:
        return problems_of(error)
    return ()


def _as_json(path: str, problems: tuple[Problem, ...]) -> dict[str, object]:
    return {"file": label_of(path), "valid": not problems, "problems": [_shown(p) for p in problems]}


def _shown(problem: Problem) -> dict[str, object]:
    """As the API shows it; the Chinese is for callers that ask the API for it."""
    return {name: value for name, value in dataclasses.asdict(problem).items() if name != "zh"}
