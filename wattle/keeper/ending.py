"""Brings the end of workers about: does what the table in `stop.py` says, on the real processes.

Nothing here waits: a kill is a state, one bounded pass per turn, re-armed by a timer, so a process that
cannot be killed holds up nobody else. Who may be signalled by number: our own children, for nobody but us
can reap them; their groups, while such a child holds the group. All others through a checked pidfd.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping

from wattle.keeper import proc
from wattle.keeper.failpoints import reach
from wattle.keeper.stop import Action, Event, State, step
from wattle.keeper.timers import Timers
from wattle.keeper.tree import Family
from wattle.keeper.worker import Told, Worker

# A leader's helper that ends because its leader did (`cmd > >(tee log)`) must get to write its last bytes.
SETTLE_SECONDS = 0.1
LEFT_GRACE_SECONDS = 0.5
FIRST_PAUSE_SECONDS = 0.005
LONGEST_PAUSE_SECONDS = 0.2
PASSES_PER_TURN = 3
TURN_SECONDS = 0.02
STORM_PAUSE_SECONDS = 0.001
STORM_TURNS = 50
STUCK_SECONDS = 5.0


class Ending:
    """`finish` is called once per worker, when nothing of its tree is left; `stuck` every 5 s while a kill has not
    come to that."""

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
            Action.LET_GO: self._let_go,
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

    def exceed_memory(self, worker: Worker, memory_bytes: int) -> None:
        """A running worker's tree holds more memory than it may: everything of it is killed at once."""
        worker.cause, worker.memory_bytes = "memory", memory_bytes
        self._meet(worker, Event.KILL)

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
        worker.due = self._timers.arm(time.monotonic() + seconds, lambda: self._due(worker))

    def _due(self, worker: Worker) -> None:
        is_released = worker.state is State.SETTLING and worker.stop.allow_detached
        self._meet(worker, Event.RELEASED if is_released else Event.DUE)

    def _watch(self, worker: Worker) -> None:
        """Look again and again whether an adopted worker's tree is empty: its orphans do not come to us."""
        if not self._family.members(worker):
            self._meet(worker, Event.EMPTIED)
            return
        at = time.monotonic() + worker.pause_seconds
        worker.pause_seconds = min(worker.pause_seconds * 2, LONGEST_PAUSE_SECONDS)
        worker.watch = self._timers.arm(at, lambda: self._watch(worker))

    def _send_stop(self, worker: Worker) -> None:
        members = self._family.members(worker)
        told = worker.told = Told(time.time_ns() // 1000, worker.stop.signal)
        told.reached.update(each for each in members.items() if self._is_told_first(worker, each[0]))
        seconds = worker.stop.grace_seconds if worker.grace_seconds is None else worker.grace_seconds
        self._arm(worker, seconds)
        for number in (worker.stop.signal, signal.SIGCONT):
            if worker.stop.scope == "leader":
                self._signal_leader(worker, number)
            else:
                self._signal_leaders_group(worker, number)

    def _is_told_first(self, worker: Worker, pid: int) -> bool:
        """Is it the leader, or in the group that the stop signal goes to?"""
        if pid == worker.pid or worker.stop.scope == "leader":
            return pid == worker.pid
        facts = proc.read_stat(pid)
        return facts is not None and facts.group == worker.pid

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
                if worker.told is not None:
                    worker.told.reached.add((pid, ticks))

    def _end_left(self, worker: Worker) -> None:
        reach("keeper.left.before")
        members = self._family.members(worker)
        worker.left.update(members)
        self._arm(worker, LEFT_GRACE_SECONDS)
        for pid, ticks in members.items():
            self._signal(worker, pid, ticks, signal.SIGTERM)
            self._signal(worker, pid, ticks, signal.SIGCONT)

    def _begin_kill(self, worker: Worker) -> None:
        now = time.time_ns() // 1000
        if worker.cause is not None and worker.told is None:
            worker.told = Told(now, signal.SIGKILL)
        if worker.told is not None:
            worker.told.killed_at = now
        worker.escalated = True
        worker.hit, worker.storm = set(), 0
        worker.pause_seconds = FIRST_PAUSE_SECONDS
        self._watch_stuck(worker)
        self._kill_again(worker)

    def _kill_again(self, worker: Worker) -> None:
        """One bounded turn of a kill. Whoever is new at a second look was made by those not reached yet: then the tree
        is frozen first, until a look finds nobody new, and killed as a whole. What is stopped makes no children, and
        frees no place for those of others, nor tells anybody that it has to be replaced.
        """
        reach("keeper.kill.before")
        until = time.monotonic() + TURN_SECONDS
        for look in range(PASSES_PER_TURN):
            members = self._family.members(worker)
            fresh = members.items() - worker.hit
            if fresh and worker.hit and worker.storm < STORM_TURNS:
                worker.storm += 1
                self._signal_all(worker, dict(fresh), dict(fresh), signal.SIGSTOP)
            elif fresh or worker.storm or look == 0:
                worker.storm = 0
                self._signal_all(worker, members, worker.orphans, signal.SIGKILL)
            worker.hit |= fresh
            if not fresh or time.monotonic() > until:
                break
        reach("keeper.kill.after")
        if worker.cause is None:
            worker.left.update(worker.hit)
        if worker.told is not None:
            worker.told.reached |= worker.hit
        if worker.storm:
            self._arm(worker, STORM_PAUSE_SECONDS)
            return
        self._arm(worker, worker.pause_seconds)
        worker.pause_seconds = min(worker.pause_seconds * 2, LONGEST_PAUSE_SECONDS)

    def _signal_all(self, worker: Worker, members: Mapping[int, int], heads: Mapping[int, int], number: int) -> None:
        """Whole groups first, the leader's and those of orphans among `heads`: a group signal reaches all of them
        before one of them can fork again.
        """
        if worker.leader_alive:
            self._signal_leaders_group(worker, number)
        for pid in heads.keys() & worker.orphans.keys():
            facts = proc.read_stat(pid)
            if facts is not None and facts.group > 1 and facts.session != os.getsid(0):
                _kill_group(facts.group, number)
        for pid, ticks in members.items():
            self._signal(worker, pid, ticks, number)

    def _watch_stuck(self, worker: Worker) -> None:
        worker.stuck = self._timers.arm(time.monotonic() + STUCK_SECONDS, lambda: self._report_stuck(worker))

    def _report_stuck(self, worker: Worker) -> None:
        """Again and again: whoever asks for the worker's end meanwhile is to hear it too. A process that is dead but
        kept by its tracer counts: nobody can reap it.
        """
        pids = dict.fromkeys((*self._family.members(worker), *worker.orphans))
        if worker.leader_alive:
            pids[worker.pid] = None
        self._is_stuck(worker, list(pids))
        self._watch_stuck(worker)

    def _let_go(self, worker: Worker) -> None:
        worker.detached = len(self._family.members(worker))
        self._finish(worker)

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
