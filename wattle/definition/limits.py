"""What a worker asks to be held to: of its document's fields a `Limits`. Whether the machine can, the spawn sees."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from wattle.definition.model import Limits
from wattle.definition.places import Path
from wattle.definition.problems import shown

if TYPE_CHECKING:
    from wattle.definition.schema import WorkerDocument

Complain = Callable[[Path, str], None]  # (path below the worker, message)
HIGHEST_ID = 2**32 - 2
# As useradd has it, and what directories of accounts add: `DOMAIN\name`, `name@domain`, machine accounts.
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,255}\$?"
_USER = re.compile(f"({_NAME})(?::({_NAME}))?", re.ASCII)


def read_limits(model: "WorkerDocument", complain: Complain) -> Limits | None:
    """None where it asks for nothing."""
    given = (model.user, model.umask, model.nice, model.rlimits, model.memory_max_bytes, model.inherit_env)
    if given.count(None) == len(given):
        return None
    if model.user is not None and (reason := why_not_user(model.user)):
        complain(("user",), f"user '{shown(model.user)}' {reason}")
    named = model.inherit_env
    inherited = None if named is None or named is True else tuple(dict.fromkeys(named or ()))
    for name in inherited or ():
        if name.startswith("WATTLE_"):
            complain(("inherit_env",), f"inherit_env: variable '{shown(name)}' is the server's own setting")
    return Limits(
        user=model.user,
        umask=model.umask,
        nice=model.nice,
        rlimits=model.rlimits.model_dump(exclude_none=True) if model.rlimits else {},
        memory_max_bytes=model.memory_max_bytes,
        inherit_env=inherited,
    )


def why_not_user(user: str) -> str | None:
    """None for a user that an account may have, else the reason, worded to follow it."""
    if not (match := _USER.fullmatch(user)):
        return "is not a user: write a name or a number, and after a ':' a group if wanted"
    if any(part and part.isdigit() and int(part) > HIGHEST_ID for part in match.groups()):
        return f"is not a user: the highest number is {HIGHEST_ID}"
    return None
