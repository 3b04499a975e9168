"""Changes: checked on the caller's thread as far as that goes, then handed to the loop, which decides.

What answers after a commit returns; what takes time is a Future, for the caller to wait on where waiting
holds nothing up.
"""

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

from wattle.definition.canonical import digest
from wattle.definition.document import parse_json
from wattle.definition.model import Workflow
from wattle.definition.paths import Context
from wattle.definition.validate import read_workflow, without_worker
from wattle.errors import Conflict, Invalid, Unavailable, worker_not_found
from wattle.service.definitions import Definitions
from wattle.service.views import CreatedView, StartedView, StopView
from wattle.store.queries import Queries
from wattle.supervisor.commands import Commands, Definition, NewVersion, Rest, StaleDefinition
from wattle.supervisor.loop import Supervisor

T = TypeVar("T")
MAX_DEFINITION_BYTES = 64 * 1024 * 1024
ANSWER_SECONDS = 30.0
TRIES = 5


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
    ) -> StartedView:
        """Start a run; it answers after the commit that makes the workflow `running`."""
        if params:
            message = f"Workflow '{name}' declares no params, but got {', '.join(sorted(map(repr, params))[:5])}"
            raise Invalid("INVALID_PARAMS", message)

        def start(commands: Commands, definition: Definition) -> StartedView:
            return commands.start_workflow(name, definition, idempotency_key=idempotency_key, trigger=trigger)

        return self._ask_current(name, start)

    def stop_workflow(self, name: str) -> "Future[StopView]":
        return self._supervisor.call_until_done(lambda commands, done: commands.stop_workflow(name, done))

    def restart_workflow(self, name: str) -> "Future[StartedView]":
        definition = self._definitions.current(name)
        return self._supervisor.call_until_done(
            lambda commands, done: commands.restart_workflow(name, definition, done)
        )

    def down(self) -> "Future[StopView]":
        """Cancel all active runs; nothing is started any more, and `on_down` is called once all have ended."""
        future = self._supervisor.call_until_done(lambda commands, done: commands.down(done))
        future.add_done_callback(lambda _: self._on_down())
        return future

    # --- workers

    def start_worker(self, workflow: str, worker: str, *, force: bool = False) -> StartedView:
        self._check_inputs(workflow, worker, force)
        return self._ask_current(workflow, lambda commands, now: commands.start_worker(workflow, worker, now, force))

    def stop_worker(self, workflow: str, worker: str) -> "Future[StopView]":
        state = self._definitions.state(workflow)
        is_defined = worker in self._definitions.worker_names(state.workflow.version_id)
        return self._supervisor.call_until_done(
            lambda commands, done: commands.stop_worker(workflow, worker, is_defined, done)
        )

    def restart_worker(self, workflow: str, worker: str, *, force: bool = False) -> "Future[StartedView]":
        self._check_inputs(workflow, worker, force)
        definition = self._definitions.current(workflow)
        return self._supervisor.call_until_done(
            lambda commands, done: commands.restart_worker(workflow, worker, definition, force, done)
        )

    # --- helpers

    def _read(self, text: bytes) -> Workflow:
        document = parse_json(text, max_bytes=MAX_DEFINITION_BYTES)
        try:
            shown = text.decode()
        except UnicodeDecodeError:
            shown = None
        return read_workflow(document, self._context, text=shown)

    def _warnings(self, workflow: Workflow) -> tuple[str, ...]:
        """Paths that other workflows declare as outputs too."""
        shared = self._queries.shared_outputs(self._definitions.state(workflow.name).workflow.id)
        return tuple(f"workflow '{other}' also declares {path} as an output" for path, other in shared)

    def _check_inputs(self, workflow: str, worker: str, force: bool) -> None:
        """A worker that runs by itself ignores upstream state, but its input files must exist."""
        definition = self._definitions.current(workflow)
        node = definition.workflow.worker(worker)
        state = self._definitions.state(workflow)
        if node is None or force or self._queries.active_run(state.workflow.id) is not None:
            return
        producers = {producer.name: producer for producer in definition.workflow.workers}
        paths = [producers[ref.producer].outputs[ref.output].path for ref in node.inputs.values()]
        missing = [path for path in paths if not os.path.exists(path)]
        if missing:
            message = f"Worker '{workflow}/{worker}' lacks its inputs: {', '.join(missing)} does not exist; force it"
            raise Conflict("INPUT_NOT_READY", message)

    def _ask_current(self, name: str, wish: Callable[[Commands, Definition], T]) -> T:
        """Ask with the current definition; where it was replaced meanwhile, again."""
        for _ in range(TRIES):
            definition = self._definitions.current(name)
            try:
                return self._ask(lambda commands, now=definition: wish(commands, now))  # type: ignore[misc]
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
    """The declared paths of a normalised document, whatever problems it has."""
    outputs = [output for worker in document["workers"] for output in (worker.get("outputs") or {}).values()]
    return tuple(output if isinstance(output, str) else output["path"] for output in outputs)
