"""Gather the rows of all archives: `table` separated by tabs, `report` for people.

Reads every input whose name begins with `row`. The seconds are CPU time, so that it does not matter how many workers
shared the machine.
"""

from __future__ import annotations

import os
from pathlib import Path

COLUMNS = ("part", "method", "bytes", "compressed_bytes", "compress_seconds", "decompress_seconds", "sha256")
METHODS = ("gzip", "bzip2", "xz")
LINE = "{:<12} {:<6} {:>12} {:>12} {:>7} {:>11} {:>13}\n"


def main() -> None:
    paths = [Path(path) for name, path in os.environ.items() if name.startswith("WATTLE_INPUT_ROW")]
    rows = [path.read_text(encoding="utf-8").rstrip("\n").split("\t") for path in paths]
    rows.sort(key=lambda row: (row[0], METHODS.index(row[1])))
    lines = ["\t".join(row) for row in [COLUMNS, *rows]]
    Path(os.environ["WATTLE_OUTPUT_TABLE"]).write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = report(rows)
    Path(os.environ["WATTLE_OUTPUT_REPORT"]).write_text(text, encoding="utf-8")
    print(text, end="")


def report(rows: list[list[str]]) -> str:
    text = f"{len(rows)} archives, each decompressed again: every SHA-256 is that of the part before.\n\n"
    text += LINE.format("part", "method", "bytes", "compressed", "ratio", "compress", "decompress")
    for row in rows:
        text += line(row[0], row[1], [row])
    text += "\n"
    for method in METHODS:
        text += line("all", method, [row for row in rows if row[1] == method])
    return text


def line(part: str, method: str, rows: list[list[str]]) -> str:
    size, compressed = (sum(int(row[column]) for row in rows) for column in (2, 3))
    compress, decompress = (sum(float(row[column]) for row in rows) for column in (4, 5))
    ratio = f"{size / compressed:.2f}" if compressed else "-"
    return LINE.format(
        part, method, f"{size:,}", f"{compressed:,}", ratio, speed(size, compress), speed(size, decompress)
    )


def speed(size: int, seconds: float) -> str:
    return f"{size / seconds / 1e6:,.1f} MB/s" if seconds >= 0.001 else "-"


if __name__ == "__main__":
    main()
