"""Do the processes agree with the rows (I5): none marked live that is not, none alive that no row knows."""

import os
import re
from collections.abc import Iterator

from wattle.diagnosis.scene import Defect, Scene, note
from wattle.engine.identity import attempt_uid
from wattle.keeper import place, proc
from wattle.keeper.journal import read_records
from wattle.keeper.record_shapes import is_whole
from wattle.logs.files import logs_root
from wattle.store.rows import AttemptRow, RunRow

_AT_START = "`wattle serve` finds out when it starts"


def check_processes(scene: Scene) -> Iterator[Defect]:
    yield from _check_live_rows(scene)
    for pid in proc.all_pids():
        yield from _check_process(scene, pid)


def _check_live_rows(scene: Scene) -> Iterator[Defect]:
    live = scene.inspection.queries.live_attempts()
    told = _ends_told(scene) if live else set()
    for attempt in live:
        where = f"run {attempt.run_id}, {attempt.worker} attempt {attempt.number}"
        if attempt.boot_id != scene.boot_id:
            finding = Defect if scene.daemon is not None else note
            yield finding("processes", where, "it ran when the machine was restarted", _AT_START)
        elif not _lives(attempt):
            what = f"it is marked as running, but there is no such process (pid {attempt.pid})"
            if scene.daemon is None and (scene.keeper is not None or attempt.uuid in told):
                yield note("processes", where, f"{what}: its end waits to be recorded", _AT_START)
            else:
                yield Defect("processes", where, what, _AT_START)


def _lives(attempt: AttemptRow) -> bool:
    if attempt.pid is None:
        return False
    facts = proc.read_stat(attempt.pid)
    if facts is None or facts.is_zombie:
        return False
    if proc.marker(attempt.pid) == attempt.uuid:
        return True
    pidfd = proc.open_same(attempt.pid, attempt.inode, attempt.start_ticks)
    if pidfd is None:
        return False
    os.close(pidfd)
    return True


def _ends_told(scene: Scene) -> set[str]:
    """The uids whose end a journal tells."""
    journals = os.path.join(scene.data_dir, place.JOURNAL)
    ended = (record for _, record in read_records(journals, {}) if record.get("kind") == "ended")
    return {record["uid"] for record in ended if is_whole(record)}


def _check_process(scene: Scene, pid: int) -> Iterator[Defect]:
    uid = proc.marker(pid)
    if uid is None:
        return
    facts = proc.read_stat(pid)
    if facts is None or facts.is_zombie:
        return
    remedy = f"look at it, and end it with `kill {pid}` when nobody needs it"
    attempt = scene.inspection.queries.attempt(uid)
    if attempt is None:
        if _is_ours(scene, pid, uid):
            what = "it is a worker's process of this data directory, but no attempt is recorded for it"
            yield Defect("processes", f"pid {pid}", what, remedy)
    elif attempt.ended_at is not None:
        owner = f"run {attempt.run_id}, {attempt.worker} attempt {attempt.number}"
        if _may_stay(scene, attempt):
            yield note("processes", f"pid {pid}", f"it was left running by {owner}, as allow_detached permits", remedy)
        else:
            yield Defect("processes", f"pid {pid}", f"it outlived {owner}", remedy)


def _may_stay(scene: Scene, attempt: AttemptRow) -> bool:
    """By any of the definitions that it has had in its run."""
    queries = scene.inspection.queries
    run = queries.run(attempt.run_id)
    rows = [row for row in queries.run_workers(attempt.run_id) if row.name == attempt.worker]
    versions = {row.version_id for row in (run, *rows) if row is not None and row.version_id is not None}
    workers = [worker for version in versions for worker in scene.workers_of(version)]
    return any(worker["name"] == attempt.worker and worker.get("allow_detached") for worker in workers)


def _is_ours(scene: Scene, pid: int, uid: str) -> bool:
    """Markers of other data directories look alike: ours follows from a run's key, or its output goes to an attempt's
    log (that of a probe goes to a file of its own)."""
    variables = _environment(pid)
    run_id, number = variables.get("WATTLE_RUN_ID", ""), variables.get("WATTLE_ATTEMPT", "")
    run = scene.inspection.queries.run(int(run_id)) if run_id.isdecimal() else None
    if run is not None and number.isdecimal() and uid in _uids(scene, run, int(number)):
        return True
    logs = re.compile(re.escape(logs_root(scene.data_dir)) + r"/\d+/\d+\.\d+\.(?:out|err)")
    return any(logs.fullmatch(path) for path in _outputs(pid))


def _uids(scene: Scene, run: RunRow, number: int) -> set[str]:
    positions = range(len(scene.workers_of(run.version_id)))
    return {attempt_uid(run.key, run.queued_at, position, number) for position in positions}


def _environment(pid: int) -> dict[str, str]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            content = file.read()
    except OSError:
        return {}
    pairs = (os.fsdecode(part).partition("=") for part in content.split(b"\0") if b"=" in part)
    return {name: value for name, _, value in pairs}


def _outputs(pid: int) -> Iterator[str]:
    for descriptor in (1, 2):
        try:
            yield os.readlink(f"/proc/{pid}/fd/{descriptor}")
        except OSError:
            continue
