"""UUIDs that sort by time (RFC 9562, version 7)."""

import secrets
import time
import uuid


def uuid7(at: int | None = None) -> str:
    """A UUIDv7 for the instant `at` (microseconds; now where None).

    The 12 bits after the millisecond hold its fraction (RFC 9562, 6.2, method 3); 62 bits are random.
    """
    milliseconds, fraction = divmod(time.time_ns() // 1000 if at is None else at, 1000)
    value = (milliseconds & (2**48 - 1)) << 80 | 0x7 << 76 | (fraction * 4096 // 1000) << 64
    return str(uuid.UUID(int=value | 0b10 << 62 | secrets.randbits(62)))
