"""A sandbox without one system call, as containers have them: `python denied.py CALL COMMAND…` runs COMMAND in it.

A seccomp filter that needs no rights; whoever calls CALL gets EPERM. So each fallback has a test on any kernel.
In a test's own process `without` denies it to one thread and to those that it starts.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000  # with the errno added
PIDFD_GET_INFO = 0xC040FF0B
# The call's number, and what its second argument has to be (None: whatever it is).
CALLS = {
    "x86_64": {
        "pidfd_open": (434, None),
        "fallocate": (285, None),
        "setxattr": (188, None),
        "inotify_init1": (294, None),
        "pidfd_get_info": (16, PIDFD_GET_INFO),
        "prctl": (157, None),
    },
    "aarch64": {
        "pidfd_open": (434, None),
        "fallocate": (47, None),
        "setxattr": (5, None),
        "inotify_init1": (26, None),
        "pidfd_get_info": (29, PIDFD_GET_INFO),
        "prctl": (167, None),
    },
}


def deny(number: int, argument: int | None, error: int = errno.EPERM) -> None:
    """To this thread and to all that it starts, for good."""
    steps = [(LOAD, 0, 0, 0)]
    if argument is None:
        steps += [(EQUAL, 0, 1, number)]
    else:
        steps += [(EQUAL, 0, 3, number), (LOAD, 0, 0, 24), (EQUAL, 0, 1, argument)]
    steps += [(RETURN, 0, 0, REFUSE | error), (RETURN, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0):
        raise OSError(ctypes.get_errno(), "no seccomp filter can be set")


def without(call: str, job: Callable[[], T], error: int = errno.EPERM) -> T:
    """The job's result, from a thread that is denied the call."""

    def denied() -> T:
        deny(*CALLS[platform.machine()][call], error)
        return job()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(denied).result()


if __name__ == "__main__":
    deny(*CALLS[platform.machine()][sys.argv[1]])
    os.execv(sys.argv[2], sys.argv[2:])
