"""Who descends from whom, and whose an orphan is. Signals nobody.

A process whose parent ends becomes the keeper's own child (it is a subreaper). It belongs to the worker
whose session, environment marker, last noted tree or log files it shares; what matches none is nobody's and
is never killed.
"""

import os

from wattle.keeper import proc
from wattle.keeper.worker import Worker


class Family:
    """The live workers, found by uid, by leader's pid and by orphan's pid.

    `leaders` are our own children not yet reaped; `sessions` every worker by its leader's pid, reaped or
    not: while anything of a session lives the kernel does not use its number again.
    """

    def __init__(self) -> None:
        self.workers: dict[str, Worker] = {}
        self.leaders: dict[int, Worker] = {}
        self.sessions: dict[int, Worker] = {}
        self.released: dict[str, Worker] = {}  # ended ones of whom something was let go and is still our child
        self._owners: dict[int, Worker | None] = {}
        self._children = proc.OwnChildren()

    def add(self, worker: Worker) -> None:
        self.workers[worker.uid] = worker
        self.sessions[worker.pid] = worker
        if not worker.adopted:
            self.leaders[worker.pid] = worker

    def remove(self, worker: Worker) -> None:
        """Forget an ended worker; one whose processes were let go is known until the last of them has ended."""
        del self.workers[worker.uid]
        if worker.orphans:
            self.released[worker.uid] = worker
        else:
            self.forget(worker)

    def forget(self, worker: Worker) -> None:
        self.released.pop(worker.uid, None)
        if self.sessions.get(worker.pid) is worker:
            del self.sessions[worker.pid]

    def refresh(self) -> int:
        """Find the orphans that have come since the last time; return how many of them are nobody's."""
        children = self._children.read()
        if len(children) == len(self.leaders) + len(self._owners):
            return 0
        strangers = 0
        for child in children:
            pid = int(child)
            if pid in self.leaders or pid in self._owners:
                continue
            facts = proc.read_stat(pid)
            if facts is None or facts.is_zombie:  # about to be reaped; its children are here already
                continue
            owner = self._attribute(pid, facts)
            if owner is None:
                if proc.is_executing(pid):  # it cannot say yet whose it is: the next look
                    continue
                owner = self._attribute(pid, facts)  # now it can, if it was executing at the first look
            if owner is not None:
                owner.orphans[pid] = facts.start_ticks
            elif (now := proc.read_stat(pid)) is None or now.is_zombie:
                continue  # it ended meanwhile: its traces were gone, not missing
            else:
                strangers += 1
            self._owners[pid] = owner
        return strangers

    def reaped_orphan(self, pid: int) -> Worker | None:
        """Forget an orphan that was reaped; return whose it was, None if nobody's or never noticed."""
        owner = self._owners.pop(pid, None)
        if owner is not None:
            owner.orphans.pop(pid, None)
        return owner

    def members(self, worker: Worker) -> dict[int, int]:
        """All that lives of the worker's tree as {pid: start ticks}, parents before children; also noted."""
        if worker.adopted:
            found = self._adopted_members(worker)
        else:
            worker.unattributed += self.refresh()
            roots = dict(worker.orphans)
            if worker.leader_alive:
                roots[worker.pid] = proc.start_ticks(worker.pid) or 0
            found = descend(roots)
        worker.noted = found
        return found

    def _attribute(self, pid: int, facts: proc.Stat) -> Worker | None:
        worker = self.sessions.get(facts.session)
        if worker is not None and worker.leader_alive:
            return worker
        # The number of a session whose leader is gone may be another's by now, the marker not.
        uid = proc.marker(pid)
        if uid is not None and (marked := self.workers.get(uid) or self.released.get(uid)) is not None:
            return marked
        if worker is not None:
            return worker
        for worker in self.workers.values():
            if worker.noted.get(pid) == facts.start_ticks:
                return worker
        return self._by_log_files(pid)

    def _by_log_files(self, pid: int) -> Worker | None:
        open_files = proc.log_identities(pid)
        if not open_files:
            return None
        for worker in self.workers.values():
            for log in (worker.stdout, worker.stderr):
                try:
                    facts = os.stat(log)
                except OSError:
                    continue
                if (facts.st_dev, facts.st_ino) in open_files:
                    return worker
        return None

    def _adopted_members(self, worker: Worker) -> dict[int, int]:
        """The tree of a worker whose orphans do not come to us: a look at every process of the machine.

        The session's number may be trusted while the leader, or somebody noted of it, holds it.
        """
        roots: dict[int, int] = {}
        held = worker.leader_alive
        readings: dict[int, proc.Stat] = {}
        for pid in proc.all_pids():
            facts = proc.read_stat(pid)
            if facts is None or facts.is_zombie:
                continue
            readings[pid] = facts
            if worker.noted.get(pid) == facts.start_ticks:
                roots[pid] = facts.start_ticks
                held = held or facts.session == worker.pid
        for pid, facts in readings.items():
            in_session = held and facts.session == worker.pid and (pid != worker.pid or worker.leader_alive)
            if in_session or proc.marker(pid) == worker.uid:
                roots[pid] = facts.start_ticks
        return descend(roots)


def descend(roots: dict[int, int]) -> dict[int, int]:
    """The living roots and all that descends from them, {pid: start ticks}, parents before their children."""
    found: dict[int, int] = {}
    waiting = list(roots.items())
    for pid, ticks in waiting:  # grows as it goes
        if pid in found:
            continue
        facts = proc.read_stat(pid)
        if facts is None or facts.start_ticks != ticks or facts.is_zombie:
            continue
        found[pid] = ticks
        for child in proc.children(pid):
            below = proc.read_stat(child)
            if below is not None and below.parent == pid:
                waiting.append((child, below.start_ticks))
    return found


def find_marked(uids: set[str]) -> dict[str, dict[int, proc.Stat]]:
    """The living processes that carry each of the attempt uids: {uid: {pid: stat}}."""
    found: dict[str, dict[int, proc.Stat]] = {uid: {} for uid in uids}
    for pid in proc.all_pids():
        uid = proc.marker(pid)
        if uid is None or uid not in found:
            continue
        facts = proc.read_stat(pid)
        if facts is not None and not facts.is_zombie:
            found[uid][pid] = facts
    return found
