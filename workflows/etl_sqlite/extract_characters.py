"""Extract all characters of some planes of Unicode, as Python's `unicodedata` knows them.

    extract_characters.py FIRST-LAST...        planes, for instance 0-0 or 4-13 15-16

Writes `characters` (a row per assigned character), `decompositions` (a row per part of a character that is made of
others), `cases` (pairs of capital and small letters) and `planes` (how many code points of which kind). Private ones
and surrogates are counted only: nothing is known of them.
"""

from __future__ import annotations

import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator

from tables import write_table

PLANE_SIZE = 0x10000
TANGUT = range(0x17000, 0x18D80)
NOT_CHARACTERS = {"Cn": "unassigned", "Co": "private", "Cs": "surrogates"}


def main() -> None:
    planes = [plane for stretch in sys.argv[1:] for plane in numbers(stretch)]
    characters, decompositions, cases, counts = [], [], [], []
    for plane in planes:
        kinds: Counter[str] = Counter()
        for codepoint in range(plane * PLANE_SIZE, (plane + 1) * PLANE_SIZE):
            character = chr(codepoint)
            category = unicodedata.category(character)
            kinds[NOT_CHARACTERS.get(category, "assigned")] += 1
            if category not in NOT_CHARACTERS:
                characters.append(row_of(character, category))
                decompositions += parts_of(character)
                small = character.lower()
                if small != character and len(small) == 1:
                    cases.append((codepoint, ord(small)))
        counts.append((plane, *(kinds[kind] for kind in ("assigned", "private", "surrogates", "unassigned"))))
    write_table("characters", characters)
    write_table("decompositions", decompositions)
    write_table("cases", cases)
    write_table("planes", counts)
    print(f"planes {' '.join(sys.argv[1:])}: {len(characters):,} characters, {len(decompositions):,} parts of them")


def numbers(stretch: str) -> range:
    first, last = stretch.split("-")
    return range(int(first), int(last) + 1)


def row_of(character: str, category: str) -> tuple:
    name = unicodedata.name(character, "")
    if not name and ord(character) in TANGUT:  # by rule NR2 of the standard, which Python leaves out for them
        name = f"TANGUT IDEOGRAPH-{ord(character):X}"
    value = unicodedata.numeric(character, None)
    return (
        ord(character),
        name,
        name.split(" ")[0].split("-")[0],
        category,
        unicodedata.bidirectional(character),
        unicodedata.combining(character),
        unicodedata.east_asian_width(character),
        unicodedata.mirrored(character),
        "" if value is None else value,
    )


def parts_of(character: str) -> Iterator[tuple]:
    """`<fraction> 0031 2044 0032` becomes three rows; without a word in brackets it is `canonical`."""
    kind, parts = "canonical", unicodedata.decomposition(character).split()
    if parts and parts[0].startswith("<"):
        kind, parts = parts[0].strip("<>"), parts[1:]
    for position, part in enumerate(parts, start=1):
        yield ord(character), position, int(part, 16), kind


if __name__ == "__main__":
    main()
