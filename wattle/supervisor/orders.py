"""What a worker's process is given: its environment, its files, and the order to the keeper.

An order is a function of the run's row and its definition, so a recovered daemon makes the same one. Placeholders
are replaced here: a worker without any costs nothing for it.
"""

import os
from collections.abc import Iterable, Mapping
from signal import SIGKILL
from typing import Any

from wattle.definition.model import Probe, Worker, Workflow
from wattle.definition.placeholders import Values, fill
from wattle.engine.identity import attempt_uid
from wattle.logs.files import LogFiles, attempt_files, notify_file
from wattle.store.rows import RunRow
from wattle.supervisor.surroundings import (
    EnvFiles,
    defined_variables,
    env_files_of,
    io_path,
    names_of,
    needs_io_file,
    values_of,
)

PROBE_PRIORITY = 1_000_000_000  # as high as a worker's may be: a late look is a wrong look
PLAIN_PATH = "/usr/local/bin:/usr/bin:/bin"


def base_environment(environ: Mapping[str, str], launcher_dir: str) -> dict[str, str]:
    """The server's environment as workers see it: without the server's own settings, `python` findable."""
    base = {name: value for name, value in environ.items() if not name.startswith("WATTLE_")}
    base.setdefault("PYTHONUNBUFFERED", "1")
    base["PATH"] = _with_launcher(base.get("PATH", os.defpath), launcher_dir)
    return base


def worker_environment(
    run: RunRow,
    workflow: Workflow,
    worker: Worker,
    number: int,
    uid: str,
    places: tuple[str, str],
    env_files: EnvFiles,
    values: Values | None,
) -> dict[str, str]:
    """What is added to the base: the definition's variables, then Wattle's own. `places` are the data directory and
    the launcher's; `values` are what the worker's placeholders stand for, None where it has none."""
    data_dir, launcher_dir = places
    env = uninherited(worker, launcher_dir) | defined_variables(workflow, worker, env_files)
    if worker.templates is not None and values is not None:
        env |= {name: fill(template, values) for name, template in worker.templates.env_vars.items()}
    if "PATH" in env:
        env["PATH"] = _with_launcher(env["PATH"], launcher_dir)
    names = names_of(workflow, worker)
    env |= names.variables
    if not names.is_complete:
        env["WATTLE_IO_FILE"] = io_path(data_dir, run.id, worker)
    if worker.templates is not None and values is not None:
        env |= {name: values.text(placeholder) for name, placeholder in worker.templates.variables.items()}
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
    run: RunRow,
    workflow: Workflow,
    worker: Worker,
    number: int,
    data_dir: str,
    launcher_dir: str,
    env_files: EnvFiles = {},  # noqa: B006  # never changed
) -> dict[str, Any]:
    """The keeper's order for a worker's attempt (keeper/protocol.py); idempotent by its uid."""
    files = attempt_files(data_dir, run.id, worker.position, number)
    uid = uid_of(run, worker, number)
    descriptors = {}
    argv, values, places = list(worker.argv), None, (data_dir, launcher_dir)
    if worker.templates is not None:
        values = values_of(workflow, worker)
        argv = [fill(template, values) for template in worker.templates.argv]
    env = worker_environment(run, workflow, worker, number, uid, places, env_files, values)
    if worker.service is not None and worker.service.ready is not None and worker.service.ready.kind == "notify":
        env["WATTLE_NOTIFY_FD"] = worker.service.ready.target
        descriptors = {worker.service.ready.target: notify_file(data_dir, run.id, worker.position, number)}
    limits = limits_of(worker) if worker.limits is not None else {}
    return limits | {
        "uid": uid,
        "tag": [run.id, worker.position, number],
        "group": str(run.id),
        "argv": argv,
        "direct": worker.direct,
        "cwd": worker.working_dir,
        "env": env,
        "stdout": files.stdout,
        "stderr": files.stderr,
        "takes_slot": takes_slot(run, worker),
        "priority": worker.priority,
        "timeout_seconds": worker.timeout_seconds,
        "stop": stop_settings(worker),
        **({"descriptors": descriptors} if descriptors else {}),
    }


def probe_order(
    run: RunRow,
    workflow: Workflow,
    worker: Worker,
    number: int,
    probe: Probe,
    uid: str,
    count: int,
    files: LogFiles,
    places: tuple[str, str],
    env_files: EnvFiles,
) -> dict[str, Any]:
    """The order for a service's `exec` probe: in its directory and environment, under an identity of its own.

    The tag's number is negative: the record is about no attempt. At its timeout all of it is killed.
    """
    values = None if worker.templates is None else values_of(workflow, worker)
    return limits_of(worker) | {
        "memory_max_bytes": None,
        "uid": uid,
        "tag": [run.id, worker.position, -count],
        "group": "probes",
        "argv": list(probe.argv),
        "direct": probe.direct,
        "cwd": worker.working_dir,
        "env": worker_environment(run, workflow, worker, number, uid, places, env_files, values),
        "stdout": files.stdout,
        "stderr": files.stderr,
        "takes_slot": False,
        "priority": PROBE_PRIORITY,
        "timeout_seconds": probe.timeout_seconds,
        "stop": {"signal": int(SIGKILL), "grace_seconds": 0.0, "scope": "group"},
    }


def takes_slot(run: RunRow, worker: Worker) -> bool:
    """Services and workers that run by themselves take none."""
    return run.kind == "workflow" and worker.service is None


def uninherited(worker: Worker, launcher_dir: str) -> dict[str, str]:
    """What it has instead of those of the server's variables that it does not see but could not do without."""
    names = worker.limits.inherit_env if worker.limits is not None else None
    if names is None:
        return {}
    instead = {"PATH": _with_launcher(PLAIN_PATH, launcher_dir), "PYTHONUNBUFFERED": "1"}
    return {name: value for name, value in instead.items() if name not in names}


def limits_of(worker: Worker) -> dict[str, Any]:
    """The part of an order that few workers have (keeper/settings.py, keeper/memory.py)."""
    limits = worker.limits
    if limits is None:
        return {}
    wanted = {"user": limits.user, "umask": limits.umask, "nice": limits.nice, "rlimits": limits.rlimits or None}
    settings = {name: value for name, value in wanted.items() if value is not None}
    inherit = None if limits.inherit_env is None else list(limits.inherit_env)
    return {"settings": settings or None, "inherit": inherit, "memory_max_bytes": limits.memory_max_bytes}


def stop_settings(worker: Worker) -> dict[str, Any]:
    stop = worker.stop
    settings = {"signal": stop.signal, "grace_seconds": stop.grace_seconds, "scope": stop.scope}
    return {**settings, "allow_detached": True} if worker.allow_detached else settings


def directories(workers: Iterable[Worker]) -> list[str]:
    """The directories that must be there before the workers start: their own, and those of their outputs."""
    wanted: dict[str, None] = {}
    for worker in workers:
        wanted[worker.working_dir] = None
        for output in worker.outputs.values():
            wanted[os.path.dirname(output.path)] = None
    return list(wanted)


def needs_files(workflow: Workflow, worker: Worker) -> bool:
    """Can its order be made only once the run was prepared: an env_file is read, or a WATTLE_IO_FILE written."""
    return workflow.env_file is not None or worker.env_file is not None or needs_io_file(workflow, worker)


def why_not(
    workflow: Workflow,
    worker: Worker,
    run_id: int,
    data_dir: str,
    unusable: Mapping[str, str],
    unread: Mapping[str, str],
) -> tuple[str, str] | None:
    """Why a worker cannot be ordered, as (reason code, reason); None where it can. `unusable` and `unread` are
    {path: why} of the preparation."""
    for directory in directories([worker]):
        if directory in unusable:
            return "directory_unusable", f"directory {directory} could not be made: {unusable[directory]}"
    for path in env_files_of(workflow, [worker]):
        if path in unread:
            return "env_file_unreadable", f"env_file {path} cannot be used: {unread[path]}"
    if (path := io_path(data_dir, run_id, worker)) in unusable:
        return "io_file_unwritable", f"{path} could not be written: {unusable[path]}"
    return None


def _with_launcher(path: str, launcher_dir: str) -> str:
    return f"{path}{os.pathsep}{launcher_dir}" if path else launcher_dir
