"""`wattle completion SHELL`, and what the shells ask while somebody types: verbs, options, live names.

click does the talking with the shells; here are the verbs without their modules, live names, and
quotes for bash (zsh and fish quote by themselves).
"""

import os
import shlex
from contextlib import suppress
from typing import TYPE_CHECKING

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

from wattle.cli.session import Session, pass_session, shared_options

if TYPE_CHECKING:
    from wattle.config import Config

VARIABLE = "_WATTLE_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
PLACES = {
    "bash": "~/.local/share/bash-completion/completions/wattle",
    "zsh": "_wattle in a directory of $fpath",
    "fish": "~/.config/fish/completions/wattle.fish",
}


class _Bash(BashComplete):
    def source(self) -> str:
        return ShellComplete.source(self)  # without starting a bash to ask for its version

    def format_completion(self, item: "CompletionItem[str]") -> str:
        value = item.value if item.type != "plain" else shlex.quote(item.value)
        return f"{item.type},{value}"


def register() -> None:
    """Before click looks for the class of the shell that asks."""
    add_completion_class(_Bash)


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@shared_options
@pass_session
def completion_verb(session: Session, shell: str) -> None:
    """Print what makes a shell complete verbs, options, and names of workflows and workers.

    It asks the running server for names, else the data directory.
    """
    classes: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": ZshComplete, "fish": FishComplete}
    root = click.get_current_context().find_root().command
    session.out.say(classes[shell](root, {}, "wattle", VARIABLE).source().strip("\n"))
    if session.out.is_terminal:
        session.note(f"write this to {PLACES[shell]}")


def targets(ctx: click.Context, incomplete: str, needs: str | None) -> list[str]:
    """Names that a WF, WF/WORKER or either may go on to."""
    from wattle.cli.names import MOST_WORKFLOWS_OPENED, worker_names, workflow_names

    config = _config(ctx)
    if config is None:
        return []
    workflow, slash, _ = incomplete.partition("/")
    if slash:
        found = [f"{workflow}/{worker}" for worker in worker_names(config, workflow)]
        return [] if needs == "workflow" else [name for name in found if name.startswith(incomplete)]
    names = [name for name in workflow_names(config) if name.startswith(incomplete)]
    if needs == "worker" and len(names) > MOST_WORKFLOWS_OPENED:
        return [f"{name}/" for name in names]
    if needs == "workflow" or (needs is None and names != [incomplete]):
        return names
    opened = [f"{name}/{worker}" for name in names for worker in worker_names(config, name)]
    return opened if needs == "worker" else [*names, *opened]


def _config(ctx: click.Context) -> "Config | None":
    from wattle.config import load_config
    from wattle.errors import WattleError

    session = ctx.find_object(Session)
    with suppress(WattleError, OSError):
        return load_config(session.flags if session else {}, os.environ, os.getcwd())
    return None
