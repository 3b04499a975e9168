"""Do the rows of runs, workers and attempts agree with one another (I1, I2, I13).

Pure, but for what the Scene reads: each function takes the rows of one run.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from wattle.diagnosis.scene import Defect, Scene, note
from wattle.engine.identity import attempt_uid
from wattle.engine.states import State, phase_of, status_of
from wattle.store.rows import AttemptRow, RunRow, RunWorkerRow

TERMINAL = ("failed", "cancelled", "completed")  # the first that any worker has is the run's
WORDS = {(phase_of(state).value, status_of(state).value) for state in State}
BACKUP = "restore a backup of the database if one is better (docs/operations.md), and report it as a defect of Wattle"
CLOCK = "nothing: the machine's clock was set back at that time"


def check_database(scene: Scene) -> Iterator[Defect]:
    """The file itself: pages, indexes, references."""
    inspection = scene.inspection
    for damage in inspection.damages():
        yield Defect("database", "wattle.db", damage, "restore a backup, or save what is readable (docs/operations.md)")
    for version in inspection.damaged_definitions():
        what = f"the definition of version {version} is not the one that was stored"
        yield Defect("definitions", "wattle.db", what, f"no run of it is started; {BACKUP}")
    for dangling in inspection.dangling():
        yield Defect("references", "wattle.db", f"a reference leads nowhere: {dangling}", BACKUP)


def check_runs(scene: Scene) -> Iterator[Defect]:
    """Every run with what belongs to it."""
    queries = scene.inspection.queries
    with queries.snapshot():
        endings = scene.inspection.endings()
        for run in scene.inspection.runs():
            workers, attempts = queries.run_workers(run.id), queries.attempts(run.id)
            yield from check_run(run, workers, attempts, endings.get(run.id, []))
            if run.ended_at is not None:
                yield from _all_settled(scene, run, workers)


def check_run(
    run: RunRow, workers: Sequence[RunWorkerRow], attempts: Sequence[AttemptRow], endings: Sequence[str]
) -> Iterator[Defect]:
    """`endings` are the statuses that events of the run's end tell."""
    where = f"run {run.id} of {run.workflow_name}"
    has_ended = run.ended_at is not None
    if has_ended is not (run.status in TERMINAL):
        state = "has ended" if has_ended else "has not ended"
        yield Defect("status", where, f"it {state}, but its status is '{run.status}'", BACKUP)
    if has_ended:
        derived = _derived(run, workers)
        if workers and derived != run.status and run.status in TERMINAL:
            what = f"its status is '{run.status}', but its workers make it '{derived}'"
            yield Defect("status", where, what, BACKUP)
        if list(endings) != [run.status]:
            told = ", ".join(endings) or "none"
            what = f"one event has to tell its end as '{run.status}'; there are: {told}"
            yield Defect("outcome", where, what, BACKUP)
    elif endings:
        yield Defect("outcome", where, f"it has not ended, but an event tells its end: {', '.join(endings)}", BACKUP)
    yield from _decreasing(where, queued=run.queued_at, started=run.started_at, ended=run.ended_at)
    by_position: dict[int, list[AttemptRow]] = {}
    for attempt in attempts:
        by_position.setdefault(attempt.position, []).append(attempt)
    for worker in workers:
        yield from _check_worker(where, has_ended, worker, by_position.pop(worker.position, []))
    for left in by_position.values():
        yield Defect("attempts", f"{where}, {left[0].worker}", "it has attempts, but no state in the run", BACKUP)
    for attempt in attempts:
        yield from _check_attempt(where, run, attempt)


def _check_worker(where: str, run_ended: bool, worker: RunWorkerRow, attempts: list[AttemptRow]) -> Iterator[Defect]:
    where = f"{where}, {worker.name}"
    if (worker.phase, worker.status) not in WORDS:
        yield Defect("status", where, f"phase '{worker.phase}' and status '{worker.status}' do not go together", BACKUP)
    if run_ended and worker.phase != "ended":
        yield Defect("status", where, f"its run has ended, but it is '{worker.phase}'", BACKUP)
    yield from _decreasing(where, started=worker.started_at, ended=worker.ended_at)
    numbers = [attempt.number for attempt in attempts]
    if numbers and (max(numbers) > worker.attempt or min(numbers) < 1):
        what = f"its newest attempt is {worker.attempt}, but there are rows of {_listed(numbers)}"
        yield Defect("attempts", where, what, BACKUP)
    for earlier, later in pairwise(attempts):
        if earlier.ended_at is None:
            what = f"attempt {earlier.number} has not ended, but attempt {later.number} exists"
            yield Defect("attempts", where, what, BACKUP)
        elif later.started_at is not None and later.started_at < earlier.ended_at:
            what = f"attempt {later.number} started before attempt {earlier.number} had ended"
            yield note("times", where, what, CLOCK)
    if worker.phase == "ended" and attempts and attempts[-1].ended_at is None:
        yield Defect("attempts", where, f"it has ended, but its attempt {numbers[-1]} has not", BACKUP)


def _check_attempt(where: str, run: RunRow, attempt: AttemptRow) -> Iterator[Defect]:
    where = f"{where}, {attempt.worker} attempt {attempt.number}"
    has_ended = attempt.ended_at is not None
    if has_ended is not (attempt.status in TERMINAL):
        state = "has ended" if has_ended else "has not ended"
        yield Defect("status", where, f"it {state}, but its status is '{attempt.status}'", BACKUP)
    outcomes = [name for name in ("exit_code", "signal") if getattr(attempt, name) is not None]
    if len(outcomes) > 1:
        yield Defect("outcome", where, "it has both an exit code and a signal", BACKUP)
    elif not has_ended and outcomes:
        yield Defect("outcome", where, f"it has not ended, but has an {outcomes[0].replace('_', ' ')}", BACKUP)
    elif has_ended and not outcomes and attempt.reason_code is None:
        what = "it has ended with neither exit code, signal nor reason"
        yield Defect("outcome", where, what, BACKUP)
    yield from _decreasing(where, started=attempt.started_at, ended=attempt.ended_at)
    if attempt.uuid != attempt_uid(run.key, run.queued_at, attempt.position, attempt.number):
        yield Defect("identity", where, f"its uid {attempt.uuid} does not follow from the run's key", BACKUP)


def _all_settled(scene: Scene, run: RunRow, workers: Sequence[RunWorkerRow]) -> Iterator[Defect]:
    expected = 1 if run.kind == "worker" else len(scene.workers_of(run.version_id))
    if len(workers) != expected:
        where = f"run {run.id} of {run.workflow_name}"
        what = f"it has ended, but {len(workers)} of its {expected} workers have a state"
        remedy = f"nothing, if it is old: a removal that was cut off goes on by itself; else {BACKUP}"
        yield Defect("status", where, what, remedy)


def _derived(run: RunRow, workers: Sequence[RunWorkerRow]) -> str:
    if run.reason_code == "timed_out":
        return "failed"
    statuses = {worker.status for worker in workers}
    return next((status for status in TERMINAL if status in statuses), "completed")


def _decreasing(where: str, **instants: int | None) -> Iterator[Defect]:
    known = [(name, at) for name, at in instants.items() if at is not None]
    for (earlier, before), (later, after) in pairwise(known):
        if after < before:
            yield Defect("times", where, f"it {later} {(before - after) / 1e6:g} s before it {earlier}", BACKUP)


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
