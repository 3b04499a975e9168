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
        self.out = Screen(sys.stdout)  # data
        self.talk = Screen(sys.stderr)  # everything else

    @cached_property
    def config(self) -> Config:
        config = load_config(self.flags, os.environ, os.getcwd())
        for notice in config.notices:
            self.note(notice)
        return config

    def note(self, text: str) -> None:
        """A sentence to the user, on stderr."""
        self.talk.say(f"wattle: {text}")


def _remember(ctx: click.Context, param: click.Parameter, value: object) -> None:
    session = ctx.ensure_object(Session)
    if param.name is not None and value not in (None, (), False):
        session.flags[param.name] = value


def setting(*names: str, **attributes: Any) -> Callable[[Verb], Verb]:
    """An option that is a setting: it goes into the Config and not to the verb. The last name is the field's."""
    return click.option(*names, expose_value=False, callback=_remember, **attributes)


def shared_options(verb: Verb) -> Verb:
    """The options that stand before or after the verb."""
    for option in (
        setting("--lang", "lang", metavar="LANG", help="Language of messages: en or zh."),
        setting("--server", "server_url", metavar="URL", help="Use the server at this URL."),
        setting("--data-dir", "data_dir", metavar="DIR", help="Where everything is kept."),
    ):
        verb = option(verb)
    return verb


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
pass_session = click.make_pass_decorator(Session)
