"""Query parameters, read strictly: what is malformed is 400 `INVALID_PARAMETER`, never ignored and never 500.

Parameters nobody asks for are ignored: the Refine clients and proxies add some.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flask import request

from wattle.definition.problems import shown
from wattle.engine.states import Status
from wattle.errors import Malformed

LARGEST_DIGITS = 18  # fits a 64-bit integer
LARGEST = 10**LARGEST_DIGITS - 1
_FLAGS = {"true": True, "1": True, "": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list: its rows, the number of rows before paging, and what stands beside `data` (A31)."""

    rows: list[dict[str, Any]]
    total: int
    siblings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        return {"x-total-count": str(self.total)}


def flag(name: str, default: bool = False) -> bool:
    """`?name` and `?name=true` are true."""
    text = _one(name)
    if text is None:
        return default
    if text.lower() not in _FLAGS:
        raise invalid(name, text, "true or false")
    return _FLAGS[text.lower()]


def integer(name: str, default: int, *, low: int = 0, high: int = LARGEST) -> int:
    """A decimal number from `low` to `high`."""
    found = optional_integer(name, low=low, high=high)
    return default if found is None else found


def optional_integer(name: str, *, low: int = 0, high: int = LARGEST) -> int | None:
    text = _one(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text, re.ASCII) or not low <= int(text) <= high:
        raise invalid(name, text, f"a whole number from {low} to {high}")
    return int(text)


def seconds(name: str, *, high: float) -> float:
    text = _one(name)
    if text is None:
        return 0.0
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text, re.ASCII) or float(text) > high:
        raise invalid(name, text, f"a number of seconds from 0 to {high:g}")
    return float(text)


def instant(name: str) -> int | None:
    """Microseconds; given as seconds since 1970 or as an ISO 8601 instant, UTC where it names no zone."""
    text = _one(name)
    if text is None:
        return None
    if re.fullmatch(r"[0-9]{1,11}(\.[0-9]{1,9})?", text, re.ASCII):
        return round(float(text) * 1e6)
    try:
        found = datetime.fromisoformat(text)
        return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1e6)
    except (ValueError, OverflowError):
        raise invalid(name, text, "an instant like 2026-11-21T08:12:00Z, or seconds since 1970") from None


def text(name: str) -> str | None:
    return _one(name)


def paged(rows: list[dict[str, Any]]) -> Page:
    """`page`, `page_size`, `status`, `sort_by` and `order` applied to a list (A31).

    Without `page` and `page_size` it is the whole list. A plain call gets the documented envelope and nothing more.
    """
    asked = {name for name in ("page", "page_size", "status", "sort_by", "order") if name in request.args}
    chosen = _with_status(_sorted(rows))
    total, siblings = len(chosen), {}
    page, size = optional_integer("page", low=1), optional_integer("page_size", low=1, high=10_000)
    if page is not None or size is not None:
        page, size = page or 1, size or 100
        chosen = chosen[(page - 1) * size : page * size]
        siblings = {"page": page, "page_size": size}
    return Page(chosen, total, {"total": total, **siblings} if asked else {})


def _with_status(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`?status=failed&status=cancelled` or `?status=failed,cancelled`."""
    wanted = [word for value in request.args.getlist("status") for word in value.split(",") if word]
    for word in wanted:
        if word not in list(Status):
            raise invalid("status", word, f"one of {', '.join(Status)}")
    return [row for row in rows if row["status"] in wanted] if wanted else rows


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without a value come last either way; equals keep their order."""
    order = (_one("order") or "asc").lower()
    if order not in ("asc", "desc"):
        raise invalid("order", order, "asc or desc")
    key = _one("sort_by")
    if not key or not rows:
        return rows[::-1] if order == "desc" else rows
    if key not in rows[0]:
        raise invalid("sort_by", key, f"one of {', '.join(rows[0])}")
    valued = sorted((row for row in rows if row[key] is not None), key=lambda row: row[key], reverse=order == "desc")
    return valued + [row for row in rows if row[key] is None]


def _one(name: str) -> str | None:
    values = request.args.getlist(name)
    if len(values) > 1:
        raise Malformed("INVALID_PARAMETER", f"The parameter '{name}' is given {len(values)} times; give it once")
    return values[0] if values else None


def invalid(name: str, value: str, expected: str) -> Malformed:
    """The error for a value that is not what it must be."""
    return Malformed("INVALID_PARAMETER", f"The parameter '{name}' is '{shown(value)}'; it must be {expected}")
