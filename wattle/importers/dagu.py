"""A DAG of Dagu: steps become tasks.

Both spellings are read: the older `retryPolicy` and the newer `retry_policy`. What Dagu does around a step (variables
from the output of another, preconditions) is done by lines before its command. A step that is no local command
becomes one that fails and says so, so that the rest can be kept and the hole is seen.
"""

import re
import shlex
from collections.abc import Mapping
from typing import Any

from wattle.definition.names import why_not_port, why_not_worker, why_not_workflow
from wattle.definition.problems import Problems
from wattle.definition.signals import NUMBERS
from wattle.definition.yaml_text import parse_yaml
from wattle.errors import WattleError
from wattle.importers.fields import Fields
from wattle.importers.names import legal_names
from wattle.importers.options import MAX_BYTES, Options
from wattle.importers.report import Imported, Notes
from wattle.importers.shell import command_of, double_quoted, exports, literal, split_variables

NOT_MET = 75  # EX_TEMPFAIL: a precondition that is not met
NOT_IMPORTED = 78  # EX_CONFIG
_POSITIONAL = re.compile(r"\$(?:\{(\d)\}|(\d))")
_PAIR = re.compile(r"""([A-Za-z_]\w*)=("(?:[^"\\]|\\.)*"|'[^']*'|`[^`]*`|\S*)|("(?:[^"\\]|\\.)*"|`[^`]*`|\S+)""")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
_OTHERS_OUTPUT = re.compile(r"\$\{[A-Za-z_][\w-]*\.[\w.-]+\}")
_END = "END_OF_SCRIPT"
_SPELLINGS = {
    "continue_on": "continueOn", "retry_policy": "retryPolicy", "repeat_policy": "repeatPolicy",
    "timeout_sec": "timeoutSec", "signal_on_stop": "signalOnStop", "working_dir": "workingDir",
    "preconditions": "precondition", "handler_on": "handlerOn", "max_active_steps": "maxActiveSteps",
    "max_clean_up_time_sec": "MaxCleanUpTimeSec", "interval_sec": "intervalSec",
    "max_interval_sec": "maxIntervalSec", "exit_code": "exitCode", "mark_success": "markSuccess",
}  # fmt: skip
_READ_ELSEWHERE = {"description", "name", "id"}


def _both(name: str) -> tuple[str, ...]:
    return (name, _SPELLINGS[name], *(["preconditions", "precondition"] if name == "preconditions" else []))


def import_dagu(data: bytes, options: Options) -> Imported:
    """The definition for the DAG in `data`; Malformed or Invalid with every problem and its place."""
    document, places = parse_yaml(data, max_bytes=MAX_BYTES, anchors=True)
    problems = Problems()
    try:
        imported = _Importer(Fields(document, (), problems), options, problems).imported()
        problems.raise_any(None)
    except WattleError as error:
        error.details = tuple(dict.fromkeys(places.located(problem) for problem in error.details))
        raise
    return imported


class _Step:
    """One step. `key` is how others name it, `needs` are keys; `variable` is what its output is called."""

    def __init__(self, key: str, other_key: str | None, fields: Fields) -> None:
        self.key, self.other_key, self.fields = key, other_key, fields
        self.needs: list[str] = []
        self.variable: str | None = None


class _Importer:
    def __init__(self, root: Fields, options: Options, problems: Problems) -> None:
        self._root, self._options, self._problems, self._notes = root, options, problems, Notes()
        self._steps: dict[str, _Step] = {}
        self._before: list[str] = []
        self._params: dict[str, dict[str, Any]] = {}
        self._read_steps()
        self._names = legal_names(self._steps, why_not_worker)

    # --- reading

    def _read_steps(self) -> None:
        path, raw = self._root.any("steps")
        if isinstance(raw, dict):
            steps = {name: step if isinstance(step, dict) else {"command": step} for name, step in raw.items()}
            raw = [{"name": name, **step} for name, step in steps.items()]
            path = ("steps",)
        if not isinstance(raw, list) or not raw:
            self._root.complain(("steps",), "'steps' must be a list with at least one step")
            return
        is_chain = self._root.text("type") == "chain"
        before: str | None = None
        for position, given in enumerate(raw):
            at = (*path, position)
            fields = Fields({"command": given} if isinstance(given, str) else given, at, self._problems)
            step = self._step(fields, position)
            if step.key in self._steps:
                self._root.complain(at, f"step '{step.key}' stands twice")
            self._steps[step.key] = step
            if is_chain and before is not None and "depends" not in step.fields:
                step.needs = [before]
            before = step.key
        keys = {name: step.key for step in self._steps.values() for name in (step.key, step.other_key) if name}
        for step in self._steps.values():
            for need in step.fields.texts("depends"):
                if need in keys:
                    step.needs.append(keys[need])
                else:
                    step.fields.complain((*step.fields.path, "depends"), f"step '{step.key}' depends on '{need}', "
                                         "which is not there")  # fmt: skip

    def _step(self, fields: Fields, position: int) -> _Step:
        step_id, name = fields.text("id"), fields.text("name")
        step = _Step(step_id or name or f"step-{position + 1}", name, fields)
        _, output = fields.any("output")
        if isinstance(output, str) and re.fullmatch(r"\$?[A-Za-z_]\w*", output):
            step.variable = output.removeprefix("$")
        elif output is not None:
            self._notes.leave(step.key, "output: only the name of a variable is understood")
        return step

    def _above(self, step: _Step) -> list[_Step]:
        """All steps that it needs, directly or through others."""
        found: dict[str, _Step] = {}
        waiting = list(step.needs)
        while waiting:
            key = waiting.pop()
            if key not in found:
                found[key] = self._steps[key]
                waiting += found[key].needs
        return list(found.values())

    # --- writing

    def imported(self) -> Imported:
        root, place, notes = self._root, self._options.place, self._notes
        own = root.text("name") or place.stem or "dag"
        (name,) = legal_names([self._options.name or own], why_not_workflow).values()
        document: dict[str, Any] = {"name": name}
        if description := root.text("description"):
            document["description"] = description
        if self._options.working_dir is not None:
            document["working_dir"] = self._options.working_dir
        if directory := root.text(*_both("working_dir")):
            document["working_dir"] = self._directory(root, directory)
        self._read_params()
        plain, expanded = split_variables(root.pairs("env"))
        if self._params:
            document["params"] = self._params
        variables = {name: f"${{{{ params.{name} }}}}" for name in self._params} | plain
        if variables:
            document["env_vars"] = variables
        self._before = exports(expanded)
        files = root.texts("dotenv")
        if files:
            document["env_file"] = files[0]
            for other in files[1:]:
                notes.leave(None, f"dotenv {other}: a workflow has one env_file")
        if seconds := root.number(*_both("timeout_sec")):
            document["timeout_seconds"] = seconds
        if most := root.whole(*_both("max_active_steps")):
            document["max_parallel"] = most
        grace = root.number(*_both("max_clean_up_time_sec"))
        guard = self._precondition(root, None)
        workers = [self._worker(step, grace) for step in self._steps.values()]
        if guard:
            gate = "precondition"
            while gate in self._names.values():
                gate += "~"
            for worker in workers:
                if not worker.get("depends_on") and not worker.get("inputs"):
                    worker["depends_on"] = [gate]
            workers.insert(0, {"name": gate, **command_of("\n".join(guard), ("sh", "-c"), self._before)})
            notes.change(gate, "was added: it fails where the precondition of the DAG is not met")
        for field in root.unread():
            if field == "schedule":
                notes.leave(None, "schedule: let cron call `wattle start`")
            elif field not in _READ_ELSEWHERE | {"type"}:
                notes.leave(None, f"{field}: there is nothing like it")
        if (root.text("type") or "graph") not in ("graph", "chain"):
            root.complain(("type",), f"type is '{root.text('type')}', not graph or chain")
        document["workers"] = workers
        return notes.imported(document)

    def _read_params(self) -> None:
        """`A=1 B=2`, `one two`, `[{A: 1}]` or `{A: 1}`."""
        path, raw = self._root.any("params")
        pairs: list[tuple[str | None, str]] = []
        if isinstance(raw, str):
            pairs = [(match[1], _unquoted(match[2] if match[1] else match[3])) for match in _PAIR.finditer(raw)]
        else:
            for each in raw if isinstance(raw, list) else [] if raw is None else [raw]:
                if isinstance(each, dict) and "name" in each and "default" in each:
                    pairs.append((str(each["name"]), str(each["default"])))
                elif isinstance(each, dict):
                    pairs += [(str(name), "" if value is None else str(value)) for name, value in each.items()]
                elif isinstance(each, str) and (match := _PAIR.fullmatch(each)):
                    pairs.append((match[1], _unquoted(match[2] if match[1] else match[3])))
                else:
                    pairs.append((None, str(each)))
        for position, (name, value) in enumerate(pairs, 1):
            if name is None:
                name = f"arg{position}"
                self._notes.change(None, f"params: ${position} is the param {name}")
            if reason := why_not_port(name):
                self._root.complain(path, f"param '{name}' {reason}")
            if "`" in value or "$" in value:
                self._notes.leave(None, f"param {name}: its default {value} would have to be computed")
                self._params[name] = {}
            else:
                self._params[name] = {"default": value}

    def _worker(self, step: _Step, grace: float | None) -> dict[str, Any]:
        fields, name = step.fields, self._names[step.key]
        if step.key != name:
            self._notes.change(name, f"was called '{step.key}'")
        worker: dict[str, Any] = {"name": name}
        text = self._command(step)
        plain, expanded = split_variables(fields.pairs("env"))
        before = [*self._before, *exports(expanded)]
        inputs = self._outputs_of_others(step, text, before)
        if directory := fields.text(*_both("working_dir"), "dir"):
            if "$" in directory or "`" in directory:
                before.append(f"cd {double_quoted(directory)} || exit")
            else:
                worker["working_dir"] = directory
        before += self._precondition(fields, step.key)
        worker |= command_of(text, self._shell(step), before)
        if plain:
            worker["env_vars"] = plain
        if inputs:
            worker["inputs"] = inputs
        needs = [self._names[key] for key in dict.fromkeys(step.needs)]
        needs = [need for need in needs if need not in {ref.partition("/")[0] for ref in inputs.values()}]
        if needs:
            worker["depends_on"] = needs
        self._give_outputs(step, worker)
        self._give_policies(step, worker, grace)
        for field in fields.unread():
            if field not in _READ_ELSEWHERE:
                self._notes.leave(name, f"{field}: there is nothing like it")
        return worker

    def _command(self, step: _Step) -> str:
        """The step as a script for a shell."""
        fields = step.fields
        for field in ("executor", "type", "action", "call", "container", "parallel", "llm", "messages"):
            if field in fields:
                return self._hole(step, field)
        run_path, run = fields.any("run")
        if isinstance(run, str) and (run.strip().endswith((".yaml", ".yml")) or "params" in fields):
            return self._hole(step, "run of another DAG")
        _, command = fields.any("command")
        script = fields.text("script")
        given = run if run is not None else command
        if isinstance(given, list):
            texts = [str(each) for each in given]
            given = "\n".join(["set -e", *texts]) if run is not None else _words(texts)
        if given is not None and not isinstance(given, str):
            where = run_path if run is not None else (*fields.path, "command")
            fields.complain(where, "a command must be a text or a list")
            return "true"
        if args := fields.texts("args"):
            given = f"{given} {_words(args)}"
        if script is not None:
            script = script if script.endswith("\n") else f"{script}\n"
            given = f"{given} <<'{_END}'\n{script}{_END}" if given else script
        if not given or not given.strip():
            if step.fields.values.get("action") is None:
                fields.complain(fields.path, f"step '{step.key}' has no command")
            return "true"
        if _OTHERS_OUTPUT.search(given):
            self._notes.leave(step.key, "${step.…}: only variables named by `output` are handed on")
        return self._positional(given)

    def _positional(self, text: str) -> str:
        """`$1` is the first param."""

        def put(match: "re.Match[str]") -> str:
            name = f"arg{match[1] or match[2]}"
            return f"${{{name}}}" if name in self._params else match[0]

        return _POSITIONAL.sub(put, text)

    def _hole(self, step: _Step, what: str) -> str:
        for field in ("run", "command", "script", "with", "params", "config", "args", "shell"):
            step.fields.any(field)
        self._notes.leave(step.key, f"{what}: it is no local command; the worker fails until you write one")
        said = shlex.quote(f"step '{step.key}' ({what}) could not be imported: write its command")
        return f"echo {said} >&2; exit {NOT_IMPORTED}"

    def _shell(self, step: _Step) -> tuple[str, ...]:
        given = step.fields.text("shell")
        options = step.fields.part("with") if isinstance(step.fields.values.get("with"), dict) else None
        given = given or (options.text("shell") if options else None) or self._root.text("shell")
        return (*shlex.split(given), "-c") if given else ("sh", "-c")

    def _outputs_of_others(self, step: _Step, text: str, before: list[str]) -> dict[str, str]:
        """Inputs for the variables that steps before it make, and lines that set them."""
        everything = "\n".join([text, *before, *_texts(step.fields.values)])
        used = {match[1] or match[2] for match in _VARIABLE.finditer(everything)}
        inputs = {}
        for other in self._above(step):
            if other.variable in used and other.variable is not None:
                inputs[other.variable] = f"{self._names[other.key]}/{other.variable}"
                before.append(f'export {other.variable}="$(cat -- "$WATTLE_INPUT_{other.variable.upper()}")"')
        return inputs

    def _give_outputs(self, step: _Step, worker: dict[str, Any]) -> None:
        fields = step.fields
        path = fields.text("stdout") if not isinstance(fields.values.get("stdout"), dict) else None
        if step.variable is not None:
            worker["outputs"] = {step.variable: f".dagu/{_file_name(worker['name'])}.{step.variable}"}
            worker["stdout"] = step.variable
            if path:
                self._notes.leave(worker["name"], "stdout: the standard output is saved once, as `output`")
        elif path and "$" not in path and "`" not in path:
            worker["outputs"] = {"stdout": path}
            worker["stdout"] = "stdout"
        elif path:
            self._notes.leave(worker["name"], "stdout: its path would have to be computed")
        if fields.text("stderr") if not isinstance(fields.values.get("stderr"), dict) else None:
            self._notes.leave(worker["name"], "stderr: both streams of every attempt are kept anyway")

    def _give_policies(self, step: _Step, worker: dict[str, Any], grace: float | None) -> None:
        fields, name = step.fields, worker["name"]
        if seconds := fields.number(*_both("timeout_sec")):
            worker["timeout_seconds"] = seconds
        if retry := fields.part(*_both("retry_policy")):
            worker["retry"] = {
                "limit": retry.whole("limit") or 0,
                "delay_seconds": retry.number(*_both("interval_sec")) or 0,
                "factor": self._factor(retry),
            }
            if most := retry.number(*_both("max_interval_sec")):
                worker["retry"]["max_delay_seconds"] = most
            for field in retry.unread():
                self._notes.leave(name, f"retryPolicy.{field}: every failure is tried again")
        stop: dict[str, Any] = {}
        if signal := fields.text(*_both("signal_on_stop")):
            if signal.upper().removeprefix("SIG") in NUMBERS:
                stop["signal"] = signal.upper().removeprefix("SIG")
            else:
                fields.complain((*fields.path, "signalOnStop"), f"'{signal}' is not a signal")
        if grace is not None:
            stop["grace_seconds"] = grace
        if stop:
            worker["stop"] = stop
        _, given = fields.any(*_both("continue_on"))
        going_on = {given: True} if isinstance(given, str) else given
        if isinstance(going_on, dict):
            self._continue_on(worker, going_on)

    def _continue_on(self, worker: dict[str, Any], going_on: Mapping[str, Any]) -> None:
        name = worker["name"]
        codes = going_on.get("exitCode", going_on.get("exit_code"))
        if going_on.get("failure") or going_on.get("failed"):
            worker["success_exit_codes"] = list(range(256))
            self._notes.change(name, "continueOn failure: every exit code counts as completed")
        elif codes is not None or going_on.get("skipped"):
            listed = codes if isinstance(codes, list) else [] if codes is None else [codes]
            numbers = [int(code) for code in listed if str(code).isdecimal() and int(code) < 256]
            worker["success_exit_codes"] = sorted({0, *numbers, *([NOT_MET] if going_on.get("skipped") else [])})
            self._notes.change(name, "continueOn: these exit codes count as completed")
        if going_on.get("output"):
            self._notes.leave(name, "continueOn output: only exit codes are looked at")

    def _factor(self, retry: Fields) -> float:
        _, given = retry.any("backoff")
        if given is True:
            return 2
        factor = retry.number("backoff") if given not in (None, False) else None
        return max(1, min(factor or 1, 100))

    def _precondition(self, fields: Fields, key: str | None) -> list[str]:
        """Lines that end a script where a condition is not met."""
        _, given = fields.any("preconditions", "precondition")
        lines = []
        for each in given if isinstance(given, list) else [] if given is None else [given]:
            if isinstance(each, str):
                test, negated = f"{{ {each.strip()}\n}} > /dev/null", False
            elif isinstance(each, dict) and isinstance(each.get("condition"), str):
                test, negated = _condition(each["condition"], each.get("expected")), bool(each.get("negate"))
            else:
                fields.complain(fields.path, "a precondition must be a command, or {condition, expected}")
                continue
            said = shlex.quote("a precondition is not met")
            lines.append(f"{test} {'&&' if negated else '||'} {{ echo {said} >&2; exit {NOT_MET}; }}")
        if lines and key is not None:
            self._notes.change(self._names[key], "precondition: where it is not met the worker fails, "
                               f"with exit code {NOT_MET}")  # fmt: skip
        return lines

    def _directory(self, fields: Fields, path: str) -> str:
        if "$" in path or "`" in path:
            fields.complain((*fields.path, "workingDir"), "workingDir holds a variable; write the directory")
        return path


def _condition(condition: str, expected: Any) -> str:
    """Text, variables and command substitutions, compared after the shell has expanded them."""
    if expected is None:
        return f"{{ {condition.strip()}\n}} > /dev/null"
    wanted = str(expected)
    if wanted.startswith("re:"):
        return f"printf %s {double_quoted(condition)} | grep -Eq -- {shlex.quote(wanted[3:])}"
    return f"[ {double_quoted(condition)} = {shlex.quote(wanted)} ]"


def _words(words: list[str]) -> str:
    """As one command: variables in them are expanded, nothing else is."""
    return " ".join(double_quoted(word) if "$" in word or "`" in word else shlex.quote(word) for word in words)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in _texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []


def _file_name(name: str) -> str:
    return literal(re.sub(r"[^\w.-]", "_", name))
