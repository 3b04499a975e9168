"""Package the tested program with its sources: a tar.gz, with a manifest inside and a checksum beside it.

The same program and sources make the same bytes: members are sorted and have no times and no owners. `MANIFEST` and
the checksum are in the form that `sha256sum --check` reads.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

SOURCES = Path(__file__).parent
NAME = "tally-1.0"


def main() -> None:
    files = {"bin/tally": Path(os.environ["WATTLE_INPUT_PROGRAM"]).read_bytes()}
    for path in sorted(SOURCES.glob("*.[ch]")):
        files[f"src/{path.name}"] = path.read_bytes()
    files["COMPILER"] = Path(os.environ["WATTLE_INPUT_COMPILER"]).read_bytes()
    manifest = "".join(f"{sha256(content)}  {name}\n" for name, content in sorted(files.items()))
    files["MANIFEST"] = manifest.encode()

    archive = Path(os.environ["WATTLE_OUTPUT_ARCHIVE"])
    archive.write_bytes(gzip.compress(packed(files), mtime=0))
    line = f"{sha256(archive.read_bytes())}  {archive.name}\n"
    Path(os.environ["WATTLE_OUTPUT_CHECKSUM"]).write_text(line, encoding="ascii")
    print(f"{archive.name}: {len(files)} files, {archive.stat().st_size:,} bytes")


def packed(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(f"{NAME}/{name}")
            member.size = len(content)
            member.mode = 0o755 if name.startswith("bin/") else 0o644
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main()
