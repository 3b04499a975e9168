"""The document's fields, their types and limits, as pydantic models; source of the published JSON Schema.

These say what a document *may look like* (its shape), not what it means: validate.py judges that. Import
this module late, pydantic costs at import. Optional fields may be absent or null; `[]` and `{}` are as good
as absent. Names are checked here but kept as written: NFC is made in validate.py, so that pointers still
name the keys of the user's text.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from wattle.definition import names
from wattle.definition.signals import LARGEST, signal_number

# Bounds on what one worker can hold, and so on the problems it can have (pydantic makes an object of each).
MOST_MEMBERS = 100_000
MOST_FIELDS = 100
LEAST_LOG_BYTES = 64 * 1024
MOST_BYTES = 2**62
_TEN_YEARS_SECONDS = 315_360_000


def _named(why_not: Callable[[str], str | None]) -> AfterValidator:
    def check(name: str) -> str:
        if reason := why_not(name):
            raise PydanticCustomError("name", "{reason}", {"reason": reason})
        return name

    return AfterValidator(check)


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (int, float)) else value


def _signal(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise PydanticCustomError("signal_type", "must be the name of a signal or its number")
    if (number := signal_number(value)) is None:
        raise PydanticCustomError("signal", "is not a signal")
    return number


def _umask(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise PydanticCustomError("umask", "must be octal digits in a text, as in \"027\", or an integer")
    if isinstance(value, str) and not re.fullmatch("[0-7]{1,4}", value):
        raise PydanticCustomError("umask", "must be octal digits, as in \"027\"")
    if not 0 <= (number := int(value, 8) if isinstance(value, str) else value) <= 0o777:
        raise PydanticCustomError("umask", "must be from \"000\" to \"777\" (octal), or an integer from 0 to 511")
    return number


def _user(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise PydanticCustomError("user", "must be the name of a user or a number")
    return str(value)


def _limit(value: Any) -> Any:
    if value != "unlimited" and (isinstance(value, bool) or not isinstance(value, int)):
        raise PydanticCustomError("rlimit", "must be an integer or \"unlimited\"")
    if isinstance(value, int) and not 0 <= value <= MOST_BYTES:
        raise PydanticCustomError("rlimit", f"must be from 0 to {MOST_BYTES}, or \"unlimited\"")
    return value


def _inherited(value: Any) -> Any:
    if not isinstance(value, (bool, list)):
        raise PydanticCustomError("inherit_env", "must be true, false, or an array of names")
    return _bounded(value)


def _inherited_form(value: Any) -> str:
    return "[all]" if isinstance(value, bool) else "[names]"


def _output_form(value: Any) -> str:
    return "[path]" if isinstance(value, str) else "[object]"


def _bounded(value: Any) -> Any:
    """Before the members are looked at: a dict's `max_length` would be judged after them."""
    if isinstance(value, (dict, list)) and len(value) > MOST_MEMBERS:
        raise PydanticCustomError("too_long", f"must have at most {MOST_MEMBERS} members")
    return value


def _few(value: Any) -> Any:
    if isinstance(value, dict) and len(value) > MOST_FIELDS:
        raise PydanticCustomError("too_long", f"must have at most {MOST_FIELDS} members")
    return value


# What the functions above check, as far as a JSON Schema can say it; never more than they do.
_LENGTHS = {"minLength": 1, "maxLength": 128}
_NAME: dict[str, Any] = {**_LENGTHS, "pattern": "^(?![.-])(?![0-9]+$)[^/\\u0000-\\u001f]*$"}
_PORTS: dict[str, Any] = {"propertyNames": {**_LENGTHS, "pattern": "^[^/\\u0000-\\u001f]*$"}}
_VARIABLES: dict[str, Any] = {"propertyNames": {"minLength": 1, "pattern": "^[^=\\u0000]*$"}}
_NAME_RULE = "1-128 characters, no '/', not only digits, no leading '-' or '.'"

WorkflowName = Annotated[
    str, _named(names.why_not_workflow), Field(description=_NAME_RULE, json_schema_extra=_NAME)
]
WorkerName = Annotated[
    str, _named(names.why_not_worker), Field(description=f"unique; {_NAME_RULE}", json_schema_extra=_NAME)
]
PortName = Annotated[str, _named(names.why_not_port)]
VariableName = Annotated[str, _named(names.why_not_variable)]
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]  # matching also refuses lone surrogates
FilePath = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]
VariableValue = Annotated[Text, BeforeValidator(_text, json_schema_input_type=str | int | float | bool)]
Seconds = Annotated[float, Field(ge=0, le=_TEN_YEARS_SECONDS)]
TimeLimit = Annotated[float, Field(gt=0, le=_TEN_YEARS_SECONDS)]
_MANY_PORTS = Field(max_length=MOST_MEMBERS, json_schema_extra=_PORTS)
Many, Few = BeforeValidator(_bounded), BeforeValidator(_few)
RestartPolicy = Literal["always", "on_failure", "never"]
Environment = Annotated[
    dict[VariableName, VariableValue], Field(max_length=MOST_MEMBERS, json_schema_extra=_VARIABLES), Many
]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class _Small(_Part):
    @model_validator(mode="before")
    @classmethod
    def _has_few_fields(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > MOST_FIELDS:
            raise PydanticCustomError("too_long", f"must have at most {MOST_FIELDS} fields")
        return value


class ParamDocument(_Small):
    """A value that a run is started with."""

    type: Literal["string", "integer", "number", "boolean", "json"] | None = Field(
        None, description="what is accepted, strictly; json is any value (default string)"
    )
    default: Any = Field(None, description="where none is given; of the type above")
    required: bool | None = Field(None, description="default: true where there is no default")
    description: Text | None = Field(None, description="for people; ignored")


class RetryDocument(_Small):
    """When a failed attempt is followed by another."""

    limit: int | None = Field(None, ge=0, le=10_000, description="retries after the first attempt (default 0)")
    delay_seconds: Seconds | None = Field(None, description="before the first retry (default 1)")
    factor: float | None = Field(None, ge=1, le=100, description="each delay is the one before times this (default 2)")
    max_delay_seconds: Seconds | None = Field(None, description="no delay is longer (default 300)")
    jitter: float | None = Field(None, ge=0, le=1, description="share of the delay that is random (default 0)")


class StopDocument(_Small):
    """How a worker is asked to end."""

    signal: Annotated[int, BeforeValidator(_signal, json_schema_input_type=str | int)] | None = Field(
        None, description=f"name (TERM, SIGINT) or number (1-{LARGEST}); default TERM"
    )
    grace_seconds: Seconds | None = Field(None, description="after it everything gets SIGKILL (default 10)")
    scope: Literal["group", "leader"] | None = Field(None, description="who gets the signal (default group)")


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise PydanticCustomError("pattern", "is no regular expression: {reason}", {"reason": str(error)}) from None
    return text


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and text.isprintable()
    except ValueError:
        good = False
    if not good or " " in text:
        raise PydanticCustomError("url", "must be a URL such as http://127.0.0.1:8080/health")
    return text


def _address(value: Any) -> str:
    host, _, port = ("127.0.0.1", "", str(value)) if isinstance(value, int) else str(value).rpartition(":")
    is_port = port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65_536
    if isinstance(value, (bool, float)) or not host or not is_port or not host.isprintable() or " " in host:
        raise PydanticCustomError("address", "must be host:port, or a port")
    return f"{host}:{port}"


class RestartDocument(_Small):
    """When a service is started again after it has ended, and how often."""

    policy: RestartPolicy | None = Field(None, description="default on_failure")
    limit: int | None = Field(None, ge=0, le=10_000, description="restarts within the window (default 5)")
    window_seconds: TimeLimit | None = Field(None, description="default 60")
    delay_seconds: Seconds | None = Field(None, description="before the first restart (default 1)")
    factor: float | None = Field(None, ge=1, le=100, description="each delay is the one before times this (default 2)")
    max_delay_seconds: Seconds | None = Field(None, description="no delay is longer (default 60)")
    jitter: float | None = Field(None, ge=0, le=1, description="share of the delay that is random (default 0.1)")
    healthy_seconds: TimeLimit | None = Field(
        None, description="having lived so long, earlier restarts are forgotten (default 60)"
    )


class ProbeDocument(_Small):
    """How it is found out whether a service is well: exactly one of exec, http, tcp, file, log, notify."""

    exec: FilePath | None = Field(
        None, description="a command in the worker's directory and environment; 0 is well"
    )
    http: Annotated[str, AfterValidator(_url)] | None = Field(
        None, description="http or https URL; an answer of 200 to 399 is well"
    )
    tcp: Annotated[str, BeforeValidator(_address, json_schema_input_type=str | int)] | None = Field(
        None, description="host:port, or a port of 127.0.0.1; taking a connection is well"
    )
    file: FilePath | None = Field(None, description="path relative to the worker's directory; existing is well")
    log: Annotated[
        str, Field(min_length=1, max_length=1000), AfterValidator(_pattern)
    ] | None = Field(None, description="regular expression for a line of its output; only for ready")
    notify: int | None = Field(
        None, ge=3, le=9, description="descriptor that the service writes a line to; only for ready"
    )
    period_seconds: TimeLimit | None = Field(None, description="between two looks (default 1)")
    timeout_seconds: TimeLimit | None = Field(None, description="of one look (default 5)")
    success_threshold: int | None = Field(None, ge=1, le=1000, description="passes in a row that count (default 1)")
    failure_threshold: int | None = Field(
        None, ge=1, le=1000, description="failures in a row that count; only for alive (default 3)"
    )
    initial_delay_seconds: Seconds | None = Field(None, description="before the first look (default 0)")
    within_seconds: Seconds | None = Field(
        None, description="to become ready, else the attempt has failed; 0 for no bound; only for ready (default 300)"
    )


class OutputDocument(_Small):
    """A file that a worker writes."""

    path: FilePath = Field(description="relative to the worker's working directory")
    optional: bool | None = Field(None, description="true: the worker completes without it too")


RestartValue = Annotated[
    Annotated[RestartPolicy, Tag("[policy]")] | Annotated[RestartDocument, Tag("[object]")],
    Discriminator(lambda value: "[policy]" if isinstance(value, str) else "[object]"),
]
Limit = Annotated[Annotated[int, Field(ge=0, le=MOST_BYTES)] | Literal["unlimited"], BeforeValidator(_limit)] | None


class RlimitsDocument(_Small):
    """What the kernel holds each process of a worker to; soft and hard limit are the same."""

    open_files: Limit = Field(None, description="descriptors")
    core_bytes: Limit = Field(None, description="of a core dump; 0 for none")
    address_space_bytes: Limit = Field(None, description="of each process, mapped or in use")
    processes: Limit = Field(None, description="of its user, all over the machine")


class LogDocument(_Small):
    """How much of what a worker prints is kept."""

    max_bytes: int | None = Field(
        None, ge=LEAST_LOG_BYTES, le=MOST_BYTES, description="of each stream; beyond it the oldest goes (default none)"
    )


# The tags stand in pydantic's error locations; shape.py drops what is no key of the document.
OutputValue = Annotated[
    Annotated[FilePath, Tag("[path]")] | Annotated[OutputDocument, Tag("[object]")], Discriminator(_output_form)
]

InheritEnv = Annotated[
    Annotated[bool, Tag("[all]")] | Annotated[list[VariableName], Field(max_length=MOST_MEMBERS), Tag("[names]")],
    Discriminator(_inherited_form),
    BeforeValidator(_inherited),
]


class WorkerDocument(_Part):
    """One command with named inputs and outputs."""

    name: WorkerName
    workflow_name: Text | None = Field(None, description="the workflow's name; filled in where absent")
    command: Text = Field(description="what it means to /bin/sh", json_schema_extra={"minLength": 1})
    args: Annotated[list[Text], Field(max_length=MOST_MEMBERS), Many] | None = Field(
        None, description="further arguments, passed literally"
    )
    working_dir: FilePath | None = Field(None, description="relative to the workflow's; default the workflow's")
    env_vars: Environment | None = Field(None, description="environment variables, over those of the workflow")
    env_file: FilePath | None = Field(
        None, description="file of NAME=value lines, relative to the workflow's directory; env_vars win over it"
    )
    inputs: Annotated[dict[PortName, Text], _MANY_PORTS, Many] | None = Field(
        None, description='{local name: "producer/output name"}'
    )
    outputs: Annotated[dict[PortName, OutputValue], _MANY_PORTS, Many] | None = Field(
        None, description="{output name: path, or {path, optional}}"
    )
    depends_on: Annotated[list[Text], Field(max_length=MOST_MEMBERS), Many] | None = Field(
        None, description="names of workers that must have completed, without a file between"
    )
    timeout_seconds: TimeLimit | None = Field(None, description="of one attempt, from its spawn; default none")
    retry: RetryDocument | None = None
    success_exit_codes: Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(max_length=256)] | None = Field(
        None, description="exit codes that count as completed (default 0)"
    )
    allow_detached: bool | None = Field(
        None, description="true: processes that it leaves behind when it ends by itself live on (default: are ended)"
    )
    stop: StopDocument | None = None
    kind: Literal["task", "service"] | None = Field(
        None, description="a task runs to its end (default); a service runs until nobody needs it"
    )
    restart: RestartValue | None = Field(
        None, description="of a service that ended: always, on_failure (default), never, or an object"
    )
    ready: ProbeDocument | None = Field(
        None, description="when a service is ready and its consumers may start; default at once"
    )
    alive: ProbeDocument | None = Field(None, description="whether a service that is ready is well; default always")
    priority: int | None = Field(
        None, ge=-1_000_000_000, le=1_000_000_000, description="of workers that may start, higher first (default 0)"
    )
    stdout: Text | None = Field(None, description="name of the output that standard output is saved to")
    capture_stdout: bool | None = Field(
        None, description="false: never save standard output as the one output the worker did not write"
    )

    user: Annotated[str, BeforeValidator(_user, json_schema_input_type=str | int)] | None = Field(
        None, description="name or uid, with :group if wanted; the server must run as root (default: the server's own)"
    )
    umask: Annotated[int, BeforeValidator(_umask, json_schema_input_type=str | int)] | None = Field(
        None, description='octal text ("027") or integer; default the server\'s own'
    )
    nice: int | None = Field(None, ge=-20, le=19, description="19 is the most modest; default the server's own")
    rlimits: RlimitsDocument | None = None
    memory_max_bytes: int | None = Field(
        None, ge=1, le=MOST_BYTES, description="of all its processes together; over it they are killed (default none)"
    )
    log: LogDocument | None = None
    inherit_env: InheritEnv | None = Field(
        None, description="which of the server's variables it sees: true (default), false, or their names"
    )


class WorkflowHeader(_Part):
    """A workflow without its workers."""

    schema_: Any = Field(None, alias="$schema", description="for editors; ignored")
    name: WorkflowName
    description: Text | None = Field(None, description="for people")
    working_dir: FilePath | None = Field(None, description="default <data dir>/work/<workflow name>")
    params: Annotated[
        dict[PortName, ParamDocument], Field(max_length=MOST_FIELDS, json_schema_extra=_PORTS), Few
    ] | None = Field(
        None, description="{name: {type, default, required, description}}: values that a run is started with"
    )
    env_vars: Environment | None = Field(None, description="environment variables of every worker")
    env_file: FilePath | None = Field(
        None, description="file of NAME=value lines for every worker, relative as working_dir; env_vars win over it"
    )
    max_parallel: int | None = Field(None, ge=1, le=10_000, description="workers at one time in a run (default 10)")
    timeout_seconds: TimeLimit | None = Field(None, description="of a run, wall time from its start; default none")


class WorkflowDocument(WorkflowHeader):
    """A set of workers that form a DAG by their inputs."""

    workers: list[WorkerDocument] = Field(description="may be empty; a start needs at least one")
