"""When a service is started again after it has ended: a decision is a value, and the same again after a crash."""

from collections.abc import Iterable, Sequence

from wattle.definition.model import Restart
from wattle.engine.retry import spread

REMEMBERED = 64  # restarts; the delay has long reached its longest by then


def restart_at(restart: Restart, history: Sequence[int], ended_at: int, seed: str) -> int | None:
    """The instant (µs) of the next start, or None when the budget of `limit` restarts in `window_seconds` is used up.

    `history` are the instants of the automatic restarts since the service was last well. Each of them makes the
    delay longer by `factor`, up to `max_delay_seconds`; `jitter` spreads it, drawn from `seed` (the attempt's uid).
    """
    window = ended_at - round(restart.window_seconds * 1e6)
    if sum(window < instant <= ended_at for instant in history) >= restart.limit:  # later: the clock was set back
        return None
    exponent = min(len(history), REMEMBERED)
    delay = min(restart.delay_seconds * restart.factor**exponent, restart.max_delay_seconds)
    return ended_at + max(0, round(delay * spread(restart.jitter, seed) * 1e6))


def is_well(restart: Restart, started_at: int | None, ended_at: int | None) -> bool:
    """Has an attempt lived for so long that what was before it is forgotten."""
    return started_at is not None and ended_at is not None and ended_at - started_at >= restart.healthy_seconds * 1e6


def history_of(restart: Restart, attempts: Iterable[tuple[str, int | None, int | None]]) -> tuple[int, ...]:
    """The restarts to count, from the stored attempts of one service in order: (status, started, ended), µs.

    What follows a failed or completed attempt was an automatic restart; what follows a cancelled one a user's,
    which begins anew.
    """
    history: list[int] = []
    automatic = False
    for status, started_at, ended_at in attempts:
        if automatic and started_at is not None:
            history.append(started_at)
        if status == "cancelled" or is_well(restart, started_at, ended_at):
            history.clear()
        automatic = status in ("failed", "completed")
    return tuple(history[-REMEMBERED:])
