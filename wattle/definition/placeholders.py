"""`${{ inputs.x }}`, `${{ outputs.x }}`, `${{ params.x }}`, `${{ run.id }}` in a text: found when the definition is
read, replaced when a run is made. `$${{` is the text `${{`.

A text is read into a `Template` once; filling it in looks at nothing else again, so that a value which itself
reads like a placeholder stays what it is.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from wattle.definition.model import Placeholder, Template
from wattle.definition.names import nfc
from wattle.definition.problems import shown

OPENING = "${{"
KINDS = ("inputs", "outputs", "params", "run")
_RUN_NAMES = ("id",)
_MARK = re.compile(r"\$\$\{\{|\$\{\{(?:(?P<inner>.*?)\}\})?", re.DOTALL)
_INNER = re.compile(r"[ \t]*(?P<kind>[A-Za-z_]+)\.(?P<name>[^\n]*?)[ \t]*", re.DOTALL)
_FORM = "write `${{ inputs.x }}`, `${{ outputs.x }}`, `${{ params.x }}` or `${{ run.id }}`; for the text itself `$${{`"

Complain = Callable[[str, str | None], None]  # takes a message and a suggestion


@dataclass(frozen=True, slots=True)
class Scope:
    """What a text may name: `{kind: names}`. A kind that is absent may not be used there (`where` says where that
    is); one whose names are None is not judged, since they are not known."""

    names: Mapping[str, Collection[str] | None]
    where: str
    did_you_mean: Callable[[str, Collection[str]], str | None]


@dataclass(frozen=True, slots=True)
class Values:
    """What the placeholders of one worker in one run stand for, as texts. A missing `run_id` leaves `${{ run.id }}`."""

    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    run_id: str | None = None

    def text(self, placeholder: Placeholder) -> str:
        match placeholder.kind:
            case "inputs":
                return self.inputs[placeholder.name]
            case "outputs":
                return self.outputs[placeholder.name]
            case "params":
                return self.params[placeholder.name]
        return str(placeholder) if self.run_id is None else self.run_id


def read_template(text: str, scope: Scope, complain: Complain) -> Template:
    """The parts of a text. What is wrong with its placeholders is complained of; those are left out."""
    parts: list[str | Placeholder] = []
    end = 0
    for match in _MARK.finditer(text):
        parts.append(text[end : match.start()])
        end = match.end()
        if match[0] == "$${{":
            parts.append(OPENING)
        elif match["inner"] is None:
            complain("has a '${{' without its '}}'", _FORM)
        elif placeholder := _read(match["inner"], scope, complain):
            parts.append(placeholder)
    parts.append(text[end:])
    return _joined(parts)


def fill(template: Template, values: Values) -> str:
    """The text with every placeholder replaced by its value, literally."""
    return "".join(part if isinstance(part, str) else values.text(part) for part in template)


def used(template: Template) -> list[Placeholder]:
    """Its placeholders, in order."""
    return [part for part in template if not isinstance(part, str)]


def _read(inner: str, scope: Scope, complain: Complain) -> Placeholder | None:
    match = _INNER.fullmatch(inner)
    spoken = f"'${{{{{shown(inner, 100)}}}}}'"
    if match is None:
        complain(f"has {spoken}, which is no placeholder", _FORM)
        return None
    kind, name = match["kind"], nfc(match["name"])
    if kind not in KINDS:
        hint = scope.did_you_mean(kind, KINDS)
        complain(f"has {spoken}, and there is no '{kind}'", hint or _FORM)
        return None
    if kind not in scope.names:
        complain(f"has {spoken}: {scope.where} may only use {_listed(scope)}", None)
        return None
    names = scope.names[kind]
    if names is not None and name not in names:
        singular = kind.removesuffix("s")
        what = "only 'run.id'" if kind == "run" else f"no {singular} '{shown(name, 100)}'"
        complain(f"has {spoken}, and there is {what}", scope.did_you_mean(name, names))
        return None
    return Placeholder(kind, name)


def _listed(scope: Scope) -> str:
    return " and ".join("run.id" if kind == "run" else kind for kind in KINDS if kind in scope.names)


def _joined(parts: list[str | Placeholder]) -> Template:
    """Without empty texts, neighbouring texts as one."""
    joined: list[str | Placeholder] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part != "":
            joined.append(part)
    return tuple(joined)


def scope_of_run(params: Collection[str] | None, where: str, did_you_mean: Callable[..., str | None]) -> Scope:
    """For texts that are the same for all workers: params and the run's id."""
    return Scope({"params": params, "run": _RUN_NAMES}, where, did_you_mean)


def scope_of_worker(
    inputs: Collection[str],
    outputs: Collection[str],
    params: Collection[str] | None,
    did_you_mean: Callable[..., str | None],
) -> Scope:
    names = {"inputs": inputs, "outputs": outputs, "params": params, "run": _RUN_NAMES}
    return Scope(names, "a command", did_you_mean)
