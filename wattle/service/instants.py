"""Instants as text: UTC with three digits of milliseconds, `2024-08-30T12:34:56.789Z` (A24)."""

from datetime import datetime, timedelta

_EPOCH = datetime(1970, 1, 1)


def instant(microseconds: int) -> str:
    """The documented text of an instant in microseconds since the epoch."""
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="milliseconds") + "Z"
