"""When a failed worker is tried again: a decision is a value, and the same again after a crash."""

from hashlib import blake2b

from wattle.definition.model import Retry


def retry_at(retry: Retry, attempts: int, ended_at: int, seed: str) -> int | None:
    """The instant (µs) of the next attempt after `attempts` failed ones, or None when none is left.

    The delay grows by `factor` per attempt up to `max_delay_seconds`; `jitter` spreads it by ± that share.
    The spread is drawn from `seed` (the attempt's uid), so that a recovered daemon decides the same.
    """
    if attempts > retry.limit:
        return None
    # A factor's power overflows a float long before it matters: the cap is reached first.
    exponent = min(attempts - 1, 64)
    delay = min(retry.delay_seconds * retry.factor**exponent, retry.max_delay_seconds)
    return ended_at + max(0, round(delay * spread(retry.jitter, seed) * 1_000_000))


def spread(jitter: float, seed: str) -> float:
    """A factor between 1 - jitter and 1 + jitter, always the same for a seed."""
    draw = int.from_bytes(blake2b(seed.encode(), digest_size=8).digest()) / 2**64
    return 1 + jitter * (2 * draw - 1)
