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
class Restart:
    """When a service that has ended is started again, and how often: `limit` times within `window_seconds`.

    An attempt that lived for `healthy_seconds` makes what was before it forgotten.
    """

    policy: str = "on_failure"  # or "always", "never"
    limit: int = 5
    window_seconds: float = 60.0
    delay_seconds: float = 1.0
    factor: float = 2.0
    max_delay_seconds: float = 60.0
    jitter: float = 0.1  # 0..1, share of the delay that is random
    healthy_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Probe:
    """How it is found out whether a service is well: one `kind` of look, and how often.

    | kind | the look passes when |
    | --- | --- |
    | `exec` | `argv` ends with 0 (`direct` as for a worker) |
    | `http` | GET `target` (a URL) is answered by 200 to 399 |
    | `tcp` | `target` (`host:port`) takes a connection |
    | `file` | `target` (an absolute path) exists |
    | `log` | a line of its output matches `target`, a regular expression |
    | `notify` | it wrote a line to its descriptor `target` |

    `within_seconds` bounds how long a service may take to become ready; 0 is no bound.
    """

    kind: str
    target: str
    argv: tuple[str, ...] = ()
    direct: bool = True
    period_seconds: float = 1.0
    timeout_seconds: float = 5.0
    success_threshold: int = 1
    failure_threshold: int = 3
    initial_delay_seconds: float = 0.0
    within_seconds: float = 300.0

    def __str__(self) -> str:
        return f"{self.kind} {self.target}"


@dataclass(frozen=True, slots=True)
class Service:
    """What a worker of `kind: "service"` has more than a task."""

    restart: Restart = Restart()
    ready: Probe | None = None
    alive: Probe | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Who a worker's process is, and what it and its descendants may take of the machine. None: as the server.

    `user` is `name`, `uid`, or either with `:group`. `rlimits` are {name: number, or "unlimited"}, soft and hard.
    `memory_max_bytes` is of the whole process tree. `inherit_env` are the names of the server's variables that it
    sees, None for all.
    """

    user: str | None = None
    umask: int | None = None
    nice: int | None = None
    rlimits: Mapping[str, int | str] = field(default_factory=dict)
    memory_max_bytes: int | None = None
    inherit_env: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Placeholder:
    """`${{ kind.name }}`; `kind` is inputs, outputs, params, or run (then `name` is id)."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"${{{{ {self.kind}.{self.name} }}}}"


Template = tuple[str | Placeholder, ...]  # a text in parts


@dataclass(frozen=True, slots=True)
class Param:
    """A value that a run is started with. `type` is string, integer, number, boolean or json.

    One that is neither required nor has a default is null unless it is given.
    """

    type: str = "string"
    default: Any = None
    required: bool = True
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """A file that a worker declares it writes.

    `path` is absolute, but for the one of a `template` (whose text it then is) that begins with a placeholder.
    """

    path: str
    optional: bool = False
    template: Template | None = None  # where the path has placeholders: its parts


@dataclass(frozen=True, slots=True)
class Templates:
    """The parts of a worker that hold placeholders.

    `variables` are those that a command run by sh refers to: `{variable: what it stands for}`.
    """

    argv: tuple[Template, ...]
    env_vars: Mapping[str, Template] = field(default_factory=dict)
    variables: Mapping[str, Placeholder] = field(default_factory=dict)


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
    Where there are `templates`, `argv` and `env_vars` are made of them for each attempt (supervisor/orders.py).
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
    allow_detached: bool = False  # what it leaves behind when it ends by itself may live on
    env_file: str | None = None  # absolute
    service: Service | None = None  # None: a task, which runs to its end
    templates: Templates | None = None  # None: neither its command nor its variables have placeholders
    limits: Limits | None = None  # None: nothing is asked for
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Workflow:
    """A validated definition.

    `document` is the normalised JSON document (absolute directories, `workflow_name` filled in); its
    canonical form's SHA-256 is `digest`. Reading `document` again gives an equal Workflow.

    As one run sees it (resolve.py) it has the `values` of its params and `run_id`, and no templates but those of
    its workers' commands and variables.
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
    params: Mapping[str, Param] = field(default_factory=dict)
    env_file: str | None = None  # absolute
    env_templates: Mapping[str, Template] = field(default_factory=dict)  # those of env_vars that have placeholders
    has_placeholders: bool = False  # anywhere: something in it depends on the run
    has_path_placeholders: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)
    run_id: str | None = None
    _by_name: Mapping[str, Worker] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {worker.name: worker for worker in self.workers})

    def worker(self, name: str) -> Worker | None:
        """The worker of that name, or None."""
        return self._by_name.get(name)

    def path_of(self, ref: InputRef) -> str:
        """Where the file is that an input refers to. KeyError in a definition that was not validated."""
        return self._by_name[ref.producer].outputs[ref.output].path
