"""One well-formed worker of a document becomes a `Worker`; the problems of its values are collected on the way.

Its references are checked elsewhere (references.py), once all workers are known.
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from wattle.definition.command import plan_command
from wattle.definition.limits import read_limits
from wattle.definition.model import InputRef, Output, Retry, Service, Stop, Template, Worker
from wattle.definition.names import is_wattles_variable, nfc
from wattle.definition.paths import Context, absolute, log_owner, why_not_output, why_not_path
from wattle.definition.placeholders import OPENING, read_template, scope_of_run, scope_of_worker
from wattle.definition.places import Path
from wattle.definition.problems import Problems, Stage, shown
from wattle.definition.services import read_service
from wattle.definition.templates import has_placeholders, read_templates
from wattle.errors import Invalid

if TYPE_CHECKING:
    from wattle.definition.schema import WorkerDocument

_NO_RETRY, _USUAL_STOP, _SUCCESS = Retry(), Stop(), frozenset({0})


class WorkerReader:
    """What all workers of one workflow share: its name and directory (None: not known), and who writes which path."""

    def __init__(
        self,
        workflow_name: str | None,
        workflow_dir: str | None,
        worker_names: Collection[str | None],
        context: Context,
        problems: Problems,
        params: Collection[str] | None = (),
    ) -> None:
        self.params = params  # their names, None where they are malformed
        self.has_placeholders = self.has_path_placeholders = False  # met so far
        self.workflow_name = workflow_name
        self.workflow_dir = workflow_dir
        self.worker_names = worker_names
        self.context = context
        self.problems = problems
        self._directories: dict[str | None, str] = {None: workflow_dir or "/"}
        self._refs: dict[str, InputRef] = {}  # consumers of one output share the value
        self._writers: dict[str, tuple[str, str]] = {}  # {path: (worker, output)}

    def read(self, position: int, model: "WorkerDocument", raw: Mapping[str, Any]) -> Worker:
        """The worker, complete even where it has problems; `raw` is its part of the document."""
        at, name = ("workers", position), nfc(model.name)
        self._check_workflow_name(name, model.workflow_name, at)
        check_variables(model.env_vars, at, f"worker '{name}': ", self.problems)
        directory = self._directory(name, model.working_dir, at)
        inputs = self._inputs(name, model.inputs, at) if model.inputs else {}
        outputs = self._outputs(name, model, directory, at) if model.outputs else {}
        templates = None
        if has_placeholders(model):
            self.has_placeholders = True
            scope = scope_of_worker(inputs, outputs, self.params, self.problems.did_you_mean)
            templates, direct = read_templates(name, model, scope, at, self.problems)
            argv = tuple("".join(map(str, template)) for template in templates.argv)
        else:
            argv, direct = self._plan(name, model, at)
        env_file = self._env_file(name, model.env_file, at) if model.env_file else None
        stdout = self._stdout(name, model, outputs, at)
        service = self._service(name, model, directory, at)
        document = _given(raw, model, outputs)
        document |= {"name": name, "workflow_name": self.workflow_name, "working_dir": directory}
        if env_file is not None:
            document["env_file"] = env_file
        return Worker(
            position=position,
            name=name,
            command=model.command,
            argv=argv,
            direct=direct,
            working_dir=directory,
            args=tuple(model.args) if model.args else (),
            env_vars=model.env_vars or {},
            inputs=inputs,
            outputs=outputs,
            depends_on=tuple(map(nfc, model.depends_on)) if model.depends_on else (),
            timeout_seconds=model.timeout_seconds,
            retry=Retry(**model.retry.model_dump(exclude_none=True)) if model.retry else _NO_RETRY,
            success_exit_codes=frozenset(model.success_exit_codes) if model.success_exit_codes else _SUCCESS,
            stop=Stop(**model.stop.model_dump(exclude_none=True)) if model.stop else _USUAL_STOP,
            priority=model.priority or 0,
            stdout=stdout,
            capture_stdout=model.capture_stdout is not False,
            allow_detached=model.allow_detached is True,
            env_file=env_file,
            service=service,
            templates=templates,
            limits=read_limits(model, lambda path, message: self._problem((*at, *path), f"worker '{name}': {message}")),
            document=document,
        )

    def _problem(self, path: Path, message: str, suggestion: str | None = None) -> None:
        self.problems.add(Stage.VALUE, path, message, suggestion=suggestion)

    def _check_workflow_name(self, name: str, given: str | None, at: Path) -> None:
        mine = self.workflow_name
        if given is not None and mine is not None and nfc(given) != mine:
            message = f"worker '{name}': workflow_name '{shown(given)}' is not the workflow's name '{mine}'"
            self._problem((*at, "workflow_name"), message, f"write `{mine}`, or leave it out")

    def _directory(self, name: str, given: str | None, at: Path) -> str:
        known = self._directories.get(given)
        if known is None:
            known = absolute(given or ".", self.workflow_dir or "/", self.context.home)
            self._directories[given] = known
            if reason := why_not_path(known) or why_not_template(given):
                self._problem((*at, "working_dir"), f"worker '{name}': working_dir '{shown(known)}' {reason}")
        return known

    def _env_file(self, name: str, given: str, at: Path) -> str:
        path = absolute(given, self.workflow_dir or "/", self.context.home)
        if reason := why_not_path(path) or why_not_template(given):
            self._problem((*at, "env_file"), f"worker '{name}': env_file '{shown(path)}' {reason}")
        return path

    def _inputs(self, worker: str, given: Mapping[str, str], at: Path) -> dict[str, InputRef]:
        inputs: dict[str, InputRef] = {}
        for raw_name, ref in given.items():
            name = nfc(raw_name)
            if name in inputs:
                self._problem((*at, "inputs", raw_name), f"worker '{worker}': input '{name}' stands twice")
            if (known := self._refs.get(ref)) is None:
                producer, _, output = nfc(ref).partition("/")
                known = self._refs[ref] = InputRef(producer, output)
            inputs[name] = known
        return inputs

    def _outputs(self, worker: str, model: "WorkerDocument", directory: str, at: Path) -> dict[str, Output]:
        outputs: dict[str, Output] = {}
        for raw_name, given in (model.outputs or {}).items():
            name, written = nfc(raw_name), given if isinstance(given, str) else given.path
            path = absolute(written, directory, self.context.home)
            here = (*at, "outputs", raw_name)
            template = None
            if OPENING in written:
                path, template = self._output_template(worker, name, written, path, here)
            if name in outputs:
                self._problem(here, f"worker '{worker}': output '{name}' stands twice")
            elif self.workflow_dir is not None:
                reason = why_not_output(written, path, (directory, self.workflow_dir), self.context)
                if reason := reason or self._why_not_free(path, worker, name):
                    self._problem(here, f"worker '{worker}': output '{name}' at '{shown(path)}' {reason}")
            outputs[name] = Output(path, not isinstance(given, str) and given.optional is True, template)
        return outputs

    def _output_template(self, worker: str, name: str, written: str, path: str, at: Path) -> tuple[str, Template]:
        """The path as it is kept, and its parts: what begins with a placeholder is absolute or not as its value is."""

        def complain(message: str, suggestion: str | None) -> None:
            self._problem(at, f"worker '{worker}': output '{name}' {message}", suggestion)

        self.has_placeholders = self.has_path_placeholders = True
        scope = scope_of_run(self.params, "an output path", self.problems.did_you_mean)
        template = read_template(written, scope, complain)
        if template and isinstance(template[0], str):
            return path, read_template(path, scope, lambda *_: None)
        return written, template

    def _why_not_free(self, path: str, worker: str, output: str) -> str | None:
        if (owner := log_owner(path, self.workflow_dir or "/")) and owner in self.worker_names:
            return f"is the log of worker '{owner}'"
        writer = self._writers.setdefault(path, (worker, output))
        if writer != (worker, output):
            return f"is also written by worker '{writer[0]}' as its output '{writer[1]}'"
        return None

    def _stdout(self, worker: str, model: "WorkerDocument", outputs: Mapping[str, Output], at: Path) -> str | None:
        if model.stdout is None:
            return None
        name = nfc(model.stdout)
        if name not in outputs:
            message = f"worker '{worker}': stdout names the output '{shown(name)}', which it does not declare"
            self._problem((*at, "stdout"), message, self.problems.did_you_mean(name, outputs))
        elif model.capture_stdout is False:
            message = f"worker '{worker}': stdout asks to save standard output, capture_stdout forbids it"
            self._problem((*at, "capture_stdout"), message, "remove one of the two")
        return name

    def _service(self, worker: str, model: "WorkerDocument", directory: str, at: Path) -> Service | None:
        if model.kind is None and model.restart is None and model.ready is None and model.alive is None:
            return None

        def complain(path: Path, message: str) -> None:
            self._problem((*at, *path), f"worker '{worker}': {message}")

        return read_service(model, lambda path: absolute(path, directory, self.context.home), complain)

    def _plan(self, name: str, model: "WorkerDocument", at: Path) -> tuple[tuple[str, ...], bool]:
        try:
            plan = plan_command(model.command, model.args)
        except Invalid as error:
            self.problems.add(Stage.COMMAND, (*at, "command"), f"worker '{name}': {error.message}")
            return (), False
        return plan.argv, plan.direct


def why_not_template(text: str | None) -> str | None:
    return f"has a '{OPENING}', which is not replaced here" if text and OPENING in text else None


def check_variables(env_vars: Mapping[str, str] | None, at: Path, subject: str, problems: Problems) -> None:
    """A VALUE problem for each variable that Wattle itself sets: overriding one would hide a process from it."""
    for name in env_vars or ():
        if is_wattles_variable(name):
            message = f"{subject}environment variable '{shown(name)}' is set by Wattle"
            problems.add(Stage.VALUE, (*at, "env_vars", name), message, suggestion="choose another name")


def _given(
    raw: Mapping[str, Any],
    model: "WorkerDocument",
    outputs: Mapping[str, Output],
) -> dict[str, Any]:
    """The fields as given (absent stays absent, null null), in their normal form; shares nothing with `raw`."""
    document = dict(raw)
    if model.args is not None:
        document["args"] = model.args
    if model.env_vars is not None:
        document["env_vars"] = model.env_vars
    if model.inputs is not None:
        document["inputs"] = {nfc(name): nfc(ref) for name, ref in model.inputs.items()}
    if model.outputs is not None:
        document["outputs"] = written = {}
        for name, given in raw["outputs"].items():
            path = outputs[nfc(name)].path
            written[nfc(name)] = {**given, "path": path} if isinstance(given, dict) else path
    if model.depends_on is not None:
        document["depends_on"] = [nfc(name) for name in model.depends_on]
    if model.success_exit_codes is not None:
        document["success_exit_codes"] = model.success_exit_codes
    if model.retry is not None:
        document["retry"] = dict(raw["retry"])
    if model.stop is not None:
        document["stop"] = dict(raw["stop"])
        if model.stop.signal is not None:
            document["stop"]["signal"] = model.stop.signal
    for field in ("restart", "ready", "alive"):
        if isinstance(raw.get(field), dict):
            document[field] = dict(raw[field])
    if model.rlimits is not None:
        document["rlimits"] = dict(raw["rlimits"])
    if model.log is not None:
        document["log"] = dict(raw["log"])
    if isinstance(model.inherit_env, list):
        document["inherit_env"] = model.inherit_env
    if model.stdout is not None:
        document["stdout"] = nfc(model.stdout)
    return document
