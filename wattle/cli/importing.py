"""`wattle import`: files of other tools become definition files. Needs no server."""

import json
import math
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from wattle.cli.definition import STDIN, Source, problems_of, read_source, told_lines
from wattle.cli.exits import exit_of
from wattle.cli.session import Session, pass_session, shared_options
from wattle.errors import Invalid, Malformed, TooLarge

if TYPE_CHECKING:
    from wattle.importers.options import Options
    from wattle.importers.report import Imported

Verb = TypeVar("Verb", bound=Callable[..., Any])
_NUMBERS = re.compile(r"\[\n\s+\d+(?:,\n\s+\d+)*\n\s+\]")
FILE = click.Path(allow_dash=True)


def shared_import_options(verb: Verb) -> Verb:
    """FILE, and what every import takes."""
    for option in (
        shared_options,
        click.option("--json", "as_json", is_flag=True, help="The report on stderr as one JSON document."),
        click.option("-o", "--output", "out", default=STDIN, metavar="OUT", type=click.Path(allow_dash=True),
                     help="Write the definition here, not to stdout."),
        click.option("--working-dir", metavar="DIR", help="The definition's working_dir [see below]."),
        click.option("--name", metavar="NAME", help="Name of the workflow [the file's own]."),
        click.argument("file", metavar="FILE", type=FILE),
    ):  # fmt: skip
        verb = option(verb)
    return verb


all_option = click.option("--all", "include_disabled", is_flag=True, help="Also what would not be started by itself.")


class Kinds(click.Group):
    """Says which kinds there are, and the nearest to one that is not."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            import difflib

            close = difflib.get_close_matches(args[0], self.commands, 1)
            hint = f"Did you mean '{close[0]}'?" if close else f"There are {', '.join(self.commands)}."
            raise click.UsageError(f"'{args[0]}' is nothing that can be imported. {hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group("import", cls=Kinds)
@shared_options
def import_verb() -> None:
    """Turn a file of another tool into a definition.

    The definition goes to stdout, or to OUT; what was kept, changed and left out is said on stderr.
    """


@import_verb.command("procfile")
@shared_import_options
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True,
              help="PORT of the first process, 100 more for each after it.")
@click.option("--no-port", is_flag=True, help="Set no PORT.")
@click.option("--env-file", metavar="PATH", help="Variables [.env beside the Procfile, where it is].")
@pass_session
def procfile_verb(
    session: Session, file: str, name: str | None, working_dir: str | None, out: str, as_json: bool, port: int,
    no_port: bool, env_file: str | None,
) -> None:
    """A Procfile (Heroku, foreman, honcho) as services ("-": standard input).

    The working directory is the Procfile's.
    """
    from wattle.importers.procfile import ProcfileOptions, import_procfile

    source = read_source(file)
    common = _options(session, source, out, name, working_dir)
    if env_file is None and os.path.isfile(os.path.join(common.place.directory, ".env")):
        env_file = _seen_from(session, out, os.path.join(common.place.directory, ".env"))
    options = ProcfileOptions(common, None if no_port else port, env_file)
    _finish(session, source, lambda: import_procfile(source.data, options), out, as_json)


@import_verb.command("supervisord")
@shared_import_options
@all_option
@pass_session
def supervisord_verb(
    session: Session, file: str, name: str | None, working_dir: str | None, out: str, as_json: bool,
    include_disabled: bool,
) -> None:
    """A configuration of supervisord as services ("-": standard input).

    The working directory is the configuration's; a program's own `directory` is kept.
    """
    from wattle.importers.supervisord import import_supervisord

    source = read_source(file)
    options = _options(session, source, out, name, working_dir, include_disabled)
    _finish(session, source, lambda: import_supervisord(source.data, options), out, as_json)


@import_verb.command("process-compose")
@shared_import_options
@all_option
@pass_session
def process_compose_verb(
    session: Session, file: str, name: str | None, working_dir: str | None, out: str, as_json: bool,
    include_disabled: bool,
) -> None:
    """A process-compose.yaml as services and tasks ("-": standard input).

    The working directory is the file's.
    """
    from wattle.importers.process_compose import import_process_compose

    source = read_source(file)
    options = _options(session, source, out, name, working_dir, include_disabled)
    _finish(session, source, lambda: import_process_compose(source.data, options), out, as_json)


@import_verb.command("dagu")
@shared_import_options
@pass_session
def dagu_verb(
    session: Session, file: str, name: str | None, working_dir: str | None, out: str, as_json: bool
) -> None:
    """A DAG of Dagu as tasks ("-": standard input).

    The working directory is the file's, unless it names one.
    """
    from wattle.importers.dagu import import_dagu

    source = read_source(file)
    options = _options(session, source, out, name, working_dir)
    _finish(session, source, lambda: import_dagu(source.data, options), out, as_json)


@import_verb.command("wfformat")
@shared_import_options
@click.option("--scale", type=float, default=1.0, show_default=True, help="Multiply every runtime by this.")
@click.option(
    "--max-bytes", type=click.IntRange(min=0), default=65536, show_default=True, help="No file is made larger."
)
@pass_session
def wfformat_verb(
    session: Session, file: str, name: str | None, working_dir: str | None, out: str, as_json: bool, scale: float,
    max_bytes: int,
) -> None:
    """A WfCommons instance (schema 1.5) as a definition that replays it ("-": standard input).

    Each task becomes a worker that reads its inputs, waits as long as the task ran, and writes its outputs.
    There is no working directory unless one is given.
    """
    from wattle.importers.wfformat import Options, import_wfformat

    if not (math.isfinite(scale) and scale >= 0):
        raise click.BadParameter("it must be 0 or more", param_hint="'--scale'")
    _check_names(name, working_dir)
    source = read_source(file)
    options = Options(scale, max_bytes, name, working_dir)
    _finish(session, source, lambda: import_wfformat(source.data, options), out, as_json)


def _options(
    session: Session, source: Source, out: str, name: str | None, working_dir: str | None, disabled: bool = False
) -> "Options":
    from wattle.importers.options import Options, Place

    _check_names(name, working_dir)
    base = session.config.base_dir
    path = os.path.join(base, "" if source.path == STDIN else source.path)
    directory = os.path.abspath(base if source.path == STDIN else os.path.dirname(path))
    stem = "" if source.path == STDIN else os.path.splitext(os.path.basename(path))[0]
    return Options(Place(directory, stem), name, working_dir or _seen_from(session, out, directory), disabled)


def _seen_from(session: Session, out: str, path: str) -> str:
    """As a definition in OUT names it: relative where that is near, absolute on stdout."""
    if out == STDIN:
        return path
    relative = os.path.relpath(path, os.path.dirname(os.path.join(session.config.base_dir, out)))
    return path if relative.startswith("..") else relative


def _check_names(name: str | None, working_dir: str | None) -> None:
    from wattle.definition.names import why_not_workflow

    if name is not None and (reason := why_not_workflow(name)):
        raise click.BadParameter(f"the name {reason}", param_hint="'--name'")
    if working_dir == "":
        raise click.BadParameter("it is empty", param_hint="'--working-dir'")


def _finish(session: Session, source: Source, make: "Callable[[], Imported]", out: str, as_json: bool) -> None:
    """Make the definition, check it, write it, and say what became of the file."""
    try:
        imported = make()
    except (Malformed, Invalid, TooLarge) as error:
        if as_json:
            raise
        for line in told_lines(source, problems_of(error), session.config.lang, session.talk):
            session.talk.say(line)
        raise click.exceptions.Exit(exit_of(error)) from None
    _check_result(session, imported, out)
    if out == STDIN:
        session.out.say(_written(imported.document, is_ascii=not session.out.has_glyphs))
    else:
        with open(out, "w", encoding="utf-8") as target:
            target.write(_written(imported.document) + "\n")
    if as_json:
        session.talk.json(imported.report.as_json())
    else:
        _say(session, imported)


def _written(document: Any, is_ascii: bool = False) -> str:
    """JSON, arrays of numbers on one line. A raw line break stands in no text, so what matches is an array."""
    text = json.dumps(document, indent=2, ensure_ascii=is_ascii)
    return _NUMBERS.sub(lambda match: re.sub(r"\n\s*", "", match[0]).replace(",", ", "), text)


def _check_result(session: Session, imported: "Imported", out: str) -> None:
    """As `wattle validate` will judge it where it is written: a working directory may still be none."""
    from wattle.definition import Context, read_workflow

    config = session.config
    directory = config.base_dir if out == STDIN else os.path.dirname(os.path.join(config.base_dir, out))
    data_dir = "" if config.server_url else config.data_dir
    context = Context(directory, config.home, os.path.join(config.data_dir, "work"), data_dir)
    read_workflow(imported.document, context)


def _say(session: Session, imported: "Imported") -> None:
    """Counts in one line, remarks on single workers a line each."""
    from wattle.importers.report import Count

    report = imported.report
    for word, entries in (("kept", report.kept), ("changed", report.changed), ("left out", report.left_out)):
        if counts := [str(entry) for entry in entries if isinstance(entry, Count)]:
            session.note(f"{word}: {', '.join(counts)}")
        for entry in entries:
            if not isinstance(entry, Count):
                session.note(f"{word}: {entry}")
