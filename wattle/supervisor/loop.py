"""The turn: take in what arrived, decide, write it down, act, answer. One thread, the only writer.

Other threads come in by `call` (a wish, answered after its commit) and `post` (a message). Nothing here
touches a user's file system: that is the pool's part.
"""

import logging
import os
import select
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from wattle.errors import Conflict, OutOfSpace, Refused, Unavailable, WattleError
from wattle.keeper.failpoints import reach
from wattle.store.queries import Queries
from wattle.store.records import Records
from wattle.store.removal import Outdated, Removals
from wattle.supervisor import files, looks
from wattle.supervisor.clock import Clock, Timers
from wattle.supervisor.commands import Commands, StaleDefinition
from wattle.supervisor.keeper_link import KeeperGone
from wattle.supervisor.keepers import Link
from wattle.supervisor.ledger import Ledger
from wattle.supervisor.observer import Observer
from wattle.supervisor.ordering import Places
from wattle.supervisor.outbox import Outbox
from wattle.supervisor.retention import Limits, Retention
from wattle.supervisor.runs import Runs
from wattle.supervisor.signals import Signals
from wattle.supervisor.space import COMMITTED_LOOK_SECONDS, LOOK_SECONDS, Space

logger = logging.getLogger(__name__)
T = TypeVar("T")
Message = Callable[[], None]
POOL_THREADS = 4
LOOK_THREADS = 16  # at one time; a look waits for whom it asks
STORE_RETRY_SECONDS = 0.5
KEEPER_RETRY_SECONDS = 2.0
THREAD_RETRY_SECONDS = 0.5
ACKNOWLEDGE_EVERY = 2000  # records, before the keeper is told that it may delete old journal segments


class Supervisor:
    """The owner of live state. `on_commit` is called after each commit, on the loop's thread."""

    def __init__(
        self,
        records: Records,
        queries: Queries,
        places: Places,
        clock: Clock | None = None,
        *,
        space: Space | None = None,
        on_commit: Callable[[], None] = lambda: None,
        observer: Observer | None = None,
    ) -> None:
        self._observer = observer or Observer()
        self._records = records
        self.space = space or Space(places.data_dir)
        self.clock = clock or Clock()
        self._timers = Timers()
        self.outbox = Outbox()
        self.ledger = Ledger(records)
        self.runs = Runs(self.ledger, self.outbox, self._timers, self.clock, places, queries.capture, observer)
        self.commands = Commands(self.runs, records, queries, self.ledger, self.clock, self.commit)
        self._data_dir = places.data_dir
        self._on_commit = on_commit
        self.link: Link | None = None
        self.reconnect: Callable[[], None] = lambda: None  # set by recovery: finds or starts a keeper
        self.imported: dict[str, int] = {}
        self.signals = Signals(self.outbox, self.ledger, self._timers, self.clock, lambda: self.link)
        self._acknowledged = 0
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._inbox: deque[Message] = deque()
        self._pool = ThreadPoolExecutor(POOL_THREADS, thread_name_prefix="files")
        self._looks: ThreadPoolExecutor | None = None
        self._ending = False
        self._is_closed = False
        self._watches_unsent = False
        self._store_broken_until = 0.0
        self._sealed_afterwards: list[Callable[[], None]] = []
        self._unwritten: list[Future[Any]] = []  # of wishes that were taken in and are not on disk yet
        self._waiting: list[Future[Any]] = []  # of wishes that take time
        self._space_due: float | None = None  # the next look at the room in the data directory

    # --- from other threads

    def call(self, wish: Callable[[Commands], T]) -> "Future[T]":
        """Have the loop do it; the future answers after the commit. Errors are WattleErrors."""
        future: Future[T] = Future()

        def turn() -> None:
            try:
                self.space.require_store()
                with self._taking_in(future):
                    answer = wish(self.commands)
            except (WattleError, StaleDefinition) as error:
                future.set_exception(error)
            except Exception as error:  # the loop must survive a bug in one wish
                logger.exception("a call failed")
                future.set_exception(error)
            else:
                self.outbox.answer(lambda: _give(future, answer))

        self.post(turn)
        return future

    def call_until_done(self, wish: Callable[[Commands, Callable[[Any], None]], None]) -> "Future[Any]":
        """Have the loop begin it; the future answers when it has been brought about."""
        future: Future[Any] = Future()

        def done(answer: Any) -> None:
            _give(future, answer)

        def turn() -> None:
            try:
                self._require_store()
                self._waiting.append(future)
                wish(self.commands, lambda answer: self.outbox.answer(lambda: done(answer)))
            except WattleError as error:
                done(error)
            except StaleDefinition:
                done(Conflict("WORKFLOW_CHANGED", "The workflow was changed at the same instant; try again"))
            except Exception as error:  # the loop must survive a bug in one wish
                logger.exception("a call failed")
                done(error)

        self.post(turn)
        return future

    def is_turning(self, within_seconds: float = 1.0) -> bool:
        """Does the loop answer, whatever the store does. Any thread but its own."""
        turned: Future[bool] = Future()
        self.post(lambda: turned.set_result(True))
        try:
            return turned.result(within_seconds)
        except TimeoutError:
            return False

    def post(self, message: Message) -> None:
        """Have the loop take this in on its next turn. Any thread, and signal handlers."""
        self._inbox.append(message)
        if not self._is_closed:
            os.eventfd_write(self._wake, 1)

    def end(self, *, with_keeper: bool = False) -> None:
        """End the loop after its turn; workers and keeper go on, unless the keeper is told to go too. Any thread."""
        self.post(lambda: self._end(with_keeper))

    def _end(self, with_keeper: bool) -> None:
        self._ending = True
        if with_keeper and self.link is not None:
            self.outbox.send({"type": "quit"})

    def begin_retention(self, limits: Limits, removals: Removals, outdated: Outdated) -> None:
        """From now on old runs and too many logs go. On the loop's thread, after recovery and before any new run."""
        Retention(
            limits, removals, outdated, self._data_dir, self.outbox, self._timers, self.clock, self.commit, self.post
        ).begin()

    # --- the loop

    def run(self) -> None:
        """Turn after turn, until `end`."""
        self._look_at_space()
        while not self._ending:
            self.turn()
        self._flush(at_end=True)
        self._act()
        self._answer()

    def close(self) -> None:
        """Give everything back. What is posted afterwards is never looked at."""
        self._is_closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._looks is not None:
            self._looks.shutdown(wait=False, cancel_futures=True)
        if self.link is not None:
            self.link.close()
        self.runs.reports.witnesses.close()
        self._epoll.close()
        os.close(self._wake)

    def turn(self) -> None:
        """What follows from reports is acted on before it is written, what a user asked for only afterwards."""
        frames = self._wait()
        began = self.clock.monotonic()
        self._decide(frames)
        self._hold_back()
        if not self.ledger.urgent:
            self._act()
        if self._flush_is_due():
            self._flush()
        self._act()
        self._answer()
        self._observer.turned(self.clock.monotonic() - began)

    def _wait(self) -> list[dict[str, Any]]:
        timeout = -1.0
        monotonic = self.clock.monotonic()
        due = [at for at in (self._timers.next_due(), self._flush_due(monotonic)) if at is not None]
        if self._inbox or self._has_early() or self._can_act(monotonic):
            timeout = 0.0
        elif due:
            timeout = max(0.0, min(due) - monotonic)
        frames: list[dict[str, Any]] = []
        for descriptor, events in self._epoll.poll(timeout):
            if descriptor == self._wake:
                os.eventfd_read(self._wake)
            elif self.link is not None and descriptor == self.link.fileno():
                frames += self._receive(events)
        if self._has_early():  # what came on the socket after them is read with them
            frames = self._receive(select.EPOLLIN) + frames
        return frames

    def _has_early(self) -> bool:
        return self.link is not None and self.link.has_early

    def _can_act(self, monotonic: float) -> bool:
        """Something was decided that nothing holds back: neither the store nor the lack of a keeper."""
        if self._store_broken_until > monotonic or self._is_held():
            return False
        return self.outbox.has_others or (self.link is not None and self.outbox.has_frames)

    def _is_held(self) -> bool:
        """What a user asked for is not on disk yet: deeds and answers wait."""
        return self.ledger.urgent and not self.ledger.is_empty

    def _receive(self, events: int) -> list[dict[str, Any]]:
        assert self.link is not None
        try:
            if events & select.EPOLLOUT:
                self.link.flush()
                self._watch_link()
            if events & ~select.EPOLLOUT:
                return self.link.receive()
        except KeeperGone as error:
            self.lose_keeper(str(error))
        return []

    def _decide(self, frames: list[dict[str, Any]]) -> None:
        for frame in frames:
            self._survive(partial(self._frame, frame))
        while self._inbox:
            self._survive(self._inbox.popleft())
        for timer in self._timers.take_due(self.clock.monotonic()):
            self._survive(timer)

    def _survive(self, decide: Message) -> None:
        try:
            decide()
        except Exception:  # the loop must survive: a bug in one transition may not take the others along
            logger.exception("a decision failed")

    def _frame(self, frame: Mapping[str, Any]) -> None:
        match frame["type"]:
            case "report":
                reach("daemon.report.received")
                for record in frame["records"]:
                    self.take_record(self.runs.reports.keeper_id, record)
            case "withdrawn":
                for uid in frame["uids"]:
                    self.runs.reports.gone(uid)
            case "gone":
                self.runs.reports.gone(frame["uid"])
            case "stuck":
                self._stuck(frame["uid"], frame["pids"])
            case "signalled":
                self.signals.answered(frame["request"], frame["pids"], frame["refused"])
            case "held":
                self.space.keeper_says(frame["reason"])

    def take_record(self, keeper_id: str, record: Mapping[str, Any]) -> None:
        """Import one record of a keeper's journal, once."""
        seq = record["seq"]
        if seq <= self.imported.get(keeper_id, 0):
            return
        self.imported[keeper_id] = seq
        self.ledger.imported(keeper_id, seq)
        self._survive(partial(self.runs.reports.record, record))

    def _stuck(self, uid: str, pids: list[int]) -> None:
        found = self.runs.reports.stuck(uid, pids)
        if found is None:
            return
        run, live = found
        shown = ", ".join(map(str, pids))
        error = Unavailable("STOP_INCOMPLETE", f"Worker '{live.name}' is being stopped, but these do not die: {shown}")
        for waiter in (*live.waiters, *run.impatient):
            self.outbox.answer(partial(waiter, error))
        live.waiters.clear()
        run.impatient.clear()
        self.ledger.urgent = True

    # --- write down

    def _flush_due(self, monotonic: float) -> float | None:
        due = self.ledger.due_at(monotonic)
        return None if due is None else max(due, self._store_broken_until)

    def _flush_is_due(self) -> bool:
        monotonic = self.clock.monotonic()
        due = self._flush_due(monotonic)
        return due is not None and due <= monotonic

    def _flush(self, *, at_end: bool = False) -> None:
        ledger = self.ledger
        if ledger.wants_sync and not at_end:
            self._sealed_afterwards += self.outbox.take_afterwards()
            self._submit(partial(files.sync, ledger.seal(self.clock.monotonic())))
            return
        try:
            self.commit(None)
        except (Unavailable, Refused) as error:
            self.space.store_failed(error)
            self._store_broken_until = self.clock.monotonic() + STORE_RETRY_SECONDS
            self._refuse_unwritten(error)

    def commit(self, extra: Callable[[], T] | None) -> T | None:
        """Write `extra` and all gathered facts in one transaction. Raises Unavailable; then nothing was written,
        the facts stay gathered, and what `extra` gathered is dropped.

        On a full disk the ballast is given up for the facts, not for `extra`, which is always a user's wish.
        """
        if extra is None and self.ledger.is_empty:
            return None
        if extra is not None:
            self.space.require()
        try:
            return self._commit(extra)
        except OutOfSpace:
            self.space.fills()
            self._look_at_space_in(LOOK_SECONDS)
            if extra is not None or not self.space.give_up_ballast():
                raise
            return self._commit(extra)

    def _commit(self, extra: Callable[[], T] | None) -> T | None:
        ledger = self.ledger
        everything = extra is not None or ledger.writes_all
        mark = ledger.mark()
        began = self.clock.monotonic()
        try:
            with self._records.transaction():
                result = extra() if extra is not None else None
                ledger.write(everything=everything)
                reach("daemon.commit.before")
                for job in self.outbox.take_ahead():
                    self._submit(job)
        except BaseException:
            self.outbox.take_ahead()
            ledger.rewind(mark)
            raise
        reach("daemon.commit.after")
        self._observer.committed(self.clock.monotonic() - began)
        ledger.forget(everything=everything)
        afterwards, self._sealed_afterwards = self._sealed_afterwards, []
        if everything:
            self._unwritten.clear()
            self._waiting = [future for future in self._waiting if not future.done()]
            afterwards += self.outbox.take_afterwards()
        self.space.store_works()
        if self._space_due is None:
            self._look_at_space_in(COMMITTED_LOOK_SECONDS)
        for call in afterwards:
            call()
        self._on_commit()
        self._acknowledge()
        return result

    def _require_store(self) -> None:
        """Raises before a wish changes anything that could not be written down: a lock is found out here."""
        self.space.require_store()
        with self._records.transaction():
            pass

    @contextmanager
    def _taking_in(self, future: "Future[Any]") -> Iterator[None]:
        """Remember whose wish it is, if it changes what only the next flush writes down."""
        others_wait, self.ledger.urgent = self.ledger.urgent, False
        try:
            yield
        finally:
            if self.ledger.urgent:
                self._unwritten.append(future)
            self.ledger.urgent |= others_wait

    def _refuse_unwritten(self, error: WattleError) -> None:
        """Who waits for a commit is told that it has to wait; what was wished for is not forgotten."""
        message = f"{error.message}. What you asked for is kept in memory and done as soon as it can be written down"
        for future in (*self._unwritten, *self._waiting):
            _give(future, type(error)(error.code, message))
        self._unwritten.clear()
        self._waiting.clear()

    def _look_at_space(self) -> None:
        self._space_due = None
        seconds = self.space.look()
        if seconds is not None:
            self._look_at_space_in(seconds)

    def _look_at_space_in(self, seconds: float) -> None:
        """The next look; one that was due at another instant is called off."""
        due = self._space_due = self.clock.monotonic() + seconds
        self._timers.at(due, lambda: self._look_at_space() if due == self._space_due else None)

    def _acknowledge(self) -> None:
        seq = self.imported.get(self.runs.reports.keeper_id, 0)
        if self.link is not None and seq - self._acknowledged >= ACKNOWLEDGE_EVERY:
            self._acknowledged = seq
            self.outbox.send({"type": "imported", "seq": seq})

    # --- act and answer

    def _hold_back(self) -> None:
        """Before anything is written: a commit may take as long as a hundred workers."""
        uids = self.outbox.take_held_back()
        if not uids or self.link is None:
            return
        try:
            self.link.send({"type": "withdraw", "uids": uids, "request": 0})
            self._watch_link()
        except KeeperGone as error:
            self.lose_keeper(str(error))

    def _act(self) -> None:
        if self._is_held():
            return
        if self.link is not None:
            try:
                for frame in self.outbox.take_frames():
                    reach("daemon.send.before")
                    self.link.send(frame)
                    reach("daemon.send.after")
                self._watch_link()
            except KeeperGone as error:
                self.lose_keeper(str(error))
        for job in self.outbox.take_jobs():
            self._submit(job)
        for look in self.outbox.take_looks():
            self._submit_look(look)

    def _submit_look(self, look: Callable[[], Any]) -> None:
        if self._looks is None:
            self._looks = ThreadPoolExecutor(LOOK_THREADS, thread_name_prefix="probes")
        self._queue_job(self._looks, look)

    def _submit(self, job: Callable[[], Any]) -> None:
        self._queue_job(self._pool, job)

    def _queue_job(self, pool: ThreadPoolExecutor, job: Callable[[], Any] | None) -> None:
        """None: only see that there is a thread for what is queued."""
        try:
            pool.submit(_nothing if job is None else partial(self._run_job, job))
        except RuntimeError:  # no thread can be started now; the job is in the queue all the same
            logger.error("jobs on files wait for a thread: none can be started")
            self._timers.at(self.clock.monotonic() + THREAD_RETRY_SECONDS, partial(self._queue_job, pool, None))

    def _run_job(self, job: Callable[[], Any]) -> None:
        try:
            message = job()
        except Exception:  # a bug in one job may not leave its run waiting for ever
            logger.exception("a job on files failed")
            message = files.Crashed(job)
        self.post(lambda: self._job_done(message))

    def _job_done(self, message: Any) -> None:
        match message:
            case files.Prepared():
                self.runs.prepared(message)
            case files.Crashed():
                self.runs.job_crashed(message)
            case files.OutputsSeen() | files.Placed() | files.LastWords():
                self.runs.settling.take_in(message)
            case looks.Looked():
                self.runs.services.looked(message)
            case files.Synced():
                self.ledger.synced()

    def _answer(self) -> None:
        if self._is_held():
            return
        for answer in self.outbox.take_answers():
            reach("daemon.answer.before")
            self._survive(answer)

    def _watch_link(self) -> None:
        if self.link is not None and self.link.has_unsent != self._watches_unsent:
            self._watches_unsent = self.link.has_unsent
            self._epoll.modify(self.link.fileno(), select.EPOLLIN | (select.EPOLLOUT if self._watches_unsent else 0))

    def attach(self, link: Link) -> None:
        """Listen to a keeper from now on."""
        self.link = link
        self.space.keeper_says(None)  # this one says what holds it back
        self._acknowledged = 0
        self._watches_unsent = False
        self.runs.ahead.keeper_is(link.hello.get("features", ()))
        self._epoll.register(link.fileno(), select.EPOLLIN)

    def lose_keeper(self, why: str) -> None:
        """The connection has ended: go on with the keeper that is found, or with a new one."""
        if self._ending:
            return
        self.runs.reports.witness()  # at once: who ends from now on ends unseen
        logger.warning("the keeper is gone (%s); finding or starting another", why)
        reach("daemon.keeper.lost")
        if self.link is not None:
            self._epoll.unregister(self.link.fileno())
            self.link.close()
            self.link = None
        self.signals.keeper_lost()
        self._find_keeper()

    def _find_keeper(self) -> None:
        """Until there is one: workers live on meanwhile, and nothing new is started."""
        try:
            self.reconnect()
        except (KeeperGone, OSError) as error:
            logger.error("no keeper can be reached (%s); trying again", error)
            self._timers.at(self.clock.monotonic() + KEEPER_RETRY_SECONDS, self._find_keeper)


def _give(future: "Future[Any]", answer: Any) -> None:
    """The first answer counts; an exception is one too."""
    if future.done():
        return
    if isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def _nothing() -> None:
    """A job whose only use is that a pool without threads starts one."""
