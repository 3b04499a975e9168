"""Orders ahead: the keeper begins a worker as soon as its producers have ended well, without asking first.

Between the end of a producer and the start of its consumer the word would otherwise go to the daemon and back. So a
worker that waits may be ordered with the uids of the attempts that it waits for. To the daemon that is a hint and no
state: the worker goes on waiting, nothing is written down, and when its producers have completed the order is
released, which the keeper has mostly done by then. The end of such a producer is all there is to look at: it has no
outputs, is no service, and exit code 0 is a success of it.

| what happens to a worker ordered ahead    | what is done                                                           |
| ----------------------------------------- | ---------------------------------------------------------------------- |
| its producers complete; it is forced      | its order is released                                                  |
| it is stopped, or its time is over        | it counts as queued from then on, and is stopped as such               |
| a producer that was done begins again     | it counts as queued from then on, and is recalled as such              |
| a producer fails or is stopped            | its order is taken back. One that had ended well before the stop       |
|                                           | reached it has completed (`Event.SPARED`): this one may have begun     |
| the keeper is lost, or the daemon         | the next `hello` makes a keeper forget it; what had begun is in the    |
|                                           | journal, behind the ends of its producers, or has made its log         |
"""

from collections import deque
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from wattle.definition.model import Worker
from wattle.engine.states import State
from wattle.supervisor.live import LiveRun, LiveWorker
from wattle.supervisor.ordering import Places, order_of, refusal_of
from wattle.supervisor.outbox import Outbox

if TYPE_CHECKING:
    from wattle.supervisor.runs import Runs

FEATURE = "ahead"
LIMIT = 64  # orders ahead of a run: as many as there are orders ahead of free slots
MOST_PRODUCERS = 8  # with more, asking for all of them at each of their orders would cost more than it gains


class Ahead:
    """The loop's thread only."""

    def __init__(self, runs: "Runs", outbox: Outbox, places: Places) -> None:
        self._runs = runs
        self._outbox = outbox
        self._places = places
        self._is_understood = False  # by the keeper

    def keeper_is(self, features: Collection[str]) -> None:
        """There is another keeper, or the same with another connection: it has no orders ahead."""
        self._is_understood = FEATURE in features
        self._outbox.drop_ahead()
        for run in self._runs.active.values():
            run.ahead.clear()
            run.candidates = deque()
            for name in run.ordered:
                self.ordered(run, run.workers[name])

    def ordered(self, run: LiveRun, live: LiveWorker) -> None:
        """The keeper has an order for it: those that use it may be ordered ahead."""
        if self._is_understood and tells_its_end(live.worker):
            run.candidates += run.graph.consumers[run.index(live)]

    def fill(self, run: LiveRun, room: int) -> None:
        """Order ahead what may be, at most so many."""
        room = min(room, LIMIT) - len(run.ahead)
        while room > 0 and run.candidates:
            live = run.workers[run.graph.names[run.candidates.popleft()]]
            after = self._after(run, live)
            if after and refusal_of(run, live, self._places) is None:
                room -= 1
                self._order(run, live, after)

    def _order(self, run: LiveRun, live: LiveWorker, after: list[str]) -> None:
        order = order_of(run, live, live.attempt + 1, self._places)
        run.ahead[live.name] = order["uid"]
        self._outbox.order({**order, "after": after})
        self.ordered(run, live)

    def _after(self, run: LiveRun, live: LiveWorker) -> list[str]:
        """The uids of the attempts whose ends it waits for; none where it cannot be ordered ahead."""
        producers = run.graph.producers[run.index(live)]
        if live.state is not State.WAITING or live.name in run.ahead or len(producers) > MOST_PRODUCERS:
            return []
        after = []
        for name in (run.graph.names[position] for position in producers):
            producer = run.workers[name]
            if producer.state is State.COMPLETED:
                continue
            uid = producer.uid if producer.state in (State.QUEUED, State.RUNNING) else run.ahead.get(name)
            if uid is None or not tells_its_end(producer.worker):
                return []
            after.append(uid)
        return after if live.worker.service is None else []

    def release(self, run: LiveRun, live: LiveWorker) -> bool:
        """Have the keeper begin it, if it has its order."""
        uid = run.ahead.pop(live.name, None)
        if uid is not None:
            self._outbox.release(uid)
        return uid is not None

    def take_back(self, run: LiveRun, live: LiveWorker) -> None:
        uid = run.ahead.pop(live.name, None)
        if uid is not None:
            self._outbox.withdraw(uid)


def tells_its_end(worker: Worker) -> bool:
    """That its process ends with exit code 0 says that it has completed."""
    return worker.service is None and not worker.outputs and 0 in worker.success_exit_codes


def has_ended_well(worker: Worker, record: Mapping[str, Any]) -> bool:
    """By itself, so that what follows may have begun: as the keeper sees it (keeper/worker.py, `ended_well`)."""
    is_good = record["kind"] == "ended" and record.get("exit_code") == 0 and record.get("cause") is None
    return is_good and tells_its_end(worker)
