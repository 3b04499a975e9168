"""Signals by name: `TERM`, `SIGTERM`, `sigterm` and 15 are one."""

import difflib
import signal

from wattle.definition.problems import it_is, shown

LARGEST = 64
NUMBERS: dict[str, int] = {name.removeprefix("SIG"): int(number) for name, number in signal.Signals.__members__.items()}


def signal_number(value: str | int) -> int | None:
    """The number of a signal given by name or number; None where there is none."""
    if isinstance(value, int):
        return value if 1 <= value <= LARGEST else None
    return NUMBERS.get(value.upper().removeprefix("SIG"))


def parse_signal(value: object) -> int:
    """The number of a signal as somebody names it for a call, digits too; ValueError names what there is."""
    if isinstance(value, str):
        number = signal_number(int(value) if value.isascii() and value.isdigit() and len(value) < 4 else value)
    else:
        number = signal_number(value) if isinstance(value, int) and not isinstance(value, bool) else None
    if number is not None:
        return number
    names = sorted(NUMBERS, key=lambda name: NUMBERS[name])
    if not isinstance(value, str):
        raise ValueError(f"the signal must be a name or a number from 1 to {LARGEST}{it_is(value)}")
    close = difflib.get_close_matches(value[:32].upper().removeprefix("SIG"), names, 1)
    hint = f"did you mean {close[0]}? There are" if close else "there are"
    raise ValueError(f"'{shown(value)}' is no signal; {hint} {', '.join(names)}, and numbers from 1 to {LARGEST}")
