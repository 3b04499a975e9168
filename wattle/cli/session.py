"""What a verb gets from the command line: the flags given so far, the Config, the two screens."""

import os
import sys
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import click

from wattle.cli.output import Screen
from wattle.config import Config, load_config

Verb = TypeVar("Verb", bound=Callable[..., Any])


class Session:
    """One invocation of `wattle`. The Config is read when it is first asked for, after all flags are known."""

    def __init__(self) -> None:
        self.flags: dict[str, Any] = {}
        self.colour = "auto"
        self.is_quiet = False
        self.targets: list[tuple[str, str | None]] = []  # as they were typed, and what patterns became

    @cached_property
    def wants_json(self) -> bool:
        """Asked of the arguments as they are: a mistake among them is told in JSON too."""
        arguments = sys.argv[1 : sys.argv.index("--") if "--" in sys.argv else None]
        return "--json" in arguments or "--jsonl" in arguments

    @cached_property
    def out(self) -> Screen:
        """For data."""
        return Screen(sys.stdout, colour=self.colour)

    @cached_property
    def talk(self) -> Screen:
        """For everything else."""
        return Screen(sys.stderr, colour=self.colour)

    @cached_property
    def config(self) -> Config:
        config = load_config(self.flags, os.environ, os.getcwd())
        for notice in config.notices:
            self.note(notice)
        return config

    def note(self, text: str) -> None:
        """A sentence to the user, on stderr; with -q it is not said."""
        if self.is_quiet:
            return
        self.talk.say(f"wattle: {text}")


def _remember(ctx: click.Context, param: click.Parameter, value: object) -> None:
    session = ctx.ensure_object(Session)
    if param.name is not None and value not in (None, (), False):
        session.flags[param.name] = value


def setting(*names: str, **attributes: Any) -> Callable[[Verb], Verb]:
    """An option that is a setting: it goes into the Config and not to the verb. The last name is the field's."""
    return click.option(*names, expose_value=False, callback=_remember, **attributes)


def _colour(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Session).colour = value


def _quiet(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Session).is_quiet = True


def shared_options(verb: Verb) -> Verb:
    """The options that stand before or after the verb."""
    for option in (
        click.option("-q", "--quiet", is_flag=True, expose_value=False, callback=_quiet,
                     help="No talk; of a listing names or numbers alone."),
        click.option("--color", type=click.Choice(["auto", "always", "never"]), expose_value=False, callback=_colour,
                     help="When to use colour [auto: in a terminal]."),
        setting("--lang", "lang", metavar="LANG", help="Language of messages: en or zh."),
        setting("--server", "server_url", metavar="URL", help="Use the server at this URL."),
        setting("--data-dir", "data_dir", metavar="DIR", help="Where everything is kept."),
    ):  # fmt: skip
        verb = option(verb)
    return verb


jsonl_option = click.option("--jsonl", "as_jsonl", is_flag=True, help="A line of JSON on stdout for each.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
pass_session = click.make_pass_decorator(Session)
