"""Names of what there is now, for completion and for "did you mean": quickly, or not at all."""

import difflib
import os
import shlex
from typing import Any

from wattle.client import Client, answers
from wattle.config import Config
from wattle.errors import WattleError

PATIENCE_SECONDS = 2.0
MOST_WORKFLOWS_OPENED = 20  # to list workers of, where the workflow is not typed yet


def workflow_names(config: Config) -> list[str]:
    """Of the server, else of the data directory; none where they cannot be had."""
    return _ask(config, lambda client: [workflow["name"] for workflow in client.list_workflows()])


def worker_names(config: Config, workflow: str) -> list[str]:
    return _ask(config, lambda client: [worker["name"] for worker in client.list_worker_summaries(workflow)])


def did_you_mean(config: Config, code: str, workflow: str, worker: str | None) -> tuple[str, str | None]:
    """A sentence to follow "does not exist": the nearest name and what lists all; and the command that does."""
    if code == "WORKER_NOT_FOUND":
        if worker is None:
            return "", None
        listing = f"wattle status {shlex.quote(workflow)}"
        return _hint(worker, worker_names(config, workflow), f"`{listing}` names all", f"{workflow}/"), listing
    names = _ask(config, lambda client: [[each["name"] for each in client.list_workflows()]])
    if not names:
        return "", None
    if not names[0]:
        return "there are none yet: `wattle run FILE` stores one and runs it", "wattle run FILE"
    if os.path.isfile(workflow) and worker is None:
        return f"it is a file here: `wattle run {shlex.quote(workflow)}`", f"wattle run {shlex.quote(workflow)}"
    hint = _hint(workflow, names[0], "`wattle list` names all")
    if worker is None and not hint.startswith("did") and (owner := _workflow_of(config, workflow, names[0])):
        hint = f"did you mean the worker '{owner}/{workflow}'? `wattle list` names all"
    return hint, "wattle list"


def _workflow_of(config: Config, worker: str, workflows: list[str]) -> str | None:
    """The first workflow that has such a worker, of those that are worth opening."""
    if len(workflows) > MOST_WORKFLOWS_OPENED:
        return None
    return next((workflow for workflow in workflows if worker in worker_names(config, workflow)), None)


def _hint(word: str, names: list[str], where: str, prefix: str = "") -> str:
    if not names:
        return ""
    folded = {name.casefold(): name for name in names}
    close = difflib.get_close_matches(word.casefold(), folded, 1, 0.65)
    return f"did you mean '{prefix}{folded[close[0]]}'? {where}" if close else where


def _ask(config: Config, question: Any) -> list[Any]:
    try:
        with _client(config) as client:
            return list(question(client))
    except (WattleError, OSError):
        return []


def _client(config: Config) -> Client:
    if config.server_url is not None:
        return Client(config.server_url, timeout_seconds=PATIENCE_SECONDS)
    if answers(config.socket_path):
        return Client(socket_path=config.socket_path, timeout_seconds=PATIENCE_SECONDS)
    from wattle.cli.server import read_only

    return read_only(config)
