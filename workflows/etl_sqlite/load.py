"""Load all extracts into one SQLite database. Its constraints are the first check: a row that breaks one ends the load.

Reads the inputs `characters_…`, `decompositions_…`, `cases_…`, `planes_…`, `encodings_…`, `encoded_…` and `entities`,
writes `database`. The same extracts make the same database.
"""

from __future__ import annotations

import os
import sqlite3
import unicodedata
from pathlib import Path

from tables import read_tables

SCHEMA = """
    CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE categories (code TEXT PRIMARY KEY, kind TEXT NOT NULL, meaning TEXT NOT NULL UNIQUE);
    CREATE TABLE planes (
        number INTEGER PRIMARY KEY CHECK (number BETWEEN 0 AND 16),
        assigned INTEGER NOT NULL, private INTEGER NOT NULL, surrogates INTEGER NOT NULL, unassigned INTEGER NOT NULL,
        CHECK (assigned + private + surrogates + unassigned = 65536)
    );
    CREATE TABLE characters (
        codepoint INTEGER PRIMARY KEY,
        name TEXT UNIQUE, first_word TEXT,
        category TEXT NOT NULL REFERENCES categories,
        bidirectional TEXT, combining INTEGER NOT NULL, width TEXT NOT NULL,
        mirrored INTEGER NOT NULL CHECK (mirrored IN (0, 1)), number REAL,
        plane INTEGER NOT NULL GENERATED ALWAYS AS (codepoint >> 16) VIRTUAL REFERENCES planes,
        CHECK (codepoint BETWEEN 0 AND 1114111),
        CHECK (name IS NOT NULL OR category IN ('Cc', 'Lo'))
    );
    CREATE TABLE decompositions (
        codepoint INTEGER NOT NULL REFERENCES characters, position INTEGER NOT NULL CHECK (position > 0),
        part INTEGER NOT NULL REFERENCES characters, kind TEXT NOT NULL,
        PRIMARY KEY (codepoint, position)
    ) WITHOUT ROWID;
    CREATE TABLE cases (
        capital INTEGER PRIMARY KEY REFERENCES characters, small INTEGER NOT NULL REFERENCES characters,
        CHECK (capital <> small)
    );
    CREATE TABLE entities (
        name TEXT PRIMARY KEY, codepoint INTEGER NOT NULL REFERENCES characters,
        second_codepoint INTEGER REFERENCES characters
    ) WITHOUT ROWID;
    CREATE TABLE encodings (
        name TEXT PRIMARY KEY, bytes TEXT NOT NULL CHECK (bytes IN ('one', 'several')), characters INTEGER NOT NULL
    );
    CREATE TABLE encoded (
        encoding TEXT NOT NULL REFERENCES encodings, codepoint INTEGER NOT NULL REFERENCES characters,
        PRIMARY KEY (encoding, codepoint)
    ) WITHOUT ROWID;
    CREATE INDEX characters_by_first_word ON characters (first_word);
"""
COLUMNS = {
    "planes": "(number, assigned, private, surrogates, unassigned)",
    "characters": "(codepoint, name, first_word, category, bidirectional, combining, width, mirrored, number)",
    "decompositions": "(codepoint, position, part, kind)",
    "cases": "(capital, small)",
    "entities": "(name, codepoint, second_codepoint)",
    "encodings": "(name, bytes, characters)",
    "encoded": "(encoding, codepoint)",
}
CATEGORIES = """
    Lu letter capital letter|Ll letter small letter|Lt letter title letter
    Lm letter modifying letter|Lo letter other letter
    Mn mark mark without width|Mc mark mark with width|Me mark enclosing mark
    Nd number decimal digit|Nl number letter as number|No number other number
    Pc punctuation connector|Pd punctuation dash|Ps punctuation opening bracket|Pe punctuation closing bracket
    Pi punctuation opening quote|Pf punctuation closing quote|Po punctuation other punctuation
    Sm symbol mathematical symbol|Sc symbol currency|Sk symbol modifying symbol|So symbol other symbol
    Zs space space|Zl space line separator|Zp space paragraph separator|Cc other control|Cf other format
"""


def main() -> None:
    target = Path(os.environ["WATTLE_OUTPUT_DATABASE"])
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    database = sqlite3.connect(str(partial))
    database.execute("PRAGMA foreign_keys = ON")
    database.executescript(SCHEMA)
    with database:
        database.execute("PRAGMA defer_foreign_keys = ON")  # a character may be made of later ones
        database.execute("INSERT INTO facts VALUES ('unicode', ?)", (unicodedata.unidata_version,))
        described = [entry.split(maxsplit=2) for entry in CATEGORIES.strip().replace("\n", "|").split("|")]
        database.executemany("INSERT INTO categories VALUES (?, ?, ?)", described)
        for table, columns in COLUMNS.items():
            rows = read_tables(f"{table}_" if table != "entities" else table)
            marks = ", ".join("?" * (columns.count(",") + 1))
            database.executemany(f"INSERT INTO {table} {columns} VALUES ({marks})", rows)
            print(f"{table}: {len(rows):,} rows")
    database.execute("ANALYZE")
    database.commit()
    database.close()
    partial.replace(target)


if __name__ == "__main__":
    main()
