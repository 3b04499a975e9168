"""Old runs and too many logs go, a little at a time, while everything else goes on.

Looking (which runs, which files, how large) and deleting files are jobs of the pool. The loop only commits
deletions of rows, a bounded number in each turn, with a pause between them. Rows go first, files afterwards: what a
crash leaves in between are log directories that no run claims, and `sweep` removes those at the next start.
"""

import logging
import os
import shutil
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from wattle.errors import Unavailable, WattleError
from wattle.logs.files import logs_root
from wattle.store.removal import Outdated, Removals
from wattle.supervisor.clock import Clock, Timers
from wattle.supervisor.outbox import Outbox

logger = logging.getLogger(__name__)

EVERY_SECONDS = 3600.0
ROWS_A_STEP = 150  # 0.3 ms of the loop, and a commit
RUNS_A_LOOK = 500
PAUSE_SECONDS = 0.05
DAY_MICROSECONDS = 86_400_000_000
STAMP = "retention"  # its mtime is when Wattle last looked
LOST = "lost"

Step = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """A run goes when it is beyond `runs` and older than `days`; logs go, the oldest first, beyond `log_bytes`."""

    runs: int = 200
    days: int = 90
    log_bytes: int = 10 * 1024**3


@dataclass(frozen=True, slots=True)
class Found:
    """What a look found to go: runs with the ids of their events, and runs whose logs alone go."""

    runs: tuple[int, ...] = ()
    events: tuple[int, ...] = ()
    logs: tuple[int, ...] = ()
    more: bool = False  # there may be more: look again soon


@dataclass(slots=True)
class Sizes:
    """The bytes of ended runs' logs, measured once: they no longer grow. The pool's; one look at a time."""

    data_dir: str
    known: dict[int, int] = field(default_factory=dict)

    def of(self, run_id: int) -> int:
        if run_id not in self.known:
            self.known[run_id] = _size_of(log_directory(self.data_dir, run_id))
        return self.known[run_id]

    def keep_only(self, runs: Sequence[int]) -> None:
        self.known = {run: size for run, size in self.known.items() if run in set(runs)}


def look(outdated: Outdated, limits: Limits, sizes: Sizes, now: int) -> Found:
    """What is to go as of `now` (µs). Reads the store and the sizes of log directories."""
    before = now - limits.days * DAY_MICROSECONDS
    runs = outdated.runs(keep=limits.runs, before=before, limit=RUNS_A_LOOK)
    events = [event for piece in outdated.events(runs) for event in piece] if runs else []
    logged = [run for run in outdated.logged() if run.id not in set(runs)]
    sizes.keep_only([run.id for run in logged])
    excess = sum(sizes.of(run.id) for run in logged) - limits.log_bytes
    logs = []
    for run in logged:
        if excess <= 0:
            break
        size = sizes.of(run.id)
        if not run.is_latest and size:
            logs.append(run.id)
            excess -= size
    return Found(tuple(runs), tuple(events), tuple(logs), len(runs) == RUNS_A_LOOK)


class Retention:
    """The loop's side: when to look, and the deletions, step by step. The loop's thread only."""

    def __init__(
        self,
        limits: Limits,
        removals: Removals,
        outdated: Outdated,
        data_dir: str,
        outbox: Outbox,
        timers: Timers,
        clock: Clock,
        commit: Callable[[Step], None],
        post: Callable[[Step], None],
    ) -> None:
        self._limits = limits
        self._removals = removals
        self._outdated = outdated
        self._data_dir = data_dir
        self._outbox = outbox
        self._timers = timers
        self._clock = clock
        self._commit = commit
        self._post = post
        self._sizes = Sizes(data_dir)
        self._steps: deque[Step] = deque()
        self._gone: list[int] = []

    def begin(self) -> None:
        """Remove what a crash left, then look: now, or when the last look, of whichever daemon, is an hour old."""
        sweep_job = sweep(self._outdated, self._data_dir, self._clock.now())
        if sweep_job is not None:
            self._outbox.job(sweep_job)
        age = (self._clock.now() / 1e6) - _stamped_at(self._data_dir)
        delay = EVERY_SECONDS - age if 0 <= age < EVERY_SECONDS else 0.0
        self._timers.at(self._clock.monotonic() + delay, self._look)

    def _look(self) -> None:
        _stamp(self._data_dir, self._clock.now())
        self._outbox.job(partial(self._look_on_the_pool, self._clock.now()))

    def _look_on_the_pool(self, now: int) -> None:
        found = Found()
        try:
            found = look(self._outdated, self._limits, self._sizes, now)
        except WattleError as error:
            logger.warning("old runs could not be looked for: %s", error)
        except Exception:  # a defect in one look may not end all later ones
            logger.exception("old runs could not be looked for")
        self._post(partial(self._take_in, found))

    def _take_in(self, found: Found) -> None:
        events, logs = found.events, found.logs
        for start in range(0, len(events), ROWS_A_STEP):
            self._steps.append(partial(self._removals.delete_events, events[start : start + ROWS_A_STEP]))
        self._steps.extend(partial(self._delete_run, run) for run in found.runs)
        for start in range(0, len(logs), ROWS_A_STEP):
            self._steps.append(partial(self._remove_logs, logs[start : start + ROWS_A_STEP]))
        if found.runs or found.logs:
            logger.info("retention removes %d old runs, and the logs of %d", len(found.runs), len(logs))
        self._next(found.more)

    def _next(self, more: bool) -> None:
        """One step in one commit; then the files of what it removed, and a pause."""
        if not self._steps:
            delay = PAUSE_SECONDS if more else EVERY_SECONDS
            self._timers.at(self._clock.monotonic() + delay, self._look)
            return
        step = self._steps.popleft()
        self._gone.clear()
        try:
            self._commit(step)
        except Unavailable as error:
            logger.warning("old runs could not be deleted, which is tried again in an hour: %s", error)
            self._steps.clear()
            more = False
        else:
            for run in self._gone:
                self._outbox.job(partial(remove, log_directory(self._data_dir, run)))
        self._timers.at(self._clock.monotonic() + PAUSE_SECONDS, partial(self._next, more))

    def _delete_run(self, run: int) -> None:
        if self._removals.delete_run(run, ROWS_A_STEP):
            self._gone.append(run)
        else:
            self._steps.appendleft(partial(self._delete_run, run))

    def _remove_logs(self, runs: Sequence[int]) -> None:
        self._removals.logs_removed(runs, self._clock.now())
        self._gone.extend(runs)


def sweep(outdated: Outdated, data_dir: str, now: int) -> Callable[[], None] | None:
    """Deal with log directories of no run before any new one is made; the job that deletes them, None for none.

    One whose number was given by this database is what a removal left: it is deleted. One with a higher number is
    from a database that is not here any more (an older backup was put in its place): a new run would get its
    number, so it is moved out of the way, and nothing of it is lost.
    """
    root = logs_root(data_dir)
    try:
        numbers = [int(name) for name in os.listdir(root) if name.isascii() and name.isdigit()]
    except OSError:
        return None
    known, last = outdated.with_logs(), outdated.last_run_id()
    strangers = [number for number in numbers if number > last]
    for number in strangers:
        with suppress(OSError):
            os.rename(f"{root}/{number}", f"{root}/{LOST}-{number}-{now // 1_000_000}")
            logger.warning("the logs of run %d, which the database does not know, were set aside in %s", number, root)
    left = [f"{root}/{number}" for number in numbers if number <= last and number not in known]
    return partial(_remove_all, left) if left else None


def log_directory(data_dir: str, run_id: int) -> str:
    return f"{logs_root(data_dir)}/{run_id}"


def remove(directory: str) -> None:
    """Delete a directory with what is in it, on the pool. What cannot be deleted is tried again at the next start."""
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        pass
    except OSError as error:
        logger.warning("%s could not be deleted: %s", directory, error)


def _remove_all(directories: Sequence[str]) -> None:
    for directory in directories:
        remove(directory)


def _size_of(directory: str) -> int:
    """What it takes on disk: sparse files may be longer than that."""
    total = 0
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            with suppress(OSError):
                total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


def _stamped_at(data_dir: str) -> float:
    try:
        return os.stat(os.path.join(data_dir, STAMP)).st_mtime
    except OSError:
        return 0.0


def _stamp(data_dir: str, now: int) -> None:
    path = os.path.join(data_dir, STAMP)
    with suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        os.utime(path, (now / 1e6, now / 1e6))
