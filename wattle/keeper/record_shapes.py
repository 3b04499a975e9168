"""What a record of the journal has at least, for those who read a journal that something may have damaged."""

from collections.abc import Mapping

_OF_ALL: dict[str, tuple[type, ...]] = {"uid": (str,), "at": (int,)}
_NUMBER_OR_NONE = (int, type(None))
_OF_KIND: dict[str, dict[str, tuple[type, ...]]] = {
    "started": {"pid": (int,), "inode": _NUMBER_OR_NONE, "start_ticks": _NUMBER_OR_NONE},
    "exited": {"exit_code": _NUMBER_OR_NONE, "signal": _NUMBER_OR_NONE},
    "refused": {"reason_code": (str,), "reason": (str,), "retryable": (bool,)},
    "ended": {
        "started_at": (int,),
        "duration_us": (int,),
        "exit_code": _NUMBER_OR_NONE,
        "signal": _NUMBER_OR_NONE,
        "known": (bool,),
        "cause": (str, type(None)),
    },
}


def is_whole(record: Mapping[str, object]) -> bool:
    """Has the record all that its kind must have, and each of it of the right type and size?"""
    kind = record.get("kind")
    shape = _OF_KIND.get(kind) if isinstance(kind, str) else None
    return shape is not None and all(_is_one_of(record.get(name), types) for name, types in (_OF_ALL | shape).items())


def is_of_attempt(record: Mapping[str, object]) -> bool:
    """Has it the tag that a daemon gives what it orders: run, position, and number of the attempt or the probe?"""
    tag = record.get("tag")
    return isinstance(tag, list) and len(tag) == 3 and all(_is_one_of(number, (int,)) for number in tag)


def _is_one_of(value: object, types: tuple[type, ...]) -> bool:
    """Not by isinstance: a truth value is no number. An integer is one that the store can hold."""
    return type(value) in types and (not isinstance(value, int) or abs(value) < 1 << 63)
