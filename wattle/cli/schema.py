"""`wattle schema`: the JSON Schema of definitions, for editors and checks, and of what verbs print."""

import click

from wattle.cli.answers import ANSWERS, schema_of
from wattle.cli.session import Session, pass_session, shared_options


@click.command("schema")
@click.option(
    "--of", "answer", type=click.Choice(["definition", *ANSWERS]), metavar="ANSWER", default="definition",
    help="What it is the schema of [definition].",
)  # fmt: skip
@shared_options
@pass_session
def schema_verb(session: Session, answer: str) -> None:
    """Print the JSON Schema (2020-12) of a definition file, or of what a verb prints with --json.

    With --jsonl a listing prints the items of its array, one a line. An error is one line on standard error.

    \b
    ANSWER is one of: definition, list, runs, status, status-workflow,
    status-worker, show-workflow, show-worker, why, why-workflow, wait, history,
    events, top, kill, logs, logs-follow, validate, import, doctor, fsck, error.
    """
    if answer != "definition":
        session.out.json(schema_of(answer))
        return
    from wattle.definition.published import workflow_schema

    session.out.json(workflow_schema())
