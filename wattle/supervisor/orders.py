"""What a worker's process is given: its environment, its files, and the order to the keeper.

An order is a function of the run's row and its definition, so a recovered daemon makes the same one.
"""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from wattle.definition.model import Worker, Workflow
from wattle.engine.identity import attempt_uid
from wattle.logs.files import attempt_files
from wattle.store.rows import RunRow

# One variable may have 128 KiB on Linux, and all of them share the space of the arguments with the user's.
NAMES_LIMIT_BYTES = 64 * 1024


def base_environment(environ: Mapping[str, str], launcher_dir: str) -> dict[str, str]:
    """The server's environment as workers see it: without the server's own settings, `python` findable."""
    base = {name: value for name, value in environ.items() if not name.startswith("WATTLE_")}
    base.setdefault("PYTHONUNBUFFERED", "1")
    base["PATH"] = _with_launcher(base.get("PATH", os.defpath), launcher_dir)
    return base


def worker_environment(
    run: RunRow, workflow: Workflow, worker: Worker, number: int, uid: str, launcher_dir: str
) -> dict[str, str]:
    """What is added to the base: the definition's variables, then Wattle's own."""
    env = {**workflow.env_vars, **worker.env_vars}
    if "PATH" in env:
        env["PATH"] = _with_launcher(env["PATH"], launcher_dir)
    env |= _file_names(workflow, worker)
    env |= {
        "WATTLE_WORKFLOW": workflow.name,
        "WATTLE_WORKER": worker.name,
        "WATTLE_RUN_ID": str(run.id),
        "WATTLE_ATTEMPT": str(number),
        "WATTLE_ATTEMPT_UID": uid,
    }
    return env


def uid_of(run: RunRow, worker: Worker, number: int) -> str:
    return attempt_uid(run.key, run.queued_at, worker.position, number)


def order(
    run: RunRow, workflow: Workflow, worker: Worker, number: int, data_dir: str, launcher_dir: str
) -> dict[str, Any]:
    """The keeper's order for a worker's attempt (keeper/protocol.py); idempotent by its uid."""
    files = attempt_files(data_dir, run.id, worker.position, number)
    uid = uid_of(run, worker, number)
    return {
        "uid": uid,
        "tag": [run.id, worker.position, number],
        "group": str(run.id),
        "argv": list(worker.argv),
        "direct": worker.direct,
        "cwd": worker.working_dir,
        "env": worker_environment(run, workflow, worker, number, uid, launcher_dir),
        "stdout": files.stdout,
        "stderr": files.stderr,
        "takes_slot": run.kind == "workflow",
        "priority": worker.priority,
        "timeout_seconds": worker.timeout_seconds,
        "stop": stop_settings(worker),
    }


def stop_settings(worker: Worker) -> dict[str, Any]:
    stop = worker.stop
    return {"signal": stop.signal, "grace_seconds": stop.grace_seconds, "scope": stop.scope}


def directories(workers: Iterable[Worker]) -> list[str]:
    """The directories that must be there before the workers start: their own, and those of their outputs."""
    wanted: dict[str, None] = {}
    for worker in workers:
        wanted[worker.working_dir] = None
        for output in worker.outputs.values():
            wanted[os.path.dirname(output.path)] = None
    return list(wanted)


def variable_name(name: str) -> str:
    """`raw data` → `RAW_DATA`: upper case, everything but ASCII letters, digits and `_` turned into `_`."""
    return re.sub(r"[^A-Z0-9_]", "_", name.upper())


def _file_names(workflow: Workflow, worker: Worker) -> dict[str, str]:
    """`WATTLE_INPUT_<NAME>` and `WATTLE_OUTPUT_<NAME>`; names that would collide are left out, and all of
    them where they exceed NAMES_LIMIT_BYTES together."""
    names: dict[str, str] = {}
    collided: set[str] = set()
    producers = {producer.name: producer for producer in workflow.workers} if worker.inputs else {}
    pairs = [
        (f"WATTLE_INPUT_{variable_name(name)}", producers[ref.producer].outputs[ref.output].path)
        for name, ref in worker.inputs.items()
    ] + [(f"WATTLE_OUTPUT_{variable_name(name)}", output.path) for name, output in worker.outputs.items()]
    for variable, path in pairs:
        if variable in names:
            collided.add(variable)
        names[variable] = path
    kept = {variable: path for variable, path in names.items() if variable not in collided}
    size = sum(len(variable) + len(os.fsencode(path)) + 2 for variable, path in kept.items())
    return kept if size <= NAMES_LIMIT_BYTES else {}


def _with_launcher(path: str, launcher_dir: str) -> str:
    return f"{path}{os.pathsep}{launcher_dir}" if path else launcher_dir
