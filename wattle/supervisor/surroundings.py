"""What a worker's process sees around it: its environment, and the names of its files and params.

A function of the run and its definition, so a recovered daemon makes the same; only env_files are read again,
since their values may be secrets and are written down nowhere.
"""

import json
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from wattle.definition.env_file import LIMIT_BYTES, parse_env
from wattle.definition.model import Worker, Workflow
from wattle.definition.names import variable_name
from wattle.definition.params import text_of
from wattle.definition.placeholders import Values

# One variable may have 128 KiB on Linux, and all of them share the space of the arguments with the user's.
NAMES_LIMIT_BYTES = 64 * 1024
_FEW_NAMES = 14  # so many cannot exceed it: a path has at most 4095 bytes

EnvFiles = Mapping[str, Mapping[str, str]]  # {path: variables}


@dataclass(frozen=True, slots=True)
class Names:
    """The variables `WATTLE_INPUT_…`, `WATTLE_OUTPUT_…`, `WATTLE_PARAM_…`. With `is_complete` none was left out."""

    variables: dict[str, str] = field(default_factory=dict)
    is_complete: bool = True


def names_of(workflow: Workflow, worker: Worker) -> Names:
    """Names that would collide are left out, and all of them where they exceed NAMES_LIMIT_BYTES together."""
    kept: dict[str, str] = {}
    collided: set[str] = set()
    for variable, value in _pairs(workflow, worker):
        if variable in kept:
            collided.add(variable)
        kept[variable] = value
    for variable in collided:
        del kept[variable]
    if len(kept) > _FEW_NAMES or workflow.values:
        size = sum(len(variable) + len(os.fsencode(value)) + 2 for variable, value in kept.items())
        if size > NAMES_LIMIT_BYTES:
            return Names({}, False)
    return Names(kept, not collided)


def needs_io_file(workflow: Workflow, worker: Worker) -> bool:
    """Are names left out of its environment, so that a file has to tell them."""
    if not workflow.values and len(worker.inputs) < 2 and len(worker.outputs) < 2:
        return False
    return not names_of(workflow, worker).is_complete


def io_path(data_dir: str, run_id: int, worker: Worker) -> str:
    """The file that WATTLE_IO_FILE names, beside the worker's logs."""
    return f"{data_dir}/logs/{run_id}/{worker.position}.io.json"


def write_io_file(path: str, workflow: Workflow, worker: Worker) -> None:
    """`{"inputs": {name: path}, "outputs": {name: path}, "params": {name: value}}`, complete or not there."""
    content = {
        "inputs": {name: workflow.path_of(ref) for name, ref in worker.inputs.items()},
        "outputs": {name: output.path for name, output in worker.outputs.items()},
        "params": dict(workflow.values),
    }
    temporary = f"{path}.{os.getpid()}"
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        json.dump(content, file, ensure_ascii=False)
    os.rename(temporary, path)


def env_files_of(workflow: Workflow, workers: Iterable[Worker]) -> list[str]:
    """The paths that these workers' environments are read from."""
    paths = dict.fromkeys(worker.env_file for worker in workers if worker.env_file is not None)
    if workflow.env_file is not None:
        paths = {workflow.env_file: None, **paths}
    return list(paths)


def read_env_file(path: str) -> dict[str, str]:
    """Its variables; ValueError says why it cannot be used. It names no value."""
    try:
        # It is read at every start, and again by the next server: a pipe would be empty then, which looks like no
        # variables. One that is put there after this look must not hold anybody up.
        if stat.S_ISFIFO(os.stat(path).st_mode):
            raise ValueError("it is a pipe, and it is read more than once")
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            content = file.read(LIMIT_BYTES + 1) or b""
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    if len(content) > LIMIT_BYTES:
        raise ValueError(f"it has more than {LIMIT_BYTES} bytes")
    try:
        return parse_env(content.decode())
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None


def defined_variables(workflow: Workflow, worker: Worker, env_files: EnvFiles) -> dict[str, str]:
    """What the definition sets: the worker's over the workflow's, and of each `env_vars` over the `env_file`."""
    env: dict[str, str] = {}
    if workflow.env_file is not None:
        env |= env_files[workflow.env_file]
    env |= workflow.env_vars
    if worker.env_file is not None:
        env |= env_files[worker.env_file]
    env |= worker.env_vars
    return env


def values_of(workflow: Workflow, worker: Worker) -> Values:
    """What the worker's placeholders stand for. KeyError where the workflow was not resolved."""
    return Values(
        {name: workflow.path_of(ref) for name, ref in worker.inputs.items()},
        {name: output.path for name, output in worker.outputs.items()},
        {name: text_of(value) for name, value in workflow.values.items()},
        workflow.run_id,
    )


def _pairs(workflow: Workflow, worker: Worker) -> Iterable[tuple[str, str]]:
    for name, ref in worker.inputs.items():
        yield f"WATTLE_INPUT_{variable_name(name)}", workflow.path_of(ref)
    for name, output in worker.outputs.items():
        yield f"WATTLE_OUTPUT_{variable_name(name)}", output.path
    for name, value in workflow.values.items():
        yield f"WATTLE_PARAM_{variable_name(name)}", text_of(value)
