"""The keeper's state and decisions: orders come in, workers live, records go out.

One turn of the loop: reap, take in messages, do what is due, spawn into free slots, write the journal, then
tell. A record is on disk before anyone hears of it; nothing here waits for anything.
"""

import os
import time
from collections import deque

from wattle.keeper import proc, records
from wattle.keeper.connection import Connection
from wattle.keeper.ending import Ending
from wattle.keeper.failpoints import reach
from wattle.keeper.journal import JournalWriter
from wattle.keeper.memory import MemoryWatch
from wattle.keeper.order_queue import OrderQueue
from wattle.keeper.orders_ahead import OrdersAhead
from wattle.keeper.poller import READ, Poller
from wattle.keeper.protocol import FEATURES, PROTOCOL, frame
from wattle.keeper.refusals import Refusal
from wattle.keeper.sending import Sent, send_signal
from wattle.keeper.spawn import Spawner
from wattle.keeper.stop import State
from wattle.keeper.timers import Timer, Timers
from wattle.keeper.tree import Family, find_marked
from wattle.keeper.worker import Order, Stop, Worker, identity

SPAWNS_PER_TURN = 8
REAPS_PER_TURN = 256
GATHER_SECONDS = 0.005
REPORT_BYTES = 1024 * 1024
JOURNAL_RETRY_SECONDS = 0.25
ENDED_REMEMBERED = 100_000
ENDED_REMEMBERED_IMPORTED = 1024
PEAK_SLACK_KIB = 256  # the kernel's counts are gathered per CPU
FOREIGN_STATUS_SECONDS = 2.0
FOREIGN_STATUS_PAUSE_SECONDS = 0.005


class Keeper:
    """Owns the workers of one data directory. `log` takes a line for the keeper's own log."""

    def __init__(self, keeper_id: str, journal: JournalWriter, poller: Poller) -> None:
        self.keeper_id = keeper_id
        self.boot_id = proc.boot_id()
        self.timers = Timers()
        self.daemon: Connection | None = None
        self.is_quitting = False
        self._journal = journal
        self._poller = poller
        self._queue = OrderQueue()
        self._ahead = OrdersAhead()
        self._family = Family()
        self._spawner = Spawner()
        self._ending = Ending(self._family, self.timers, self._finished, self._stuck)
        self._memory = MemoryWatch(self._family, self.timers, self._ending)
        self._own_peak_kib = 0
        self._ended: set[str] = set()
        self._ended_in_order: deque[tuple[int, str]] = deque()
        self._reports: list[bytes] = []
        self._reported_groups: set[str] = set()
        self._report_due: Timer | None = None
        self._are_reports_due = False
        self._journal_retry: Timer | None = None
        self._log_problem: str | None = None  # why the next worker's log files cannot be made
        self._told_problem: str | None = None
        self._messages = {
            "hello": self._hello,
            "environment": self._environment,
            "limits": self._limits,
            "order": self._order,
            "release": self._release,
            "withdraw": self._withdraw,
            "stop": self._stop,
            "signal": self._signal,
            "adopt": self._adopt,
            "imported": self._imported,
            "quit": self._quit,
            "describe": self._describe,
        }

    @property
    def is_idle(self) -> bool:
        """Neither worker nor queue, and every record on disk."""
        return not self._family.workers and not self._queue and not self._journal.unwritten

    # ---- what a daemon says

    def receive(self, connection: Connection, message: dict) -> None:
        kind = message["type"]
        if kind != "hello" and connection is not self.daemon:
            raise ValueError(f"{kind!r} before hello")
        if kind not in self._messages:
            raise ValueError(f"unknown type {kind!r}")
        self._messages[kind](connection, message)

    def hung_up(self, connection: Connection) -> None:
        if connection is self.daemon:
            self.daemon = None
            self._drop_reports()

    def _hello(self, connection: Connection, message: dict) -> None:
        if message.get("protocol") != PROTOCOL:
            words = f"this keeper speaks protocol {PROTOCOL}, not {message.get('protocol')!r}"
            connection.tell({"type": "error", "message": words})
            connection.close(words)
            return
        if self.daemon is not None and self.daemon is not connection:
            self.daemon.close("another daemon said hello")
        self.daemon = connection
        connection.has_said_hello = True
        reach("keeper.hello.before")
        self._write_journal()
        self._drop_reports()
        self._told_problem = None
        self._ahead.clear()
        connection.tell(
            {
                "type": "hello",
                "protocol": PROTOCOL,
                "features": FEATURES,
                "keeper_id": self.keeper_id,
                "boot_id": self.boot_id,
                "pid": os.getpid(),
                "seq": self._journal.seq,
                "live": [records.live(worker) for worker in self._family.workers.values()],
                "queued": self._queue.uids(),
            }
        )
        reach("keeper.hello.after")

    def _environment(self, connection: Connection, message: dict) -> None:
        self._spawner.set_environment(message["vars"], message.get("umask"))

    def _limits(self, connection: Connection, message: dict) -> None:
        limit = message.get("max_processes")
        if limit is not None:
            self._queue.max_processes = int(limit)
        for group, slots in (message.get("groups") or {}).items():
            self._queue.limit(group, None if slots is None else int(slots))

    def _order(self, connection: Connection, message: dict) -> None:
        reach("keeper.order.before")
        for order in [Order(entry) for entry in message["orders"]]:
            if self._knows(order.uid):
                continue
            if order.after:
                self._ahead.add(order)
            else:
                self._ahead.take(order.uid)
                self._queue.add(order)
        reach("keeper.order.after")

    def _release(self, connection: Connection, message: dict) -> None:
        for uid in message["uids"]:
            order = self._ahead.take(uid)
            if order is not None:
                self._queue.add(order)

    def _withdraw(self, connection: Connection, message: dict) -> None:
        uids = [uid for uid in message["uids"] if self._take_back(uid)]
        reach("keeper.withdraw.after")
        connection.tell({"type": "withdrawn", "request": message.get("request"), "uids": uids})

    def _stop(self, connection: Connection, message: dict) -> None:
        reach("keeper.stop.before")
        uid = message["uid"]
        worker = self._family.workers.get(uid)
        if worker is None:
            self._take_back(uid)
            self._write_journal()
            self._send_reports()  # whoever hears "gone" has heard of the end before
            connection.tell({"type": "gone", "uid": uid, "request": message.get("request")})
            return
        self._ahead.never_well(uid)
        grace = message.get("grace_seconds")
        self._ending.stop(worker, None if grace is None else float(grace))
        reach("keeper.stop.after")

    def _signal(self, connection: Connection, message: dict) -> None:
        uid = message["uid"]
        worker = self._family.workers.get(uid)
        sent = Sent([], [])
        if worker is not None:
            sent = send_signal(self._family, worker, int(message["signal"]), message["scope"])
        if not (sent.pids or sent.refused):
            self._write_journal()
            self._send_reports()  # whoever hears that nothing of it lives has heard of the end, if it has ended
        answer = {"type": "signalled", "request": message.get("request"), "uid": uid}
        connection.tell(answer | {"pids": sent.pids, "refused": sent.refused})

    def _imported(self, connection: Connection, message: dict) -> None:
        seq = int(message["seq"])
        self._journal.discard(seq)
        ended = self._ended_in_order
        while len(ended) > ENDED_REMEMBERED_IMPORTED and ended[0][0] <= seq:
            self._ended.discard(ended.popleft()[1])

    def _quit(self, connection: Connection, message: dict) -> None:
        reach("keeper.quit.before")
        self.is_quitting = True

    def _describe(self, connection: Connection, message: dict) -> None:
        worker = self._family.workers.get(message["uid"])
        pids = list(self._family.members(worker)) if worker else []
        connection.tell({"type": "tree", "request": message.get("request"), "pids": pids})

    def _knows(self, uid: str) -> bool:
        return uid in self._family.workers or uid in self._queue or uid in self._ended

    def _take_back(self, uid: str) -> bool:
        """An order that has not been begun; False where there is none."""
        return self._queue.withdraw(uid) or self._ahead.take(uid) is not None

    # ---- starting

    def fill_slots(self) -> bool:
        """Spawn what may run now, a bounded number; True if there may be more. Nothing while the disk takes
        neither records nor logs: what could not be written down is not begun."""
        if self._ahead.has_free:
            self._queue_followers()
        if not self._queue or self._log_problem is not None:
            return False
        if not self._journal.is_open():
            self._retry_journal_later()
            return False
        spawned = 0
        while spawned < SPAWNS_PER_TURN and self._log_problem is None and (order := self._queue.take()) is not None:
            self._spawn(order)
            spawned += 1
        if spawned:
            os.chdir("/")  # between two spawns the keeper holds nobody's directory
        return spawned == SPAWNS_PER_TURN

    def _queue_followers(self) -> None:
        """What was ordered ahead is begun once the ends that it waited for are on disk: whoever finds it, and not
        them, would take it for something that should not be."""
        self._write_journal()
        if self._journal.unwritten:
            return
        reach("keeper.follow.before")
        for order in self._ahead.take_free():
            self._queue.add(order)

    def _spawn(self, order: Order) -> None:
        at, started = _wall_us(), _monotonic_us()
        outcome = self._spawner.spawn(order)
        reach("keeper.spawn.after")
        if isinstance(outcome, Refusal):
            if outcome.waits:
                self._wait_for_logs(order, outcome.reason)
            else:
                self._refused(order, at, outcome)
            return
        worker = Worker(order.uid, order.identity, order.group, order.takes_slot, order.stop)
        worker.pid = outcome
        worker.stdout, worker.stderr = order.stdout, order.stderr
        worker.started_at, worker.started = at, started
        _identify(worker)
        self._begin(worker, order.timeout_seconds)
        if order.memory_max_bytes is not None:
            self._memory.watch(worker, order.memory_max_bytes)
        self._record_start(worker)

    def _wait_for_logs(self, order: Order, why: str) -> None:
        self._queue.put_back(order)
        self._log_problem = why
        self.timers.arm(time.monotonic() + JOURNAL_RETRY_SECONDS, self._try_logs_again)

    def _try_logs_again(self) -> None:
        self._log_problem = None

    def _refused(self, order: Order, at: int, refusal: Refusal) -> None:
        self._record_end(order.uid, order.group, records.refused(order, at, refusal))

    def _begin(self, worker: Worker, timeout_seconds: float | None) -> None:
        self._family.add(worker)
        self._queue.lives(worker.uid, worker.group, worker.takes_slot)
        if timeout_seconds is not None:
            at = worker.started / 1_000_000 + timeout_seconds
            worker.deadline = self.timers.arm(at, lambda: self._ending.time_out(worker))

    def _record_start(self, worker: Worker) -> None:
        self._journal.append_line(records.started(worker))

    # ---- ending

    def reap(self) -> bool:
        """Reap what has ended: workers are recorded, orphans only cleared away; True if there may be more.

        Peek first: a status is taken only by pid, once it is known whose it is.
        """
        bereaved: set[Worker] = set()
        for _ in range(REAPS_PER_TURN):
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                ended = None
            if ended is None:
                self._check_emptied(bereaved)
                return False
            worker = self._family.leaders.get(ended.si_pid)
            if worker is not None:
                self._reap_leader(worker)
                continue
            os.waitid(os.P_PID, ended.si_pid, os.WEXITED | os.WNOHANG)
            owner = self._family.reaped_orphan(ended.si_pid)
            if owner is not None and not owner.leader_alive:
                bereaved.add(owner)
        self._check_emptied(bereaved)
        return True

    def _reap_leader(self, worker: Worker) -> None:
        reach("keeper.reap.before")
        _, worker.status, used = os.wait4(worker.pid, 0)
        reach("keeper.reap.after")
        worker.ended_at, worker.duration_us = _wall_us(), _monotonic_us() - worker.started
        worker.user_us, worker.system_us = int(used.ru_utime * 1e6), int(used.ru_stime * 1e6)
        worker.max_rss_bytes = self._peak(used.ru_maxrss)
        del self._family.leaders[worker.pid]
        worker.unattributed += self._family.refresh()
        if worker.orphans:
            self._journal.append_line(records.exited(worker))
        self._ending.leader_ended(worker, not worker.orphans)

    def _peak(self, max_rss_kib: int) -> int | None:
        """A worker's peak of memory in bytes; None where it cannot be told from the keeper's own.

        Until it executes, a spawned child shares the keeper's memory, and the kernel counts that as the
        child's.
        """
        if max_rss_kib <= self._own_peak_kib:
            return None
        self._own_peak_kib = proc.own_peak_kib() + PEAK_SLACK_KIB
        return max_rss_kib * 1024 if max_rss_kib > self._own_peak_kib else None

    def _check_emptied(self, bereaved: set[Worker]) -> None:
        if not bereaved:
            return
        strangers = self._family.refresh()
        for worker in bereaved:
            if worker.state is State.GONE:
                if not worker.orphans:
                    self._family.forget(worker)
                continue
            worker.unattributed += strangers
            strangers = 0
            if not worker.orphans:
                self._ending.emptied(worker)

    def _finished(self, worker: Worker) -> None:
        reach("keeper.end.before")
        self._family.remove(worker)
        self._queue.ended(worker.uid, worker.group)
        if worker.pidfd >= 0:
            os.close(worker.pidfd)
        if self._ahead and worker.ended_well:
            self._ahead.ended_well(worker.uid)
        self._record_end(worker.uid, worker.group, records.ended(worker))

    def _stuck(self, worker: Worker, pids: list[int]) -> None:
        if self.daemon is not None:
            self.daemon.tell({"type": "stuck", "uid": worker.uid, "pids": pids})

    def _record_end(self, uid: str, group: str, record: bytes) -> None:
        self._ended_in_order.append((self._journal.append_line(record), uid))
        self._ended.add(uid)
        self._reported_groups.add(group)
        if len(self._ended_in_order) > ENDED_REMEMBERED:
            self._ended.discard(self._ended_in_order.popleft()[1])

    # ---- workers of a former keeper

    def _adopt(self, connection: Connection, message: dict) -> None:
        reach("keeper.adopt.before")
        lost = {}
        for entry in message["workers"]:
            uid = entry["uid"]
            if not self._knows(uid) and uid not in lost and self._adopted_by_identity(entry) is None:
                lost[uid] = entry
        marked = find_marked(set(lost)) if lost else {}
        reach("keeper.adopt.found")
        for uid, entry in lost.items():
            self._take_up(entry, marked[uid])
        reach("keeper.adopt.after")

    def _adopted_by_identity(self, entry: dict) -> Worker | None:
        """Adopt the process the entry names, if it is still that one; a reboot ends every identity."""
        if entry.get("pid") is None or entry.get("boot_id", self.boot_id) != self.boot_id:
            return None
        pid, inode, ticks = int(entry["pid"]), entry.get("inode"), entry.get("start_ticks")
        pidfd = proc.open_same(pid, inode, ticks)
        if pidfd is None:
            return None
        worker = _from_entry(entry)
        worker.pid, worker.inode, worker.start_ticks = pid, inode, proc.start_ticks(pid)
        worker.started_at = worker.started_at or proc.started_at(worker.start_ticks or 0)
        self._begin_adopted(worker, pidfd, entry)
        return worker

    def _take_up(self, entry: dict, marked: dict[int, proc.Stat]) -> None:
        """Take up a worker whose process is not known, or gone: by whoever carries its marker."""
        if entry.get("boot_id", self.boot_id) != self.boot_id:
            marked = {}
        leaders = [(facts.start_ticks, pid) for pid, facts in marked.items() if facts.session == pid]
        has_identity = entry.get("inode") is not None or entry.get("start_ticks") is not None
        if leaders and (entry.get("uncertain") or not has_identity) and self._adopt_leader(entry, *min(leaders)):
            return
        worker = _from_entry(entry)
        worker.ended_at = _wall_us()
        worker.started_at = worker.started_at or worker.ended_at
        worker.duration_us = max(0, worker.ended_at - worker.started_at)
        worker.noted = {pid: facts.start_ticks for pid, facts in marked.items()}
        worker.status = entry.get("status")  # where the daemon or the journal knows it
        self._begin(worker, None)
        self._ending.leader_ended(worker, not marked)

    def _adopt_leader(self, entry: dict, ticks: int, pid: int) -> bool:
        pidfd = proc.open_same(pid, None, ticks)
        if pidfd is None:
            return False
        worker = _from_entry(entry)
        worker.pid, worker.start_ticks = pid, ticks
        worker.inode = os.fstat(pidfd).st_ino if proc.HAS_PIDFS else None
        worker.started_at = worker.started_at or proc.started_at(ticks)
        self._record_start(worker)
        self._begin_adopted(worker, pidfd, entry)
        return True

    def _begin_adopted(self, worker: Worker, pidfd: int, entry: dict) -> None:
        worker.pidfd = pidfd
        worker.started = _monotonic_us() - _age_us(worker)
        self._begin(worker, entry.get("timeout_seconds"))
        self._family.members(worker)
        if entry.get("memory_max_bytes") is not None:
            self._memory.watch(worker, int(entry["memory_max_bytes"]))
        self._poller.watch(pidfd, READ, lambda mask: self._adopted_ended(worker))

    def _adopted_ended(self, worker: Worker) -> None:
        self._poller.forget(worker.pidfd)
        worker.ended_at, worker.duration_us = _wall_us(), _monotonic_us() - worker.started
        self._ask_status(worker, time.monotonic() + FOREIGN_STATUS_SECONDS)

    def _ask_status(self, worker: Worker, until: float) -> None:
        """Learn how an adopted leader ended. Its parent may not have reaped it yet; then ask again."""
        facts = proc.read_stat(worker.pid)
        is_there = facts is not None and facts.start_ticks == worker.start_ticks
        worker.status = proc.exit_status(worker.pidfd)
        if facts is not None and is_there:
            tick_us = 1_000_000 // proc.TICKS_PER_SECOND
            worker.user_us, worker.system_us = facts.user_ticks * tick_us, facts.system_ticks * tick_us
            if worker.status is None and facts.is_zombie and proc.may_read_exit(worker.pid):
                worker.status = facts.exit_status
        if worker.status is None and is_there and time.monotonic() < until:
            self.timers.arm(time.monotonic() + FOREIGN_STATUS_PAUSE_SECONDS, lambda: self._ask_status(worker, until))
            return
        self._ending.leader_ended(worker, not self._family.members(worker))

    # ---- telling

    def tell(self) -> None:
        """End the turn: write the records of it, then report them, now or within 5 ms.

        At once when a slot is free and nothing is queued for it: the daemon must find more work. While the
        queue fills the slots by itself, reports are gathered.
        """
        if self._journal.unwritten:
            self._write_journal()
        if self._log_problem is not None or self._journal.problem is not None or self._told_problem is not None:
            self._tell_problem()
        if self.daemon is None:
            self._drop_reports()
        elif self._reports:
            if self._are_reports_due or self._is_urgent():
                self._send_reports()
            elif self._report_due is None:
                self._report_due = self.timers.arm(time.monotonic() + GATHER_SECONDS, self._reports_fall_due)

    def _reports_fall_due(self) -> None:
        """At the end of this turn, with what it adds: an end that is urgent may be among it."""
        self._are_reports_due = True

    def _tell_problem(self) -> None:
        """Tell the daemon why nothing is started, or (None) that this is over; once each."""
        error = self._journal.problem
        words = f"the journal cannot be written: {error.strerror}" if error is not None else self._log_problem
        if self.daemon is not None and words != self._told_problem:
            self._told_problem = words
            self.daemon.tell({"type": "held", "reason": words})

    def _is_urgent(self) -> bool:
        return any(not self._queue.waits_in(group) for group in self._reported_groups)

    def _write_journal(self) -> None:
        self._reports += self._journal.flush()
        if self._journal.problem is not None:
            self._retry_journal_later()

    def _retry_journal_later(self) -> None:
        if self._journal_retry is None:
            self._journal_retry = self.timers.arm(time.monotonic() + JOURNAL_RETRY_SECONDS, self._retry_journal)

    def _retry_journal(self) -> None:
        self._journal_retry = None
        self._write_journal()

    def _send_reports(self) -> None:
        reports = self._reports
        connection = self.daemon
        self._drop_reports()
        reach("keeper.report.before")
        start = 0
        while connection is not None and start < len(reports):
            end, size = start, 0
            while end < len(reports) and (end == start or size + len(reports[end]) < REPORT_BYTES):
                size += len(reports[end])
                end += 1
            connection.send(frame(b'{"type":"report","records":[' + b",".join(reports[start:end]) + b"]}"))
            start = end
        reach("keeper.report.after")

    def _drop_reports(self) -> None:
        self._reports = []
        self._reported_groups.clear()
        self.timers.cancel(self._report_due)
        self._report_due = None
        self._are_reports_due = False


def _identify(worker: Worker) -> None:
    """Learn the pidfd's inode, or the start ticks where there is none; our child stays ours meanwhile."""
    if proc.HAS_PIDFS:
        try:
            pidfd = os.pidfd_open(worker.pid)
        except OSError:
            pidfd = -1
        if pidfd >= 0:
            worker.inode = os.fstat(pidfd).st_ino
            os.close(pidfd)
            return
    worker.start_ticks = proc.start_ticks(worker.pid)


def _age_us(worker: Worker) -> int:
    """How long an adopted worker has lived: the kernel knows, while the wall clock may have been set since."""
    if worker.start_ticks is not None:
        return max(0, proc.age_us(worker.start_ticks))
    return max(0, _wall_us() - worker.started_at)


def _from_entry(entry: dict) -> Worker:
    stop = Stop(entry.get("stop"))
    takes_slot = bool(entry.get("takes_slot", True))
    worker = Worker(entry["uid"], identity(entry), entry.get("group", ""), takes_slot, stop)
    worker.adopted = True
    if entry.get("stopping"):  # it may have been told to end by a keeper that is dead
        worker.cause = "stopped"
    worker.stdout, worker.stderr = entry.get("stdout") or "", entry.get("stderr") or ""
    worker.started_at = int(entry.get("started_at") or 0)
    return worker


def _wall_us() -> int:
    return time.time_ns() // 1000


def _monotonic_us() -> int:
    return time.monotonic_ns() // 1000
