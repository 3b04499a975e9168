"""Watching services: when one is ready, whether one is alive, and what follows.

One `Watch` for a live attempt of a service, kept on the loop's thread: it asks, counts, and tells `apply`. The asking
is done elsewhere, on threads (looks.py) or as a process of the keeper's (`exec`). A watch holds nothing that must
survive: a new daemon watches anew what it finds running or ready.

| a watch on … | after … | and | then |
| --- | --- | --- | --- |
| `ready` | `success_threshold` passes in a row | | PASSED; `alive` is watched |
| `ready` | a failure | `within_seconds` are over | SICK |
| `ready` | a failure | not yet | asked again: soon at first, then each period |
| `alive` | `failure_threshold` failures in a row | | SICK |
| `alive` | any other | | asked again after the period |
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import uuid4

from wattle.definition.model import Probe
from wattle.engine.outcome import judge
from wattle.engine.states import Event, State
from wattle.logs.files import LogFiles, attempt_files, notify_file, probe_files
from wattle.logs.read import last_line
from wattle.supervisor import looks, orders
from wattle.supervisor.clock import Clock, Timers
from wattle.supervisor.live import LiveRun, LiveWorker
from wattle.supervisor.outbox import Outbox

SOON_SECONDS = 0.02  # after the first failure of `ready`; doubled up to the period
PATIENCE_SECONDS = 5.0  # beyond a look's own timeout: then it counts as failed
_WELL = frozenset({0})
WATCHED = {"ready": State.RUNNING, "alive": State.READY}

Apply = Callable[..., None]


@dataclass(slots=True)
class Watch:
    """One attempt of a service, asked by one of its probes. Instants are monotonic seconds."""

    run: LiveRun
    live: LiveWorker
    field: str  # "ready" or "alive"
    probe: Probe
    attempt: int
    places: looks.Places
    until: float | None  # by then it must be ready
    pause: float
    key: str = ""  # of the look that is under way, "" between two
    row: int = 0  # passes in a row, failures where negative
    order: int = 0  # of the last exec, counted
    problem: str = "it was not asked yet"
    files: LogFiles | None = None  # of the last exec


class Services:
    """The loop's thread only. `apply` takes what was found out (runs.py)."""

    def __init__(
        self,
        apply: Apply,
        changed: Callable[[LiveRun, LiveWorker], None],
        outbox: Outbox,
        timers: Timers,
        clock: Clock,
        places: tuple[str, str],
    ) -> None:
        self._apply = apply
        self._changed = changed
        self._outbox = outbox
        self._timers = timers
        self._clock = clock
        self._data_dir, self._launcher_dir = places
        self._watches: dict[tuple[int, int], Watch] = {}  # by run and position
        self._keys: dict[str, Watch] = {}  # looks under way

    def watch(self, run: LiveRun, live: LiveWorker) -> None:
        """Begin to watch a service that has been started or become ready, or that a former daemon left so."""
        service = live.worker.service
        self.forget(run, live)
        if service is None or live.state not in WATCHED.values():
            return
        name = "ready" if live.state is State.RUNNING else "alive"
        probe = service.ready if name == "ready" else service.alive
        if probe is None:
            if name == "ready":
                self._apply(run, live, Event.PASSED)
            return
        monotonic = self._clock.monotonic()
        lived = max(0.0, (self._clock.now() - (live.started_at or self._clock.now())) / 1e6)
        until = monotonic - lived + probe.within_seconds if name == "ready" and probe.within_seconds else None
        watch = Watch(run, live, name, probe, live.attempt, self._places(run, live), until, SOON_SECONDS)
        self._watches[run.id, live.worker.position] = watch
        self._timers.at(monotonic + max(0.0, probe.initial_delay_seconds - lived), partial(self._ask, watch))
        if until is not None:
            self._timers.at(until, partial(self._late, watch))

    def forget(self, run: LiveRun, live: LiveWorker) -> None:
        """Nobody asks any more how it is; a probe's process that is under way is ended."""
        watch = self._watches.pop((run.id, live.worker.position), None)
        if watch is not None and watch.key:
            self._drop_look(watch)

    def looked(self, message: looks.Looked) -> None:
        """What a look found."""
        watch = self._keys.pop(message.key, None)
        if watch is None or watch.key != message.key:
            return
        watch.key = ""
        if not self._is_current(watch):
            return
        if message.problem is None:
            self._passed(watch)
        else:
            self._failed(watch, message.problem)

    def record(self, record: Mapping[str, Any]) -> None:
        """What the keeper says of a probe's process."""
        watch = self._keys.get(record["uid"])
        if watch is None or record["kind"] == "started":
            return
        worker = replace(watch.live.worker, timeout_seconds=watch.probe.timeout_seconds, success_exit_codes=_WELL)
        outcome = judge(record, worker)
        problem = None if outcome.succeeded else outcome.reason
        if outcome.exit_code and watch.files is not None and (line := last_line(watch.files.stderr)):
            problem = f"{problem}: {line}"
        self.looked(looks.Looked(record["uid"], problem))

    # --- one watch

    def _is_current(self, watch: Watch) -> bool:
        """Is this still what is asked about this worker."""
        live = watch.live
        mine = self._watches.get((watch.run.id, live.worker.position)) is watch
        return mine and live.attempt == watch.attempt and live.state is WATCHED[watch.field]

    def _ask(self, watch: Watch) -> None:
        if not self._is_current(watch) or watch.key:
            return
        watch.order += 1
        watch.key = str(uuid4())
        self._keys[watch.key] = watch
        if watch.probe.kind == "exec":
            self._order(watch)
        else:
            self._outbox.look(partial(looks.look, watch.key, watch.probe, watch.places))
        patience = self._clock.monotonic() + watch.probe.timeout_seconds + PATIENCE_SECONDS
        self._timers.at(patience, partial(self._silent, watch, watch.key))

    def _order(self, watch: Watch) -> None:
        run, live = watch.run, watch.live
        files = watch.files = probe_files(self._data_dir, run.id, live.worker.position, live.attempt)
        for path in files:
            if os.path.exists(path):
                os.truncate(path, 0)
        whose = live.surroundings(run)
        self._outbox.order(
            orders.probe_order(
                run.row, whose.workflow, live.worker, live.attempt, watch.probe, watch.key, watch.order, files,
                (self._data_dir, self._launcher_dir), whose.env_files,
            )
        )

    def _passed(self, watch: Watch) -> None:
        watch.row = max(watch.row, 0) + 1
        watch.pause = watch.probe.period_seconds
        if watch.field == "ready" and watch.row >= watch.probe.success_threshold:
            watch.live.reason_code = watch.live.reason = None
            self._apply(watch.run, watch.live, Event.PASSED)
            return
        self._again(watch)

    def _failed(self, watch: Watch, problem: str) -> None:
        watch.row = min(watch.row, 0) - 1
        watch.problem = f"{watch.probe}: {problem}"
        if watch.field == "alive":
            if -watch.row >= watch.probe.failure_threshold:
                times = "once" if watch.row == -1 else f"{-watch.row} times in a row"
                self._sick(watch, "not_alive", f"its alive probe failed {times}: {watch.problem}")
                return
        else:
            self._say(watch, f"not ready yet: {watch.problem}")
        self._again(watch)

    def _again(self, watch: Watch) -> None:
        period = watch.probe.period_seconds
        pause = period if watch.field == "alive" else min(watch.pause, period)
        watch.pause = min(pause * 2, period)
        self._timers.at(self._clock.monotonic() + pause, partial(self._ask, watch))

    def _say(self, watch: Watch, reason: str) -> None:
        if watch.live.reason != reason:
            watch.live.reason_code, watch.live.reason = "not_ready", reason
            self._changed(watch.run, watch.live)

    def _late(self, watch: Watch) -> None:
        if self._is_current(watch):
            within = f"{watch.probe.within_seconds:g} s"
            self._sick(watch, "not_ready", f"it was not ready within {within}: {watch.problem}")

    def _silent(self, watch: Watch, key: str) -> None:
        """A look that never came back: its thread hangs, or the keeper that ran it died."""
        if watch.key == key:
            self._drop_look(watch)
            if self._is_current(watch):
                self._failed(watch, "the look gave no answer")

    def _sick(self, watch: Watch, reason_code: str, reason: str) -> None:
        self._apply(watch.run, watch.live, Event.SICK, reason_code=reason_code, reason=reason)

    def _drop_look(self, watch: Watch) -> None:
        if watch.probe.kind == "exec":
            self._outbox.stop(watch.key)
        self._keys.pop(watch.key, None)
        watch.key = ""

    def _places(self, run: LiveRun, live: LiveWorker) -> looks.Places:
        position, attempt = live.worker.position, live.attempt
        files = attempt_files(self._data_dir, run.id, position, attempt)
        logs = tuple(looks.LogPlace(path) for path in files)
        return looks.Places(logs, notify_file(self._data_dir, run.id, position, attempt))
