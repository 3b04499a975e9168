"""`--param NAME=VALUE`: texts become values by the types that the definition declares."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from wattle.client import Client

param_option = click.option(
    "-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="A param of the run; may be given often."
)


def values_by_types(types: Mapping[str, str], given: Sequence[str]) -> dict[str, Any]:
    """The values; a text that is not of its type is a mistake of usage."""
    from wattle.definition.params import from_texts

    try:
        return from_texts(types, given)
    except ValueError as error:
        raise click.UsageError(str(error), click.get_current_context()) from None


def values_of(client: Client, workflow: str, given: Sequence[str]) -> dict[str, Any]:
    """By the definition that the server has; it is asked only where something is given."""
    if not given:
        return {}
    declared = client.definition(workflow).get("params") or {}
    return values_by_types({name: param.get("type") or "string" for name, param in declared.items()}, given)
