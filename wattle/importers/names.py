"""Ids of other tools become names and paths: legal, distinct, and the same each time.

An id that Wattle would take stays as it is. One that is too long or illegal becomes `<its first 100
characters>~<8 hexadecimal digits of its SHA-256>`, with more digits where even that is taken.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Iterable

from wattle.definition.names import nfc

KEPT_CHARACTERS = 100
KEPT_BYTES = 160  # with `~` and all digits less than the 200 that a name may have
_DIGITS = (8, 16, 27)  # 27: the longest that fits a name of 128 characters
_UNUSUAL = re.compile(r"[^\w.:#+=,@~ -]")

LONGEST_PART_BYTES = 200
LONGEST_PATH_BYTES = 1000  # leaves room for the working directory in the 4,095 that Linux takes
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]|\$\{\{")  # `${{` would be a placeholder


def legal_names(ids: Iterable[str], why_not: Callable[[str], str | None]) -> dict[str, str]:
    """`{id: name}`, names distinct in NFC; `why_not(name)` is None for a legal one. Legal ids come first."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    others = []
    for each in dict.fromkeys(ids):
        stored = nfc(each)
        if why_not(each) is None and stored not in taken:
            names[each] = stored
            taken.add(stored)
        else:
            others.append(each)
    for each in others:
        names[each] = shortened(each, taken)
        taken.add(names[each])
    return names


def shortened(text: str, taken: Collection[str], identity: str | None = None) -> str:
    """`<first 100>~<8 hex>` of `text`, and not one of `taken`; `identity` (default `text`) is what is hashed."""
    head = _UNUSUAL.sub("_", nfc(text)[:KEPT_CHARACTERS])
    head = head.encode()[:KEPT_BYTES].decode("utf-8", "ignore")
    if head[:1] in ("-", "."):
        head = f"_{head[1:]}"
    digest = hashlib.sha256((identity or text).encode("utf-8", "replace")).hexdigest()
    for digits in _DIGITS:
        name = nfc(f"{head}~{digest[:digits]}")
        if name not in taken:
            return name
    raise AssertionError(f"two ids with the same 108 bits of SHA-256: {name}")


class Paths:
    """Relative paths below one directory for ids of files, so that none is in the way of another."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._files: set[str] = set()
        self._taken: set[str] = set()  # files, and the directories above them
        self.changed = 0  # how many paths are not the id's own

    def path_of(self, file_id: str, owner: str | None = None) -> str:
        """A path that nobody has yet. `owner` tells apart files of one id; a path with an owner is a changed one.

        A leading `/`, `.` and doubled slashes are dropped; an id with `..`, or that no file system takes, or
        whose file would have to be another's directory, becomes one shortened part.
        """
        parts = [part for part in file_id.split("/") if part not in ("", ".")]
        if owner is not None or not self._is_free(parts):
            parts = [shortened(file_id, self._taken, None if owner is None else f"{owner}/{file_id}")]
            self.changed += 1
        path = "/".join(parts)
        self._files.add(path)
        self._taken.update((path, *_above(parts)))
        return f"{self._directory}/{path}"

    def _is_free(self, parts: list[str]) -> bool:
        path = "/".join(parts)
        if not parts or ".." in parts or _UNSAFE.search(path):
            return False
        if len(path.encode()) > LONGEST_PATH_BYTES or max(len(part.encode()) for part in parts) > LONGEST_PART_BYTES:
            return False
        return path not in self._taken and self._files.isdisjoint(_above(parts))


def _above(parts: list[str]) -> list[str]:
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]
