"""The names of attempts: known before the process exists, and the same after a crash.

An attempt's uid is derived from the run's random key, the worker's position and the attempt's number. So
committing the run commits the intent of every attempt it can ever have: nothing more has to be written
before a spawn, and a recovered daemon finds again exactly what it may have started. It has the form of a
UUIDv7 (RFC 9562): the run's milliseconds, then 74 bits of a keyed hash (BLAKE2b) that nobody without the key
can guess.
"""

from hashlib import blake2b


def attempt_uid(run_key: str, run_at: int, position: int, number: int) -> str:
    """The uid of a worker's `number`-th attempt; `run_at` is the run's instant in microseconds."""
    digest = blake2b(b"%d:%d" % (position, number), key=bytes.fromhex(run_key), digest_size=10).digest()
    value = ((run_at // 1000) & (2**48 - 1)) << 80 | int.from_bytes(digest)
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
