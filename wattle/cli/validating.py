"""`wattle validate`: every problem of every file, each with its place."""

import dataclasses

import click

from wattle.cli.definition import Source, definition_of, problems_of, read_source, told_lines
from wattle.cli.exits import Exit
from wattle.cli.output import count_of
from wattle.cli.session import Session, json_option, pass_session, shared_options
from wattle.config import Config
from wattle.errors import Invalid, Malformed, Problem, TooLarge


@click.command("validate")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(allow_dash=True))
@json_option
@shared_options
@pass_session
def validate_verb(session: Session, files: tuple[str, ...], as_json: bool) -> int:
    """Say everything that is wrong with definition files ("-": standard input).

    Exit status 3 where anything is.
    """
    config = session.config
    sources = [read_source(path) for path in files]
    found = [(source, _problems(source, config)) for source in sources]
    if as_json:
        session.out.json([_as_json(source.label, problems) for source, problems in found])
    else:
        for source, problems in found:
            for line in told_lines(source, problems, config.lang, session.out):
                session.out.say(line)
            if not problems:
                session.note(f"{source.label} is a valid definition")
        _say_count(session, [problems for _, problems in found if problems])
    return Exit.INVALID_DEFINITION if any(problems for _, problems in found) else Exit.DONE


def _say_count(session: Session, bad: list[tuple[Problem, ...]]) -> None:
    if bad:
        session.note(f"{count_of(sum(map(len, bad)), 'problem')} in {count_of(len(bad), 'file')}")


def _problems(source: Source, config: Config) -> tuple[Problem, ...]:
    try:
        definition_of(source, config)
    except (Malformed, Invalid, TooLarge) as error:
        return problems_of(error)
    return ()


def _as_json(label: str, problems: tuple[Problem, ...]) -> dict[str, object]:
    return {"file": label, "valid": not problems, "problems": [_shown(p) for p in problems]}


def _shown(problem: Problem) -> dict[str, object]:
    """As the API shows it; the Chinese is for callers that ask the API for it."""
    return {name: value for name, value in dataclasses.asdict(problem).items() if name != "zh"}
