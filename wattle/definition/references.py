"""What a worker needs from other workers: references that lead nowhere, and references that lead in a circle.

Judged only as far as it can be known: where a producer is itself malformed, its outputs are not held against
those who refer to it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from wattle.definition.graph import graph_of
from wattle.definition.model import Worker
from wattle.definition.names import nfc
from wattle.definition.places import Path
from wattle.definition.problems import CYCLE_MESSAGE, CYCLE_ZH, Problems, Stage, shown


@dataclass(frozen=True, slots=True)
class Needs:
    """The references of one worker as its user wrote them: `{input: "producer/output"}` and names of workers."""

    position: int
    worker: Worker
    inputs: dict[str, str]
    depends_on: list[str]


@dataclass(frozen=True, slots=True)
class Known:
    """`outputs` by worker name, None for a malformed worker; `complete` where every worker's name is known."""

    outputs: dict[str, Collection[str] | None]
    complete: bool


def check_references(needs: Needs, known: Known, problems: Problems) -> None:
    """A DEPENDENCY problem for each reference to a worker or output that does not exist.

    References to the worker itself are left to `check_cycles`.
    """
    for name, ref in needs.inputs.items():
        producer, slash, output = ref.partition("/")
        producer = nfc(producer)
        outputs = known.outputs.get(producer, ())
        if slash and (producer == needs.worker.name or outputs is None or nfc(output) in outputs):
            continue
        if slash and producer not in known.outputs and not known.complete:
            continue
        _add_missing_output(needs, name, ref, known, problems)
    for position, name in enumerate(needs.depends_on):
        if nfc(name) not in known.outputs and known.complete:
            _add_missing_worker(needs, position, name, known, problems)


def _add_missing_output(needs: Needs, name: str, ref: str, known: Known, problems: Problems) -> None:
    worker, wanted = shown(needs.worker.name), shown(ref, 400)
    problems.add(
        Stage.DEPENDENCY,
        ("workers", needs.position, "inputs", name),
        f"Dependency validation failed: worker '{worker}' depends on '{wanted}' but that output does not exist",
        zh=f"依赖验证失败: worker '{worker}' 依赖 '{wanted}' 但该输出不存在",
        suggestion=_suggest_output(ref, known, problems),
    )


def _suggest_output(ref: str, known: Known, problems: Problems) -> str:
    producer, slash, output = ref.partition("/")
    outputs = known.outputs.get(nfc(producer))
    if outputs is None:
        hint = problems.did_you_mean(producer, known.outputs)
        form = "" if slash else "an input is written `worker/output`; "
        return f"{form}there is no worker `{shown(producer)}`" + (f"; {hint}" if hint else "")
    if len(outputs) == 1:
        return f"did you mean `{producer}/{next(iter(outputs))}`?"
    if slash and (hint := problems.did_you_mean(output, sorted(outputs))):
        return hint.replace("`", f"`{producer}/", 1)
    if not outputs:
        return f"worker `{producer}` declares no outputs; declare one, or use `depends_on`"
    listed = ", ".join(f"`{producer}/{each}`" for each in sorted(outputs)[:5])
    return f"worker `{producer}` declares {listed}" + (" and more" if len(outputs) > 5 else "")


def _add_missing_worker(needs: Needs, position: int, name: str, known: Known, problems: Problems) -> None:
    worker, wanted = shown(needs.worker.name), shown(name)
    hint = problems.did_you_mean(name, known.outputs)
    producer, slash, _ = name.partition("/")
    if slash and nfc(producer) in known.outputs:
        hint = f"`depends_on` names workers only: did you mean `{producer}`?"
    problems.add(
        Stage.DEPENDENCY,
        ("workers", needs.position, "depends_on", position),
        f"Dependency validation failed: worker '{worker}' depends on '{wanted}' but that worker does not exist",
        zh=f"依赖验证失败: worker '{worker}' 依赖 '{wanted}' 但该工作者不存在",
        suggestion=hint,
    )


def check_cycles(everyone: Sequence[Needs], problems: Problems) -> None:
    """A CYCLE problem, with a concrete path, for each knot of workers that need each other."""
    graph = graph_of([needs.worker for needs in everyone])
    for cycle in graph.cycles():
        consumer = everyone[cycle[0]]
        producer = graph.names[cycle[-1]]
        names = [graph.names[at] for at in cycle]
        path = " → ".join([*names, names[0]])
        where, spoken = _reference_to(producer, consumer)
        problems.add(
            Stage.CYCLE,
            ("workers", consumer.position, *where),
            f"{CYCLE_MESSAGE}: {path}",
            zh=f"{CYCLE_ZH}: {path}",
            suggestion=f"remove {spoken} of worker `{consumer.worker.name}`, or another step of the circle",
        )


def _reference_to(producer: str, consumer: Needs) -> tuple[Path, str]:
    for name, ref in consumer.inputs.items():
        if nfc(ref.partition("/")[0]) == producer:
            return ("inputs", name), f"input `{name}`"
    at = next(at for at, name in enumerate(consumer.depends_on) if nfc(name) == producer)
    return ("depends_on", at), f"`depends_on` {producer}"
