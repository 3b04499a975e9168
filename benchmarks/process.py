"""What /proc says of a process: CPU time, memory, wake-ups. Reads, touches nothing."""

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Memory:
    """RSS counts shared pages in full, PSS its share of them; both in bytes."""

    rss_bytes: int
    pss_bytes: int

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(self.rss_bytes + other.rss_bytes, self.pss_bytes + other.pss_bytes)


def cpu_seconds(pid: int) -> float:
    """User and system time of all its threads, ended ones included; its children's not. Resolution 10 ms."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> Memory:
    sizes = {}
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]:
        name, value, *_ = line.split()
        sizes[name.rstrip(":")] = int(value) * 1024
    return Memory(sizes["Rss"], sizes["Pss"])


def wake_ups(pid: int) -> int:
    """How often its threads have gone to sleep by themselves, and so were woken, since they began."""
    count = 0
    for thread in (PROC / str(pid) / "task").iterdir():
        for line in (thread / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                count += int(line.split()[1])
    return count


def find(*words: str) -> list[int]:
    """Processes whose command line holds all the words."""
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if all(word in line for word in words):
            found.append(int(entry.name))
    return found
