"""Live state: the active runs and their workers, keyed by ids. Owned by the loop's thread alone."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wattle.definition.graph import Graph
from wattle.definition.model import Worker, Workflow
from wattle.engine.outcome import Outcome
from wattle.engine.plan import RunPlan
from wattle.engine.states import ENDED_STATES, LIVE_STATES, ORDERED_STATES, State, phase_of, status_of
from wattle.store.rows import AttemptRow, RunRow, RunWorkerRow
from wattle.supervisor.answers import StopView, Told
from wattle.supervisor.surroundings import EnvFiles

REDEFINED = "restarted with its new definition"
WANTED = {
    State.STOPPING: "stop",
    State.RESTARTING: "restart",
    State.EXPIRING: "expire",
    State.ENDING: "end",
    State.AILING: "mend",
}


@dataclass(slots=True)
class Redefinition:
    """A service of a run as another version than the run's defines it, at its position in the run.

    `workflow` has the variables of that version and the params of the run; the other workers are as the run has them.
    """

    version_id: int
    place: int  # its position in that version
    worker: Worker
    workflow: Workflow
    prepared: bool = False
    unusable: dict[str, str] = field(default_factory=dict)  # as those of a run
    env_files: EnvFiles = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class LiveWorker:
    """One worker in an active run. `attempt` is the number of its newest attempt, 0 before the first.

    `worker` is how that attempt is defined: by `own`, or by the run's version where that is None. `next` is how the
    attempt after it will be, where that differs; it takes its place when that attempt begins (runs.py).
    """

    worker: Worker
    state: State = State.WAITING
    attempt: int = 0
    uid: str = ""
    reason_code: str | None = None
    reason: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    queued_at: int | None = None  # when the newest attempt was ordered, by this daemon
    started_at: int | None = None
    ended_at: int | None = None
    due_at: int | None = None
    forced: bool = False
    notices: tuple[str, ...] = ()
    row: AttemptRow | None = None  # the newest attempt's, once it has started
    outcome: Outcome | None = None  # of the attempt that settles
    record: Mapping[str, Any] | None = None  # the keeper's, of the newest end
    looked_at: int = 0  # the attempt whose files a job looks at
    missing_until: float | None = None  # monotonic: how long missing outputs are looked for again
    waiters: list[Callable[[Any], None]] = field(default_factory=list)  # told when its process is gone
    was_ready: bool = False  # the newest attempt, of a service
    restarts: tuple[int, ...] = ()  # instants (µs) of a service's automatic restarts since it was last well
    own: Redefinition | None = None
    next: Redefinition | None = None

    def surroundings(self, run: "LiveRun") -> "LiveRun | Redefinition":
        """Whose variables, params and env_files it has."""
        return run if self.own is None else self.own

    def defined_in(self, run: "LiveRun") -> tuple[int, int]:
        """The version by which its newest attempt is defined, and its position there."""
        return (run.row.version_id, self.worker.position) if self.own is None else (self.own.version_id, self.own.place)

    @property
    def name(self) -> str:
        return self.worker.name

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED_STATES

    @property
    def is_live(self) -> bool:
        return self.state in LIVE_STATES

    @property
    def wanted(self) -> str:
        """What is wanted of it, as it is stored."""
        return WANTED.get(self.state, "run")

    def stop_view(self) -> StopView:
        """What the end of its process says of the stop that brought it about."""
        record = self.record or {}
        signalled = (self.uid,) if record.get("cause") == "stopped" else ()
        told = record.get("told")
        signals = (Told(attempt=self.uid, worker=self.name, **told),) if signalled and told else ()
        return StopView("", signalled, bool(record.get("escalated")), int(record.get("unattributed", 0)), signals)

    def to_row(self, run_id: int) -> RunWorkerRow:
        return RunWorkerRow(
            run_id=run_id,
            position=self.worker.position,
            name=self.worker.name,
            phase=phase_of(self.state).value,
            status=status_of(self.state).value,
            attempt=self.attempt,
            wanted=self.wanted,
            reason_code=self.reason_code,
            reason=self.reason,
            exit_code=self.exit_code,
            signal=self.signal,
            started_at=self.started_at,
            ended_at=self.ended_at,
            due_at=self.due_at,
            forced=self.forced,
            notices=self.notices,
            version_id=None if self.own is None else self.own.version_id,
            next_version_id=None if self.next is None else self.next.version_id,
        )


@dataclass(slots=True)
class LiveRun:
    """One active run, pinned to the definition it started with, but for services that took a newer one (`own`)."""

    row: RunRow
    workflow: Workflow
    graph: Graph
    plan: RunPlan
    workers: dict[str, LiveWorker]
    started_monotonic: float
    ordered: set[str] = field(default_factory=set)  # names that the keeper may know of
    ordered_services: set[str] = field(default_factory=set)  # those of them that take no slot
    prepared: bool = False
    unusable: dict[str, str] = field(default_factory=dict)  # {directory: why it could not be made}
    env_files: EnvFiles = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)  # {env_file: why it could not be read}
    delayed: list[str] = field(default_factory=list)  # names whose order waits for `prepared`
    ahead: dict[str, str] = field(default_factory=dict)  # names that wait and are ordered ahead: uids (ahead.py)
    candidates: deque[int] = field(default_factory=deque)  # positions in the graph that may be ordered ahead
    timed_out: bool = False
    linked: set[str] = field(default_factory=set)  # names whose documented log paths lead to the newest attempt
    waiters: list[Callable[[Any], None]] = field(default_factory=list)  # told when the run has ended
    impatient: list[Callable[[Any], None]] = field(default_factory=list)  # told when something of it does not die
    stops: list[StopView] = field(default_factory=list)  # of its workers, for those who wait for its end
    by_position: dict[int, LiveWorker] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by_position = {live.worker.position: live for live in self.workers.values()}

    def note_ordered(self, live: LiveWorker) -> None:
        """Whether the keeper may know of the worker, as its state says."""
        names = (self.ordered,) if live.worker.service is None else (self.ordered, self.ordered_services)
        for known in names:
            if live.state in ORDERED_STATES:
                known.add(live.name)
            else:
                known.discard(live.name)

    def index(self, live: LiveWorker) -> int:
        """The worker's position in the run's graph, which has only the workers of the run."""
        return self.graph.position[live.name]

    @property
    def slots_ordered(self) -> int:
        """How many orders wait for a slot or have one."""
        return len(self.ordered) - len(self.ordered_services)

    @property
    def id(self) -> int:
        return self.row.id

    @property
    def group(self) -> str:
        return str(self.row.id)

    @property
    def is_cancelled(self) -> bool:
        return self.row.wanted == "cancel"

    def subject(self, live: LiveWorker | None = None) -> str:
        """How events name it: `workflow` or `workflow/worker`."""
        name = self.row.workflow_name
        return name if live is None else f"{name}/{live.name}"
