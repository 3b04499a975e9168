"""Changes: checked on the caller's thread as far as that goes, then handed to the loop, which decides.

What answers after a commit returns; what takes time is a Future, for the caller to wait on where waiting
holds nothing up.
"""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

from wattle.definition.canonical import digest
from wattle.definition.document import parse_json
from wattle.definition.model import Worker, Workflow
from wattle.definition.params import bind
from wattle.definition.paths import Context
from wattle.definition.resolve import check_paths, resolve
from wattle.definition.selection import chosen_workers, lacking_inputs
from wattle.definition.validate import read_workflow, without_worker
from wattle.errors import Conflict, Invalid, Problem, Unavailable, WattleError, worker_not_found
from wattle.service.definitions import Definitions
from wattle.service.views import CreatedView, RedefinedView, SignalView, StartedView, StopView
from wattle.store.queries import Queries
from wattle.supervisor.commands import NOT_IN_RUN, Alone, Commands, Definition, NewVersion, Rest, StaleDefinition
from wattle.supervisor.loop import Supervisor
from wattle.supervisor.redefining import values_in
from wattle.supervisor.surroundings import env_files_of, read_env_file

T = TypeVar("T")
MAX_DEFINITION_BYTES = 64 * 1024 * 1024
ANSWER_SECONDS = 30.0
TRIES = 5
_HAS_RUN_ID = re.compile(r"(?<!\$)\$\{\{[ \t]*run\.id[ \t]*\}\}")


class Changing:
    """The use cases that change something. Any thread but the loop's."""

    def __init__(
        self,
        supervisor: Supervisor,
        queries: Queries,
        definitions: Definitions,
        context: Context,
        *,
        on_down: Callable[[], None] = lambda: None,
    ) -> None:
        self._supervisor = supervisor
        self._queries = queries
        self._definitions = definitions
        self._context = context
        self._on_down = on_down

    # --- definitions

    def create_workflow(self, text: bytes) -> CreatedView:
        """Store a new workflow. Malformed, Invalid (all problems in `details`) or Conflict; then nothing is stored."""
        workflow = self._read(text)
        version = _version(workflow)
        self._ask(lambda commands: commands.create_workflow(workflow.name, version, "api"))
        return CreatedView(workflow.name, self._warnings(workflow))

    def replace_workflow(self, name: str, text: bytes) -> tuple[CreatedView, bool]:
        """Store a new version for later runs; True where it differs from the current one."""
        workflow = self._read(text)
        if workflow.name != name:
            message = f"The definition is named '{workflow.name}', the address says '{name}'"
            raise Invalid("VALIDATION_ERROR", message)
        version = _version(workflow)
        changed = self._ask(lambda commands: commands.replace_workflow(name, version))
        return CreatedView(name, self._warnings(workflow)), changed

    def delete_workflow(self, name: str, *, force: bool = False) -> "Future[StopView]":
        return self._supervisor.call_until_done(lambda commands, done: commands.delete_workflow(name, force, done))

    def delete_worker(self, workflow: str, worker: str, *, force: bool = False) -> "Future[StopView]":
        state = self._definitions.state(workflow)
        document = self._definitions.document(state.workflow.version_id)
        if worker not in self._definitions.worker_names(state.workflow.version_id):
            raise worker_not_found(workflow, worker)
        rest = without_worker(document, worker)
        version = NewVersion(_text(rest), digest(rest), state.working_dir, state.description, _output_paths(rest))
        left = Rest(state.workflow.version_id, version)
        return self._supervisor.call_until_done(
            lambda commands, done: commands.delete_worker(workflow, worker, left, force, done)
        )

    # --- runs

    def start_workflow(
        self,
        name: str,
        *,
        params: dict[str, Any] | None = None,
        idempotency_key: str | None = None,
        trigger: str = "api",
        only: Sequence[str] = (),
        starts: Sequence[str] = (),
        force: bool = False,
    ) -> StartedView:
        """Start a run; it answers after the commit that makes the workflow `running`.

        With `only` (these workers) or `starts` (these and what descends from them) it is a run of the chosen ones; the
        files that they need of others must exist, else Conflict `INPUT_NOT_READY`, unless it is by `force`.
        Invalid `INVALID_PARAMS` names every param that is unknown, missing or of another type.
        """

        def start(definition: Definition) -> Callable[[Commands], StartedView]:
            workflow = definition.workflow
            values = self._values(workflow, params or {})
            chosen = chosen_workers(workflow, definition.graph, only, starts)
            self._check_env_files(workflow, chosen)
            if (only or starts) and not force:
                resolved = resolve(workflow, values, None) if workflow.has_path_placeholders else workflow
                self._check_left_out(resolved, [resolved.workers[node.position] for node in chosen])
            return lambda commands: commands.start_workflow(
                name, definition, idempotency_key=idempotency_key, trigger=trigger, values=values, chosen=chosen
            )

        return self._ask_current(name, start)

    def stop_workflow(self, name: str) -> "Future[StopView]":
        return self._supervisor.call_until_done(lambda commands, done: commands.stop_workflow(name, done))

    def restart_workflow(self, name: str, *, params: dict[str, Any] | None = None) -> "Future[StartedView]":
        """Without `params` the new run has those of the one that it ends, as far as they are still declared."""
        definition = self._definitions.current(name)
        given = params
        if given is None:
            active = self._queries.active_run(self._definitions.state(name).workflow.id)
            former = json.loads(active.params) if active is not None and active.params else {}
            given = {name: value for name, value in former.items() if name in definition.workflow.params}
        values = self._values(definition.workflow, given)
        self._check_env_files(definition.workflow)
        return self._supervisor.call_until_done(
            lambda commands, done: commands.restart_workflow(name, definition, done, values)
        )

    def down(self) -> "Future[StopView]":
        """Cancel all active runs; nothing is started any more, and `on_down` is called once all have ended, which may
        be after the answer: where something does not die that is Unavailable `STOP_INCOMPLETE`."""

        def wish(commands: Commands, done: Callable[[Any], None]) -> None:
            def ended(answer: Any) -> None:
                done(answer)
                if not isinstance(answer, WattleError):
                    self._on_down()

            commands.down(ended)

        return self._supervisor.call_until_done(wish)

    # --- workers

    def start_worker(
        self, workflow: str, worker: str, *, force: bool = False, params: dict[str, Any] | None = None
    ) -> StartedView:
        """`params` are for a worker that runs by itself; in an active run they are Invalid `INVALID_PARAMS`."""

        def start(definition: Definition) -> Callable[[Commands], StartedView]:
            alone = self._alone(definition, worker, params or {}, force)
            return lambda commands: commands.start_worker(workflow, worker, definition, force, alone)

        return self._ask_current(workflow, start)

    def stop_worker(self, workflow: str, worker: str) -> "Future[StopView]":
        state = self._definitions.state(workflow)
        is_defined = worker in self._definitions.worker_names(state.workflow.version_id)
        return self._supervisor.call_until_done(
            lambda commands, done: commands.stop_worker(workflow, worker, is_defined, done)
        )

    def signal_worker(
        self, workflow: str, worker: str, number: int, scope: str, *, actor: str = "api"
    ) -> "Future[SignalView]":
        """Send a signal to what runs of the worker, as `tree` or `leader`. It is no stop: nothing else follows.

        Conflict `WORKER_NOT_RUNNING` or `KEEPER_TOO_OLD`, Forbidden `SIGNAL_NOT_PERMITTED`, Unavailable
        `KEEPER_AWAY`.
        """
        state = self._definitions.state(workflow)
        is_defined = worker in self._definitions.worker_names(state.workflow.version_id)
        signals = self._supervisor.signals
        return self._supervisor.call_until_done(
            lambda commands, done: signals.send(
                commands.in_active_run(workflow, worker, is_defined), number, scope, actor, done
            )
        )

    def restart_worker(
        self, workflow: str, worker: str, *, force: bool = False, params: dict[str, Any] | None = None
    ) -> "Future[StartedView]":
        definition = self._definitions.current(workflow)
        alone = self._alone(definition, worker, params or {}, force)
        return self._supervisor.call_until_done(
            lambda commands, done: commands.restart_worker(workflow, worker, definition, force, done, alone)
        )

    def apply_worker(self, workflow: str, worker: str) -> "Future[RedefinedView]":
        """Give a service that an active run has the definition that is stored: it is restarted where that is another.

        Conflict `NEEDS_NEW_RUN` where the run has to go on with the one it has.
        """
        definition = self._definitions.current(workflow)
        error = self._why_not_usable(definition.workflow, worker)
        return self._supervisor.call_until_done(
            lambda commands, done: commands.redefine_worker(workflow, worker, definition, error, done)
        )

    # --- helpers

    def _why_not_usable(self, workflow: Workflow, worker: str) -> Invalid | None:
        """What is wrong with the files that it needs, with the params of the run that is active."""
        node = workflow.worker(worker)
        if node is None:
            return None
        try:
            self._check_env_files(workflow, [node])
            if not workflow.has_path_placeholders:
                return None
            for run in self._queries.active_runs(self._definitions.state(workflow.name).workflow.id):
                check_paths(workflow, resolve(workflow, values_in(run, workflow), run.id), self._context)
        except Invalid as error:
            return error
        return None

    def _read(self, text: bytes) -> Workflow:
        document = parse_json(text, max_bytes=MAX_DEFINITION_BYTES)
        try:
            shown = text.decode()
        except UnicodeDecodeError:
            shown = None
        return read_workflow(document, self._context, text=shown)

    def _warnings(self, workflow: Workflow) -> tuple[str, ...]:
        """Paths that other workflows declare as outputs too. None where somebody has deleted it since."""
        state = self._queries.workflow(workflow.name)
        shared = [] if state is None else self._queries.shared_outputs(state.workflow.id)
        return tuple(f"workflow '{other}' also declares {path} as an output" for path, other in shared)

    def _values(self, workflow: Workflow, params: Mapping[str, Any]) -> dict[str, Any]:
        """Those of all its params; Invalid where something is wrong with them, or with the paths that they make."""
        values = bind(workflow.params, params)
        if workflow.has_path_placeholders:
            check_paths(workflow, resolve(workflow, values, None), self._context)
        return values

    def _check_env_files(self, workflow: Workflow, workers: Sequence[Worker] | None = None) -> None:
        """Invalid `ENV_FILE_UNREADABLE`, naming each file. They are read again when the run is prepared."""
        problems = []
        for path in env_files_of(workflow, workflow.workers if workers is None else workers):
            try:
                read_env_file(path)
            except ValueError as reason:
                problems.append(Problem("ENV_FILE_UNREADABLE", f"env_file {path} cannot be used: {reason}", ""))
        if problems:
            raise Invalid("ENV_FILE_UNREADABLE", problems[0].message, details=problems)

    def _alone(self, definition: Definition, worker: str, params: Mapping[str, Any], force: bool) -> Alone:
        """What a worker needs that runs by itself: it ignores upstream state, but its input files must exist."""
        workflow = definition.workflow
        node = workflow.worker(worker)
        if node is None:
            return Alone(params, {})
        try:
            values = self._values(workflow, params)
            self._check_env_files(workflow, [node])
        except Invalid as error:
            return Alone(params, {}, error)
        if not force and not self._is_in_run(workflow.name, worker):
            self._check_inputs(resolve(workflow, values, None) if workflow.has_path_placeholders else workflow, node)
        return Alone(params, values)

    def _is_in_run(self, workflow: str, worker: str) -> bool:
        """Is a run active that has the worker: then verbs act in it. The loop looks again."""
        for run in self._queries.active_runs(self._definitions.state(workflow).workflow.id):
            if run.worker == worker:
                return True
            if run.kind == "workflow" and worker in self._definitions.worker_names(run.version_id):
                rows = self._queries.run_workers(run.id)
                return not any(row.name == worker and row.reason_code == NOT_IN_RUN for row in rows)
        return False

    def _check_inputs(self, workflow: Workflow, node: Worker) -> None:
        paths = [workflow.path_of(ref) for ref in node.inputs.values()]
        missing = [path for path in paths if not os.path.exists(path)]
        if missing:
            message = f"Worker '{workflow.name}/{node.name}' lacks its inputs: {', '.join(missing)} does not exist"
            raise Conflict("INPUT_NOT_READY", f"{message}; force it")

    def _check_left_out(self, workflow: Workflow, chosen: Sequence[Worker]) -> None:
        """What the chosen workers need of those that are left out must be there."""
        lacking = [need for need in lacking_inputs(workflow, chosen) if not os.path.exists(need[2])]
        if lacking:
            needs = ", ".join(f"{consumer} needs {path} of {producer}" for consumer, producer, path in lacking)
            message = f"Workflow '{workflow.name}' cannot run in part: {needs}, which does not exist"
            raise Conflict("INPUT_NOT_READY", f"{message}; run that too, or force it")

    def _ask_current(self, name: str, wish: Callable[[Definition], Callable[[Commands], T]]) -> T:
        """Ask with the current definition; where it was replaced meanwhile, again."""
        for _ in range(TRIES):
            try:
                return self._ask(wish(self._definitions.current(name)))
            except StaleDefinition:
                continue
        raise Conflict("WORKFLOW_CHANGED", f"Workflow '{name}' is being changed all the time; try again")

    def _ask(self, wish: Callable[[Commands], T]) -> T:
        future = self._supervisor.call(wish)
        try:
            return future.result(ANSWER_SECONDS)
        except FutureTimeout:
            message = "The change could not be written down in time (is the disk full?); it may still happen"
            raise Unavailable("STORE_UNAVAILABLE", message) from None


def _version(workflow: Workflow) -> NewVersion:
    text = _text(workflow.document)
    outputs = _output_paths(workflow.document)
    return NewVersion(text, workflow.digest, workflow.working_dir, workflow.description, outputs)


def _text(document: Mapping[str, Any]) -> str:
    """A document as it is stored: in its own order (W-14 shows it), unlike the canonical form."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _output_paths(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The declared paths of a normalised document, whatever problems it has, as it declares them; without those
    that no other run can have."""
    outputs = [output for worker in document["workers"] for output in (worker.get("outputs") or {}).values()]
    paths = (output if isinstance(output, str) else output["path"] for output in outputs)
    return tuple(path for path in paths if "${{" not in path or not _HAS_RUN_ID.search(path))
