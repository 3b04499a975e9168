"""`wattle completion SHELL`, and what the shells ask while somebody types: verbs, options, live names.

click does the talking with zsh and fish, which quote by themselves; here are the verbs without their modules, live
names, and bash, which cuts words at colons and neither quotes nor unquotes.
"""

import os
import re
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

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
BASH = """\
%(complete_func)s() {
    local type value
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(env COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \
             %(complete_var)s=bash_complete "$1")
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""
PLACES = {
    "bash": "~/.local/share/bash-completion/completions/wattle",
    "zsh": "_wattle in a directory of $fpath",
    "fish": "~/.config/fish/completions/wattle.fish",
}


class Typed(NamedTuple):
    """The beginning of a command line: its whole words, and the last one as far as it is typed, as the shell reads it.

    `behind` is where in `last` the text begins that bash replaces: where a quote was opened, which `quote` names while
    it is open, or behind the last of the characters at which bash cuts words, such as a colon.
    """

    words: list[str]
    last: str
    behind: int
    quote: str


def typed(line: str, breaks: str) -> Typed:
    words: list[str] = []
    last, behind, quote = "", 0, ""
    is_word = is_escaped = False
    for character in line:
        if is_escaped:
            is_kept = quote == '"' and character not in '\\"$`'
            last, is_escaped = last + ("\\" if is_kept else "") + character, False
        elif character == "\\" and quote != "'":
            is_word = is_escaped = True
        elif quote:
            last, quote = (last, "") if character == quote else (last + character, quote)
        elif character in "'\"":
            is_word, quote, behind = True, character, len(last)
        elif character.isspace():
            if is_word:
                words.append(last)
            last, behind, is_word = "", 0, False
        else:
            last, is_word = last + character, True
            behind = len(last) if character in breaks else behind
    return Typed(words, last, behind, quote)


def quoted(text: str, quote: str) -> str:
    """As it goes on being typed: within a quote that is open, else with backslashes."""
    if quote == "'":
        return text.replace("'", "'\\''")
    if quote:
        return re.sub(r'([\\"$`])', r"\\\1", text)
    return re.sub(r"([^\w@%+=:,./-])", r"\\\1", text)


class _Bash(BashComplete):
    source_template = BASH

    @cached_property
    def _typed(self) -> Typed:
        breaks = set(os.environ.get("COMP_WORDBREAKS", "@><=;|&(:")) - set("'\" \t\n")
        return typed(os.environ["COMP_WORDS"], "".join(breaks))

    def source(self) -> str:
        return ShellComplete.source(self)  # without starting a bash to ask for its version

    def get_completion_args(self) -> tuple[list[str], str]:
        return self._typed.words[1:], self._typed.last

    def format_completion(self, item: "CompletionItem[str]") -> str:
        at, value = self._typed, item.value
        if item.type == "plain":
            rest = value[at.behind :] if value[: at.behind] == at.last[: at.behind] else value
            value = quoted(rest, at.quote)
        return f"{item.type},{value}"


class _Fish(FishComplete):
    source_template = FishComplete.source_template.replace('split ","', 'split --max 1 ","')  # a name may hold commas


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
    classes: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": ZshComplete, "fish": _Fish}
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
