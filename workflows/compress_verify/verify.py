"""Decompress `archive` and compare its SHA-256 with that of the part before it was compressed.

    verify.py gzip|bzip2|xz PART          PART is a file name in `checksums`

Fails with one line if they differ. Otherwise writes `row`, a line of the table that report.py makes: part, method,
bytes, compressed bytes, CPU seconds to compress and to decompress, checksum.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from archives import CANNOT_BE_READ, reader, sha256_of


def main() -> None:
    method, part = sys.argv[1:]
    archive = Path(os.environ["WATTLE_INPUT_ARCHIVE"])
    expected = checksum_of(part, Path(os.environ["WATTLE_INPUT_CHECKSUMS"]).read_text(encoding="utf-8"))
    before = time.process_time()
    try:
        with archive.open("rb") as file, reader(method, file) as content:
            found, size = sha256_of(content)
    except CANNOT_BE_READ as error:
        sys.exit(f"{archive.name} cannot be decompressed: {error}")
    seconds = time.process_time() - before
    if found != expected:
        sys.exit(f"{archive.name} holds other bytes than were packed: SHA-256 {found}, not {expected}")

    cost = Path(os.environ["WATTLE_INPUT_COST"]).read_text(encoding="ascii").strip()
    row = (part, method, size, archive.stat().st_size, cost, f"{seconds:.3f}", found)
    Path(os.environ["WATTLE_OUTPUT_ROW"]).write_text("\t".join(map(str, row)) + "\n", encoding="utf-8")
    print(f"{archive.name} holds the same {size:,} bytes as {part}")


def checksum_of(part: str, checksums: str) -> str:
    for line in checksums.splitlines():
        checksum, _, name = line.partition("  ")
        if name == part:
            return checksum
    sys.exit(f"there is no checksum of {part}")


if __name__ == "__main__":
    main()
