"""One byte form for one document, and its SHA-256: what makes two definitions the same version.

Keys sorted, no white space, UTF-8 unescaped. Numbers stay as given (`60` and `60.0` are two documents).
"""

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> bytes:
    """The canonical form of a JSON value; ValueError for NaN, infinities and lone surrogates."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def digest(document: Any) -> str:
    """SHA-256 of the canonical form, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(document)).hexdigest()
