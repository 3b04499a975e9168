"""The judge: what is on disk and in /proc after faults, against what the workers themselves wrote down.

Imports nothing of Wattle and asks no server. A scene's directory has `data/` (the data directory), `work/` (where
the workers ran), `witness/` (worker.sh says what is in it) and `expect.json`:

    marker           value of FAULT_SCENE in the environment of every process of the scene
    stopped          names of workers that a user stopped or restarted
    acknowledged     ids of runs whose start was answered with success
    unknown_allowed  daemon and keeper both died, so an exit status may be unknown
    keeper_deaths    unix seconds at which a keeper was killed
    excused          reason codes that an injected I/O error may have caused

Run as a program it prints the violations of the scenes it is given: `python checker.py SCENE…`.
"""

import json
import os
import sqlite3
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

ENDED = ("completed", "failed", "cancelled")
TURN_SECONDS = 0.25  # a turn of the keeper: up to eight spawns, on a machine that is busy


@dataclass(frozen=True)
class Line:
    """One line of the witness; `at` is its place in the file."""

    at: int
    kind: str
    worker: str
    number: int
    uid: str
    value: int


@dataclass
class Scene:
    """What was found. Everything is read once, when it is first asked for."""

    directory: Path
    violations: list[str] = field(default_factory=list)
    unknown: int = 0  # exit statuses that nobody could tell, and that was allowed

    def wrong(self, message: str) -> None:
        self.violations.append(message)

    @cached_property
    def expect(self) -> dict[str, Any]:
        return dict(json.loads((self.directory / "expect.json").read_text()))

    @cached_property
    def lines(self) -> list[Line]:
        found = []
        text = (self.directory / "witness" / "lines").read_text()
        for at, words in enumerate(line.split() for line in text.splitlines()):
            found.append(Line(at, words[0], words[2], int(words[3]), words[4], int(words[5])))
        return found

    @cached_property
    def starts(self) -> dict[str, Line]:
        return {line.uid: line for line in self.lines if line.kind == "start"}

    @cached_property
    def ends(self) -> dict[str, Line]:
        return {line.uid: line for line in self.lines if line.kind == "end"}

    def query(self, sql: str) -> list[dict[str, Any]]:
        connection = sqlite3.connect(f"file:{self.directory}/data/wattle.db?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(sql)]
        finally:
            connection.close()

    @cached_property
    def runs(self) -> list[dict[str, Any]]:
        return self.query("SELECT run.*, version.document FROM run JOIN version ON version.id = version_id")

    @cached_property
    def workers(self) -> list[dict[str, Any]]:
        return self.query("SELECT * FROM run_worker ORDER BY run_id, position")

    @cached_property
    def attempts(self) -> list[dict[str, Any]]:
        return self.query("SELECT * FROM attempt ORDER BY run_id, position, number")

    @cached_property
    def declared(self) -> dict[int, dict[str, dict[str, Any]]]:
        """{run id: {worker: its declaration}}."""
        return {run["id"]: {w["name"]: w for w in json.loads(run["document"])["workers"]} for run in self.runs}

    def producers(self, run_id: int, worker: str) -> set[str]:
        declared = self.declared[run_id][worker]
        inputs = (declared.get("inputs") or {}).values()
        return set(declared.get("depends_on") or ()) | {reference.partition("/")[0] for reference in inputs}

    def witnessed(self, uid: str, what: str) -> bytes | None:
        try:
            return (self.directory / "witness" / f"{uid}.{what}").read_bytes()
        except FileNotFoundError:
            return None


def check(directory: Path) -> Scene:
    """Judge a scene; its `violations` are sentences."""
    scene = Scene(directory)
    for rule in RULES:
        try:
            rule(scene)
        except sqlite3.DatabaseError as error:
            scene.wrong(f"the database cannot be read: {error}")
            break
    return scene


def storage_is_sound(scene: Scene) -> None:
    """I12."""
    for (verdict,) in (row.values() for row in scene.query("PRAGMA integrity_check")):
        if verdict != "ok":
            scene.wrong(f"integrity_check: {verdict}")
    for row in scene.query("PRAGMA foreign_key_check"):
        scene.wrong(f"foreign key: {row}")
    for path in (scene.directory / "work").rglob("*.wattle-*"):
        if "capture_failed" not in scene.expect["excused"]:
            scene.wrong(f"a temporary file is left: {path.name}")


def acknowledged_runs_are_there(scene: Scene) -> None:
    """I4."""
    for run_id in scene.expect["acknowledged"]:
        if run_id not in {run["id"] for run in scene.runs}:
            scene.wrong(f"run {run_id} was acknowledged and is not in the database")


def no_attempt_started_twice(scene: Scene) -> None:
    """I3."""
    for uid, number in Counter(line.uid for line in scene.lines if line.kind == "start").items():
        if number > 1:
            scene.wrong(f"attempt {uid} was started {number} times")
    for key, number in Counter((line.worker, line.number) for line in scene.starts.values()).items():
        if number > 1:
            scene.wrong(f"{key[0]} had {number} processes for attempt {key[1]}")


def attempts_are_those_of_the_witness(scene: Scene) -> None:
    """I3: what ran is recorded, what is recorded ran."""
    known = {attempt["uuid"]: attempt for attempt in scene.attempts}
    for uid, line in scene.starts.items():
        if uid not in known:
            scene.wrong(f"{line.worker} attempt {line.number} ran and is not in the database")
        elif (known[uid]["worker"], known[uid]["number"]) != (line.worker, line.number):
            scene.wrong(f"attempt {uid} is {known[uid]['worker']} in the database and {line.worker} by its witness")
    for uid, attempt in known.items():
        was_killed_early = attempt["signal"] is not None or _is_unknown(attempt)
        if uid not in scene.starts and attempt["pid"] is not None and not was_killed_early:
            scene.wrong(f"{attempt['worker']} attempt {attempt['number']} is recorded as started and never ran")


def exit_codes_are_those_of_the_witness(scene: Scene) -> None:
    """I2, F07."""
    for attempt in scene.attempts:
        name = f"{attempt['worker']} attempt {attempt['number']}"
        line = scene.ends.get(attempt["uuid"])
        if attempt["ended_at"] is None:
            scene.wrong(f"{name} has no end")
        elif _is_unknown(attempt):
            scene.unknown += 1
            # Without a pid its start was not written down yet: only the keeper that died knew of it.
            if attempt["pid"] is not None and not (scene.expect["unknown_allowed"] or _died_with_it(scene, attempt)):
                scene.wrong(f"{name}: its exit status is unknown, and daemon and keeper were never dead together")
        elif line is None:
            if attempt["exit_code"] is not None:
                scene.wrong(f"{name} has exit code {attempt['exit_code']} and never came to its end")
        elif attempt["exit_code"] != line.value and not _was_signalled_by_us(attempt):
            scene.wrong(f"{name} ended with {line.value} and is recorded with {attempt['exit_code']}")
        if attempt["started_at"] is not None and (attempt["ended_at"] or 0) < attempt["started_at"]:
            scene.wrong(f"{name} ended before it started")


def _is_unknown(attempt: dict[str, Any]) -> bool:
    """Nobody could tell; with its pid where its start was written down."""
    return attempt["exit_code"] is None and attempt["signal"] is None and attempt["reason_code"] == "lost"


def _died_with_it(scene: Scene, attempt: dict[str, Any]) -> bool:
    """It ended within the last turn of a keeper that was killed, which had reaped it and not yet written that down."""
    for what in ("end", "out"):
        path = scene.directory / "witness" / f"{attempt['uuid']}.{what}"
        if path.exists():
            ended = path.stat().st_mtime
            return any(-0.01 <= death - ended <= TURN_SECONDS for death in scene.expect["keeper_deaths"])
    return False


def _was_signalled_by_us(attempt: dict[str, Any]) -> bool:
    """Stopped between its last line and its end."""
    return attempt["signal"] in (9, 15)


def consumers_follow_producers(scene: Scene) -> None:
    """I8: by the witness alone."""
    completed: dict[str, int] = {}
    for line in scene.lines:
        if line.kind == "end" and line.value == 0:
            completed.setdefault(line.worker, line.at)
    for run in scene.runs:
        for line in scene.starts.values():
            if line.worker not in scene.declared[run["id"]]:
                continue
            for producer in scene.producers(run["id"], line.worker):
                if completed.get(producer, sys.maxsize) > line.at:
                    scene.wrong(f"{line.worker} started before {producer} had completed")


def outputs_are_right_by_bytes(scene: Scene) -> None:
    """What a completed worker declares is what it meant to write; what a consumer read is just that."""
    last = {(a["run_id"], a["worker"]): a for a in scene.attempts}
    meant: dict[str, bytes] = {}
    for row in scene.workers:
        attempt = last.get((row["run_id"], row["name"]))
        if row["status"] != "completed" or attempt is None:
            continue
        for output in (scene.declared[row["run_id"]][row["name"]].get("outputs") or {}).values():
            wanted = scene.witnessed(attempt["uuid"], "output") or scene.witnessed(attempt["uuid"], "out") or b""
            meant[row["name"]] = wanted
            path = scene.directory / "work" / Path(output["path"] if isinstance(output, dict) else output).name
            found = path.read_bytes() if path.exists() else None
            if found != wanted:
                scene.wrong(f"{row['name']}: {output} holds {found!r} and not {wanted!r}")
    for row in scene.workers:
        for line in scene.starts.values():
            if line.worker != row["name"] or line.uid not in scene.ends:
                continue
            read = scene.witnessed(line.uid, "input")
            for producer in scene.producers(row["run_id"], row["name"]):
                if read is not None and producer in meant and read != meant[producer]:
                    scene.wrong(f"{row['name']} read {read!r} and not what {producer} wrote")


def logs_are_whole(scene: Scene) -> None:
    """I6."""
    for attempt in scene.attempts:
        path = scene.directory / "data" / "logs" / f"{attempt['run_id']}/{attempt['position']}.{attempt['number']}.out"
        said = scene.witnessed(attempt["uuid"], "out") or b""
        found = path.read_bytes() if path.exists() else b""
        if attempt["uuid"] in scene.ends and found != said or not said.startswith(found):
            name = f"{attempt['worker']} attempt {attempt['number']}"
            scene.wrong(f"the log of {name} holds {found!r}, it printed {said!r}")


def states_follow_from_attempts(scene: Scene) -> None:
    """I1, I8: why each worker is what it is, and the run what its workers are."""
    last = {(a["run_id"], a["worker"]): a for a in scene.attempts}
    status = {(row["run_id"], row["name"]): row["status"] for row in scene.workers}
    for row in scene.workers:
        attempt, name = last.get((row["run_id"], row["name"])), row["name"]
        lost = [p for p in scene.producers(row["run_id"], name) if status.get((row["run_id"], p)) != "completed"]
        code = attempt["exit_code"] if attempt else None
        match row["status"]:
            case "completed":
                if code != 0 or attempt is None or attempt["uuid"] not in scene.ends:
                    scene.wrong(f"{name} is completed and its last attempt ended with {code}")
            case "failed":
                if code == 0 and row["reason_code"] not in scene.expect["excused"]:
                    scene.wrong(f"{name} is failed ({row['reason']}) and its last attempt ended with 0")
                if attempt is None and row["reason_code"] not in scene.expect["excused"]:
                    scene.wrong(f"{name} is failed ({row['reason']}) and was never started")
            case "cancelled":
                if not lost and name not in scene.expect["stopped"]:
                    scene.wrong(f"{name} is cancelled ({row['reason']}), nobody stopped it and nothing it needs failed")
            case other:
                scene.wrong(f"{name} is {other} and the scene is over")
        if row["attempt"] and attempt is not None and row["attempt"] != attempt["number"]:
            scene.wrong(f"{name} is at attempt {row['attempt']}, its last one recorded is {attempt['number']}")
    for run in scene.runs:
        of_run = {row["status"] for row in scene.workers if row["run_id"] == run["id"]}
        wanted = next((word for word in ("failed", "cancelled") if word in of_run), "completed")
        if run["ended_at"] is None or run["status"] != wanted:
            scene.wrong(f"run {run['id']} is {run['status']} and its workers say {wanted}")


def events_tell_it_once(scene: Scene) -> None:
    """I1: each end is told once, and the last word about a worker is its status. Who was cancelled for another's sake
    and waits again may end again."""
    told: dict[tuple[int, str], list[str]] = defaultdict(list)
    for event in scene.query("SELECT run_id, subject, kind FROM event WHERE run_id IS NOT NULL ORDER BY id"):
        told[event["run_id"], event["subject"]].append(event["kind"])
    for run in scene.runs:
        ends = [kind for kind in told[run["id"], run["workflow_name"]] if kind.removeprefix("run.") in ENDED]
        if ends != [f"run.{run['status']}"]:
            scene.wrong(f"run {run['id']} is {run['status']}, its events say {ends}")
    begun = Counter((a["run_id"], a["worker"]) for a in scene.attempts)
    for row in scene.workers:
        subject = f"{next(r['workflow_name'] for r in scene.runs if r['id'] == row['run_id'])}/{row['name']}"
        ends = [kind for kind in told[row["run_id"], subject] if kind.removeprefix("worker.") in ENDED]
        if not ends or ends[-1] != f"worker.{row['status']}":
            scene.wrong(f"{row['name']} is {row['status']}, its events say {ends}")
        waits_again = told[row["run_id"], subject].count("worker.waiting")
        if len(ends) > max(1, begun[row["run_id"], row["name"]] + waits_again):
            scene.wrong(f"{row['name']} had {begun[row['run_id'], row['name']]} attempts and {len(ends)} ends: {ends}")


def journals_agree(scene: Scene) -> None:
    """Numbers grow by one, only the last line may be torn, and exit codes are those of the database."""
    codes = {attempt["uuid"]: attempt["exit_code"] for attempt in scene.attempts}
    keepers: dict[str, list[Path]] = defaultdict(list)
    for path in sorted((scene.directory / "data" / "journal").glob("*.jsonl")):
        keepers[path.name.partition(".")[0]].append(path)
    for keeper, paths in keepers.items():
        text = b"".join(path.read_bytes() for path in paths)
        *whole, _ = text.split(b"\n")
        before = None
        for line in whole:
            try:
                record = json.loads(line)
            except ValueError:
                scene.wrong(f"the journal of {keeper} has a corrupt line: {line!r}")
                continue
            if before is not None and record["seq"] != before + 1:
                scene.wrong(f"the journal of {keeper} goes from {before} to {record['seq']}")
            before = record["seq"]
            if record["kind"] == "ended" and record["known"] and codes.get(record["uid"]) != record["exit_code"]:
                scene.wrong(f"the journal says {record['exit_code']}, the database {codes.get(record['uid'])}")


def nothing_runs_any_more(scene: Scene) -> None:
    """I5: by the mark in the environment, which every descendant has."""
    for pid in processes_of(scene.expect["marker"]):
        scene.wrong(f"process {pid} is left: {_command(pid)}")
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        if "wattle-keeper" in _command(pid) and f"{scene.directory}/data" in _command(pid):
            scene.wrong(f"keeper {pid} is left")


def processes_of(marker: str) -> list[int]:
    """The living processes (no zombies) with FAULT_SCENE=marker in their environment."""
    wanted = b"FAULT_SCENE=" + marker.encode() + b"\0"
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if wanted not in Path(f"/proc/{name}/environ").read_bytes():
                continue
            state = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            found.append(int(name))
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


RULES = (
    storage_is_sound,
    acknowledged_runs_are_there,
    no_attempt_started_twice,
    attempts_are_those_of_the_witness,
    exit_codes_are_those_of_the_witness,
    consumers_follow_producers,
    outputs_are_right_by_bytes,
    logs_are_whole,
    states_follow_from_attempts,
    events_tell_it_once,
    journals_agree,
    nothing_runs_any_more,
)

if __name__ == "__main__":
    found = {path: check(Path(path)).violations for path in sys.argv[1:]}
    for path, violations in found.items():
        print(f"{path}: {len(violations)} violations", *violations, sep="\n  ")
    sys.exit(any(found.values()))
