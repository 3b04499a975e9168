"""Facts about processes from /proc and from pidfds. Signals nobody and decides nothing.

A process is known by (pid, start ticks), or by the inode of its pidfd where the kernel has pidfs (6.9): a pid
alone is used again within seconds on a busy machine.
"""

import fcntl
import os
import signal
import stat
import struct
import time

# include/uapi/linux/pidfd.h: _IOWR(0xFF, 11, struct pidfd_info), 64 bytes in its first version
_PIDFD_GET_INFO = 0xC040FF0B
_PIDFD_INFO_EXIT = 1 << 3
_PIDFD_INFO_BYTES = 64
_EXIT_CODE_OFFSET = 60
_PIDFD_SIGNAL_PROCESS_GROUP = 1 << 2

MARKER = b"WATTLE_ATTEMPT_UID="
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Stat:
    """One reading of /proc/<pid>/stat. `exit_status` is a raw wait status and holds for zombies only."""

    __slots__ = (
        "exit_status", "group", "is_zombie", "parent", "session", "start_ticks", "system_ticks", "user_ticks",
    )  # fmt: skip

    def __init__(self, text: bytes) -> None:
        fields = text[text.rindex(b")") + 2 :].split()
        self.parent = int(fields[1])
        self.group = int(fields[2])
        self.session = int(fields[3])
        self.user_ticks = int(fields[11]) + int(fields[13])
        self.system_ticks = int(fields[12]) + int(fields[14])
        # A process whose first thread has ended while others run is shown as a zombie and is none.
        self.is_zombie = fields[0] in (b"Z", b"X", b"x") and int(fields[17]) <= 1
        self.start_ticks = int(fields[19])
        self.exit_status = int(fields[49]) if len(fields) > 49 else 0


def read_stat(pid: int) -> Stat | None:
    """Read the process' stat, or None if there is no such process."""
    text = _read(f"/proc/{pid}/stat")
    return Stat(text) if text else None


def start_ticks(pid: int) -> int | None:
    facts = read_stat(pid)
    return facts.start_ticks if facts else None


def boot_id() -> str:
    return _read("/proc/sys/kernel/random/boot_id").decode().strip()


def all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def marker(pid: int) -> str | None:
    """The attempt uid in the environment the process was started with, None if it has none we may read."""
    environment = _read(f"/proc/{pid}/environ")
    if environment.startswith(MARKER):
        start = len(MARKER)
    else:
        start = environment.find(b"\0" + MARKER) + 1 + len(MARKER)
        if start <= len(MARKER):
            return None
    end = environment.find(b"\0", start)
    return os.fsdecode(environment[start : end if end >= 0 else None])


def is_executing(pid: int) -> bool:
    """Is the process in the middle of an exec: for that instant it has neither arguments nor environment."""
    return not _read(f"/proc/{pid}/cmdline")


def children(pid: int) -> list[int]:
    """The pids of its children now. While they come and go the kernel may leave some out: look again."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    if not HAS_CHILDREN_FILE:
        return _children_by_scan(pid)
    found: list[int] = []
    for thread in threads:
        found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found


def _children_by_scan(parent: int) -> list[int]:
    readings = ((pid, read_stat(pid)) for pid in all_pids())
    return [pid for pid, facts in readings if facts and facts.parent == parent]


class OwnChildren:
    """This process' own children, from one descriptor kept open.

    Exact, unlike those of others: a child leaves the list only when it is reaped, and only we reap.
    """

    def __init__(self) -> None:
        self._descriptor = -1
        if HAS_CHILDREN_FILE:
            path = f"/proc/self/task/{os.getpid()}/children"
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> list[bytes]:
        if self._descriptor < 0:
            return [b"%d" % pid for pid in _children_by_scan(os.getpid())]
        pieces = []
        offset = 0
        while piece := os.pread(self._descriptor, 4096, offset):
            pieces.append(piece)
            offset += len(piece)
            if len(piece) < 2048:
                break
        return b"".join(pieces).split()


def has_pidfs() -> bool:
    """Whether a pidfd has an inode of its own (Linux 6.9); before, all share one with every anonymous file."""
    pidfd = os.pidfd_open(os.getpid())
    other = os.eventfd(0)
    try:
        mine, shared = os.fstat(pidfd), os.fstat(other)
        return (mine.st_dev, mine.st_ino) != (shared.st_dev, shared.st_ino)
    finally:
        os.close(pidfd)
        os.close(other)


def open_same(pid: int, inode: int | None, ticks: int | None) -> int | None:
    """Open a pidfd and then check that it is the process meant, by inode, else by start ticks; None if not.

    The order matters: once the descriptor is open the pid may be used again, the descriptor may not.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return None
    if _is_same(pidfd, pid, inode, ticks):
        return pidfd
    os.close(pidfd)
    return None


def _is_same(pidfd: int, pid: int, inode: int | None, ticks: int | None) -> bool:
    if inode is not None and HAS_PIDFS:
        return os.fstat(pidfd).st_ino == inode
    return ticks is not None and start_ticks(pid) == ticks


def signal_same(pid: int, ticks: int, number: int) -> bool:
    """Signal the process if it is still the one that started at `ticks`; say whether it was sent."""
    pidfd = open_same(pid, None, ticks)
    if pidfd is None:
        return False
    try:
        signal.pidfd_send_signal(pidfd, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(pidfd)
    return True


def exit_status(pidfd: int) -> int | None:
    """The raw wait status of an ended process that is not our child (Linux 6.15, once its parent reaped it)."""
    request = bytearray(_PIDFD_INFO_BYTES)
    struct.pack_into("Q", request, 0, _PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, request)
    except OSError:
        return None
    if not struct.unpack_from("Q", request, 0)[0] & _PIDFD_INFO_EXIT:
        return None
    status: int = struct.unpack_from("i", request, _EXIT_CODE_OFFSET)[0]
    return status


def signal_group(pidfd: int, number: int) -> bool:
    """Signal the process group its leader's pidfd stands for (Linux 6.9); False where that cannot be said."""
    try:
        signal.pidfd_send_signal(pidfd, number, None, _PIDFD_SIGNAL_PROCESS_GROUP)
    except (ProcessLookupError, PermissionError):
        return True
    except OSError:
        return False
    return True


def may_read_exit(pid: int) -> bool:
    """Whether the kernel shows us this process' exit status in its stat, rather than a zero."""
    try:
        return os.geteuid() in (0, os.stat(f"/proc/{pid}").st_uid)
    except OSError:
        return False


def started_at(ticks: int) -> int:
    """The instant (unix µs) of a start given in ticks since boot."""
    return time.time_ns() // 1000 - age_us(ticks)


def age_us(ticks: int) -> int:
    """How long ago (µs) the start was, given in ticks since boot."""
    return int((time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / TICKS_PER_SECOND) * 1_000_000)


def own_peak_kib() -> int:
    """The most memory this process has held since it was executed; `getrusage` would count its parent's too."""
    text = _read("/proc/self/status")
    start = text.find(b"VmHWM:")
    return int(text[start:].split(None, 2)[1]) if start >= 0 else 0


def resident_bytes(pid: int) -> int:
    """What it holds in memory and in swap, pages shared with others in full. Cheap; 0 for one that is gone."""
    return _kib(_read(f"/proc/{pid}/status"), b"VmRSS:", b"VmSwap:") * 1024


def share_bytes(pid: int) -> int | None:
    """The same with its fair share of what is shared. The kernel walks all its pages for it: 1 ms for 400 MB.

    None where that may not be known."""
    text = _read(f"/proc/{pid}/smaps_rollup")
    return _kib(text, b"\nPss:", b"\nSwapPss:") * 1024 if text else None


def _kib(text: bytes, *fields: bytes) -> int:
    total = 0
    for field in fields:
        start = text.find(field)
        if start >= 0:
            total += int(text[start + len(field) : start + len(field) + 64].split(None, 1)[0])
    return total


def log_identities(pid: int) -> set[tuple[int, int]]:
    """(device, inode) of what the process has on descriptors 0, 1 and 2 to write to; who reads a log may be anybody."""
    found = set()
    for descriptor in (0, 1, 2):
        try:
            if not os.lstat(f"/proc/{pid}/fd/{descriptor}").st_mode & stat.S_IWUSR:  # a link's mode is the descriptor's
                continue
            facts = os.stat(f"/proc/{pid}/fd/{descriptor}")
        except OSError:
            continue
        found.add((facts.st_dev, facts.st_ino))
    return found


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        pieces = []
        while piece := os.read(descriptor, 65536):
            pieces.append(piece)
        return b"".join(pieces)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


HAS_CHILDREN_FILE = os.path.exists(f"/proc/self/task/{os.getpid()}/children")
HAS_PIDFS = has_pidfs()
