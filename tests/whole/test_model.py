"""Start, stop, restart and delete of a workflow and its workers against a model (hypothesis, W-10 to W-16).

`first` runs until it is stopped, `second` needs it. Each command is answered as the model says, and after each
one the server shows what the model holds and exactly the processes live that should.
"""

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.whole.server import Server, eventually, marked

WORKERS = ("first", "second")
SLEEP = "import time; time.sleep(600)"


class Model:
    """`active` is what runs: None, "workflow", or the name of the worker that runs alone."""

    def __init__(self) -> None:
        self.exists = False
        self.workers: list[str] = []
        self.active: str | None = None
        self.status = "created"
        self.shown = dict.fromkeys(WORKERS, "created")

    @property
    def live(self) -> str | None:
        """The worker that has a process."""
        return "first" if self.active == "workflow" else self.active

    def begin(self) -> None:
        self.active, self.status = "workflow", "running"
        self.shown = {"first": "running", "second": "created"}

    def begin_alone(self, worker: str) -> None:
        self.active, self.shown[worker] = worker, "running"

    def end(self) -> None:
        if self.active == "workflow":
            self.status = "cancelled"
            self.shown = dict.fromkeys(self.shown, "cancelled")
        elif self.active is not None:
            self.shown[self.active] = "cancelled"
        self.active = None

    def start_refusal(self, restart: bool = False) -> tuple[int, str] | None:
        if not restart and self.active == "workflow":
            return 409, "WORKFLOW_ALREADY_RUNNING"
        if "second" in self.workers and "first" not in self.workers:
            return 422, "DEPENDENCY_VALIDATION_FAILED"
        if not restart and self.active is not None:
            return 409, "WORKER_RUNNING"
        return (422, "WORKFLOW_EMPTY") if not self.workers else None


there_is_one = precondition(lambda self: self.model.exists)


class Commands(RuleBasedStateMachine):
    server: Server
    numbers = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.name = f"model-{next(self.numbers)}"
        self.mark = f"mark-{self.server.port}-{self.name}-"
        self.model = Model()

    def say(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        reply = self.server.request(method, path, body)
        return reply.status, "" if reply.status < 300 else reply.body["error"]["code"]

    def verb(self, verb: str) -> tuple[int, str]:
        return self.say("POST", f"/api/workflows/{self.name}/{verb}")

    def worker_verb(self, worker: str, verb: str) -> tuple[int, str]:
        return self.say("POST", f"/api/workers/{self.name}/{worker}/{verb}")

    def missing(self, worker: str, starts: bool = False) -> tuple[int, str] | None:
        if starts and self.model.workers == ["second"]:
            return 422, "DEPENDENCY_VALIDATION_FAILED"  # nothing of such a definition is started
        return (404, "WORKER_NOT_FOUND") if worker not in self.model.workers else None

    @initialize()
    def begin(self) -> None:
        self.create()

    @rule()
    def create(self) -> None:
        workers: list[dict[str, Any]] = [
            {"name": worker, "command": "python", "args": ["-c", SLEEP, f"{self.mark}{worker}"]}
            for worker in WORKERS
        ]
        workers[1]["depends_on"] = ["first"]
        said = self.say("POST", "/api/workflows", {"name": self.name, "workers": workers})
        if self.model.exists:
            assert said == (409, "WORKFLOW_ALREADY_EXISTS")
            return
        assert said == (201, "")
        self.model = Model()
        self.model.exists, self.model.workers = True, list(WORKERS)

    @there_is_one
    @rule()
    def start(self) -> None:
        refusal = self.model.start_refusal()
        assert self.verb("start") == (refusal or (200, ""))
        if refusal is None:
            self.model.begin()

    @there_is_one
    @rule()
    def restart(self) -> None:
        refusal = self.model.start_refusal(restart=True)
        said = self.verb("restart")
        assert said == (refusal or (200, ""))
        if refusal is None:
            self.model.begin()
        elif refusal[1] == "WORKFLOW_EMPTY":
            self.model.end()

    @there_is_one
    @rule()
    def stop(self) -> None:
        assert self.verb("stop") == (200, "")
        self.model.end()

    @there_is_one
    @rule()
    def delete(self) -> None:
        said = self.say("DELETE", f"/api/workflows/{self.name}")
        if self.model.active is not None:
            assert said == (409, "WORKFLOW_RUNNING")
        else:
            assert said == (200, "")
            self.model = Model()

    @there_is_one
    @rule()
    def delete_by_force(self) -> None:
        assert self.say("DELETE", f"/api/workflows/{self.name}?force=true") == (200, "")
        self.model = Model()

    @precondition(lambda self: not self.model.exists)
    @rule()
    def command_what_is_not_there(self) -> None:
        for verb in ("start", "stop", "restart"):
            assert self.verb(verb) == self.worker_verb("first", verb) == (404, "WORKFLOW_NOT_FOUND")
        assert self.say("DELETE", f"/api/workflows/{self.name}") == (404, "WORKFLOW_NOT_FOUND")
        assert self.say("DELETE", f"/api/workers/{self.name}/first") == (404, "WORKFLOW_NOT_FOUND")

    @there_is_one
    @rule()
    def start_first(self) -> None:
        refusal = self.missing("first", starts=True)
        if refusal is None and self.model.live == "first":
            refusal = (409, "WORKER_ALREADY_RUNNING")
        assert self.worker_verb("first", "start") == (refusal or (200, ""))
        if refusal is None:
            self.model.begin_alone("first")

    @precondition(lambda self: self.model.active == "workflow")
    @rule()
    def start_second_which_waits(self) -> None:
        assert self.worker_verb("second", "start") == (
            (409, "WORKER_QUEUED") if "second" in self.model.workers else (404, "WORKER_NOT_FOUND")
        )

    @there_is_one
    @rule()
    def restart_first(self) -> None:
        refusal = self.missing("first", starts=True)
        before = self.pids("first") if self.model.live == "first" else []
        assert self.worker_verb("first", "restart") == (refusal or (200, ""))
        if refusal is None:
            if self.model.live is None:
                self.model.begin_alone("first")
            eventually(lambda: len(now := self.pids("first")) == 1 and now != before)

    @there_is_one
    @rule()
    def stop_first(self) -> None:
        refusal = self.missing("first")
        assert self.worker_verb("first", "stop") == (refusal or (200, ""))
        if refusal is None and self.model.live == "first":
            self.model.end()

    @there_is_one
    @rule()
    def delete_first(self) -> None:
        self.delete_worker("first")

    @precondition(lambda self: self.model.exists and self.model.active is None)
    @rule()
    def delete_second(self) -> None:
        self.delete_worker("second")

    def delete_worker(self, worker: str) -> None:
        refusal = self.missing(worker)
        if refusal is None and self.model.live == worker:
            refusal = (409, "WORKER_RUNNING")
        assert self.say("DELETE", f"/api/workers/{self.name}/{worker}") == (refusal or (200, ""))
        if refusal is None:
            self.model.workers.remove(worker)

    def pids(self, worker: str) -> list[int]:
        return marked(f"{self.mark}{worker}")

    @invariant()
    def the_server_shows_what_the_model_holds(self) -> None:
        model = self.model
        reply = self.server.request("GET", f"/api/workflows/{self.name}")
        if not model.exists:
            assert reply.status == 404
        else:
            assert reply.data["status"] == model.status
            workers = self.server.workers(self.name)
            assert list(workers) == model.workers
            for worker in model.workers:
                assert self.shows(worker, workers[worker]["status"])
        for worker in WORKERS:
            if worker == model.live:
                eventually(lambda worker=worker: len(self.pids(worker)) == 1)  # type: ignore[misc]
            else:
                assert self.pids(worker) == [], f"{worker} does not run"

    def shows(self, worker: str, status: str) -> bool:
        """At once, but that one just started may not have its process yet; then in a moment."""
        wanted = self.model.shown[worker]
        if wanted == "running" and status == "created":
            return bool(eventually(lambda: self.server.workers(self.name)[worker]["status"] == "running"))
        return status == wanted

    def teardown(self) -> None:
        self.server.request("DELETE", f"/api/workflows/{self.name}?force=true")
        assert marked(self.mark) == []


def check(server: Server, examples: int = 25, steps: int = 15) -> None:
    Commands.server = server
    phases = (Phase.explicit, Phase.generate, Phase.shrink)
    bounds = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, phases=phases, database=None,
        report_multiple_bugs=False, suppress_health_check=list(HealthCheck), print_blob=True,
    )  # fmt: skip
    run_state_machine_as_test(Commands, settings=bounds)


def test_a_server_does_what_the_model_does(server: Server) -> None:
    check(server)


def test_a_model_that_is_wrong_is_found_out(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control: a model in which a stop leaves the workflow as it was does not pass."""
    monkeypatch.setattr(Model, "end", lambda self: setattr(self, "active", None))
    with pytest.raises(AssertionError):
        check(server, examples=200, steps=15)  # ends with the first that fails
