"""Bytes of a file that a person wrote, as text."""

from wattle.errors import Malformed, Problem, TooLarge
from wattle.importers.options import MAX_BYTES


def decoded(data: bytes, what: str) -> str:
    """Malformed where it is not UTF-8 or holds NUL, TooLarge beyond MAX_BYTES."""
    if len(data) > MAX_BYTES:
        raise TooLarge("BODY_TOO_LARGE", f"The {what} has more than {MAX_BYTES} bytes")
    try:
        text = data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _malformed(f"byte 0x{data[error.start]:02x} in this line is not UTF-8", line) from None
    if "\0" in text:
        raise _malformed("the line holds NUL", text.count("\n", 0, text.index("\0")) + 1)
    return text


def _malformed(message: str, line: int) -> Malformed:
    problem = Problem("VALIDATION_ERROR", message, "", line=line, column=1)
    return Malformed("VALIDATION_ERROR", message, details=[problem])
