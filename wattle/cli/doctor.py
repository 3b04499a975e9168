"""`wattle doctor`: what kernel and file systems offer, and what is done where they do not."""

import dataclasses

import click

import wattle
from wattle.cli.exits import Exit
from wattle.cli.output import plain
from wattle.cli.session import Session, json_option, pass_session, shared_options
from wattle.client import Client, answers
from wattle.config import Config
from wattle.errors import WattleError

ANSWER_SECONDS = 5.0
COLOURS = {"ok": "32", "degraded": "33", "broken": "1;31"}


@click.command("doctor")
@json_option
@shared_options
@pass_session
def doctor_verb(session: Session, as_json: bool) -> int:
    """Try what Wattle needs of kernel and file systems, and say what is done without.

    Exit status 5 where something is broken; needs no server, and keeps nothing of what it tries.
    """
    from wattle.diagnosis.doctor import examine
    from wattle.diagnosis.probe import Level, worst

    findings = list(examine(session.config.data_dir, wattle.__version__, _daemon_version(session.config)))
    level = worst(findings)
    if as_json:
        shown = [dataclasses.asdict(finding) for finding in findings]
        session.out.json({"level": level, "version": wattle.__version__, "findings": shown})
    else:
        session.out.say(f"wattle {wattle.__version__}")
        for finding in findings:
            word = session.out.paint(f"{finding.level:<8}", COLOURS[finding.level])
            session.out.say(f"{word}  {finding.subject:<14}  {plain(finding.found)}")
            if finding.instead is not None:
                session.out.say(f"{'':<26}{plain(finding.instead)}")
    return Exit.REFUSED if level is Level.BROKEN else Exit.DONE


def _daemon_version(config: Config) -> str | None:
    """What the server of the data directory says of itself."""
    if not answers(config.socket_path):
        return None
    try:
        with Client(socket_path=config.socket_path, timeout_seconds=ANSWER_SECONDS) as client:
            return client.version()
    except WattleError:
        return None
