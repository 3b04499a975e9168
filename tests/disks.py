"""Real small file systems to fill, for tests about disks that are full. Mounting needs root, which .ci/run has."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1024 * 1024


@contextmanager
def small_disk(place: Path, kind: str = "tmpfs", size_bytes: int = 8 * MIB, options: str = "") -> Iterator[Path]:
    """A directory that is a file system of its own (`tmpfs`, `ext4`, `ext4-4k` with the blocks of larger disks, or
    `ramfs`, which has neither bound nor extended attributes), unmounted afterwards."""
    mounted = place / "disk"
    mounted.mkdir(parents=True)
    if kind.startswith("ext4"):
        image = place / "disk.image"
        with image.open("wb") as file:
            file.truncate(size_bytes)
        blocks = ["-b", "4096" if kind == "ext4-4k" else "1024"]
        subprocess.run(["mkfs.ext4", "-q", *blocks, "-m", "0", str(image)], check=True)
        command = ["mount", "-o", f"loop{options}", str(image), str(mounted)]
    else:
        command = ["mount", "-t", kind, "-o", f"size={size_bytes}{options}", kind, str(mounted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        says = f"a {kind} cannot be mounted here ({done.stderr.strip()}): disks that are full need root to be tested"
        if os.environ.get("CI"):
            pytest.fail(says)
        pytest.skip(says)
    try:
        yield mounted
    finally:
        subprocess.run(["umount", "--lazy", str(mounted)], check=True)


def fill(disk: Path, name: str = "filler") -> int:
    """Take every block that is left; the number of bytes it took."""
    taken = 0
    with (disk / name).open("ab", buffering=0) as file:
        for size in (64 * 1024, 4096, 512, 1):
            try:
                while True:
                    taken += file.write(b"\0" * size)
            except OSError:
                continue
    return taken


def fill_inodes(disk: Path) -> int:
    """Take every inode that is left; how many these were."""
    taken = 0
    directory = disk / "inodes"
    try:
        directory.mkdir(exist_ok=True)
        while True:
            (directory / str(taken)).touch()
            taken += 1
    except OSError:
        return taken
