"""`wattle schema`: the JSON Schema of definitions, for editors and checks."""

import click

from wattle.cli.session import Session, pass_session, shared_options


@click.command("schema")
@shared_options
@pass_session
def schema_verb(session: Session) -> None:
    """Print the JSON Schema of a definition file."""
    from wattle.definition.published import workflow_schema

    session.out.json(workflow_schema())
