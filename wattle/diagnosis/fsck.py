"""All checks of a data directory, in order. Reads only.

While a daemon or keeper works, rows and files change under the eyes of the checks. So what they find then is looked
for again: only what is still the same after a pause is told.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from wattle.config import DATABASE
from wattle.diagnosis import files, processes, rows
from wattle.diagnosis.holders import Holder, daemon_of, keeper_of
from wattle.diagnosis.scene import Defect, Scene, note
from wattle.errors import Refused, WattleError
from wattle.store.inspection import Inspection

PASSES = 3
PAUSE_SECONDS = 0.4

Check = Callable[[Scene], Iterator[Defect]]
OF_DATABASE: tuple[Check, ...] = (rows.check_runs, files.check_captures, processes.check_processes)
OF_FILES: tuple[Check, ...] = (files.check_logs, files.check_journals, files.check_modes)


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. `runs` is how many were looked at; `daemon` and `keeper` are the pids of those that live."""

    defects: tuple[Defect, ...]
    notes: tuple[Defect, ...]
    runs: int
    daemon: int | None
    keeper: int | None


def check(data_dir: str, pause: Callable[[float], None] = time.sleep) -> Report:
    """Look at everything. Refused: there is no such directory."""
    if not os.path.isdir(data_dir):
        raise Refused("DATA_DIR_MISSING", f"There is no data directory {data_dir}")
    found, scene, runs = _look(data_dir)
    for _ in range(PASSES - 1):
        if not scene.is_moving or all(one.is_note for one in found):
            break
        pause(PAUSE_SECONDS)
        again, scene, runs = _look(data_dir)
        still = {(one.check, one.where, one.what) for one in found}
        found = [one for one in again if one.is_note or (one.check, one.where, one.what) in still]
    defects = tuple(one for one in found if not one.is_note)
    notes = tuple(dict.fromkeys([*_about(scene), *(one for one in found if one.is_note)]))
    return Report(defects, notes, runs, _pid(scene.daemon), _pid(scene.keeper))


def _look(data_dir: str) -> tuple[list[Defect], Scene, int]:
    inspection = Inspection(os.path.join(data_dir, DATABASE))
    try:
        has_database, found = _open(inspection)
        scene = Scene(data_dir, inspection, has_database, daemon_of(data_dir), keeper_of(data_dir))
        if has_database:
            found += rows.check_database(scene)
            has_database = not found  # what a damaged database says is no witness
        if not has_database:
            scene = Scene(data_dir, inspection, False, scene.daemon, scene.keeper)
        is_readable = has_database or not found
        for one in [*(OF_DATABASE if has_database else ()), *(OF_FILES if is_readable else (files.check_modes,))]:
            found += one(scene)
        return found, scene, sum(1 for _ in inspection.runs()) if has_database else 0
    except WattleError as error:
        return [_unreadable(error)], Scene(data_dir, inspection, False, daemon_of(data_dir), keeper_of(data_dir)), 0
    finally:
        inspection.close()


def _open(inspection: Inspection) -> tuple[bool, list[Defect]]:
    try:
        return inspection.is_there(), []
    except WattleError as error:
        return False, [_unreadable(error)]


def _unreadable(error: WattleError) -> Defect:
    return Defect("database", DATABASE, error.message, "see docs/operations.md, Backup and Upgrade")


def _about(scene: Scene) -> Iterator[Defect]:
    """What could not be judged."""
    if scene.daemon is not None:
        what = "what it was about while it was looked at (attempts that start or end, files on their way) is not judged"
        yield note("scope", f"daemon, pid {scene.daemon.pid}", what, "end the daemon first where that matters")
    elif scene.keeper is not None and scene.keeper.children:
        what = "it goes on without a daemon: attempts that it starts or ends meanwhile are not judged"
        yield note("scope", f"keeper, pid {scene.keeper.pid}", what, "`wattle serve` records them")


def _pid(holder: Holder | None) -> int | None:
    return None if holder is None else holder.pid
