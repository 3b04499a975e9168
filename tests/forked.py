"""The process that tests/forking.py forks `wattle` from: it has imported all of it, and has run nothing of it.

One thread, which waits for requests on the socket that is its standard input and for the ends of its children.
"""

import gc
import importlib
import io
import json
import os
import pkgutil
import resource
import runpy
import select
import signal
import socket
import sys
import time
from fcntl import ioctl
from termios import TIOCSCTTY
from typing import Any

import wattle

AT_IMPORT = "WATTLE_FAILPOINT"  # the one setting that Wattle reads when it is imported


def prepare() -> None:
    for module in pkgutil.walk_packages(wattle.__path__, "wattle."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()


def forget() -> None:
    """Wattle's own modules, so that they are imported anew."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "wattle"]:
        del sys.modules[name]


def wait_for_request(asked: socket.socket) -> dict[str, Any] | None:
    """Fork for each request; gives it in the child, and None in the parent once nobody can ask any more."""
    poll = select.poll()
    poll.register(asked, select.POLLIN)
    children: dict[int, tuple[int, int]] = {}  # pidfd: (pid, where its status is written)
    while True:
        for ready, _ in poll.poll():
            if ready == asked.fileno():
                said, descriptors, _, _ = socket.recv_fds(asked, 1, 5)
                if not said:
                    return None
                document, *streams, status = descriptors
                pid = os.fork()
                if pid == 0:
                    asked.detach()
                    return take_on(os.pread(document, os.fstat(document).st_size, 0), streams)
                pidfd = os.pidfd_open(pid)
                children[pidfd] = (pid, status)
                poll.register(pidfd, select.POLLIN)
                tell(status, f"{pid}\n")
                for each in (document, *streams):
                    os.close(each)
            else:
                pid, status = children.pop(ready)
                poll.unregister(ready)
                tell(status, f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n")
                os.close(status)
                os.close(ready)


def tell(status: int, text: str) -> None:
    try:
        os.write(status, text.encode())
    except BrokenPipeError:
        pass  # nobody wants to know


def take_on(document: bytes, streams: list[int]) -> dict[str, Any]:
    """Become a process with these standard streams, this directory and this environment, and no other descriptor."""
    request: dict[str, Any] = json.loads(document)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    os.closerange(3, max(map(int, os.listdir("/proc/self/fd"))) + 1)
    signal.set_wakeup_fd(-1)
    if request["terminal"]:
        os.setsid()
        ioctl(0, TIOCSCTTY, 0)
    for what, soft, hard in request["limits"]:
        if resource.getrlimit(what) != (soft, hard):
            resource.setrlimit(what, (soft, hard))
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    sys.stdin = reopened(0, sys.stdin, "rb")
    sys.stdout = reopened(1, sys.stdout, "wb")
    sys.stderr = reopened(2, sys.stderr, "wb")
    return request


def reopened(number: int, former: Any, mode: str) -> io.TextIOWrapper:
    """As the interpreter opens its standard streams."""
    unbuffered = former.write_through and mode == "wb"
    raw = open(number, mode, 0 if unbuffered else -1, closefd=False)  # noqa: SIM115
    by_line = number == 2 or os.isatty(number)
    return io.TextIOWrapper(raw, former.encoding, former.errors, line_buffering=by_line, write_through=unbuffered)


if __name__ == "__main__":
    prepare()
    request = wait_for_request(socket.socket(fileno=os.dup(0)))
    if request is not None:
        if AT_IMPORT in os.environ:
            forget()
        main = os.path.join(request["root"], "wattle", "cli", "__main__.py")
        sys.argv = [main, *request["arguments"]]
        sys.orig_argv = [sys.executable, "-m", "wattle.cli", *request["arguments"]]
        sys.path[0] = request["cwd"]
        runpy.run_module("wattle.cli", run_name="__main__", alter_sys=True)
