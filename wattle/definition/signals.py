"""Signals by name: `TERM`, `SIGTERM`, `sigterm` and 15 are one."""

import signal

LARGEST = 64
NUMBERS: dict[str, int] = {name.removeprefix("SIG"): int(number) for name, number in signal.Signals.__members__.items()}


def signal_number(value: str | int) -> int | None:
    """The number of a signal given by name or number; None where there is none."""
    if isinstance(value, int):
        return value if 1 <= value <= LARGEST else None
    return NUMBERS.get(value.upper().removeprefix("SIG"))
