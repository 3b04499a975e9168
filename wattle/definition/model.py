"""What a validated definition is: plain frozen values, every path absolute, every default filled in.

No clock, no store, no process, no file system.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how fast a failed worker is tried again. `limit` counts retries after the first attempt."""

    limit: int = 0
    delay_seconds: float = 1.0
    factor: float = 2.0
    max_delay_seconds: float = 300.0
    jitter: float = 0.0  # 0..1, share of the delay that is random


@dataclass(frozen=True, slots=True)
class Stop:
    """How a worker is asked to end. `signal` is a signal number; after the grace everything gets SIGKILL."""

    signal: int = 15
    grace_seconds: float = 10.0
    scope: str = "group"  # or "leader"


@dataclass(frozen=True, slots=True)
class Output:
    """A file that a worker declares it writes. `path` is absolute."""

    path: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class InputRef:
    """`"producer/output"`: an edge of the DAG."""

    producer: str
    output: str


@dataclass(frozen=True, slots=True)
class Worker:
    """One node: what to execute, where, after what, and how it ends.

    `argv` is what to execute; with `direct` it is looked up in the worker's own PATH and directory,
    else it is `/bin/sh -c …`. `document` holds the fields as the user gave them (W-14, W-16).
    """

    position: int
    name: str
    command: str
    argv: tuple[str, ...]
    direct: bool
    working_dir: str
    args: tuple[str, ...] = ()
    env_vars: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, InputRef] = field(default_factory=dict)
    outputs: Mapping[str, Output] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    timeout_seconds: float | None = None
    retry: Retry = Retry()
    success_exit_codes: frozenset[int] = frozenset({0})
    stop: Stop = Stop()
    priority: int = 0
    stdout: str | None = None  # name of the output that takes standard output, asked for by name
    capture_stdout: bool = True
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Workflow:
    """A validated definition.

    `document` is the normalised JSON document (absolute directories, `workflow_name` filled in); its
    canonical form's SHA-256 is `digest`. Reading `document` again gives an equal Workflow.
    """

    name: str
    working_dir: str
    workers: tuple[Worker, ...]
    document: Mapping[str, Any]
    digest: str
    description: str | None = None
    env_vars: Mapping[str, str] = field(default_factory=dict)
    max_parallel: int = 10
    timeout_seconds: float | None = None

    def worker(self, name: str) -> Worker | None:
        """The worker of that name, or None."""
        return next((worker for worker in self.workers if worker.name == name), None)
