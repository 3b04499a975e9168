"""Ask the loaded database what must be true of it. Writes `checks`, a line each; exits 1 if one of them is not."""

from __future__ import annotations

import os
import sqlite3
import sys
import unicodedata
from html.entities import html5
from pathlib import Path

# What must be so, a query, and its only answer.
EXPECTED = (
    ("the file is sound", "PRAGMA integrity_check", "ok"),
    ("every reference leads somewhere", "SELECT count(*) FROM pragma_foreign_key_check", 0),
    ("Unicode has 17 planes", "SELECT count(*) FROM planes", 17),
    (
        "and 1,114,112 code points",
        "SELECT sum(assigned + private + surrogates + unassigned) FROM planes",
        sys.maxunicode + 1,
    ),
    (
        "each plane has as many characters as were counted in it",
        "SELECT count(*) FROM planes WHERE assigned <> (SELECT count(*) FROM characters WHERE plane = planes.number)",
        0,
    ),
    ("137,468 code points are private", "SELECT sum(private) FROM planes", 137_468),
    ("2,048 are surrogates", "SELECT sum(surrogates) FROM planes", 2_048),
    ("65 characters are controls", "SELECT count(*) FROM characters WHERE category = 'Cc' AND name IS NULL", 65),
    (
        "small letters of capital ones are no capital ones",
        "SELECT count(*) FROM cases JOIN characters ON codepoint = small WHERE category = 'Lu'",
        0,
    ),
    (
        "each encoding has as many characters as were counted",
        "SELECT count(*) FROM encodings WHERE characters <> "
        "(SELECT count(*) FROM encoded WHERE encoding = encodings.name)",
        0,
    ),
    (
        "every encoding can write the digits",
        "SELECT count(*) FROM encodings WHERE 10 <> "
        "(SELECT count(*) FROM encoded WHERE encoding = encodings.name AND codepoint BETWEEN 48 AND 57)",
        0,
    ),
    ("every name that HTML has is there", "SELECT count(*) FROM entities", len({name.rstrip(";") for name in html5})),
)


def main() -> None:
    database = sqlite3.connect(os.environ["WATTLE_INPUT_DATABASE"])
    failures = 0
    lines = []
    for sentence, query, answer in [*EXPECTED, ("every name leads back to its character", None, 0)]:
        found = database.execute(query).fetchone()[0] if query else strangers(database)
        if found == answer:
            lines.append(f"ok      {sentence}")
        else:
            failures += 1
            lines.append(f"FAILED  {sentence}: {found!r}, not {answer!r}")
    print("\n".join(lines))
    if failures:
        sys.exit(f"{failures} of {len(lines)} checks failed: {next(line for line in lines if line[0] == 'F')}")
    Path(os.environ["WATTLE_OUTPUT_CHECKS"]).write_text("\n".join(lines) + "\n", encoding="utf-8")


def strangers(database: sqlite3.Connection) -> int:
    """How many names `unicodedata` knows not, or as another character's; but for those that it forgets itself."""
    wrong = 0
    for codepoint, name in database.execute("SELECT codepoint, name FROM characters WHERE name IS NOT NULL"):
        try:
            wrong += unicodedata.lookup(name) != chr(codepoint)
        except KeyError:
            wrong += unicodedata.name(chr(codepoint), "") != ""
    return wrong


if __name__ == "__main__":
    main()
