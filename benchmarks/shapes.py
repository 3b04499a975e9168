"""DAGs to measure with, and how they are written down for the C loop, Wattle, make and ninja. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Shape:
    """`needs[t]` are the tasks that must have ended before task t may start; all are smaller than t."""

    name: str
    needs: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.needs)

    @property
    def edges(self) -> int:
        return sum(map(len, self.needs))


def chain(count: int) -> Shape:
    """One after the other."""
    return Shape(f"chain-{count}", tuple((t - 1,) if t else () for t in range(count)))


def fan_out(count: int) -> Shape:
    """All at once: none needs another."""
    return Shape(f"fan-out-{count}", ((),) * count)


def layers(depth: int, width: int) -> Shape:
    """Each task needs three or four of the layer before (3.5 on average).

    The one at place p needs those at p, p + 1 and p + 2, and where p is odd also the one half a layer away.
    """
    needs: list[tuple[int, ...]] = [()] * width
    for layer in range(1, depth):
        before = (layer - 1) * width
        for place in range(width):
            offsets = (0, 1, 2, width // 2) if place % 2 else (0, 1, 2)
            needs.append(tuple(sorted({before + (place + offset) % width for offset in offsets})))
    return Shape(f"layers-{depth}x{width}", tuple(needs))


def parse(name: str) -> Shape:
    """`chain-1000`, `fan-out-1000`, `layers-10x100`. ValueError says what there is."""
    if found := re.fullmatch(r"chain-([1-9]\d{0,5})", name):
        return chain(int(found[1]))
    if found := re.fullmatch(r"fan-out-([1-9]\d{0,5})", name):
        return fan_out(int(found[1]))
    if found := re.fullmatch(r"layers-([1-9]\d{0,3})x([1-9]\d{0,3})", name):
        return layers(int(found[1]), int(found[2]))
    raise ValueError(f"there is no shape {name!r}; there are chain-N, fan-out-N and layers-DEPTHxWIDTH")


def argv(program: str, task: int) -> list[str]:
    """What a task executes: `/bin/true`, or `/bin/echo` with the task's name, a line in its file."""
    return [program, worker_name(task)] if program.endswith("echo") else [program]


def worker_name(task: int) -> str:
    return f"w{task:05d}"


def loop_text(shape: Shape, program: str) -> str:
    """As loop.c reads it."""
    lines = [str(len(shape))]
    for task, needs in enumerate(shape.needs):
        words = argv(program, task)
        lines.append(" ".join(map(str, [len(needs), *needs, len(words), *words])))
    return "\n".join(lines) + "\n"


def definition(
    shape: Shape, program: str, name: str, working_dir: str, max_parallel: int, *, outputs: bool = False
) -> dict[str, Any]:
    """As `POST /api/workflows` takes it. With `outputs` each worker declares one, which it only prints."""
    return {
        "name": name,
        "working_dir": working_dir,
        "max_parallel": max_parallel,
        "workers": [_worker(task, needs, program, outputs) for task, needs in enumerate(shape.needs)],
    }


def _worker(task: int, needs: Sequence[int], program: str, outputs: bool) -> dict[str, Any]:
    worker: dict[str, Any] = {"name": worker_name(task), "command": " ".join(argv(program, task))}
    if needs:
        worker["depends_on"] = [worker_name(need) for need in needs]
    if outputs:
        worker["outputs"] = {"text": f"{worker_name(task)}.txt"}
    return worker


def wide_definition(depth: int, width: int, inputs: int, name: str, working_dir: str) -> dict[str, Any]:
    """Layers with so many inputs in all: files of the layer before, as evenly as it goes, the last with one more."""
    fewest, more = divmod(inputs, (depth - 1) * width)
    workers = []
    for task in range(depth * width):
        place = task % width
        worker: dict[str, Any] = {
            "name": worker_name(task),
            "command": f"/bin/echo {worker_name(task)}",
            "outputs": {"text": f"{worker_name(task)}.txt"},
        }
        if task >= width:
            before = task - place - width
            degree = fewest + 1 if task >= depth * width - more else fewest
            producers = [before + (place + offset) % width for offset in range(degree)]
            worker["inputs"] = {f"i{n}": f"{worker_name(producer)}/text" for n, producer in enumerate(producers)}
        workers.append(worker)
    return {"name": name, "working_dir": working_dir, "workers": workers}


def makefile(shape: Shape, program: str) -> str:
    """Every task a phony target, its command one that make executes without a shell."""
    names = " ".join(map(worker_name, range(len(shape))))
    lines = [f"all: {names}", f".PHONY: all {names}"]
    for task, needs in enumerate(shape.needs):
        lines.append(f"{worker_name(task)}: {' '.join(map(worker_name, needs))}")
        lines.append(f"\t@{' '.join(argv(program, task))}")
    return "\n".join(lines) + "\n"


def ninja_file(shape: Shape, program: str) -> str:
    """Every task an edge whose output never comes to be; ninja runs all commands by a shell."""
    lines = ["rule run", "  command = $words", ""]
    for task, needs in enumerate(shape.needs):
        lines.append(f"build {worker_name(task)}: run {' '.join(map(worker_name, needs))}".rstrip())
        lines.append(f"  words = {' '.join(argv(program, task))}")
    return "\n".join(lines) + "\n"
