"""RunPlan: which workers may start, what the end of one causes, and why one waits.

Readiness is counted, not searched (after ninja's Plan): a whole run costs O(workers + edges). No clock, no
store, no process; a plan answers questions and touches nothing.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from heapq import heappop, heappush
from typing import Protocol

from wattle.engine.states import Status


class GraphLike(Protocol):
    """What a plan needs of a graph: positions are indexes into `names`."""

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def producers(self) -> Sequence[Sequence[int]]: ...
    @property
    def consumers(self) -> Sequence[Sequence[int]]: ...


class RunPlan:
    """The plan of one run.

    `finished` are workers that have ended already ({name: Status}); `priorities` ({name: int}, higher
    first, default 0) order the ready ones, then definition order does. `details` says how they ended
    ({name: "exit code 3"}), for `why`. Consumers of `services` wait for `provide`, not for their end.
    """

    def __init__(
        self,
        graph: GraphLike,
        finished: Mapping[str, Status] | None = None,
        *,
        priorities: Mapping[str, int] | None = None,
        details: Mapping[str, str] | None = None,
        services: Collection[str] = (),
    ) -> None:
        self._names = graph.names
        self._producers = graph.producers
        self._consumers = graph.consumers
        self._position = {name: position for position, name in enumerate(graph.names)}
        self._rank = [-(priorities or {}).get(name, 0) for name in graph.names]
        self._status: list[Status] = [Status.CREATED] * len(graph.names)
        self._missing = [len(producers) for producers in graph.producers]
        self._culprit: dict[int, int] = {}
        self._details: dict[int, str] = {}
        self._ready: list[tuple[int, int]] = []
        self._ready_services: list[tuple[int, int]] = []
        self._open = len(graph.names)
        self._services = {self._position[name] for name in services}
        self._provided: set[int] = set()
        self._open_tasks = self._open - len(self._services)
        self._has_tasks = self._open_tasks > 0
        for name, detail in (details or {}).items():
            self._details[self._position[name]] = detail
        for name, status in (finished or {}).items():
            self._settle(self._position[name], status)
        for position in range(len(graph.names)):
            self._offer(position)

    def take_ready(self, limit: int | None = None) -> list[str]:
        """Up to `limit` workers (None: all) that lack nothing; they count as running from now. Services, which take
        no slot, come first and are not counted."""
        taken = self._take(self._ready_services, None) if self._ready_services else []
        return taken + self._take(self._ready, limit)

    def _take(self, ready: list[tuple[int, int]], limit: int | None) -> list[str]:
        taken: list[str] = []
        while ready and (limit is None or len(taken) < limit):
            _, position = heappop(ready)
            if self._status[position] is Status.CREATED and not self._missing[position]:
                self._status[position] = Status.RUNNING
                taken.append(self._names[position])
        return taken

    def lacks_nothing(self, worker: str) -> bool:
        """It may start, and has not been taken."""
        position = self._position[worker]
        return self._status[position] is Status.CREATED and not self._missing[position]

    def take(self, worker: str) -> None:
        """Count a worker as running now, whatever its inputs (a user forced it, or it was found running)."""
        position = self._position[worker]
        self._reopen(position)
        self._status[position] = Status.RUNNING

    def put_back(self, worker: str) -> list[str]:
        """Undo `take_ready`: the worker was withdrawn before it started and waits again. Where a producer was lost
        meanwhile, gives what is cancelled on that account: the worker itself and what waits for it."""
        position = self._position[worker]
        if self._status[position] is not Status.RUNNING:
            return []
        self._status[position] = Status.CREATED
        lost = self._lost_producer(position)
        if lost is None:
            self._offer(position)
            return []
        culprit = self._culprit.get(lost, lost)
        self._culprit[position] = culprit
        self._settle(position, Status.CANCELLED)
        return [self._names[each] for each in (position, *self._cancel_after(position, culprit))]

    def finish(self, worker: str, status: Status, detail: str | None = None) -> list[str]:
        """Record how a worker ended; gives the waiting workers that are cancelled as a consequence.

        `detail` is how, for `why` ("exit code 3"). Workers that were started in spite of their inputs are
        left alone, and so is what follows from them.
        """
        position = self._position[worker]
        self._culprit.pop(position, None)
        if detail is None:
            self._details.pop(position, None)
        else:
            self._details[position] = detail
        self._settle(position, status)
        if status is Status.COMPLETED:
            for consumer in self._consumers[position]:
                self._offer(consumer)
            return []
        return [self._names[lost] for lost in self._cancel_after(position, position)]

    def lose(self, worker: str) -> None:
        """Count a waiting worker as cancelled on account of an ancestor, the nearest that was lost: so it was before
        a crash, and what is between them may have been started by force since."""
        position = self._position[worker]
        if self._status[position] is not Status.CREATED:
            return
        queue, seen = deque(self._producers[position]), set[int]()
        while queue:
            ancestor = queue.popleft()
            if self._status[ancestor] in (Status.FAILED, Status.CANCELLED):
                self._culprit[position] = self._culprit.get(ancestor, ancestor)
                break
            if ancestor not in seen:
                seen.add(ancestor)
                queue.extend(self._producers[ancestor])
        self._settle(position, Status.CANCELLED)

    # --- services

    def provide(self, worker: str) -> None:
        """A service is ready: its consumers lack it no longer."""
        position = self._position[worker]
        if position not in self._provided and self._status[position] is Status.RUNNING:
            self._provided.add(position)
            for consumer in self._consumers[position]:
                self._missing[consumer] -= 1
                self._offer(consumer)

    def retract(self, worker: str) -> None:
        """A service is not ready any more: consumers that have not started wait for it again."""
        position = self._position[worker]
        if position in self._provided:
            self._provided.discard(position)
            for consumer in self._consumers[position]:
                self._missing[consumer] += 1

    def has_open_consumers(self, worker: str) -> bool:
        return any(self._is_open(consumer) for consumer in self._consumers[self._position[worker]])

    def is_needed(self, service: str) -> bool:
        """While a consumer has not ended. One without consumers: while a task has not, or for ever among services."""
        position = self._position[service]
        if self._consumers[position]:
            return self.has_open_consumers(service)
        return self._open_tasks > 0 or not self._has_tasks

    def freed_by(self, worker: str) -> list[str]:
        """The open services that nobody needs any more, now that this worker has ended."""
        if not self._services:
            return []
        position = self._position[worker]
        candidates = [p for p in self._producers[position] if p in self._services]
        if not self._open_tasks and position not in self._services:
            candidates += [p for p in sorted(self._services) if not self._consumers[p]]
        names = [self._names[p] for p in candidates if self._is_open(p)]
        return [name for name in names if not self.is_needed(name)]

    def _is_open(self, position: int) -> bool:
        return self._status[position] in (Status.CREATED, Status.RUNNING)

    # --- ends, and what follows from them

    def renew(self, worker: str) -> list[str]:
        """An ended worker begins again. Gives the descendants that were cancelled on its account and wait again.

        Consumers that have started are left alone (design: Inside a run).
        """
        root = self._position[worker]
        self.take(worker)
        again: list[int] = []
        queue, seen = deque(self._consumers[root]), {root}
        while queue:
            position = queue.popleft()
            if position in seen or self._culprit.get(position) != root:
                continue
            seen.add(position)
            del self._culprit[position]
            self._reopen(position)
            again.append(position)
            queue.extend(self._consumers[position])
        for position in list(again):
            lost = self._lost_producer(position)
            if lost is not None and self._status[position] is Status.CREATED:
                culprit = self._culprit.get(lost, lost)
                self._culprit[position] = culprit
                self._settle(position, Status.CANCELLED)
                self._cancel_after(position, culprit)
        waiting = [position for position in again if self._status[position] is Status.CREATED]
        for position in waiting:
            self._offer(position)
        return [self._names[position] for position in waiting]

    @property
    def is_finished(self) -> bool:
        """Every worker has ended."""
        return self._open == 0

    def result(self) -> Status:
        """Derived from the workers: running, else failed if any failed, else cancelled if any was, else completed."""
        if self._open:
            return Status.RUNNING
        for status in (Status.FAILED, Status.CANCELLED):
            if status in self._status:
                return status
        return Status.COMPLETED

    def status(self, worker: str) -> Status:
        return self._status[self._position[worker]]

    def culprit(self, worker: str) -> str | None:
        """The worker on whose account this one was cancelled, or None."""
        culprit = self._culprit.get(self._position[worker])
        return None if culprit is None else self._names[culprit]

    def waits_for(self, worker: str) -> list[str]:
        """The producers that have not completed."""
        return [
            self._names[producer]
            for producer in self._producers[self._position[worker]]
            if self._status[producer] is not Status.COMPLETED and producer not in self._provided
        ]

    def ended_services(self, worker: str) -> list[str]:
        """The services it uses that have ended already."""
        producers = self._producers[self._position[worker]]
        return [self._names[p] for p in producers if p in self._services and not self._is_open(p)]

    def why(self, worker: str) -> str:
        """One sentence for a worker that has not completed: what it waits for, or who is to blame."""
        position = self._position[worker]
        status = self._status[position]
        culprit = self._culprit.get(position)
        if culprit is not None:
            return self._blame(position, culprit)
        if status is Status.CREATED:
            return self._wait(position)
        detail = self._details.get(position)
        return f"{status.value}: {detail}" if detail else f"{status.value}"

    def _wait(self, position: int) -> str:
        waits = self.waits_for(self._names[position])
        if not waits:
            return "ready, waits for a free slot"
        shown = [f"{name} ({self._progress(self._position[name])})" for name in waits[:5]]
        more = f" and {len(waits) - 5} more" if len(waits) > 5 else ""
        return f"waits for {', '.join(shown)}{more}"

    def _blame(self, position: int, culprit: int) -> str:
        detail = self._details.get(culprit)
        how = f" ({detail})" if detail else ""
        between = [p for p in self._producers[position] if p == culprit or self._culprit.get(p) == culprit]
        through = "" if culprit in between or not between else f" through {self._names[between[0]]}"
        return f"cancelled: it needs {self._names[culprit]}{through}, which {_ended(self._status[culprit])}{how}"

    def _progress(self, position: int) -> str:
        status = self._status[position]
        if status is Status.RUNNING:
            return "not ready" if position in self._services else "not finished"
        return "not started" if status is Status.CREATED else status.value

    def _offer(self, position: int) -> None:
        if self._status[position] is Status.CREATED and not self._missing[position]:
            ready = self._ready_services if position in self._services else self._ready
            heappush(ready, (self._rank[position], position))

    def _settle(self, position: int, status: Status) -> None:
        before = self._status[position]
        self._status[position] = status
        if before in (Status.CREATED, Status.RUNNING):
            self._open -= 1
            if position not in self._services:
                self._open_tasks -= 1
        was_satisfied = before is Status.COMPLETED or position in self._provided
        self._provided.discard(position)
        change = was_satisfied - (status is Status.COMPLETED)
        if change:
            for consumer in self._consumers[position]:
                self._missing[consumer] += change

    def _reopen(self, position: int) -> None:
        before = self._status[position]
        if before in (Status.CREATED, Status.RUNNING):
            return
        self._open += 1
        if position not in self._services:
            self._open_tasks += 1
        self._status[position] = Status.CREATED
        self._culprit.pop(position, None)
        if before is Status.COMPLETED:
            for consumer in self._consumers[position]:
                self._missing[consumer] += 1

    def _lost_producer(self, position: int) -> int | None:
        for producer in self._producers[position]:
            if self._status[producer] in (Status.FAILED, Status.CANCELLED):
                return producer
        return None

    def _cancel_after(self, start: int, culprit: int) -> list[int]:
        """Cancel all waiting descendants of `start` on the account of `culprit`; in breadth-first order."""
        cancelled: list[int] = []
        queue = deque(self._consumers[start])
        while queue:
            position = queue.popleft()
            if self._status[position] is not Status.CREATED:
                continue
            self._culprit[position] = culprit
            self._settle(position, Status.CANCELLED)
            cancelled.append(position)
            queue.extend(self._consumers[position])
        return cancelled


def _ended(status: Status) -> str:
    return {Status.CANCELLED: "was cancelled", Status.CREATED: "begins again", Status.RUNNING: "begins again"}.get(
        status, status.value
    )
