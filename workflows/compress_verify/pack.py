"""Pack the source files of Python's standard library into four tar files, and note their SHA-256.

`COMPRESS_DIRECTORY` in the environment names another directory: then all files below it are packed. Of the library up
to 5 MB are taken, in the order of their names and without its tests, so that the strongest method takes seconds. The
four are of about the same size, and the same bytes for the same files: sorted, without times and owners. Writes
`part_1` ... `part_4` and `checksums`, which `sha256sum --check` reads.
"""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
import tarfile
from pathlib import Path

PARTS = 4
MOST_BYTES_OF_THE_LIBRARY = 5_000_000
NOT_PACKED = {"__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib"}


def main() -> None:
    given = os.environ.get("COMPRESS_DIRECTORY")
    if given:
        root = Path(given).absolute()
        files = files_below(root)
    else:
        root = Path(sysconfig.get_path("stdlib"))
        files = first_bytes(files_below(root, suffix=".py", without=NOT_PACKED), MOST_BYTES_OF_THE_LIBRARY)
    if not files:
        sys.exit(f"there are no files to pack in {root}")

    checksums = []
    for number, part in enumerate(divided(files), start=1):
        path = Path(os.environ[f"WATTLE_OUTPUT_PART_{number}"])
        pack(root, part, path)
        with path.open("rb") as file:
            checksums.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
        print(f"{path.name}: {len(part):,} files, {path.stat().st_size:,} bytes")
    Path(os.environ["WATTLE_OUTPUT_CHECKSUMS"]).write_text("".join(checksums), encoding="utf-8")


def files_below(root: Path, suffix: str = "", without: set[str] = frozenset()) -> list[tuple[str, int]]:
    """Every regular file below `root` as (path relative to it, size), sorted by path. Links are not followed."""
    found = []
    for directory, subdirectories, names in os.walk(root):
        subdirectories[:] = [name for name in subdirectories if name not in without]
        for name in names:
            path = Path(directory, name)
            if name.endswith(suffix) and path.is_file() and not path.is_symlink():
                found.append((path.relative_to(root).as_posix(), path.stat().st_size))
    return sorted(found)


def first_bytes(files: list[tuple[str, int]], most: int) -> list[tuple[str, int]]:
    chosen, size = [], 0
    for path, bytes_of_it in files:
        if size + bytes_of_it <= most:
            chosen.append((path, bytes_of_it))
            size += bytes_of_it
    return chosen


def divided(files: list[tuple[str, int]]) -> list[list[str]]:
    """Cut the files into PARTS stretches of about the same size; a stretch may be empty."""
    total = sum(size for _, size in files) or 1
    parts: list[list[str]] = [[] for _ in range(PARTS)]
    before = 0
    for path, size in files:
        parts[min(int((before + size / 2) * PARTS / total), PARTS - 1)].append(path)
        before += size
    return parts


def pack(root: Path, paths: list[str], target: Path) -> None:
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in paths:
            member = tarfile.TarInfo(path)  # mtime 0, nobody's
            member.size = (root / path).stat().st_size
            with (root / path).open("rb") as content:
                archive.addfile(member, content)


if __name__ == "__main__":
    main()
