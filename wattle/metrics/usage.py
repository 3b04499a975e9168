"""What an attempt used, as it is stored: the keeper's account of its first process, and the tree's. PURE.

`attempt.metrics` is JSON: `user_us`, `system_us` and `max_rss_bytes` are the keeper's, exact, of the first process and
what it reaped; `tree` is what the sampler saw, absent where the attempt ended before it looked.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Usage:
    """Totals and peaks of an attempt; None is unknown. `series` are the values of history.Point."""

    cpu_seconds: float | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    peak_memory_bytes: int | None = None
    peak_num_processes: int | None = None
    peak_num_threads: int | None = None
    peak_num_descriptors: int | None = None
    series: Sequence[Sequence[float]] = field(default=())


def stored(record: Mapping[str, Any] | None, tree: Mapping[str, Any] | None) -> str | None:
    """The JSON; `record` is the keeper's, of the end, or None as long as it lives."""
    own = record is not None and record.get("user_us") is not None
    if tree is None:
        if record is None or not own:
            return None
        peak = record.get("max_rss_bytes")
        shown = "null" if peak is None else str(peak)
        return '{"user_us":%d,"system_us":%d,"max_rss_bytes":%s}' % (record["user_us"], record["system_us"], shown)
    found: dict[str, Any] = {}
    if record is not None and own:
        found = {name: record.get(name) for name in ("user_us", "system_us", "max_rss_bytes")}
    return json.dumps(found | {"tree": dict(tree)}, separators=(",", ":"))


def kept(text: str | None) -> Mapping[str, Any] | None:
    """The tree's part."""
    found = json.loads(text) if text else {}
    tree: Mapping[str, Any] | None = found.get("tree")
    return tree


def read(text: str | None) -> Usage:
    """Both accounts as one: the larger of two lower bounds."""
    found = json.loads(text) if text else {}
    tree = found.get("tree", {})
    own_us = None if found.get("user_us") is None else found["user_us"] + found["system_us"]
    leaders = None if own_us is None else own_us + (tree.get("others_us") or 0)
    cpu_us = _most(tree.get("cpu_us"), leaders)
    return Usage(
        None if cpu_us is None else cpu_us / 1e6,
        tree.get("read_bytes"),
        tree.get("written_bytes"),
        _most(tree.get("peak_memory_bytes"), found.get("max_rss_bytes")),
        tree.get("peak_num_processes"),
        tree.get("peak_num_threads"),
        tree.get("peak_num_descriptors"),
        tree.get("series", ()),
    )


def _most(*values: int | None) -> int | None:
    return max((value for value in values if value is not None), default=None)
