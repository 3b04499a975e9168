"""The name of a keeper: 40 hex digits that tell when it was born and in which boot of the machine.

Whose records are of this boot is thus read from the name of their journal, not from their instants: the wall clock may
have been set since.
"""

import os
import time

_BORN, _BOOT, _CHANCE = 12, 12, 16  # digits: milliseconds, so that ids sort by age; of the boot id; random


def new_keeper_id(boot_id: str) -> str:
    return f"{time.time_ns() // 1_000_000:0{_BORN}x}{_digits(boot_id)}{os.urandom(_CHANCE // 2).hex()}"


def is_of_boot(keeper_id: str, boot_id: str) -> bool | None:
    """Whether the keeper was born in that boot; None where its name does not say."""
    if len(keeper_id) != _BORN + _BOOT + _CHANCE:
        return None
    return keeper_id[_BORN : _BORN + _BOOT] == _digits(boot_id)


def _digits(boot_id: str) -> str:
    return boot_id.replace("-", "")[:_BOOT].rjust(_BOOT, "0")
