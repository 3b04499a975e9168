"""A supervisor on a real store with a keeper, a clock and a pool that the test drives: histories are test data.

    World(tmp_path, "fetch -> load").play("start fetch; exit fetch 0; start load; exit load 0")

`kill daemon; boot` drops a supervisor as SIGKILL does (what is not committed is gone) and makes a new one on
the same store, journal and keeper.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any, ClassVar
from weakref import WeakSet

from wattle.definition.canonical import canonical_json
from wattle.definition.paths import Context
from wattle.definition.validate import read_workflow
from wattle.keeper.protocol import FEATURES
from wattle.service.changing import Changing
from wattle.service.definitions import Definitions
from wattle.service.reading import Reading
from wattle.store.database import Reader, open_writer
from wattle.store.queries import Queries
from wattle.store.records import Records
from wattle.supervisor.clock import Clock
from wattle.supervisor.commands import Commands, NewVersion
from wattle.supervisor.loop import Supervisor
from wattle.supervisor.ordering import Places
from wattle.supervisor.recovery import Recovery


class FakeKeeper:
    """Keeps the contract of keeper/protocol.py, but spawns only when the test says so."""

    def __init__(self) -> None:
        self.keeper_id = "k1"
        self.boot_id = "boot"
        self.journal: list[dict[str, Any]] = []
        self.orders: dict[str, dict[str, Any]] = {}  # by uid, as first received
        self.live: dict[str, dict[str, Any]] = {}
        self.queued: dict[str, dict[str, Any]] = {}
        self.ahead: dict[str, dict[str, Any]] = {}  # what waits for the ends of others; not in `orders`
        self.started: dict[str, int] = {}  # µs
        self.stops: list[str] = []
        self.reports: list[dict[str, Any]] = []
        self.adopted: list[dict[str, Any]] = []
        self.frames: list[dict[str, Any]] = []
        self.spawned: list[tuple[str, int]] = []  # (worker, attempt), each at most once
        self.features: tuple[str, ...] = FEATURES
        self.reaches: tuple[list[int], list[int]] | None = ([1000], [])  # a signal's answer; None: it gives none

    # what the supervisor's side calls

    def connect(self) -> "FakeLink":
        return FakeLink(self)

    def records(self, after: Mapping[str, int]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for record in self.journal:
            if record["seq"] > after.get(self.keeper_id, 0):
                yield self.keeper_id, record

    def discard(self, keeper_ids: Collection[str]) -> None:
        assert self.keeper_id not in keeper_ids, "the journal of the living keeper is not to be deleted"

    def receive(self, frame: Mapping[str, Any]) -> None:
        self.frames.append(dict(frame))
        match frame["type"]:
            case "order":
                for order in frame["orders"]:
                    if order["uid"] in self.orders:
                        continue
                    self.ahead.pop(order["uid"], None)
                    if "after" in order:
                        self.ahead[order["uid"]] = order | {"after": list(order["after"])}
                    else:
                        self.orders[order["uid"]] = self.queued[order["uid"]] = order
            case "release":
                for uid in frame["uids"]:
                    self.begin(uid)
            case "withdraw":
                gone = [uid for uid in frame["uids"] if self.take_back(uid)]
                self.reports.append({"type": "withdrawn", "uids": gone, "request": 0})
            case "stop":
                if frame["uid"] in self.live:
                    self.stops.append(frame["uid"])
                else:
                    self.take_back(frame["uid"])
                    self.reports.append({"type": "gone", "uid": frame["uid"], "request": 0})
            case "signal":
                if self.reaches is not None:
                    pids, refused = self.reaches if frame["uid"] in self.live else ([], [])
                    answer = {"uid": frame["uid"], "request": frame["request"], "pids": pids, "refused": refused}
                    self.reports.append({"type": "signalled", **answer})
            case "adopt":
                self.adopted += frame["workers"]

    def take_back(self, uid: str) -> bool:
        is_queued = self.queued.pop(uid, None) is not None
        if is_queued:
            del self.orders[uid]
        return is_queued or self.ahead.pop(uid, None) is not None

    def begin(self, uid: str) -> None:
        order = self.ahead.pop(uid, None)
        if order is not None:
            self.orders[uid] = self.queued[uid] = order

    # what the test says

    def find(self, worker: str, among: Mapping[str, dict[str, Any]], *, probe: bool = False) -> dict[str, Any]:
        mine = [order for order in among.values() if order["env"]["WATTLE_WORKER"] == worker]
        found = [order for order in mine if (order["tag"][2] < 0) is probe]
        assert len(found) == 1, f"{worker}: {len(found)} such orders among {len(among)}"
        return found[0]

    def record(self, order: Mapping[str, Any], **fields: Any) -> None:
        record = {"seq": len(self.journal) + 1, "uid": order["uid"], "tag": order["tag"], **fields}
        self.journal.append(record)
        self.reports.append({"type": "report", "records": [record]})

    def start(self, worker: str, at: int) -> None:
        order = self.find(worker, self.queued)
        self.live[order["uid"]] = self.queued.pop(order["uid"])
        self.started[order["uid"]] = at
        self.spawned.append((worker, order["tag"][2]))
        os.makedirs(os.path.dirname(order["stdout"]), exist_ok=True)
        for path in (order["stdout"], order["stderr"]):
            open(path, "ab").close()
        self.record(order, kind="started", at=at, pid=1000 + len(self.journal), inode=len(self.journal))

    def end(self, worker: str, at: int, **fields: Any) -> None:
        order = self.find(worker, self.live)
        del self.live[order["uid"]]
        cause = "stopped" if order["uid"] in self.stops else None
        duration = max(1000, at - self.started[order["uid"]])
        base = {"exit_code": None, "signal": None, "cause": cause, "known": True, "duration_us": duration, "at": at}
        if cause is not None:
            base["told"] = {"at": at, "signal": 15, "killed_at": None, "pid": 1000, "processes": 1}
        self.record(order, kind="ended", **base | fields)
        if cause is None and fields.get("exit_code") == 0:
            self.ended_well(order["uid"])

    def ended_well(self, ended: str) -> None:
        for uid, order in list(self.ahead.items()):
            if ended in order["after"]:
                order["after"].remove(ended)
                if not order["after"]:
                    self.begin(uid)

    def refuse(self, worker: str, at: int, retryable: bool) -> None:
        order = self.find(worker, self.queued)
        del self.queued[order["uid"]]
        code = "process_limit" if retryable else "command_not_found"
        self.record(order, kind="refused", at=at, reason_code=code, reason="it was not found", retryable=retryable)


class FakeLink:
    """One connection to a FakeKeeper."""

    has_unsent = has_early = False

    def __init__(self, keeper: FakeKeeper) -> None:
        keeper.reports.clear()
        keeper.ahead.clear()
        self._keeper = keeper
        self._readable, self._writable = os.pipe()
        self.hello = {
            "keeper_id": keeper.keeper_id,
            "boot_id": keeper.boot_id,
            "features": keeper.features,
            "seq": len(keeper.journal),
            "live": [{"uid": uid} for uid in keeper.live],
            "queued": list(keeper.queued),
        }

    def fileno(self) -> int:
        return self._readable

    def send(self, frame: Mapping[str, Any]) -> None:
        self._keeper.receive(frame)

    def flush(self) -> None: ...

    def receive(self) -> list[dict[str, Any]]:
        return []

    def close(self) -> None:
        os.close(self._readable)
        os.close(self._writable)


class World:
    """One data directory, one keeper, one supervisor at a time."""

    living: ClassVar["WeakSet[World]"] = WeakSet()  # conftest.py ends them with their test

    def __init__(self, path: Any, graph: str, **fields: Any) -> None:
        self.path = str(path)
        self.keeper = FakeKeeper()
        self.now = 1_700_000_000_000_000
        self.answers: list[Any] = []
        self.is_deaf = False  # what the keeper says is not heard yet
        self._writer: Any = None
        self.boot()
        if graph:
            self.create("wf", graph, **fields)

    # the supervisor

    def boot(self) -> None:
        assert self._writer is None, "the daemon lives"
        database = os.path.join(self.path, "wattle.db")
        self._writer = open_writer(database)
        self._reader = Reader(database)
        self.queries = Queries(self._reader)
        self.definitions = Definitions(self.queries)
        clock = Clock(lambda: self.now, lambda: self.now / 1e6)
        self.supervisor = Supervisor(Records(self._writer), self.queries, Places(self.path, "/bin"), clock)
        supervisor = self.supervisor
        supervisor._submit = supervisor._submit_look = lambda job: supervisor.post(partial(supervisor._job_done, job()))
        recovery = Recovery(
            self.supervisor, self.queries, self.keeper, self.path, {}, 0o022, 256, self.definitions.load
        )
        self.reading = Reading(self.queries, self.definitions, self.path)
        context = Context(self.path, self.path, f"{self.path}/work", self.path)
        self.changing = Changing(self.supervisor, self.queries, self.definitions, context)
        self.living.add(self)
        recovery.boot()
        self.settle()

    def kill(self) -> None:
        """What is not committed is gone, as with SIGKILL, and so are the callers that still waited."""
        self.answers.clear()
        self.supervisor.close()
        self._reader.close()
        self._writer.close()
        self._writer = None
        self.living.discard(self)

    def settle(self) -> None:
        """Turn until nothing is left to do at this instant."""
        supervisor = self.supervisor
        for _ in range(1000):
            frames = [] if self.is_deaf else self._hear()
            supervisor._decide(frames)
            supervisor._hold_back()
            if supervisor._flush_is_due():
                supervisor._flush()
            supervisor._act()
            supervisor._answer()
            if frames or supervisor._inbox or supervisor._flush_is_due():
                continue
            if self.keeper.reports and not self.is_deaf:
                continue
            if not supervisor._can_act(0):
                return
        raise AssertionError("the supervisor does not come to rest")

    def _hear(self) -> list[dict[str, Any]]:
        frames, self.keeper.reports = self.keeper.reports, []
        return frames

    def pass_time(self, seconds: float) -> None:
        for _ in range(20):
            self.now += round(seconds * 1e6 / 20)
            self.settle()

    # callers

    def ask(self, wish: Callable[[Commands], Any]) -> Any:
        future = self.supervisor.call(wish)
        self.settle()
        return future.result(0)

    def begin(self, wish: Callable[[Commands, Callable[[Any], None]], None]) -> Any:
        """The future of something that takes time."""
        future = self.supervisor.call_until_done(wish)
        self.settle()
        return future

    def create(self, name: str, graph: str, *, each: Mapping[str, Any] | None = None, **fields: Any) -> None:
        needs: dict[str, list[str]] = {}
        for part in filter(None, (part.strip() for part in graph.split(";"))):
            producer, _, consumers = (piece.strip() for piece in part.partition("->"))
            needs.setdefault(producer, [])
            for consumer in consumers.split():
                needs.setdefault(consumer, []).append(producer)
        workers = [
            {"name": worker, "command": "/bin/true", "depends_on": producers, **(each or {}).get(worker, {})}
            for worker, producers in needs.items()
        ]
        self.define({"name": name, "workers": workers, **fields})

    def define(self, document: Mapping[str, Any]) -> None:
        context = Context(self.path, self.path, f"{self.path}/work", self.path)
        workflow = read_workflow(dict(document), context)
        text = canonical_json(workflow.document).decode()
        version = NewVersion(text, workflow.digest, workflow.working_dir, None)
        self.ask(lambda commands: commands.create_workflow(workflow.name, version, "api"))

    def run(self, name: str = "wf", **options: Any) -> int:
        definition = self.definitions.current(name)
        settings = {"idempotency_key": None, "trigger": "test", **options}
        started = self.ask(lambda commands: commands.start_workflow(name, definition, **settings))
        return int(started.run_id)

    # histories

    def play(self, history: str) -> "World":
        for step in filter(None, (step.strip() for step in history.split(";"))):
            self.step(*step.split())
        return self

    def step(self, verb: str, *words: str) -> None:
        keeper = self.keeper
        match verb, *words:
            case ["run"]:
                self.run()
            case ["start", worker]:
                keeper.start(worker, self.now)
            case ["exit", worker, code]:
                number = int(code)
                fields = {"exit_code": number} if number >= 0 else {"signal": -number}
                keeper.end(worker, self.now, **fields)
            case ["probe", worker, code]:
                order = keeper.find(worker, keeper.queued, probe=True)
                del keeper.queued[order["uid"]]
                keeper.record(order, kind="ended", exit_code=int(code), signal=None, duration_us=1, at=self.now)
            case ["touch", name]:
                path = os.path.join(self.path, "work", "wf", name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                open(path, "ab").close()
            case ["remove", name]:
                os.remove(os.path.join(self.path, "work", "wf", name))
            case ["refuse", worker]:
                keeper.refuse(worker, self.now, retryable=False)
            case ["stop"]:
                self.answers.append(self.begin(lambda c, done: c.stop_workflow("wf", done)))
            case ["stop", worker]:
                self.answers.append(self.begin(lambda c, done: c.stop_worker("wf", worker, True, done)))
            case ["restart", worker]:
                now = self.definitions.current("wf")
                self.answers.append(self.begin(lambda c, done: c.restart_worker("wf", worker, now, False, done)))
            case ["again", worker]:
                now = self.definitions.current("wf")
                self.answers.append(self.ask(lambda c: c.start_worker("wf", worker, now, False)))
            case ["force", worker]:
                now = self.definitions.current("wf")
                self.answers.append(self.ask(lambda c: c.start_worker("wf", worker, now, True)))
            case ["wait", seconds]:
                self.pass_time(float(seconds))
            case ["commit"]:
                self.supervisor.commit(None)
            case ["kill", "daemon"]:
                self.kill()
                return
            case ["kill", "keeper"]:
                self.lose_keeper()
                return
            case ["deaf"]:
                self.is_deaf = True
            case ["hear"]:
                self.is_deaf = False
            case ["boot"]:
                self.boot()
            case _:
                raise ValueError(f"no such step: {verb} {' '.join(words)}")
        if self._writer is not None:
            self.settle()

    def lose_keeper(self) -> None:
        """A new keeper with the old one's journal on disk and none of its workers."""
        old = self.keeper
        old.live, old.queued, old.ahead = {}, {}, {}
        old.orders = {}

    def statuses(self, name: str = "wf") -> dict[str, str]:
        self.supervisor.commit(None)
        return {view.name: view.status for view in self.reading.workers(name)}

    def reasons(self, name: str = "wf") -> dict[str, str | None]:
        self.supervisor.commit(None)
        return {view.name: view.reason for view in self.reading.workers(name)}

    def status(self, name: str = "wf") -> str:
        self.supervisor.commit(None)
        return self.reading.workflow(name).status
