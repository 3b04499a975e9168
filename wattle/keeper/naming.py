"""The id of a keeper: when it was born, for the order of journals, and in which boot of the machine.

A wall clock tells no boots apart: it may be hours behind until it is set.
"""

import os
import time

BOOT_DIGITS = 8


def new_keeper_id(boot_id: str) -> str:
    """32 hex digits that begin with the time in milliseconds, so that ids sort by age, `-` and the boot's first 8."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}-{boot_id[:BOOT_DIGITS]}"


def is_of_boot(keeper_id: str, boot_id: str) -> bool | None:
    """Was it born in that boot; None: its id does not tell (keepers before Wattle named the boot)."""
    _, dash, boot = keeper_id.partition("-")
    return boot == boot_id[:BOOT_DIGITS] if dash else None
