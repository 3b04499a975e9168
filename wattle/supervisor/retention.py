"""Old runs and too many logs go, a little at a time, while everything else goes on.

Looking (which runs, which files, how large) and deleting files are jobs of the pool. The loop only commits
deletions of rows, a bounded number in each turn, with a pause between them. Rows go first, files afterwards: what a
crash leaves in between are log directories that no run claims, and logs of attempts that are marked as having none;
`sweep` and `sweep_attempts` remove those at the next start.

Of an active run the logs of single attempts go, but never those of a worker's newest one: what comes after it is not
recorded yet, and its log alone tells whether it was spawned (recovery.py).
"""

import heapq
import logging
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from wattle.errors import Unavailable, WattleError
from wattle.keeper.failpoints import reach
from wattle.logs.files import logs_root
from wattle.store.removal import LoggedAttempt, LoggedRun, Outdated, Removals
from wattle.supervisor.attempt_logs import remove_attempts, size_of_attempt, sweep_attempts
from wattle.supervisor.clock import Clock, Timers
from wattle.supervisor.outbox import Outbox

logger = logging.getLogger(__name__)

EVERY_SECONDS = 3600.0
ROWS_A_STEP = 150  # 0.3 ms of the loop, and a commit
RUNS_A_LOOK = 500
ATTEMPTS_A_LOOK = 5000
PAUSE_SECONDS = 0.05
DAY_MICROSECONDS = 86_400_000_000
STAMP = "retention"  # its mtime is when Wattle last looked
LOST = "lost"

Step = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """A run goes when it is beyond `runs` and older than `days`; logs go, the oldest first, beyond `log_bytes`.

    Within an active run, an attempt's logs go by the same rule: beyond the worker's newest `runs`, older than `days`.
    """

    runs: int = 200
    days: int = 90
    log_bytes: int = 10 * 1024**3


@dataclass(frozen=True, slots=True)
class Found:
    """What a look found to go: runs with the ids of their events; runs, and attempts of others, whose logs alone go."""

    runs: tuple[int, ...] = ()
    events: tuple[int, ...] = ()
    logs: tuple[int, ...] = ()
    attempts: tuple[LoggedAttempt, ...] = ()
    more: bool = False  # there may be more: look again soon


@dataclass(slots=True)
class Sizes:
    """The bytes of the logs of ended runs, and of ended attempts of others, measured once: they no longer grow.

    The pool's; one look at a time.
    """

    data_dir: str
    runs: dict[int, int] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)

    def of(self, logged: LoggedRun | LoggedAttempt) -> int:
        if isinstance(logged, LoggedRun):
            if logged.id not in self.runs:
                self.runs[logged.id] = _size_of(log_directory(self.data_dir, logged.id))
            return self.runs[logged.id]
        if logged.id not in self.attempts:
            self.attempts[logged.id] = size_of_attempt(self.data_dir, logged)
        return self.attempts[logged.id]

    def keep_only(self, runs: Iterable[LoggedRun], attempts: Iterable[LoggedAttempt]) -> None:
        self.runs = _only(self.runs, {run.id for run in runs})
        self.attempts = _only(self.attempts, {attempt.id for attempt in attempts})


def _only(known: Mapping[int, int], wanted: Set[int]) -> dict[int, int]:
    return {number: size for number, size in known.items() if number in wanted}


def look(outdated: Outdated, limits: Limits, sizes: Sizes, now: int) -> Found:
    """What is to go as of `now` (µs). Reads the store and the sizes of log directories."""
    before = now - limits.days * DAY_MICROSECONDS
    runs = outdated.runs(keep=limits.runs, before=before, limit=RUNS_A_LOOK)
    events = [event for piece in outdated.events(runs) for event in piece] if runs else []
    going = set(runs)
    logged = [run for run in outdated.logged() if run.id not in going]
    gone: list[LoggedAttempt] = []
    kept: list[LoggedAttempt] = []
    for attempt in outdated.logged_attempts():
        is_outdated = attempt.newer >= max(1, limits.runs) and attempt.ended_at < before
        (gone if is_outdated else kept).append(attempt)
    sizes.keep_only(logged, kept)
    logs = []
    for each in _beyond(limits.log_bytes, logged, kept, sizes):
        if isinstance(each, LoggedRun):
            logs.append(each.id)
        else:
            gone.append(each)
    more = len(runs) == RUNS_A_LOOK or len(gone) > ATTEMPTS_A_LOOK
    return Found(tuple(runs), tuple(events), tuple(logs), tuple(gone[:ATTEMPTS_A_LOOK]), more)


def _beyond(
    most: int, runs: Sequence[LoggedRun], attempts: Sequence[LoggedAttempt], sizes: Sizes
) -> Iterator[LoggedRun | LoggedAttempt]:
    """Whose logs are to go until the rest takes no more than `most` bytes, by when they ended, as both are given."""
    both: tuple[Sequence[LoggedRun | LoggedAttempt], ...] = (runs, attempts)
    logged = list(heapq.merge(*both, key=lambda each: each.ended_at))
    excess = sum(map(sizes.of, logged)) - most
    for each in logged:
        if excess <= 0:
            return
        size = sizes.of(each)
        is_needed = each.is_latest if isinstance(each, LoggedRun) else not each.newer
        if size and not is_needed:
            yield each
            excess -= size


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
        self._gone: list[Step] = []  # what deletes the files of what a step removes

    def begin(self) -> None:
        """Remove what a crash left, then look: now, or when the last look, of whichever daemon, is an hour old."""
        sweep_job = sweep(self._outdated, self._data_dir, self._clock.now())
        if sweep_job is not None:
            self._outbox.job(sweep_job)
        self._outbox.job(partial(sweep_attempts, self._outdated, self._data_dir))
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
        events, logs, attempts = found.events, found.logs, found.attempts
        for start in range(0, len(events), ROWS_A_STEP):
            self._steps.append(partial(self._removals.delete_events, events[start : start + ROWS_A_STEP]))
        self._steps.extend(partial(self._delete_run, run) for run in found.runs)
        for start in range(0, len(logs), ROWS_A_STEP):
            self._steps.append(partial(self._remove_logs, logs[start : start + ROWS_A_STEP]))
        for start in range(0, len(attempts), ROWS_A_STEP):
            self._steps.append(partial(self._remove_attempts, attempts[start : start + ROWS_A_STEP]))
        if found.runs or logs or attempts:
            text = "retention removes %d old runs, and the logs of %d, and those of %d attempts of active runs"
            logger.info(text, len(found.runs), len(logs), len(attempts))
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
            if self._gone:
                reach("daemon.retention.committed")
            for job in self._gone:
                self._outbox.job(job)
        self._timers.at(self._clock.monotonic() + PAUSE_SECONDS, partial(self._next, more))

    def _delete_run(self, run: int) -> None:
        if self._removals.delete_run(run, ROWS_A_STEP):
            self._gone.append(partial(remove, log_directory(self._data_dir, run)))
        else:
            self._steps.appendleft(partial(self._delete_run, run))

    def _remove_logs(self, runs: Sequence[int]) -> None:
        self._removals.logs_removed(runs, self._clock.now())
        self._gone.extend(partial(remove, log_directory(self._data_dir, run)) for run in runs)

    def _remove_attempts(self, attempts: Sequence[LoggedAttempt]) -> None:
        self._removals.attempt_logs_removed([attempt.id for attempt in attempts], self._clock.now())
        self._gone.append(partial(remove_attempts, self._data_dir, attempts))


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
    for place in (directory, f"{directory}/times"):
        with suppress(OSError), os.scandir(place) as entries:
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
