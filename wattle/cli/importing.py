"""`wattle import`: workflows that other tools recorded become definition files. Needs no server."""

import json
import math
import os
from typing import TYPE_CHECKING, BinaryIO

import click

from wattle.cli.definition import STDIN, label_of, problem_lines, problems_of
from wattle.cli.exits import exit_of
from wattle.cli.session import Session, pass_session, shared_options
from wattle.errors import Invalid, Malformed, TooLarge

if TYPE_CHECKING:
    from wattle.importers.wfformat import Imported, Options, Report


@click.group("import")
@shared_options
def import_verb() -> None:
    """Turn a workflow that another tool recorded into a definition."""


@import_verb.command("wfformat")
@click.argument("file", metavar="FILE", type=click.File("rb"))
@click.option("--scale", type=float, default=1.0, show_default=True, help="Multiply every runtime by this.")
@click.option("--name", metavar="NAME", help="Name of the workflow; default the instance's.")
@click.option("--working-dir", metavar="DIR", help="The definition's working_dir; default none.")
@click.option(
    "--max-bytes", type=click.IntRange(min=0), default=65536, show_default=True, help="No file is made larger."
)
@click.option("-o", "--output", "out", default=STDIN, metavar="OUT", help="Write the definition here, not to stdout.")
@shared_options
@pass_session
def wfformat_verb(
    session: Session, file: BinaryIO, scale: float, name: str | None, working_dir: str | None, max_bytes: int, out: str
) -> None:
    """A WfCommons instance (schema 1.5) as a definition that replays it ("-": standard input).

    Each task becomes a worker that reads its inputs, waits as long as the task ran, and writes its outputs.
    What was kept, changed and left out is said on stderr.
    """
    from wattle.importers.wfformat import Options

    options = Options(scale, max_bytes, name, working_dir)
    _check_options(options)
    imported = _imported(session, file, options)
    _check_result(session, imported, out)
    if out == STDIN:
        session.out.json(imported.document)
    else:
        with open(out, "w", encoding="utf-8") as target:
            json.dump(imported.document, target, indent=2, ensure_ascii=False)
            target.write("\n")
    _say(session, imported.report)


def _check_options(options: "Options") -> None:
    from wattle.definition.names import why_not_workflow

    if not (math.isfinite(options.scale) and options.scale >= 0):
        raise click.BadParameter("it must be 0 or more", param_hint="'--scale'")
    if options.name is not None and (reason := why_not_workflow(options.name)):
        raise click.BadParameter(f"the name {reason}", param_hint="'--name'")
    if options.working_dir == "":
        raise click.BadParameter("it is empty", param_hint="'--working-dir'")


def _imported(session: Session, file: BinaryIO, options: "Options") -> "Imported":
    from wattle.importers.instance import MAX_BYTES
    from wattle.importers.wfformat import import_wfformat

    label = label_of(file.name if isinstance(file.name, str) and file.name != "<stdin>" else STDIN)
    try:
        return import_wfformat(file.read(MAX_BYTES + 1), options)
    except (Malformed, Invalid, TooLarge) as error:
        for line in problem_lines(label, problems_of(error), session.config.lang):
            session.talk.say(line)
        raise click.exceptions.Exit(exit_of(error)) from None


def _check_result(session: Session, imported: "Imported", out: str) -> None:
    """As `wattle validate` will judge it where it is written: a working directory may still be none."""
    from wattle.definition import Context, read_workflow

    config = session.config
    directory = config.base_dir if out == STDIN else os.path.dirname(os.path.join(config.base_dir, out))
    data_dir = "" if config.server_url else config.data_dir
    context = Context(directory, config.home, os.path.join(config.data_dir, "work"), data_dir)
    read_workflow(imported.document, context)


def _say(session: Session, report: "Report") -> None:
    for word, counts in (("kept", report.kept), ("changed", report.changed), ("left out", report.left_out)):
        if counts:
            session.note(f"{word}: {', '.join(map(str, counts))}")
