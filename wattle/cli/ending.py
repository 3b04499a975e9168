"""`wattle down`: end everything of the data directory, whether a server runs or only workers are left."""

import click

from wattle.cli.server import find
from wattle.cli.session import Session, pass_session, shared_options
from wattle.client import NoServer


@click.command("down")
@shared_options
@pass_session
def down_verb(session: Session) -> None:
    """Stop all runs, every worker, and the server. Nothing resumes."""
    config = session.config
    client = find(config)
    if client is not None:
        try:
            with client:
                session.out.say(client.down().text)
            return
        except NoServer:
            if config.server_url is not None:
                raise
            # it ended before it could answer; whatever it left is ours to end
    from wattle.daemon import down_without_daemon

    session.out.say(down_without_daemon(config))
