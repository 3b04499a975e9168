"""What makes a worker a service: its `restart`, `ready` and `alive`. Fields of a task on a service, and the other
way round, are problems, not silence."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from wattle.definition.command import plan_command
from wattle.definition.model import Probe, Restart, Service
from wattle.definition.paths import why_not_path
from wattle.definition.places import Path
from wattle.errors import Invalid

if TYPE_CHECKING:
    from wattle.definition.schema import ProbeDocument, WorkerDocument

KINDS = ("exec", "http", "tcp", "file", "log", "notify")
ONCE = ("log", "notify")  # looks that can only tell that something happened
_USUAL = Service()

Complain = Callable[[Path, str], None]  # where (below the worker), what


def read_service(model: "WorkerDocument", absolute: Callable[[str], str], complain: Complain) -> Service | None:
    """The worker's Service, None for a task. `absolute` makes a path of the worker's own one of the machine's."""
    if model.kind != "service":
        for field in ("restart", "ready", "alive"):
            if getattr(model, field) is not None:
                complain((field,), f'`{field}` is for services; write `"kind": "service"`, or leave it out')
        return None
    if model.retry is not None:
        complain(("retry",), "`retry` is for tasks; a service has `restart`")
    if model.stdout is not None:
        complain(("stdout",), "the standard output of a service is not saved as an output")
    if model.restart is None and model.ready is None and model.alive is None:
        return _USUAL
    return Service(
        _restart(model),
        _probe("ready", model.ready, absolute, complain) if model.ready else None,
        _probe("alive", model.alive, absolute, complain) if model.alive else None,
    )


def _restart(model: "WorkerDocument") -> Restart:
    given = model.restart
    if given is None:
        return Restart()
    if isinstance(given, str):
        return Restart(policy=given)
    return Restart(**given.model_dump(exclude_none=True))


def _probe(
    field: str, given: "ProbeDocument", absolute: Callable[[str], str], complain: Complain
) -> Probe:
    kinds = [kind for kind in KINDS if getattr(given, kind) is not None]
    if len(kinds) != 1:
        found = f"it has {' and '.join(kinds)}" if kinds else "it has none"
        complain((field,), f"`{field}` takes exactly one of {', '.join(KINDS)}; {found}")
        return Probe("file", "/")
    (kind,) = kinds
    if field == "alive":
        if kind in ONCE:
            complain((field, kind), f"`{kind}` tells once that a service is ready, not whether it is alive")
        if given.within_seconds is not None:
            complain((field, "within_seconds"), "`within_seconds` is how long a service may take to become ready")
    elif given.failure_threshold is not None:
        complain((field, "failure_threshold"), "a service that is not ready yet is asked again; see `within_seconds`")
    target = str(getattr(given, kind))
    argv: tuple[str, ...] = ()
    direct = True
    if "${{" in target:
        complain((field, kind), "has a '${{', which is not replaced here; `exec` has the worker's variables")
    elif kind == "exec":
        try:
            plan = plan_command(target, None)
            argv, direct = plan.argv, plan.direct
        except Invalid as error:
            complain((field, kind), error.message)
    elif kind == "file":
        target = absolute(target)
        if reason := why_not_path(target):
            complain((field, kind), reason)
    settings = given.model_dump(exclude_none=True, exclude=set(KINDS))
    return Probe(kind, target, argv, direct, **settings)

