"""A configuration of supervisord: every program becomes a service, `numprocs` of them where it says so.

supervisord runs no shell: a command is split into words, and `%(ENV_X)s` is put in before. Here such a command is
one for a shell with its words quoted, so that it means the same.
"""

import re
import shlex
from typing import Any

from wattle.definition.names import why_not_variable, why_not_worker, why_not_workflow
from wattle.definition.signals import NUMBERS
from wattle.errors import Invalid, Problem
from wattle.importers.ini import Section, Value, problem, read_ini
from wattle.importers.names import legal_names
from wattle.importers.options import Options
from wattle.importers.report import Imported, Notes
from wattle.importers.shell import command_of, double_quoted, literal
from wattle.importers.text import decoded

MOST_PROCESSES = 1000
TEN_YEARS_SECONDS = 315_360_000
_EXPRESSION = re.compile(r"%(?:%|\((\w+)\)(0?\d*)([sd]))|%")
_VARIABLE = re.compile(r"""\s*([^=\s,]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^,"']*?))\s*(?:,|\Z)""", re.DOTALL)
_OURS = {"stdout_logfile", "stdout_logfile_maxbytes", "stdout_logfile_backups", "stderr_logfile",
         "stderr_logfile_maxbytes", "stderr_logfile_backups", "redirect_stderr"}  # fmt: skip
_READ = {"command", "process_name", "numprocs", "numprocs_start", "priority", "autostart", "autorestart", "startsecs",
         "startretries", "exitcodes", "stopsignal", "stopwaitsecs", "stopasgroup", "killasgroup", "user", "umask",
         "directory", "environment"}  # fmt: skip
_RESTARTS = {"true": "always", "1": "always", "yes": "always", "on": "always",
             "false": "never", "0": "never", "no": "never", "off": "never", "unexpected": "on_failure"}  # fmt: skip
_FOR_ITSELF = ("supervisorctl", "unix_http_server", "inet_http_server", "rpcinterface:supervisor")


def import_supervisord(data: bytes, options: Options) -> Imported:
    """The definition for the configuration in `data`; Malformed or Invalid with every problem and its line."""
    return _Importer(read_ini(decoded(data, "configuration")), options).imported()


class _Wrong(Exception):
    """A value that cannot be understood; the text says why."""


class _Importer:
    def __init__(self, sections: dict[str, Section], options: Options) -> None:
        self._sections, self._options = sections, options
        self._notes, self._problems = Notes(), list[Problem]()
        self._group_of: dict[str, str] = {}

    def imported(self) -> Imported:
        place, notes = self._options.place, self._notes
        (name,) = legal_names([self._options.name or place.stem or "supervisord"], why_not_workflow).values()
        document: dict[str, Any] = {"name": name}
        if self._options.working_dir is not None:
            document["working_dir"] = self._options.working_dir
        if variables := self._global_variables():
            document["env_vars"] = variables
        self._look_at_other_sections()
        workers = []
        for section in self._sections.values():
            kind, _, program = section.name.partition(":")
            if kind == "program":
                workers += self._workers(section, program.strip())
        if not workers and not self._problems:
            self._problems.append(problem("no [program:x] section that would be started", 1))
        if self._problems:
            self._problems.sort(key=lambda each: each.line or 0)
            raise Invalid("VALIDATION_ERROR", self._problems[0].message, details=self._problems)
        names = legal_names([worker["name"] for worker in workers], why_not_worker)
        for worker in workers:
            if names[worker["name"]] != worker["name"]:
                notes.change(names[worker["name"]], f"was called '{worker['name']}'")
            worker["name"] = names[worker["name"]]
        document["workers"] = workers
        return notes.imported(document)

    def _look_at_other_sections(self) -> None:
        for section in self._sections.values():
            kind, _, name = section.name.partition(":")
            if kind == "group":
                programs = section.values.get("programs")
                members = [each.strip() for each in programs.text.split(",")] if programs else []
                self._group_of |= dict.fromkeys(members, name)
                self._notes.leave(None, f"[{section.name}]: programs are in no groups here")
            elif kind == "include":
                self._notes.leave(None, "[include]: import the included files one by one")
            elif kind in ("eventlistener", "fcgi-program"):
                self._notes.leave(None, f"[{section.name}]: there is nothing like it")
            elif kind == "supervisord":
                for key in section.values.keys() & {"umask", "user", "directory", "minfds", "minprocs"}:
                    self._notes.leave(None, f"[supervisord] {key}: it is the server's own")
            elif kind != "program" and section.name not in _FOR_ITSELF:
                self._notes.leave(None, f"[{section.name}]: unknown")

    def _global_variables(self) -> dict[str, str]:
        section = self._sections.get("supervisord")
        value = section.values.get("environment") if section else None
        if value is None:
            return {}
        variables, expanded = self._variables(value, {"here": self._options.place.directory})
        for name in expanded:
            self._notes.leave(None, f"[supervisord] environment {name}: it takes another variable in")
        return variables

    def _workers(self, section: Section, program: str) -> list[dict[str, Any]]:
        values, notes = section.values, self._notes
        if _flag(values.get("autostart"), True) is False and not self._options.include_disabled:
            notes.leave(None, f"[{section.name}]: autostart is false (--all takes it)")
            return []
        if "command" not in values:
            self._problems.append(problem(f"[{section.name}] has no command", section.line))
            return []
        for key in values.keys() & _OURS:
            if values[key].text not in ("", "AUTO"):
                notes.leave(program, "logfiles and redirect_stderr: both streams of every attempt are kept anyway")
        for key in [key for key in values if key not in _READ | _OURS]:
            notes.leave(program, f"{key}: there is nothing like it")
        count = int(self._number(values.get("numprocs"), 1))
        first = int(self._number(values.get("numprocs_start"), 0))
        if not 1 <= count <= MOST_PROCESSES:
            self._problems.append(problem(f"numprocs must be 1 to {MOST_PROCESSES}", values["numprocs"].line))
            return []
        common = self._settings(values, program)
        pattern = values.get("process_name", Value("%(program_name)s", section.line))
        if count > 1 and "process_num" not in pattern.text:
            message = f"[{section.name}] has numprocs {count}, so process_name must hold %(process_num)d"
            self._problems.append(problem(message, pattern.line))
            return []
        if count > 1:
            notes.change(program, f"numprocs: {count} services")
        return [self._worker(values, program, number, pattern, common) for number in range(first, first + count)]

    def _worker(
        self, values: dict[str, Value], program: str, number: int, pattern: Value, common: dict[str, Any]
    ) -> dict[str, Any]:
        known = {
            "program_name": program,
            "process_num": number,
            "group_name": self._group_of.get(program, program),
            "here": self._options.place.directory,
        }
        worker: dict[str, Any] = {"name": self._expanded(pattern, known) or program, "kind": "service"}
        plain, expanded = self._variables(values["environment"], known) if "environment" in values else ({}, {})
        worker |= self._command(values["command"], known, expanded)
        if plain:
            worker["env_vars"] = plain
        if "directory" in values:
            worker["working_dir"] = self._expanded(values["directory"], known)
        return worker | common

    def _command(self, value: Value, known: dict[str, Any], expanded: dict[str, str]) -> dict[str, Any]:
        """Its words, quoted for a shell where one is needed to put variables in."""
        try:
            words = shlex.split(value.text)
            shown = [self._shell_word(word, known) for word in words]
            before = [f"{name}={self._shell_word(text, known)}" for name, text in expanded.items()]
        except (ValueError, _Wrong) as error:
            self._problems.append(problem(f"the command cannot be understood: {error}", value.line))
            return {}
        if not words:
            self._problems.append(problem("the command is empty", value.line))
            return {}
        if not before and not any("$" in word for word in shown):
            return command_of(" ".join(shown), shell=("sh", "-c"))
        line = " ".join([*before, "exec", *shown])
        return {"command": literal(line)}

    def _shell_word(self, word: str, known: dict[str, Any]) -> str:
        """The word for a shell, `%(ENV_X)s` as `${X}`."""
        parts: list[str] = []
        uses_variables = False

        def put(match: "re.Match[str]") -> str:
            nonlocal uses_variables
            if match[1] and match[1].startswith("ENV_"):
                uses_variables = True
                return f"\0{match[1][4:]}\0"
            if match[1] == "host_node_name":
                uses_variables = True
                return "\0\1\0"
            return _value(match, known)

        text = _EXPRESSION.sub(put, word)
        if not uses_variables:
            return shlex.quote(text)
        for position, part in enumerate(text.split("\0")):
            if position % 2 == 0:
                parts.append(double_quoted(part).replace("$", "\\$").replace("`", "\\`")[1:-1])
            else:
                parts.append("$(uname -n)" if part == "\1" else f"${{{part}}}")
        return '"' + "".join(parts) + '"'

    def _variables(self, value: Value, known: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
        """Those whose values are known, and those (not expanded) that take in a variable of supervisord's own."""
        plain: dict[str, str] = {}
        expanded: dict[str, str] = {}
        position = 0
        text = value.text.replace("\n", " ")
        while position < len(text.rstrip()):
            match = _VARIABLE.match(text, position)
            if match is None or why_not_variable(match[1]):
                self._problems.append(problem('environment must be NAME="value",NAME2="value2"', value.line))
                break
            position = match.end()
            found = next(each for each in (match[2], match[3], match[4], "") if each is not None)
            if re.search(r"%\((ENV_|host_node_name)", found):
                expanded[match[1]] = found
            else:
                plain[match[1]] = literal(self._expanded(Value(found, value.line), known) or "")
        return plain, expanded

    def _expanded(self, value: Value, known: dict[str, Any]) -> str | None:
        try:
            return _EXPRESSION.sub(lambda match: _value(match, known), value.text)
        except _Wrong as error:
            self._problems.append(problem(f"'{value.text}': {error}", value.line))
            return None

    def _settings(self, values: dict[str, Value], program: str) -> dict[str, Any]:
        """What all processes of a program have alike."""
        settings: dict[str, Any] = {"restart": self._restart(values, program)}
        stop: dict[str, Any] = {"grace_seconds": self._number(values.get("stopwaitsecs"), 10)}
        if "stopsignal" in values:
            name = values["stopsignal"].text.upper().removeprefix("SIG")
            if name in NUMBERS:
                stop["signal"] = name
            else:
                self._problems.append(problem(f"'{name}' is not a signal", values["stopsignal"].line))
        if not _flag(values.get("stopasgroup"), False):
            stop["scope"] = "leader"
        settings["stop"] = stop
        if "exitcodes" in values:
            codes = [each.strip() for each in values["exitcodes"].text.split(",") if each.strip()]
            if all(each.isdecimal() and int(each) < 256 for each in codes):
                settings["success_exit_codes"] = [int(each) for each in codes]
            else:
                self._problems.append(problem("exitcodes must be numbers with commas", values["exitcodes"].line))
        if "priority" in values:
            settings["priority"] = -int(self._number(values["priority"], 999, least=-1_000_000))
            self._notes.change(program, "priority: here higher ones start first, so it is negated")
        if "user" in values:
            settings["user"] = values["user"].text
        if "umask" in values:
            if re.fullmatch(r"0*[0-7]{1,3}", values["umask"].text):
                settings["umask"] = values["umask"].text
            else:
                self._problems.append(problem("umask must be octal, such as 022", values["umask"].line))
        return settings

    def _restart(self, values: dict[str, Value], program: str) -> dict[str, Any]:
        given = values.get("autorestart", Value("unexpected", 0))
        policy = _RESTARTS.get(given.text.lower())
        if policy is None:
            self._problems.append(problem("autorestart must be true, false or unexpected", given.line))
        if policy == "never":
            return {"policy": "never"}
        healthy = self._number(values.get("startsecs"), 1)
        self._notes.change(
            program, "startsecs, startretries: restarts that count are those of attempts shorter than startsecs"
        )
        return {
            "policy": policy,
            "limit": int(self._number(values.get("startretries"), 3)),
            "window_seconds": TEN_YEARS_SECONDS,
            "healthy_seconds": healthy or 0.001,
        }

    def _number(self, value: Value | None, default: float, least: float = 0) -> float:
        if value is None:
            return default
        try:
            number = float(value.text)
        except ValueError:
            number = float("nan")
        if not least <= number <= 10_000_000:
            self._problems.append(problem(f"'{value.text}' is not a number, at least {least:g}", value.line))
            return default
        return int(number) if number == int(number) else number


def _flag(value: Value | None, default: bool) -> bool:
    return default if value is None else _RESTARTS.get(value.text.lower()) == "always"


def _value(match: "re.Match[str]", known: dict[str, Any]) -> str:
    """What stands for an expression of supervisord's."""
    if match[0] == "%%":
        return "%"
    if match[0] == "%" or match[1] not in known:
        raise _Wrong(f"'{match[0]}' stands for nothing here" if match[1] else "a single % must be written %%")
    try:
        return f"%{match[2]}{match[3]}" % known[match[1]]
    except TypeError:
        raise _Wrong(f"'{match[0]}' is not a number") from None
