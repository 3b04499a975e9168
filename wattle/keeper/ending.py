"""Brings the end of workers about: does what the table in `stop.py` says, on the real processes.

Nothing here waits: a kill is a state, one bounded pass per turn, re-armed by a timer, so a process that
cannot be killed holds up nobody else. Who may be signalled by number: our own children, for nobody but us
can reap them; their groups, while such a child holds the group. All others through a checked pidfd.
"""

import os
import signal
import time
from collections.abc import Callable

from wattle.keeper import proc
from wattle.keeper.stop import Action, Event, State, step
from wattle.keeper.timers import Timers
from wattle.keeper.tree import Family
from wattle.keeper.worker import Worker

# A leader's helper that ends because its leader did (`cmd > >(tee log)`) must get to write its last bytes.
SETTLE_SECONDS = 0.1
LEFT_GRACE_SECONDS = 0.5
FIRST_PAUSE_SECONDS = 0.005
LONGEST_PAUSE_SECONDS = 0.2
PASSES_PER_TURN = 3
STUCK_SECONDS = 5.0


class Ending:
    """`finish` is called once per worker, when nothing of its tree is left; `stuck` at most once."""

    def __init__(
        self,
        family: Family,
        timers: Timers,
        finish: Callable[[Worker], None],
        stuck: Callable[[Worker, list[int]], None],
    ) -> None:
        self._family = family
        self._timers = timers
        self._finished = finish
        self._is_stuck = stuck
        self._do = {
            Action.SEND_STOP: self._send_stop,
            Action.SHORTEN_GRACE: self._shorten_grace,
            Action.SETTLE: self._settle,
            Action.END_REST: self._end_rest,
            Action.END_LEFT: self._end_left,
            Action.BEGIN_KILL: self._begin_kill,
            Action.KILL_AGAIN: self._kill_again,
            Action.FINISH: self._finish,
        }

    def stop(self, worker: Worker, grace_seconds: float | None) -> None:
        """Somebody wants the worker to end; `grace_seconds` overrides its own, 0 kills now."""
        if worker.state is State.RUNNING:
            worker.cause = "stopped"
            at_once = worker.stop.signal == signal.SIGKILL or worker.stop.grace_seconds <= 0
        else:
            at_once = False
        worker.grace_seconds = grace_seconds
        at_once = at_once if grace_seconds is None else grace_seconds <= 0
        self._meet(worker, Event.KILL if at_once else Event.STOP)

    def time_out(self, worker: Worker) -> None:
        if worker.state is State.RUNNING:
            worker.cause = "timed_out"
            worker.grace_seconds = None
        self._meet(worker, Event.TIMED_OUT)

    def leader_ended(self, worker: Worker, is_empty: bool) -> None:
        """The leader's end was seen (and reaped, if it was ours to reap)."""
        worker.leader_alive = False
        self._timers.cancel(worker.deadline)
        if is_empty:
            self._meet(worker, Event.EMPTIED)
            return
        self._meet(worker, Event.LEADER_ENDED)
        if worker.adopted:
            worker.pause_seconds = FIRST_PAUSE_SECONDS
            self._watch(worker)

    def emptied(self, worker: Worker) -> None:
        self._meet(worker, Event.EMPTIED)

    def _meet(self, worker: Worker, event: Event) -> None:
        worker.state, action = step(worker.state, event)
        if action is not None:
            self._do[action](worker)

    def _arm(self, worker: Worker, seconds: float) -> None:
        self._timers.cancel(worker.due)
        worker.due = self._timers.arm(time.monotonic() + seconds, lambda: self._meet(worker, Event.DUE))

    def _watch(self, worker: Worker) -> None:
        """Look again and again whether an adopted worker's tree is empty: its orphans do not come to us."""
        if not self._family.members(worker):
            self._meet(worker, Event.EMPTIED)
            return
        at = time.monotonic() + worker.pause_seconds
        worker.pause_seconds = min(worker.pause_seconds * 2, LONGEST_PAUSE_SECONDS)
        worker.watch = self._timers.arm(at, lambda: self._watch(worker))

    def _send_stop(self, worker: Worker) -> None:
        self._family.members(worker)
        seconds = worker.stop.grace_seconds if worker.grace_seconds is None else worker.grace_seconds
        self._arm(worker, seconds)
        for number in (worker.stop.signal, signal.SIGCONT):
            if worker.stop.scope == "leader":
                self._signal_leader(worker, number)
            else:
                self._signal_leaders_group(worker, number)

    def _shorten_grace(self, worker: Worker) -> None:
        if worker.grace_seconds is None or worker.due is None:
            return
        if time.monotonic() + worker.grace_seconds < worker.due.at:
            self._arm(worker, worker.grace_seconds)

    def _settle(self, worker: Worker) -> None:
        self._family.members(worker)
        self._arm(worker, SETTLE_SECONDS)

    def _end_rest(self, worker: Worker) -> None:
        """The leader obeyed: whoever of its tree the stop signal has not reached yet gets it now."""
        reached = worker.pid if worker.stop.scope == "group" else 0
        for pid, ticks in self._family.members(worker).items():
            facts = proc.read_stat(pid)
            if facts is not None and facts.group != reached:
                self._signal(worker, pid, ticks, worker.stop.signal)
                self._signal(worker, pid, ticks, signal.SIGCONT)

    def _end_left(self, worker: Worker) -> None:
        members = self._family.members(worker)
        worker.left.update(members)
        self._arm(worker, LEFT_GRACE_SECONDS)
        for pid, ticks in members.items():
            self._signal(worker, pid, ticks, signal.SIGTERM)
            self._signal(worker, pid, ticks, signal.SIGCONT)

    def _begin_kill(self, worker: Worker) -> None:
        worker.escalated = True
        worker.pause_seconds = FIRST_PAUSE_SECONDS
        worker.stuck = self._timers.arm(time.monotonic() + STUCK_SECONDS, lambda: self._report_stuck(worker))
        self._kill_again(worker)

    def _kill_again(self, worker: Worker) -> None:
        killed: set[tuple[int, int]] = set()
        for _ in range(PASSES_PER_TURN):
            members = self._family.members(worker)
            fresh = members.items() - killed
            if not fresh:
                break
            self._kill_all(worker, members)
            killed |= fresh
        if worker.cause is None:
            worker.left.update(killed)
        self._arm(worker, worker.pause_seconds)
        worker.pause_seconds = min(worker.pause_seconds * 2, LONGEST_PAUSE_SECONDS)

    def _kill_all(self, worker: Worker, members: dict[int, int]) -> None:
        """Whole groups first: a group signal reaches all of them before one of them can fork again."""
        if worker.leader_alive:
            self._signal_leaders_group(worker, signal.SIGKILL)
        for pid in worker.orphans:
            facts = proc.read_stat(pid)
            if facts is not None and facts.group > 1 and facts.session != os.getsid(0):
                _kill_group(facts.group, signal.SIGKILL)
        for pid, ticks in members.items():
            self._signal(worker, pid, ticks, signal.SIGKILL)

    def _report_stuck(self, worker: Worker) -> None:
        self._is_stuck(worker, list(self._family.members(worker)))

    def _finish(self, worker: Worker) -> None:
        for timer in (worker.due, worker.deadline, worker.stuck, worker.watch):
            self._timers.cancel(timer)
        self._finished(worker)

    def _signal_leader(self, worker: Worker, number: int) -> None:
        try:
            if worker.adopted:
                signal.pidfd_send_signal(worker.pidfd, number)
            else:
                os.kill(worker.pid, number)
        except (ProcessLookupError, PermissionError):
            pass

    def _signal_leaders_group(self, worker: Worker, number: int) -> None:
        if not worker.adopted:
            _kill_group(worker.pid, number)
        elif not proc.signal_group(worker.pidfd, number):
            for pid, ticks in worker.noted.items():
                facts = proc.read_stat(pid)
                if facts is not None and facts.group == worker.pid:
                    proc.signal_same(pid, ticks, number)

    def _signal(self, worker: Worker, pid: int, ticks: int, number: int) -> None:
        if pid in worker.orphans or (pid == worker.pid and worker.leader_alive and not worker.adopted):
            try:
                os.kill(pid, number)
            except (ProcessLookupError, PermissionError):
                pass
        else:
            proc.signal_same(pid, ticks, number)


def _kill_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass
