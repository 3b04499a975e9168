"""A process-compose.yaml: processes become tasks and services.

There a process is a process, and its consumers say what they wait for. Here that decides what it is: one whose
completion is waited for, or that is not restarted and that nobody waits for to be up, is a task; all others are
services.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from wattle.definition.names import why_not_worker, why_not_workflow
from wattle.definition.problems import Problems
from wattle.definition.yaml_text import parse_yaml
from wattle.errors import WattleError
from wattle.importers.fields import Fields
from wattle.importers.names import legal_names
from wattle.importers.options import MAX_BYTES, Options
from wattle.importers.report import Imported, Notes
from wattle.importers.shell import command_of, double_quoted, exports, literal, split_variables, stays_up

COMPLETED, SUCCESSFULLY = "process_completed", "process_completed_successfully"
HEALTHY, STARTED, LOGGED = "process_healthy", "process_started", "process_log_ready"
CONDITIONS = (COMPLETED, SUCCESSFULLY, HEALTHY, STARTED, LOGGED)
MOST_REPLICAS = 1000
TEN_YEARS_SECONDS = 315_360_000
UNLIMITED = 10_000
_RESTARTS = {"always": "always", "on_failure": "on_failure", "no": "never", "false": "never",
             "exit_on_failure": "never"}  # fmt: skip
_TEMPLATE = re.compile(r"\{\{\s*\.(\w+)\s*\}\}")
_IGNORED = {"version", "is_strict", "log_level", "log_length", "log_format", "name", "disable_env_expansion"}
_FOR_THE_SCREEN = {"description", "namespace", "is_tty", "disable_ansi_colors", "log_configuration"}


class _Process(NamedTuple):
    """One process of the file. `needs`: `{process: condition}`."""

    name: str
    fields: Fields
    needs: dict[str, str]
    restart: str
    replicas: int
    ends_all: bool


def import_process_compose(data: bytes, options: Options) -> Imported:
    """The definition for the file in `data`; Malformed or Invalid with every problem and its place."""
    document, places = parse_yaml(data, max_bytes=MAX_BYTES, anchors=True)
    problems = Problems()
    try:
        imported = _Importer(Fields(document, (), problems), options, problems).imported()
        problems.raise_any(None)
    except WattleError as error:
        error.details = tuple(dict.fromkeys(places.located(problem) for problem in error.details))
        raise
    return imported


class _Importer:
    def __init__(self, root: Fields, options: Options, problems: Problems) -> None:
        self._root, self._options, self._problems, self._notes = root, options, problems, Notes()
        self._expands = root.flag("disable_env_expansion") is not True
        self._vars = {**(root.part("vars") or Fields({}, (), problems)).values}
        shell = root.part("shell")
        program = (shell.text("shell_command") if shell else None) or "bash"
        self._shell = (*shlex.split(program), (shell.text("shell_argument") if shell else None) or "-c")
        self._processes = {name: self._process(name, fields) for name, fields in root.parts("processes")}
        if not self._processes and not len(problems):
            root.complain(("processes",), "the file has no processes")
        self._names = legal_names(self._every_name(), why_not_worker)
        self._before: list[str] = []

    # --- reading

    def _process(self, name: str, fields: Fields) -> _Process:
        availability = fields.part("availability") or Fields({}, fields.path, self._problems)
        restart = availability.text("restart") or "no"
        if restart not in _RESTARTS:
            availability.complain((*availability.path, "restart"), f"restart is '{restart}', not one of "
                                  f"{', '.join(_RESTARTS)}")  # fmt: skip
        needs = {}
        for other, condition in self._needs(fields):
            if condition not in CONDITIONS:
                fields.complain((*fields.path, "depends_on", other), f"'{condition}' is not a condition: "
                                f"{', '.join(CONDITIONS)}")  # fmt: skip
            needs[other] = condition
        replicas = fields.whole("replicas", at_least=1) or 1
        if replicas > MOST_REPLICAS:
            fields.complain((*fields.path, "replicas"), f"replicas must be at most {MOST_REPLICAS}")
            replicas = 1
        ends_all = bool(availability.flag("exit_on_end")) or restart == "exit_on_failure"
        return _Process(name, fields, needs, _RESTARTS.get(restart, "never"), replicas, ends_all)

    def _needs(self, fields: Fields) -> Iterator[tuple[str, str]]:
        outer = fields.part("depends_on")
        for other, given in (outer.values if outer else {}).items():
            if isinstance(given, dict):
                yield other, str(given.get("condition") or STARTED)
            else:
                yield other, str(given or STARTED)

    def _every_name(self) -> list[str]:
        return [name for process in self._processes.values() for name in self._replica_names(process)]

    def _replica_names(self, process: _Process) -> list[str]:
        if process.replicas == 1:
            return [process.name]
        return [f"{process.name}-{number}" for number in range(process.replicas)]

    # --- what it is

    def _is_disabled(self, process: _Process) -> bool:
        is_off = process.fields.flag("disabled") or process.fields.flag("is_foreground")
        return bool(is_off) and not self._options.include_disabled

    def _waits_for(self, process: _Process) -> set[str]:
        """What its consumers wait for."""
        consumers = (other for other in self._processes.values() if not self._is_disabled(other))
        return {consumer.needs[process.name] for consumer in consumers if process.name in consumer.needs}

    def _is_task(self, process: _Process) -> bool:
        wanted = self._waits_for(process)
        if wanted & {COMPLETED, SUCCESSFULLY} or process.ends_all:
            return True
        is_watched = any(name in process.fields for name in ("readiness_probe", "liveness_probe", "ready_log_line"))
        return process.restart == "never" and not wanted and not is_watched and "is_daemon" not in process.fields

    # --- writing

    def imported(self) -> Imported:
        root, place, notes = self._root, self._options.place, self._notes
        own = root.text("name") or place.directory_name or "process-compose"
        (name,) = legal_names([self._options.name or own], why_not_workflow).values()
        document: dict[str, Any] = {"name": name}
        if self._options.working_dir is not None:
            document["working_dir"] = self._options.working_dir
        plain, expanded = self._variables(root.pairs("environment"))
        if plain:
            document["env_vars"] = plain
        found = root.part("env_cmds")
        commands = {name: f"$({text})" for name, text in (found.values if found else {}).items()}
        self._before = exports(commands) + exports(expanded)
        active = {name: process for name, process in self._processes.items() if not self._is_disabled(process)}
        for name in self._processes.keys() - active.keys():
            notes.leave(name, "it is disabled or in the foreground (--all takes it)")
        workers = [worker for process in active.values() for worker in self._workers(process, active)]
        for field in root.unread():
            if field not in _IGNORED and not field.startswith("x-"):
                notes.leave(None, f"{field}: there is nothing like it")
        kinds = {worker.get("kind", "task") for worker in workers}
        consumed = {need for worker in workers for need in worker.get("depends_on", ())}
        free = [worker for worker in workers if worker.get("kind") == "service" and worker["name"] not in consumed]
        if kinds == {"task", "service"} and free and not any(process.ends_all for process in active.values()):
            workers.append(stays_up([worker["name"] for worker in workers]))
            notes.change(workers[-1]["name"], "was added: services end with the last task, so this one keeps them up")
        if any(worker.get("kind") == "service" and worker["name"] in consumed for worker in workers):
            notes.change(None, "a service that others depend on ends after the last of them has")
        tasks = sum("kind" not in worker for worker in workers)
        if tasks > 10:
            document["max_parallel"] = tasks
        document["workers"] = workers
        return notes.imported(document)

    def _workers(self, process: _Process, active: Mapping[str, _Process]) -> Iterator[dict[str, Any]]:
        for number, name in enumerate(self._replica_names(process)):
            yield self._worker(process, self._names[name], number, active)
        for field in process.fields.unread():
            if field == "log_location":
                self._notes.leave(process.name, "log_location: both streams of every attempt are kept anyway")
            elif field not in _FOR_THE_SCREEN:
                self._notes.leave(process.name, f"{field}: there is nothing like it")

    def _worker(self, process: _Process, name: str, number: int, active: Mapping[str, _Process]) -> dict[str, Any]:
        fields, is_task = process.fields, self._is_task(process)
        own = fields.part("vars")
        templates = {**self._vars, **(own.values if own else {}), "PC_REPLICA_NUM": number}
        worker: dict[str, Any] = {"name": name}
        variables = fields.pairs("environment")
        command = self._text(process, ("command",), templates)
        entrypoint = fields.texts("entrypoint")
        if not command and entrypoint:
            command = shlex.join(entrypoint)
        if not command:
            fields.complain((*fields.path, "command"), f"process '{process.name}' has no command")
            command = "true"
        for known, value in (("PC_PROC_NAME", process.name), ("PC_REPLICA_NUM", str(number))):
            if known in command or process.replicas > 1:
                variables.setdefault(known, value)
        plain, expanded = self._variables(variables)
        before = [*self._before, *exports(expanded)]
        worker |= command_of(self._unescaped(command), self._shell, before)
        if plain:
            worker["env_vars"] = plain
        if directory := self._text(process, ("working_dir",), templates):
            worker["working_dir"] = self._path(process, directory)
        if needs := self._depends_on(process, active):
            worker["depends_on"] = needs
        worker |= self._as_task(process) if is_task else self._as_service(process, templates)
        if stop := self._stop(process):
            worker["stop"] = stop
        if fields.flag("is_daemon"):
            self._notes.change(process.name, "is_daemon: what it leaves running is not watched; run it in the "
                               "foreground instead")  # fmt: skip
            worker["allow_detached"] = True
        return worker

    def _as_task(self, process: _Process) -> dict[str, Any]:
        task: dict[str, Any] = {}
        wanted = self._waits_for(process)
        availability = process.fields.part("availability")
        if COMPLETED in wanted:
            if SUCCESSFULLY in wanted:
                self._notes.leave(process.name, "process_completed: others need it to succeed, so all do here")
            else:
                task["success_exit_codes"] = list(range(256))
                self._notes.change(process.name, "process_completed: every exit code counts as completed")
        if process.restart == "on_failure":
            limit = availability.whole("max_restarts") if availability else None
            delay = availability.number("backoff_seconds") if availability else None
            task["retry"] = {"limit": limit or UNLIMITED, "delay_seconds": delay or 1, "factor": 1}
        elif process.restart == "always":
            self._notes.leave(process.name, "restart always: others wait for its completion, so it runs once")
        for field in ("readiness_probe", "liveness_probe", "ready_log_line"):
            if field in process.fields:
                process.fields.any(field)
                self._notes.leave(process.name, f"{field}: others wait for its completion, so it is a task")
        if process.ends_all:
            self._notes.change(process.name, "exit_on_end, exit_on_failure: services end when all tasks have ended")
        return task

    def _as_service(self, process: _Process, templates: Mapping[str, Any]) -> dict[str, Any]:
        fields = process.fields
        service: dict[str, Any] = {"kind": "service"}
        availability = fields.part("availability")
        if process.restart == "never":
            service["restart"] = "never"
        else:
            limit = availability.whole("max_restarts") if availability else None
            delay = availability.number("backoff_seconds") if availability else None
            service["restart"] = {
                "policy": process.restart,
                "limit": limit or UNLIMITED,
                "window_seconds": TEN_YEARS_SECONDS,
                "healthy_seconds": TEN_YEARS_SECONDS,
                "delay_seconds": delay or 1,
                "factor": 1,
                "jitter": 0,
            }
        line = self._text(process, ("ready_log_line",), templates)
        if line:
            service["ready"] = {"log": _pattern(line)}
            if service["ready"]["log"] != line:
                self._notes.change(process.name, "ready_log_line: taken as it stands, not as a regular expression")
        for field, ours in (("readiness_probe", "ready"), ("liveness_probe", "alive")):
            probe = fields.part(field)
            if probe is not None and (found := self._probe(process, probe, ours, templates)):
                service[ours] = found
        if HEALTHY in self._waits_for(process) and "ready" not in service:
            self._notes.change(process.name, "process_healthy: it has no readiness_probe, so it is ready as it runs")
        return service

    def _probe(self, process: _Process, probe: Fields, ours: str, templates: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        execute, http = probe.part("exec"), probe.part("http_get")
        if execute is not None:
            command = self._template(execute, ("command",), templates) or "true"
            if directory := execute.text("working_dir"):
                command = f"cd {shlex.quote(directory)} && {command}"
            script = self._unescaped(command)
            made = command_of(script, self._shell)
            found["exec"] = shlex.join([*shlex.split(made["command"]), *made["args"]]) if "args" in made else script
        elif http is not None:
            scheme = (self._template(http, ("scheme",), templates) or "http").lower()
            host = self._template(http, ("host",), templates) or "127.0.0.1"
            port = self._template(http, ("port",), templates) or ("443" if scheme == "https" else "80")
            path = self._template(http, ("path",), templates) or "/"
            found["http"] = f"{scheme}://{host}:{port}/{path.lstrip('/')}"
            if "headers" in http:
                self._notes.leave(process.name, f"{ours}: headers are not sent")
            if (http.whole("status_code") or 200) != 200:
                self._notes.change(process.name, f"{ours}: every status from 200 to 399 is well")
        else:
            probe.complain(probe.path, f"'{'.'.join(map(str, probe.path))}' must have exec or http_get")
            return {}
        period = probe.number("period_seconds") or 10
        found["period_seconds"] = period
        found["timeout_seconds"] = probe.number("timeout_seconds") or 1
        delay = probe.number("initial_delay_seconds") or 0
        if delay:
            found["initial_delay_seconds"] = delay
        failures = probe.whole("failure_threshold") or 3
        if ours == "alive":
            found["failure_threshold"] = failures
        else:
            found["within_seconds"] = delay + period * failures
            self._notes.change(process.name, f"readiness_probe: it must be ready within {found['within_seconds']} s, "
                               f"that is {failures} looks")  # fmt: skip
        return found

    def _depends_on(self, process: _Process, active: Mapping[str, _Process]) -> list[str]:
        needs = []
        for other, condition in process.needs.items():
            producer = active.get(other) or self._replica_of(other, active)
            if producer is None:
                if other in self._processes:
                    self._notes.leave(process.name, f"depends_on {other}: that is disabled")
                else:
                    process.fields.complain((*process.fields.path, "depends_on", other), f"process "
                                            f"'{process.name}' depends on '{other}', which is not there")  # fmt: skip
            elif self._is_task(producer) and condition not in (COMPLETED, SUCCESSFULLY):
                self._notes.leave(process.name, f"depends_on {other}: {condition}: that is a task, whose completion "
                                  "would be waited for")  # fmt: skip
            else:
                names = self._replica_names(producer)
                needs += [self._names[name] for name in ([other] if other in names else names)]
        return needs

    def _replica_of(self, name: str, active: Mapping[str, _Process]) -> _Process | None:
        return next((process for process in active.values() if name in self._replica_names(process)), None)

    def _stop(self, process: _Process) -> dict[str, Any]:
        shutdown = process.fields.part("shutdown")
        if shutdown is None:
            return {}
        stop: dict[str, Any] = {}
        if shutdown.text("command"):
            self._notes.leave(process.name, "shutdown.command: it is stopped by a signal")
        signal = shutdown.whole("signal", at_least=0)
        if signal:
            if signal > 64:
                shutdown.complain((*shutdown.path, "signal"), "signal must be 1 to 64")
            else:
                stop["signal"] = signal
        if (seconds := shutdown.number("timeout_seconds")) is not None:
            stop["grace_seconds"] = seconds
        if shutdown.flag("parent_only"):
            stop["scope"] = "leader"
        return stop

    # --- texts

    def _text(self, process: _Process, names: tuple[str, ...], templates: Mapping[str, Any]) -> str | None:
        return self._template(process.fields, names, templates)

    def _template(self, fields: Fields, names: tuple[str, ...], templates: Mapping[str, Any]) -> str | None:
        """The text with `{{.NAME}}` replaced; more of Go's templates is a problem, not a guess."""
        text = fields.text(*names)
        if text is None or "{{" not in text:
            return text
        text = _TEMPLATE.sub(lambda m: str(templates[m[1]]) if m[1] in templates else m[0], text)
        if "{{" in text:
            message = "of templates only {{.NAME}} of a variable in `vars` is understood"
            fields.complain((*fields.path, names[0]), message)
        return text

    def _unescaped(self, text: str) -> str:
        """`$$` is how a `$` is kept from process-compose; what it would expand, the shell does."""
        return text.replace("$$", "$") if self._expands else text

    def _variables(self, given: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        if not self._expands:
            return {name: literal(value) for name, value in given.items()}, {}
        plain, expanded = split_variables(given)
        return plain, {name: self._unescaped(value) for name, value in expanded.items()}

    def _path(self, process: _Process, path: str) -> str:
        if self._expands and "$" in path:
            where = (*process.fields.path, "working_dir")
            process.fields.complain(where, f"working_dir {double_quoted(path)} holds a variable; write the directory")
        return path


def _pattern(line: str) -> str:
    """A regular expression of Go that is none of Python is taken literally."""
    try:
        re.compile(line)
    except re.error:
        return re.escape(line)
    return line
