"""Find the source files of Python's standard library and divide them into groups of packages.

    python list.py [DIRECTORY]          another tree of Python files instead of the standard library

Writes `library` (what is measured) and `group_1` ... `group_8`, of about the same number of bytes each.
"""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from itertools import groupby
from pathlib import Path

from worker_files import output_file, write_json

GROUPS = 8
NOT_THE_LIBRARY = {"site-packages", "dist-packages", "__pycache__"}


def main() -> None:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else sysconfig.get_path("stdlib")).absolute()
    files = source_files(root)
    if not files:
        sys.exit(why_there_are_none(root))

    packages = {package_of(path) for path, _ in files}
    library = {
        "root": str(root),
        "title": "the Python standard library" if len(sys.argv) == 1 else str(root),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "files": len(files),
        "packages": len(packages),
    }
    for number, group in enumerate(partition(files, GROUPS), start=1):
        paths = [path for path, _ in group]
        document = {"root": str(root), "number": number, "label": label(group, files), "files": paths}
        write_json(output_file(f"group_{number}"), document)
    write_json(output_file("library"), library)

    total_bytes = sum(size for _, size in files)
    print(f"Python {library['python']}: {root}")
    print(f"{len(files):,} source files, {total_bytes:,} bytes, {len(packages)} packages and modules")


def source_files(root: Path) -> list[tuple[str, int]]:
    """Every `.py` file below `root` as (path relative to it, size in bytes), in the order of the paths."""
    found = []
    for directory, subdirectories, names in os.walk(root):
        subdirectories[:] = [name for name in subdirectories if name not in NOT_THE_LIBRARY]
        for name in names:
            path = Path(directory, name)
            if name.endswith(".py") and path.is_file():
                found.append((path.relative_to(root).as_posix(), path.stat().st_size))
    return sorted(found, key=lambda file: (package_of(file[0]), file[0]))


def package_of(path: str) -> str:
    """`json/decoder.py` -> `json`, `abc.py` -> `abc`."""
    first, slash, _ = path.partition("/")
    return first if slash else first[: -len(".py")]


def partition(files: list[tuple[str, int]], count: int) -> list[list[tuple[str, int]]]:
    """Cut the sorted files into `count` stretches of about the same size.

    A package stays whole unless it is heavier than half a stretch (`test` is half of the library): a
    unit, package or file, belongs to the stretch in which its middle lies. A stretch may be empty.
    """
    total = sum(size for _, size in files) or 1
    groups: list[list[tuple[str, int]]] = [[] for _ in range(count)]
    before = 0
    for _, members in groupby(files, key=lambda file: package_of(file[0])):
        package = list(members)
        whole = sum(size for _, size in package) <= total / count / 2
        for unit in [package] if whole else [[file] for file in package]:
            size = sum(size for _, size in unit)
            groups[min(int((before + size / 2) * count / total), count - 1)] += unit
            before += size
    return groups


def label(group: list[tuple[str, int]], files: list[tuple[str, int]]) -> str:
    """From where to where a group goes: `abc – cgi`; `test/test_a` is where it begins or ends within a package."""
    if not group:
        return "(empty)"
    ends = []
    for path, _ in (group[0], group[-1]):
        members = [file for file in files if package_of(file[0]) == package_of(path)]
        whole = all(file in group for file in (members[0], members[-1]))
        ends.append(package_of(path) if whole else "/".join(path[: -len(".py")].split("/")[:2]))
    return ends[0] if ends[0] == ends[1] else " – ".join(ends)


def why_there_are_none(root: Path) -> str:
    """What to tell a user whose library has no source."""
    if not root.is_dir():
        zipped = [entry for entry in sys.path if entry.endswith(".zip") and os.path.isfile(entry)]
        inside = f"; it is inside {zipped[0]}" if zipped else ""
        return f"there is no directory {root}{inside}: this report needs the library as source files"
    if any(root.rglob("*.pyc")):
        return f"{root} holds compiled files (.pyc) only: install the source of the library, or use another Python"
    return f"there are no Python source files in {root}"


if __name__ == "__main__":
    main()
