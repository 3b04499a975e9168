"""Where the keeper's files are in a data directory, and how a long path is still a socket's address.

A unix socket's address has 108 bytes; a data directory may be longer. So the socket is always reached
through an open descriptor of its directory.
"""

import os

SOCKET = "keeper.sock"
LOCK = "keeper.lock"
LOG = "keeper.log"
JOURNAL = "journal"


def open_directory(data_dir: str) -> int:
    return os.open(data_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def socket_address(directory: int) -> str:
    """The address of the keeper's socket while the descriptor `directory` stays open."""
    return f"/proc/self/fd/{directory}/{SOCKET}"
