"""Join the measured parts into a CSV file (a row per source file) and a SQLite database.

Reads `library` and `part_1` ... `part_8`, writes `csv` and `database`. The tables:

    library    key, value: what was measured, with which Python, when
    groups     number, label, seconds: what one worker measured, and the CPU time it took
    files      path, package, group_number, lines, blank, comment, docstring, code, functions, classes,
               imports, complexity (the sum of its functions'), max_complexity, error (null if it parses)
    functions  path, name, line, lines, complexity
    imports    path, line, module: one row per module that an import statement names
"""

from __future__ import annotations

import csv
import re
import sqlite3
import sys
from datetime import datetime, timezone
from pathlib import Path

from worker_files import input_file, output_file, read_json

FILE_COLUMNS = (
    *("path", "package", "group_number", "lines", "blank", "comment", "docstring", "code"),
    *("functions", "classes", "imports", "complexity", "max_complexity", "error"),
)
SCHEMA = """
    CREATE TABLE library (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE groups (number INTEGER PRIMARY KEY, label TEXT NOT NULL, seconds REAL NOT NULL);
    CREATE TABLE files (
        path TEXT PRIMARY KEY, package TEXT NOT NULL, group_number INTEGER NOT NULL REFERENCES groups,
        lines INTEGER NOT NULL, blank INTEGER NOT NULL, comment INTEGER NOT NULL, docstring INTEGER NOT NULL,
        code INTEGER NOT NULL, functions INTEGER NOT NULL, classes INTEGER NOT NULL, imports INTEGER NOT NULL,
        complexity INTEGER NOT NULL, max_complexity INTEGER NOT NULL, error TEXT
    );
    CREATE TABLE functions (
        path TEXT NOT NULL REFERENCES files, name TEXT NOT NULL, line INTEGER NOT NULL,
        lines INTEGER NOT NULL, complexity INTEGER NOT NULL
    );
    CREATE TABLE imports (path TEXT NOT NULL REFERENCES files, line INTEGER NOT NULL, module TEXT NOT NULL);
"""


def main() -> None:
    library = read_json(input_file("library"))
    parts = sorted((read_json(path) for path in part_files()), key=lambda part: part["number"])
    rows = [
        {**file, "package": package_of(file["path"]), "group_number": part["number"]}
        for part in parts
        for file in part["files"]
    ]
    if len(rows) != library["files"]:
        sys.exit(f"{library['files']} files were listed, but {len(rows)} were measured: start the workflow again")
    write_csv(output_file("csv"), rows)
    write_database(output_file("database"), library, parts, rows)

    total = {key: sum(row[key] for row in rows) for key in ("lines", "functions", "classes", "imports")}
    print(f"{len(rows):,} files: " + ", ".join(f"{count:,} {what}" for what, count in total.items()))
    print(f"{sum(row['error'] is not None for row in rows)} of them do not parse: counted by their lines only")


def part_files() -> list[Path]:
    return [input_file(f"part_{number}") for number in range(1, 9)]


def package_of(path: str) -> str:
    """`json/decoder.py` -> `json`, `abc.py` -> `abc`."""
    return re.sub(r"/.*|\.py$", "", path)


def write_csv(path: Path, rows: list[dict]) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FILE_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)


def write_database(path: Path, library: dict, parts: list[dict], rows: list[dict]) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    database = sqlite3.connect(str(partial))
    with database:
        database.executescript(SCHEMA)
        measured_at = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        facts = {**library, "measured_at": measured_at}
        database.executemany("INSERT INTO library VALUES (?, ?)", [(key, str(fact)) for key, fact in facts.items()])
        groups = [(part["number"], part["label"], part["seconds"]) for part in parts]
        database.executemany("INSERT INTO groups VALUES (?, ?, ?)", groups)
        columns = ", ".join(":" + column for column in FILE_COLUMNS)
        database.executemany(f"INSERT INTO files VALUES ({columns})", rows)
        for part in parts:
            database.executemany("INSERT INTO functions VALUES (?, ?, ?, ?, ?)", part["functions"])
            database.executemany("INSERT INTO imports VALUES (?, ?, ?)", part["imports"])
        database.execute("CREATE INDEX functions_by_complexity ON functions (complexity)")
    database.close()
    partial.replace(path)


if __name__ == "__main__":
    main()
