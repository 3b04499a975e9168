"""One signal to a worker's processes, each once, because a user wants it; what follows from it is the worker's affair.

Nobody is signalled who is not known to be of the worker's tree (the rules of ending.py): by number only our own
children, who stay ours until we reap them, and the leader's group while the leader is one; all others through a
checked pidfd. The group is told by one call, so that who is forked in that instant is not left out.
"""

import os
import signal

from wattle.keeper import proc
from wattle.keeper.tree import Family
from wattle.keeper.worker import Worker

SCOPES = ("tree", "leader")
LOOKS = 3  # for who was forked while the others were killed


class Sent:
    """Whom the signal reached, the leader first, and who of the tree may not be signalled by us."""

    __slots__ = ("pids", "refused")

    def __init__(self, pids: list[int], refused: list[int]) -> None:
        self.pids, self.refused = pids, refused


def send_signal(family: Family, worker: Worker, number: int, scope: str) -> Sent:
    """To everything that lives of the worker (`tree`), or to the process it was started as (`leader`) alone.

    Both lists are empty where nothing of it lives. ValueError on what is no signal or no scope.
    """
    if not 1 <= number <= 64 or scope not in SCOPES:
        raise ValueError(f"no signal to send: {number} to {scope!r}")
    if scope == "leader":
        found = family.members(worker) if worker.leader_alive else {}
        return _send_each(worker, {pid: ticks for pid, ticks in found.items() if pid == worker.pid}, number)
    sent = _send_tree(family.members(worker), worker, number)
    for _ in range(LOOKS - 1 if number == signal.SIGKILL else 0):
        known = {*sent.pids, *sent.refused}
        late = {pid: ticks for pid, ticks in family.members(worker).items() if pid not in known}
        if not late:
            break
        more = _send_each(worker, late, number)
        sent = Sent(sent.pids + more.pids, sent.refused + more.refused)
    return sent


def _send_tree(members: dict[int, int], worker: Worker, number: int) -> Sent:
    reached = _tell_group(members, worker, number) if worker.leader_alive else {}
    rest = _send_each(worker, {pid: ticks for pid, ticks in members.items() if pid not in reached}, number)
    told = {*rest.pids, *(pid for pid, is_told in reached.items() if is_told)}
    refused = {*rest.refused, *(pid for pid, is_told in reached.items() if not is_told)}
    return Sent(sorted(told, key=lambda pid: (pid != worker.pid, pid)), sorted(refused))


def _tell_group(members: dict[int, int], worker: Worker, number: int) -> dict[int, bool]:
    """Those of the leader's group: {pid: may we signal it}. Empty where the group cannot be told by one call."""
    found: dict[int, bool] = {}
    for pid, ticks in members.items():
        facts = proc.read_stat(pid)
        if facts is not None and facts.group == worker.pid and (may := _send(worker, pid, ticks, 0)) is not None:
            found[pid] = may
    if not found:
        return {}
    if worker.adopted:
        return found if proc.signal_group(worker.pidfd, number) else {}
    try:
        os.killpg(worker.pid, number)
    except (ProcessLookupError, PermissionError):
        pass
    return found


def _send_each(worker: Worker, members: dict[int, int], number: int) -> Sent:
    outcomes = {pid: _send(worker, pid, ticks, number) for pid, ticks in members.items()}
    return Sent([pid for pid, may in outcomes.items() if may], [pid for pid, may in outcomes.items() if may is False])


def _send(worker: Worker, pid: int, ticks: int, number: int) -> bool | None:
    """False where it is not permitted, None where the process is gone."""
    is_ours = pid in worker.orphans or (pid == worker.pid and worker.leader_alive and not worker.adopted)
    pidfd = None if is_ours else proc.open_same(pid, None, ticks)
    if pidfd is None and not is_ours:
        return None
    try:
        if pidfd is None:
            os.kill(pid, number)
        else:
            signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return None
    except PermissionError:
        return False
    finally:
        if pidfd is not None:
            os.close(pidfd)
    return True
