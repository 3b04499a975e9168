"""Do the files agree with the rows (I12): logs, captured outputs, journals, permissions."""

import json
import os
import re
import stat
from collections.abc import Generator, Iterator, Mapping, Sequence

from wattle.diagnosis.scene import Defect, Scene, note
from wattle.keeper import place
from wattle.logs.files import logs_root
from wattle.store.rows import AttemptRow, CaptureRow, RunRow

_LOG = re.compile(r"(\d+)\.(\d+)\.(?:out|err)")
_OF_ATTEMPT = re.compile(r"([0-9]+)\.([0-9]+)\..+")
_SEGMENT = re.compile(r"([0-9a-f]+)\.(\d+)\.jsonl")
_AT_START = "nothing: `wattle serve` sees to it when it starts"
_LOOK = "look at it, and delete it when nobody needs it"


# --- logs


def check_logs(scene: Scene) -> Iterator[Defect]:
    """A log file for each attempt that was started, and none without one."""
    root = logs_root(scene.data_dir)
    known = {}
    missing: list[tuple[str, Defect]] = []  # by the attempt's uid
    if scene.has_database:
        with scene.inspection.queries.snapshot():
            known = {run.id: run for run in scene.inspection.runs()}
            last = scene.inspection.last_run_id()
            for run in known.values():
                if run.logs_removed_at is None:
                    yield from _check_logs_of(scene, run, f"{root}/{run.id}", missing)
        for uid, defect in missing:
            if not _is_removed(scene, uid):
                yield defect
    else:
        last = 0
    for name in sorted(_names(root)):
        yield from _check_directory(f"{root}/{name}", name, known, last)


def _is_removed(scene: Scene, uid: str) -> bool:
    """Has a server that runs removed the logs of this attempt since the rows were read."""
    attempt = scene.inspection.queries.attempt(uid)
    run = scene.inspection.queries.run(attempt.run_id) if attempt is not None else None
    return attempt is None or run is None or (attempt.logs_removed_at or run.logs_removed_at) is not None


def _check_logs_of(scene: Scene, run: RunRow, directory: str, missing: list[tuple[str, Defect]]) -> Iterator[Defect]:
    names = set(_names(directory))
    attempts = scene.inspection.queries.attempts(run.id)
    yield from _check_removed(scene, attempts, directory)
    for attempt in attempts:
        is_expected = attempt.started_at is not None and attempt.logs_removed_at is None
        for suffix in ("out", "err"):
            name = f"{attempt.position}.{attempt.number}.{suffix}"
            if is_expected and name not in names:
                what = f"the log of {attempt.worker} attempt {attempt.number} of run {run.id} is missing"
                remedy = "nothing can bring it back; a backup may have it"
                missing.append((attempt.uuid, Defect("logs", f"{directory}/{name}", what, remedy)))
    recorded = {(attempt.position, attempt.number) for attempt in attempts}
    for name in sorted(names):
        match = _LOG.fullmatch(name)
        if match is None or (int(match[1]), int(match[2])) in recorded:
            continue
        path = f"{directory}/{name}"
        if run.ended_at is not None:
            yield Defect("logs", path, f"no attempt of run {run.id} wrote this log", _LOOK)
        elif not scene.is_moving:
            what = f"a log of an attempt of run {run.id} that is not recorded: it may have been started"
            yield note("logs", path, what, _AT_START)


def _check_removed(scene: Scene, attempts: Sequence[AttemptRow], directory: str) -> Iterator[Defect]:
    """Nothing of attempts whose logs retention has removed; a server that runs may be about to."""
    removed = {(row.position, row.number): row for row in attempts if row.logs_removed_at is not None}
    if not removed or scene.daemon is not None:
        return
    for where in (directory, f"{directory}/times"):
        for name in sorted(_names(where)):
            match = _OF_ATTEMPT.fullmatch(name)
            row = removed.get((int(match[1]), int(match[2]))) if match is not None else None
            if row is not None:
                what = f"a log of {row.worker} attempt {row.number} of run {row.run_id}, whose logs were removed"
                yield Defect("logs", f"{where}/{name}", what, _AT_START)


def _check_directory(path: str, name: str, known: Mapping[int, RunRow], last: int) -> Iterator[Defect]:
    if name.startswith("lost-"):
        yield note("logs", path, "logs of a run that the database did not know when Wattle started", _LOOK)
    if not (name.isascii() and name.isdigit()):
        return
    run = known.get(int(name))
    if run is not None and run.logs_removed_at is None:
        return
    if run is not None or int(name) <= last:
        yield Defect("logs", path, "logs of a run that was removed", _AT_START)
    else:
        what = "logs of a run that the database does not know: it may be older than the logs"
        yield Defect("logs", path, what, "put the right database back, or let `wattle serve` set them aside")


# --- captured outputs


def check_captures(scene: Scene) -> Iterator[Defect]:
    """What was saved from standard output: is it finished, and is it still what Wattle wrote."""
    queries = scene.inspection.queries
    for capture in scene.inspection.captures():
        if capture.state == "placed":
            yield from _check_placed(capture)
            continue
        attempt = queries.attempt(capture.attempt_uuid)
        run = queries.run(attempt.run_id) if attempt is not None else None
        what = f"a copy of standard output waits to be moved to {capture.path}"
        if run is not None and run.ended_at is None:
            yield note("captures", capture.temporary_path, what, _AT_START)
        elif os.path.lexists(capture.temporary_path):
            remedy = "move it there by hand if it is wanted, or delete it"
            yield Defect("captures", capture.temporary_path, f"{what}, but its run has ended", remedy)


def _check_placed(capture: CaptureRow) -> Iterator[Defect]:
    remedy = "nothing, if that was meant; else run its worker again"
    try:
        found = os.lstat(capture.path)
    except OSError as error:
        yield note("captures", capture.path, f"the captured output is not there: {error.strerror}", remedy)
        return
    if (found.st_size, found.st_mtime_ns, found.st_ino) != (capture.size, capture.mtime_ns, capture.inode):
        what = "the captured output was changed since Wattle wrote it, so Wattle will not replace it"
        yield note("captures", capture.path, what, remedy)


# --- journals


def check_journals(scene: Scene) -> Iterator[Defect]:
    """Every line a record, every record's number one more than the one before."""
    directory = os.path.join(scene.data_dir, place.JOURNAL)
    keepers: dict[str, list[tuple[int, str]]] = {}
    for name in _names(directory):
        match = _SEGMENT.fullmatch(name)
        if match is None:
            yield note("journal", f"{directory}/{name}", "it is no journal of a keeper", _LOOK)
        else:
            keepers.setdefault(match[1], []).append((int(match[2]), f"{directory}/{name}"))
    imported = scene.inspection.queries.imported() if scene.has_database else {}
    for keeper_id, segments in sorted(keepers.items()):
        yield from _check_journal(scene, [path for _, path in sorted(segments)], imported.get(keeper_id, 0))


def _check_journal(scene: Scene, paths: list[str], imported: int) -> Iterator[Defect]:
    last: int | None = None
    for path in paths:
        for number, line in enumerate(_lines(path), 1):
            where = f"{path}:{number}"
            seq = _seq(line)
            if seq is None and not line.endswith(b"\n"):
                yield note("journal", where, "the last line is torn, as by a crash", "nothing: it is passed over")
            elif seq is None:
                remedy = "nothing, if no number is missing: it is passed over, and what it told was written again"
                yield note("journal", where, "a line is no record", remedy)
            elif seq != (imported if last is None else last) + 1 and (last is not None or seq > imported + 1):
                expected = (imported if last is None else last) + 1
                what = f"record {expected} has to come next, here is {seq}"
                remedy = "nothing can bring it back; `wattle serve` finds out what it can about the workers"
                yield Defect("journal", where, what, remedy)
                last = seq
            else:
                last = seq
    if last is not None and last > imported and scene.daemon is None:
        what = f"{last - imported} records are not in the database yet"
        yield note("journal", paths[-1], what, "nothing: `wattle serve` takes them in when it starts")


def _lines(path: str) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            yield from file
    except FileNotFoundError:  # imported and deleted meanwhile
        return


def _seq(line: bytes) -> int | None:
    try:
        seq = json.loads(line)["seq"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    return seq if isinstance(seq, int) else None


# --- permissions


def check_modes(scene: Scene) -> Iterator[Defect]:
    """Everything but what users keep in `work/` is for the owner alone."""
    yield from _check_mode(scene.data_dir)
    pending = [scene.data_dir]
    while pending:
        directory = pending.pop()
        for name in _names(directory):
            path = f"{directory}/{name}"
            kind = yield from _check_mode(path)
            if kind is not None and stat.S_ISDIR(kind) and (directory, name) != (scene.data_dir, "work"):
                pending.append(path)


def _check_mode(path: str) -> Generator[Defect, None, int | None]:
    """Yields what is wrong; its value is the file's mode, None where it has gone."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    if stat.S_ISLNK(found.st_mode):
        return None
    wanted = "700" if stat.S_ISDIR(found.st_mode) or found.st_mode & 0o100 else "600"
    if found.st_uid != os.geteuid():
        yield Defect("modes", path, f"it belongs to user {found.st_uid}", f"chown {os.geteuid()} {path}")
    elif found.st_mode & 0o077:
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        yield Defect("modes", path, f"others have rights on it (mode {mode})", f"chmod {wanted} {path}")
    return found.st_mode


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []
