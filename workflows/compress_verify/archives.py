"""The three methods, as files to write and to read, and the checksum of a file.

All write the same bytes for the same content (gzip without name and time), with one release of their libraries.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import zlib
from typing import BinaryIO

BLOCK = 1 << 20
CANNOT_BE_READ = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)


def writer(method: str, file: BinaryIO) -> BinaryIO:
    if method == "gzip":
        return gzip.GzipFile("", "wb", compresslevel=9, fileobj=file, mtime=0)
    if method == "bzip2":
        return bz2.BZ2File(file, "wb", compresslevel=9)
    return lzma.LZMAFile(file, "wb", preset=6)


def reader(method: str, file: BinaryIO) -> BinaryIO:
    if method == "gzip":
        return gzip.GzipFile(fileobj=file, mode="rb")
    return bz2.BZ2File(file) if method == "bzip2" else lzma.LZMAFile(file)


def sha256_of(file: BinaryIO) -> tuple[str, int]:
    """The checksum of what is left to read, and how many bytes that is."""
    digest, size = hashlib.sha256(), 0
    while block := file.read(BLOCK):
        digest.update(block)
        size += len(block)
    return digest.hexdigest(), size
