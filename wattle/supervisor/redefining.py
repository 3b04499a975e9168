"""A service of an active run takes the definition that is stored now, though the run is bound to an older version.

Only a service can: what it is for is to run, not to bring its run further. And only where the run's graph stays as it
is, for consumers that have started have seen it. `Redefinition` (live.py) is the definition; it is first what the next
attempt will have, and becomes the worker's own when that begins (runs.py, `begin_attempt`).

| the service is …                        | what happens                                                           |
| --------------------------------------- | ---------------------------------------------------------------------- |
| waiting, or its order is being recalled | its first attempt has the new definition                               |
| queued, running, ready, ailing          | it is ended as for any restart; the attempt after that has the new one |
| being restarted                         | the same; a definition that was to come is passed over                 |
| settling, retrying                      | its next attempt begins at once                                        |
| being ended, or has ended               | it is not started again; an attempt that a user starts has the new one |

What is wanted is written down before anything is done, both versions with it, so each crash has one meaning:

| the daemon died …                       | what is found                     | what the next one does               |
| --------------------------------------- | --------------------------------- | ------------------------------------ |
| before the commit                       | the old version                   | nothing; the caller had no answer    |
| after it, before the stop was sent      | `restart`, the next version       | sends the stop, with the old grace   |
| after the end, before the next order    | the same, an end in the journal   | orders the next attempt, of the new  |
| after that order, before its commit     | the same, the next uid is known   | takes it as queued, of the new       |
| later                                   | the new version                   | is its own: probes, limits, restarts |

Decisions only, but for `prepare`d files, which are a job like those of the run.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from wattle.definition.model import InputRef, Worker, Workflow
from wattle.definition.params import bind
from wattle.definition.resolve import resolve
from wattle.engine.states import Event, State
from wattle.errors import Conflict, WattleError
from wattle.store.rows import RunRow
from wattle.supervisor.answers import RedefinedView
from wattle.supervisor.ledger import Ledger
from wattle.supervisor.live import REDEFINED, LiveRun, LiveWorker, Redefinition
from wattle.supervisor.runs import Runs

RESTARTED = frozenset({State.QUEUED, State.RUNNING, State.READY, State.AILING, State.RESTARTING})
BEGUN = frozenset({State.SETTLING, State.RETRYING})
TO_COME = frozenset({State.WAITING, State.RECALLED})


def values_in(row: RunRow, workflow: Workflow) -> dict[str, Any]:
    """The run's params as far as that version declares them, else defaults; Invalid where they do not fit."""
    given = json.loads(row.params) if row.params else {}
    return bind(workflow.params, {name: value for name, value in given.items() if name in workflow.params})


def redefinition(
    row: RunRow, workflow: Workflow, version_id: int, version: Workflow, worker: str, position: int
) -> Redefinition:
    """The worker of a run as `version` has it; `workflow` is the run's own. KeyError where that version lacks it."""
    values = values_in(row, version)
    resolved = resolve(version, values, row.id) if values or version.has_placeholders else version
    node = resolved.worker(worker)
    if node is None:
        raise KeyError(worker)
    if row.kind == "workflow":
        resolved = replace(resolved, workers=workflow.workers)  # inputs are where the run's producers put them
    return Redefinition(version_id, node.position, replace(node, position=position), resolved)


def is_changed(run: LiveRun, live: LiveWorker, version: Workflow) -> bool:
    """Is the worker defined otherwise there than its next attempt in the run is now: itself, or its variables."""
    latest = live.next or live.own
    worker, workflow = (live.worker, run.workflow) if latest is None else (latest.worker, latest.workflow)
    node = version.worker(live.name)
    return node is None or node.document != worker.document or _variables(version) != _variables(workflow)


def why_not(run: LiveRun, live: LiveWorker, new: Worker | None) -> str | None:
    """Why the run has to go on with the definition that the service has; None where it can take the new one."""
    old = live.worker if live.next is None else live.next.worker
    if old.service is None:
        return "it is no service"
    if new is None:
        return "it is in the definition no longer"
    if new.service is None:
        return "it is no service any more"
    if run.row.kind != "workflow":
        return None
    if set(old.inputs.values()) != set(new.inputs.values()) or set(old.depends_on) != set(new.depends_on):
        return "its inputs or depends_on are others"
    paths = {output.path: name for name, output in new.outputs.items()}
    for other in run.workers.values():
        if other is live:
            continue
        for ref in other.worker.inputs.values():
            if ref.producer == live.name and _path(new, ref) != _path(old, ref):
                return f"its output '{ref.output}', which '{other.name}' uses, is another"
        for output in other.worker.outputs.values():
            if output.path in paths:
                return f"its output '{paths[output.path]}' is where '{other.name}' of the run writes {output.path}"
    return None


def redefine(
    runs: Runs,
    ledger: Ledger,
    run: LiveRun,
    live: LiveWorker,
    new: Redefinition,
    done: Callable[[RedefinedView | WattleError], None],
) -> None:
    """Have the service's next attempt be of the new definition, and begin it where the service runs."""
    live.next = new
    runs.tell(run, live, "redefined", {"version": new.version_id})
    ledger.worker_changed(run, live)
    ledger.urgent = True
    if live.state in RESTARTED:
        live.waiters.append(lambda told: done(told if isinstance(told, WattleError) else _effect(run, live)))
        runs.apply(run, live, Event.RESTART, reason_code="restarted", reason=REDEFINED)
    elif live.state in BEGUN:
        runs.apply(run, live, Event.RESTART)
        done(RedefinedView(run.id, "restarted"))
    else:
        done(RedefinedView(run.id, "to_come" if live.state in TO_COME else "ended"))


def _effect(run: LiveRun, live: LiveWorker) -> RedefinedView:
    """Once its process is gone: somebody may have stopped it meanwhile."""
    return RedefinedView(run.id, "ended" if live.has_ended else "restarted")


def needs_new_run(run: LiveRun, live: LiveWorker, why: str) -> Conflict:
    name = run.row.workflow_name
    message = f"Worker '{run.subject(live)}' keeps its definition in run {run.id}: {why}"
    if run.row.kind != "workflow":
        return Conflict("NEEDS_NEW_RUN", f"{message}; stop it and start it again for the new one")
    return Conflict("NEEDS_NEW_RUN", f"{message}; the new one is for the next run, which a restart of '{name}' begins")


def _path(worker: Worker, ref: InputRef) -> str | None:
    output = worker.outputs.get(ref.output)
    return None if output is None else output.path


def _variables(workflow: Workflow) -> Mapping[str, Any]:
    return {name: workflow.document.get(name) for name in ("env_vars", "env_file")}
