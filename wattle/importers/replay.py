"""The command of a worker that does again what a recorded task did: reads, waits, writes.

It is a program for /bin/sh that spawns as little as it can: shell and no other process where nothing is
waited for and all files are small. sh reads byte by byte (12 ms for 64 KiB, `cat` costs one) and writes
what printf has made in memory, so large files are left to `cat` and `head`. All paths are arguments, never
part of the program and never taken from the environment, which has a limit that one recorded task with
1,001 inputs comes close to.
"""

from collections.abc import Sequence
from typing import NamedTuple

SMALL_READ_BYTES = 4096  # of all inputs together; beyond, spawning `cat` is cheaper
LARGE_WRITE_BYTES = 1024 * 1024  # of one output; beyond, `head` instead of so much memory in sh
MOST_ARGUMENT_BYTES = 1024 * 1024  # Linux takes 2 MiB with the environment, at its default limits

_FROM = "from"  # stands between outputs and inputs; paths hold a `/`, sizes are digits
_READ_SMALL = 'for file; do while IFS= read -r line; do :; done < "$file" || return; done'
_READ_LARGE = 'cat -- "$@" > /dev/null'
_WRITE_SMALL = 'printf "%*s" "$word" "" > "$file"'
_WRITE_LARGE = 'head -c "$word" /dev/zero > "$file"'


class File(NamedTuple):
    path: str  # holds a `/` and does not begin with one
    size: int  # bytes


class Replay(NamedTuple):
    """`args` are pairs of an output's path and size, then `from` and the inputs' paths."""

    command: str
    args: list[str]
    unread: int  # inputs that no command line has room for


def replay(inputs: Sequence[File], outputs: Sequence[File], seconds: float) -> Replay:
    """What reads all of `inputs`, waits, and writes `outputs` with their sizes. It fails where a file cannot be."""
    written = _output_words(outputs)
    read = _those_with_room(inputs, MOST_ARGUMENT_BYTES - _argument_bytes(written))
    wait = f"{seconds:.3f}".rstrip("0").rstrip(".")
    unread = len(inputs) - len(read)
    if not read and not outputs:
        return Replay("true" if wait == "0" else f"sleep {wait}", [], unread)
    lines = []
    if read:
        is_small = sum(file.size for file in read) <= SMALL_READ_BYTES
        lines += [f"read_inputs() {{ shift {len(written) + 1}; {_READ_SMALL if is_small else _READ_LARGE}; }}"]
    lines += ["replay() {"]
    if read:
        lines += ['    read_inputs "$@" || return']
    if wait != "0":
        lines += [f"    sleep {wait} || return"]
    if outputs:
        is_small = max(file.size for file in outputs) <= LARGE_WRITE_BYTES
        lines += [
            "    for word; do",
            "        case $word in",
            f"        {_FROM}) break ;;",
            "        */*) file=$word ;;",
            f"        *) {_WRITE_SMALL if is_small else _WRITE_LARGE} || return ;;",
            "        esac",
            "    done",
        ]
    lines += ["}", "replay"]
    return Replay("\n".join(lines), written + ([_FROM, *(file.path for file in read)] if read else []), unread)


def output_argument_bytes(outputs: Sequence[File]) -> int:
    """What the outputs take of MOST_ARGUMENT_BYTES; `replay` is for those that it has room for."""
    return _argument_bytes(_output_words(outputs))


def _output_words(outputs: Sequence[File]) -> list[str]:
    return [word for file in outputs for word in (file.path, str(file.size))]


def _those_with_room(inputs: Sequence[File], room: int) -> Sequence[File]:
    if _argument_bytes([file.path for file in inputs]) <= room:
        return inputs
    kept = []
    for file in inputs:
        room -= _argument_bytes([file.path])
        if room < 0:
            break
        kept.append(file)
    return kept


def _argument_bytes(words: Sequence[str]) -> int:
    """What they cost in execve: each with its NUL and a pointer."""
    return sum(len(word.encode()) + 9 for word in words)
