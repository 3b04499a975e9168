"""What the kernel offers to supervise processes, each thing tried on a process of our own."""

import ctypes
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Iterator

from wattle.diagnosis.probe import Finding, attempt, broken, degraded, ok, read_text, words
from wattle.keeper import proc

OLDEST_KERNEL = (5, 3)
PR_GET_CHILD_SUBREAPER = 37
PR_SET_CHILD_SUBREAPER = 36
FEW_OPEN_FILES = 1024
OLDEST_CLOCK = 1_767_225_600  # 2026-01-01: before this Wattle was written
EXIT_CODE = 7


def kernel_findings() -> Iterator[Finding]:
    yield _kernel()
    yield _pidfd()
    if hasattr(os, "pidfd_open") and attempt(_can_open_pidfd):
        yield _identity()
        yield _exit_info()
    yield _children()
    yield _subreaper()
    yield _inotify()
    yield _open_files()
    yield _processes()
    yield _clock()


def _kernel() -> Finding:
    release = os.uname().release
    match = re.match(r"(\d+)\.(\d+)", release)
    found = f"{os.uname().sysname} {release}, Python {sys.version.split()[0]}"
    if sys.platform != "linux" or match is None or (int(match[1]), int(match[2])) < OLDEST_KERNEL:
        return broken("kernel", found, "Wattle needs Linux 5.3 or newer")
    return ok("kernel", found)


def _pidfd() -> Finding:
    if hasattr(os, "pidfd_open") and attempt(_can_open_pidfd):
        return ok("pidfd", "processes can be held by a descriptor")
    return broken("pidfd", "pidfd_open does not work", "needs Linux 5.3, and a sandbox that lets it through")


def _can_open_pidfd() -> bool:
    os.close(os.pidfd_open(os.getpid()))
    return True


def _identity() -> Finding:
    if proc.has_pidfs():
        return ok("identity", "a process has a number of its own that is never used again (pidfd inode)")
    return degraded(
        "identity", "pidfds have no inode of their own (Linux 6.9)", "processes are told apart by pid and start time"
    )


def _exit_info() -> Finding:
    """Tried on a process that has ended and was reaped, as a keeper finds it that is not its parent."""
    try:
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", f"exit {EXIT_CODE}"], os.environ, setsigdef=[signal.SIGCHLD])
    except OSError as error:
        return broken("exit status", f"/bin/sh cannot be started: {words(error)}", "workers need it")
    pidfd = os.pidfd_open(pid)
    try:
        os.waitid(os.P_PID, pid, os.WEXITED)
        status = proc.exit_status(pidfd)
    finally:
        os.close(pidfd)
    if status is not None and os.waitstatus_to_exitcode(status) == EXIT_CODE:
        return ok("exit status", "can be had of processes that are not our children (PIDFD_GET_INFO)")
    return degraded(
        "exit status",
        "cannot be had of processes that are not our children (Linux 6.15)",
        "of a worker that outlived keeper and daemon it is found in /proc in time, or it failed with "
        "'exit status unknown'",
    )


def _children() -> Finding:
    if proc.HAS_CHILDREN_FILE:
        return ok("children", "/proc lists the children of a process")
    return degraded("children", "/proc/<pid>/task/<tid>/children is missing", "all processes are looked through")


def _subreaper() -> Finding:
    libc = ctypes.CDLL(None, use_errno=True)
    before = ctypes.c_int()
    works = libc.prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0) == 0
    works = works and libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    if not works:
        what = f"prctl refuses it: {os.strerror(ctypes.get_errno())}"
        return broken("subreaper", what, "needs Linux 3.4, and a sandbox that lets it through")
    libc.prctl(PR_SET_CHILD_SUBREAPER, before.value, 0, 0, 0)
    return ok("subreaper", "orphans of workers come to the keeper")


def _inotify() -> Finding:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    watches = read_text("/proc/sys/fs/inotify/max_user_watches") or "unknown"
    if descriptor < 0:
        what = f"not to be had: {os.strerror(ctypes.get_errno())}"
        return degraded("inotify", what, _POLLED)
    os.close(descriptor)
    return ok("inotify", f"works, {watches} watches; {_POLLED}")


_POLLED = "followed logs are looked at by size and need none"


def _open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = f"{_limit(soft)}, at most {_limit(hard)}"
    if hard != resource.RLIM_INFINITY and hard < FEW_OPEN_FILES:
        return degraded("open files", found, "raise the limit: a live worker and a log follower take one and two")
    return ok("open files", f"{found}; a server raises its own, its workers get {_limit(soft)}")


def _processes() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    mine = _own_processes()
    limits = {"limit of the user": soft if soft != resource.RLIM_INFINITY and os.geteuid() != 0 else None}
    limits["limit of the control group"] = _cgroup_limit()
    limits["kernel.pid_max"] = int(read_text("/proc/sys/kernel/pid_max") or 0) or None
    name, number = min(((name, n) for name, n in limits.items() if n is not None), key=lambda pair: pair[1])
    found = f"{number} ({name}), {mine} now"
    if number - mine < 64:
        return degraded("processes", found, "workers beyond it fail with 'the limit of processes is reached'")
    return ok("processes", found)


def _own_processes() -> int:
    """The user's threads: they are what RLIMIT_NPROC counts."""
    count = 0
    for pid in proc.all_pids():
        try:
            if os.stat(f"/proc/{pid}").st_uid == os.geteuid():
                count += len(os.listdir(f"/proc/{pid}/task"))
        except OSError:
            continue
    return count


def _cgroup_limit() -> int | None:
    """`pids.max` of our own control group (version 2) or of those above it, the smallest."""
    line = next((line for line in (read_text("/proc/self/cgroup") or "").splitlines() if line.startswith("0::")), "")
    path, found = f"/sys/fs/cgroup{line[3:]}", []
    while path.startswith("/sys/fs/cgroup"):
        text = read_text(f"{path}/pids.max") or ""
        if text.isdecimal():
            found.append(int(text))
        path = os.path.dirname(path)
    return min(found, default=None)


def _clock() -> Finding:
    resolution = time.clock_getres(time.CLOCK_MONOTONIC)
    source = read_text("/sys/devices/system/clocksource/clocksource0/current_clocksource") or "unknown"
    found = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}, source {source}"
    if time.time() < OLDEST_CLOCK:
        return degraded("clock", found, "durations and limits are right, instants are not: set the clock")
    if resolution > 0.001:
        return degraded("clock", f"{found}, {resolution * 1000:g} ms a tick", "limits and durations are as coarse")
    return ok("clock", found)


def _limit(number: int) -> str:
    return "unlimited" if number == resource.RLIM_INFINITY else str(number)

