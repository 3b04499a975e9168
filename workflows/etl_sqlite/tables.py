"""Tables between the workers: CSV files without a head, where Wattle says they are."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path


def write_table(output: str, rows: Iterable[tuple]) -> None:
    with Path(os.environ[f"WATTLE_OUTPUT_{output.upper()}"]).open("w", newline="", encoding="ascii") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def read_tables(prefix: str) -> list[list[str | None]]:
    """The rows of all inputs whose names begin so, in the order of the names; an empty cell is None."""
    rows: list[list[str | None]] = []
    for name in sorted(name for name in os.environ if name.startswith(f"WATTLE_INPUT_{prefix.upper()}")):
        with Path(os.environ[name]).open(newline="", encoding="ascii") as file:
            rows += [[cell if cell else None for cell in row] for row in csv.reader(file)]
    return rows
