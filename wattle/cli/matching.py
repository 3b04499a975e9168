"""Targets as they are typed to the everyday verbs: several, and with the patterns of a shell (`etl/*`, `*/load`)."""

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

import click

from wattle.cli.exits import Exit
from wattle.cli.failing import tell_error
from wattle.cli.session import Session
from wattle.cli.target import EITHER, Target
from wattle.client import Client, ClientError, NoServer
from wattle.errors import WattleError

MAGIC = frozenset("*?[")

target_arguments = click.argument("targets", type=EITHER, nargs=-1, required=True, metavar="WF[/WORKER]...")


def is_pattern(text: str | None) -> bool:
    return text is not None and not MAGIC.isdisjoint(text)


def expand(client: Client, targets: Iterable[Target]) -> list[Target]:
    """Each target once, in the order typed; a pattern becomes what it matches.

    A name that is there is itself, even one with a `*`. ClientError where a pattern matches nothing.
    """
    found: dict[Target, None] = {}
    for target in targets:
        if not is_pattern(target.workflow) and not is_pattern(target.worker):
            found[target] = None
            continue
        matches = _matches(client, target)
        if not matches:
            raise ClientError("NO_MATCH", f"'{target}' matches nothing that is there: see `wattle list`", 404)
        found.update(dict.fromkeys(matches))
    return list(found)


def each(session: Session, client: Client, targets: Iterable[Target], do: Callable[[Target], Any]) -> int:
    """Do it to every target. One that refuses, or a pattern that matches nothing, does not keep the others from it:
    what it says is told, and the exit code is the first one's. NoServer ends it."""
    targets, code = list(targets), Exit.DONE
    found: dict[Target, None] = {}
    for target in targets:
        try:
            found.update(dict.fromkeys(expand(client, [target])))
        except ClientError as error:
            if len(targets) == 1:
                raise
            told = tell_error(session, error)
            code = code or told
    wanted = list(found)
    session.targets += wanted
    for target in wanted:
        try:
            do(target)
        except NoServer:
            raise
        except WattleError as error:
            if len(wanted) == 1 and code is Exit.DONE:
                raise
            told = tell_error(session, error)
            code = code or told
    return code


def _matches(client: Client, target: Target) -> list[Target]:
    workflows = [workflow["name"] for workflow in client.list_workflows()]
    chosen = [target.workflow] if target.workflow in workflows else _fitting(workflows, target.workflow)
    if target.worker is None:
        return [Target(name, None) for name in chosen]
    matches = []
    for name in chosen:
        workers = [worker["name"] for worker in client.list_worker_summaries(name)]
        fitting = [target.worker] if target.worker in workers else _fitting(workers, target.worker)
        matches += [Target(name, worker) for worker in fitting]
    return matches


def _fitting(names: Iterable[str], pattern: str) -> list[str]:
    return [name for name in names if fnmatchcase(name, pattern)]
