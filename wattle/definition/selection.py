"""Which workers of a workflow a run consists of, where it is to have only some. Pure.

`only` are taken as they are, `starts` with everything that descends from them. Services that a chosen worker
needs come along: no file tells that they have been.
"""

from collections import deque
from collections.abc import Collection, Iterable, Sequence

from wattle.definition.graph import Graph
from wattle.definition.model import Worker, Workflow
from wattle.errors import worker_not_found


def chosen_workers(
    workflow: Workflow, graph: Graph, only: Collection[str] = (), starts: Collection[str] = ()
) -> Sequence[Worker]:
    """In definition order. NotFound where a name is no worker's; all workers where nothing is chosen."""
    if not only and not starts:
        return workflow.workers
    for name in (*only, *starts):
        if name not in graph.position:
            raise worker_not_found(workflow.name, name)
    chosen = _reached((graph.position[name] for name in starts), graph.consumers)
    chosen |= {graph.position[name] for name in only}
    needed = [[p for p in producers if workflow.workers[p].service is not None] for producers in graph.producers]
    chosen = _reached(chosen, needed)
    return [worker for position, worker in enumerate(workflow.workers) if position in chosen]


def lacking_inputs(workflow: Workflow, chosen: Iterable[Worker]) -> list[tuple[str, str, str]]:
    """What chosen workers need of the others: `(consumer, producer, absolute path)` for each input that is no
    optional output."""
    chosen = list(chosen)
    names = {worker.name for worker in chosen}
    lacking = []
    for worker in chosen:
        for ref in worker.inputs.values():
            producer = workflow.worker(ref.producer)
            if ref.producer in names or producer is None or producer.outputs[ref.output].optional:
                continue
            lacking.append((worker.name, ref.producer, workflow.path_of(ref)))
    return lacking


def _reached(starts: Iterable[int], edges: Sequence[Sequence[int]]) -> set[int]:
    """The positions from which one starts, and all to which edges lead from there."""
    reached = set(starts)
    queue = deque(reached)
    while queue:
        for position in edges[queue.popleft()]:
            if position not in reached:
                reached.add(position)
                queue.append(position)
    return reached
