"""A sandbox without one system call, as containers have them: `python denied.py CALL COMMAND…` runs COMMAND in it.

A seccomp filter that needs no rights; whoever calls CALL gets EPERM. So each fallback has a test on any kernel.
"""

import ctypes
import os
import platform
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050001  # EPERM
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


def deny(number: int, argument: int | None) -> None:
    steps = [(LOAD, 0, 0, 0)]
    if argument is None:
        steps += [(EQUAL, 0, 1, number)]
    else:
        steps += [(EQUAL, 0, 3, number), (LOAD, 0, 0, 24), (EQUAL, 0, 1, argument)]
    steps += [(RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0):
        raise OSError(ctypes.get_errno(), "no seccomp filter can be set")


if __name__ == "__main__":
    deny(*CALLS[platform.machine()][sys.argv[1]])
    os.execv(sys.argv[2], sys.argv[2:])
