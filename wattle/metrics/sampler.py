"""The trees of all live attempts, sampled by one thread: often in their first second, then every two.

It sleeps without a timeout while nothing is watched. What the loop calls (`watch`, `end`) waits for nothing and
costs microseconds: a worker that ends within a tenth of a second is never looked at. A sweep that took t of the
processor's time is followed by a rest of at least 20 t, so that sampling never takes more than a twentieth of a core.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from wattle.keeper import proc
from wattle.metrics import process as processes
from wattle.metrics.history import Point
from wattle.metrics.process import Allowance, Process
from wattle.metrics.tree import Tree, TreeSample
from wattle.store.rows import AttemptRow

logger = logging.getLogger(__name__)

DENSE_SECONDS = (0.1, 0.3, 1.0)  # after the start of an attempt
INTERVAL_SECONDS = 2.0
STEP_SECONDS = 0.1  # to which instants are rounded up, so that trees share a sweep
THOROUGH_EVERY = 10  # samples: descriptors and bytes cost more than the rest
REST = 20
KEEP_SECONDS = 60.0
FRESH_SECONDS = 1.0  # a sample no older than this is what it uses now
SECOND_READING_SECONDS = 0.1

Key = tuple[int, int, int]  # run id, position, number of the attempt
Kept = Callable[[Mapping[Key, Mapping[str, Any]]], None]


class _Young(NamedTuple):
    since: float
    workflow: str
    attempt: AttemptRow
    kept: Mapping[str, Any]


class Sampler:
    """`on_keep` is given {attempt: usage} every minute, `on_sweep` is called after each sweep; both on its thread."""

    def __init__(
        self,
        *,
        on_keep: Kept = lambda _: None,
        on_sweep: Callable[[float], None] = lambda _: None,
        allowance: Allowance | None = None,
    ) -> None:
        self._on_keep = on_keep
        self._on_sweep = on_sweep
        self._allowance = allowance or Allowance()
        self._young: dict[Key, _Young] = {}  # not sampled yet
        self._trees: dict[Key, tuple[float, Tree]] = {}
        self._due: dict[Key, float] = {}
        self._ended: deque[Tree] = deque()
        self._strangers: set[int] = set()  # children of homes that are nobody's
        self._sweeps = 0
        self._lock = threading.Lock()  # held while trees are read
        self._wake = threading.Event()
        self._next_at = math.inf
        self._keep_at = math.inf
        self._rest_until = 0.0
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(5.0)
            self._thread = None
        with self._lock:
            for _, tree in self._trees.values():
                tree.close()
            self._trees.clear()
            self._young.clear()
            self._close_ended()

    # The loop's thread.

    def watch(self, workflow: str, attempt: AttemptRow, kept: Mapping[str, Any] | None = None) -> None:
        """An attempt has started, or lives since before this daemon (`kept`: what is stored of it)."""
        key = key_of(attempt)
        if key in self._young or key in self._trees:
            return
        now = time.monotonic()
        self._young[key] = _Young(now, workflow, attempt, kept or {})
        if self._next_at > now + DENSE_SECONDS[0] + STEP_SECONDS:
            self._wake.set()

    def end(self, attempt: AttemptRow) -> dict[str, Any] | None:
        """It has ended: what was seen of it, None where nothing was."""
        key = key_of(attempt)
        if self._young.pop(key, None) is not None:
            return None
        _, tree = self._trees.pop(key, (0.0, None))
        if tree is None:
            return None
        self._ended.append(tree)
        return tree.usage() if tree.samples else None

    def forget(self, run_id: int) -> None:
        """Whatever is still watched of a run that has ended."""
        for attempt in self.attempts():
            if attempt.run_id == run_id:
                self.end(attempt)

    # Any thread.

    def now(self, attempt: AttemptRow) -> TreeSample:
        """What it uses now; at most a second old. Where CPU was not measured before, this takes a tenth of one.

        All zeros where the process is gone. The attempt need not be watched.
        """
        with self._lock:
            tree = self._find(key_of(attempt))
            if tree is not None and tree.has_percent and time.monotonic() - tree.thorough_at < FRESH_SECONDS:
                return tree.last
            adhoc = tree is None
            tree = tree or Tree("", attempt, self._allowance, {})
            self._sample(tree, thorough=True)
        try:
            if not tree.has_percent and tree.last.num_processes:
                time.sleep(SECOND_READING_SECONDS)
                with self._lock:
                    self._sample(tree)
            return tree.last
        finally:
            if adhoc:
                with self._lock:
                    tree.close()

    def proportional_bytes(self, attempt: AttemptRow) -> int | None:
        """PSS: memory in which what processes share is counted once. Dear, so only when asked for. None: unreadable."""
        import psutil

        with self._lock:
            tree = self._find(key_of(attempt))
            adhoc = tree is None
            tree = tree or Tree("", attempt, self._allowance, {})
            self._sample(tree)
            pids = [process.pid for process in tree.members.values() if not process.is_zombie]
            if adhoc:
                tree.close()
        found = []
        for pid in pids:
            with suppress(psutil.Error, OSError):
                found.append(psutil.Process(pid).memory_full_info().pss)
        return sum(found) if found or not pids else None

    def peaks(self, attempt: AttemptRow) -> dict[str, int]:
        """What it used at most so far; empty where it is not watched or was not sampled yet."""
        entry = self._trees.get(key_of(attempt))
        return dict(entry[1].peak) if entry is not None else {}

    def points(self, attempt: AttemptRow) -> list[Point] | None:
        """The series so far; None where it is not watched."""
        key = key_of(attempt)
        entry = self._trees.get(key)
        if entry is None:
            return [] if key in self._young else None
        return entry[1].series.points()

    def live(self) -> list[Tree]:
        """The trees that have been sampled, oldest first. Read `workflow`, `attempt` and `last` only."""
        return [tree for _, tree in list(self._trees.values())]

    def attempts(self) -> list[AttemptRow]:
        """All that are watched."""
        found = {key: young.attempt for key, young in list(self._young.items())}  # first: `_promote` moves them on
        found |= {key: tree.attempt for key, (_, tree) in list(self._trees.items())}
        return list(found.values())

    def usages(self) -> dict[Key, dict[str, Any]]:
        """What would be stored now of all that have been sampled."""
        return {key: tree.usage() for key, (_, tree) in list(self._trees.items()) if tree.samples}

    # The thread.

    def _run(self) -> None:
        while True:
            self._next_at = math.inf  # whoever is watched from here on sets the event
            self._next_at = at = self._plan()
            self._wake.wait(None if at == math.inf else max(0.0, at - time.monotonic()))
            self._wake.clear()
            if self._closing:
                return
            try:
                self._turn()
            except Exception:  # measuring may fail; the thread must survive it
                logger.exception("a sweep over process trees failed")
                self._rest_until = time.monotonic() + INTERVAL_SECONDS

    def _plan(self) -> float:
        """When to sweep next; inf while nothing is watched."""
        at = [young.since + DENSE_SECONDS[0] for young in list(self._young.values())]
        at += [self._due.get(key, 0.0) for key in list(self._trees)]
        if not at and self._ended:
            return time.monotonic()
        if not at:
            self._keep_at = math.inf
            return math.inf
        return max(math.ceil(min(at) / STEP_SECONDS) * STEP_SECONDS, self._rest_until)

    def _turn(self) -> None:
        now = time.monotonic()
        with self._lock:
            self._close_ended()
        if now < self._next_at:
            return
        began = time.thread_time()
        self.sweep(now)
        ended = time.monotonic()
        self._rest_until = ended + REST * (time.thread_time() - began)
        self._on_sweep(ended - now)
        if self._keep_at == math.inf:
            self._keep_at = now + KEEP_SECONDS
        elif self._keep_at <= now:
            self._keep_at = now + KEEP_SECONDS
            self._on_keep(self.usages())

    def sweep(self, now: float | None = None) -> int:
        """Sample the trees that are due (None: all of them) and give their number."""
        for key, young in list(self._young.items()):
            if now is None or young.since + DENSE_SECONDS[0] <= now + STEP_SECONDS / 10:
                with self._lock:
                    self._promote(key)
        due = [
            (key, since, tree)
            for key, (since, tree) in list(self._trees.items())
            if now is None or self._due.get(key, 0.0) <= now + STEP_SECONDS / 10
        ]
        if not due:
            return 0
        self._sweeps += 1
        if self._sweeps % THOROUGH_EVERY == 0:
            self._strangers.clear()
        with self._lock:
            orphans = self._orphans()
        table = None if processes.HAS_CHILDREN_FILE else processes.all_parents()
        for key, since, tree in due:
            with self._lock:
                if key in self._trees:
                    self._sample(tree, orphans.pop(key, ()), table)
                    self._due[key] = _next(since, now if now is not None else time.monotonic())
        for key, found in orphans.items():  # of trees whose turn it is not
            with self._lock:
                entry = self._trees.get(key)
                for process in found:
                    if entry is None or entry[1].members.setdefault(process.pid, process) is not process:
                        process.close()
        for key in self._due.keys() - self._trees.keys():
            del self._due[key]
        return len(due)

    def _sample(
        self,
        tree: Tree,
        orphans: Sequence[Process] = (),
        table: Mapping[int, Sequence[bytes]] | None = None,
        *,
        thorough: bool = False,
    ) -> None:
        if table is None and not processes.HAS_CHILDREN_FILE:
            table = processes.all_parents()

        def listed(process: Process, _: bool) -> Sequence[bytes]:
            return table.get(process.pid, ()) if table is not None else ()

        children = Process.children if table is None else listed
        dense = tree.samples < len(DENSE_SECONDS)
        turn = (tree.samples + tree.attempt.position) % THOROUGH_EVERY  # not all trees in one sweep
        tree.sample(children, orphans, thorough=thorough or dense or turn == 0)

    def _find(self, key: Key) -> Tree | None:
        if key in self._young:
            self._promote(key)
        entry = self._trees.get(key)
        return entry[1] if entry is not None else None

    def _promote(self, key: Key) -> None:
        """To the trees that are sampled; unless it has ended in this very moment."""
        young = self._young.get(key)
        if young is not None:
            self._trees[key] = young.since, Tree(young.workflow, young.attempt, self._allowance, young.kept)
            if self._young.pop(key, None) is None:
                self._trees.pop(key, None)

    def _close_ended(self) -> None:
        while self._ended:
            self._ended.popleft().close()

    def _orphans(self) -> dict[Key, list[Process]]:
        """Processes that lost their parents, by the tree whose session or marker they have."""
        trees = [tree for _, tree in list(self._trees.values())]
        attempts = self.attempts()
        sessions = {attempt.pid: key_of(attempt) for attempt in attempts}
        known = {pid for tree in trees for pid in tree.members}
        homes = {home for tree in trees for home in tree.homes} - known
        found: dict[Key, list[Process]] = {}
        strangers: set[int] = set()
        for home in homes:
            for child in processes.children_of(home):
                pid = int(child)
                if pid in known or pid in sessions:
                    continue
                if pid in self._strangers:
                    strangers.add(pid)
                    continue
                with suppress(OSError):
                    process = Process(pid, self._allowance)
                    key = sessions.get(process.session)
                    if key is None:
                        uid = proc.marker(pid)
                        key = next((key_of(attempt) for attempt in attempts if attempt.uuid == uid), None)
                    if key is None:
                        strangers.add(pid)
                    if key is None or process.is_zombie:
                        process.close()
                    else:
                        found.setdefault(key, []).append(process)
        self._strangers = strangers
        return found


def key_of(attempt: AttemptRow) -> Key:
    return attempt.run_id, attempt.position, attempt.number


def _next(since: float, now: float) -> float:
    """When a tree watched since then is to be sampled again: in its dense phase, then together with all others."""
    for offset in DENSE_SECONDS:
        if since + offset > now + STEP_SECONDS / 2:
            return since + offset
    return (math.floor(now / INTERVAL_SECONDS) + 1) * INTERVAL_SECONDS
