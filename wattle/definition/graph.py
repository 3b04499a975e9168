"""Who needs whom: the DAG of a workflow's workers, by position in definition order.

Plain tuples for the engine, which counts; networkx (loaded when first asked) for everything that searches.
An edge goes from producer to consumer. No recursion: a chain of 10,000 is an ordinary graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from wattle.definition.model import Worker, Workflow

if TYPE_CHECKING:
    import networkx


@dataclass(frozen=True, slots=True)
class Edge:
    """One need: an input (`input`, `output`, absolute `path`) or a `depends_on` (those three are None)."""

    producer: str
    consumer: str
    input: str | None
    output: str | None
    path: str | None


@dataclass(frozen=True)
class Graph:
    """`producers[i]` and `consumers[i]` are the positions that worker i needs and feeds, each once, ascending."""

    names: tuple[str, ...]
    producers: tuple[tuple[int, ...], ...]
    consumers: tuple[tuple[int, ...], ...]
    _workers: tuple[Worker, ...] = field(repr=False, compare=False)

    @cached_property
    def position(self) -> dict[str, int]:
        """`{worker name: position}`"""
        return _positions(self._workers)

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """Every input and `depends_on`, by consumer in definition order; several may join the same two workers."""
        edges = []
        for worker in self._workers:
            for name, ref in worker.inputs.items():
                if (at := self.position.get(ref.producer)) is not None:
                    output = self._workers[at].outputs.get(ref.output)
                    edges.append(Edge(ref.producer, worker.name, name, ref.output, output.path if output else None))
            edges += (
                Edge(producer, worker.name, None, None, None)
                for producer in worker.depends_on
                if producer in self.position
            )
        return tuple(edges)

    @cached_property
    def digraph(self) -> "networkx.DiGraph":
        """The same as a networkx graph of positions; do not change it."""
        import networkx

        graph: networkx.DiGraph = networkx.DiGraph()
        graph.add_nodes_from(range(len(self.names)))
        graph.add_edges_from((producer, at) for at, needs in enumerate(self.producers) for producer in needs)
        return graph

    def levels(self) -> list[list[str]]:
        """Names by distance from the sources: each level needs only earlier ones; ValueError if there is a cycle."""
        waiting = [len(needs) for needs in self.producers]
        level = [at for at, count in enumerate(waiting) if not count]
        levels, placed = [], 0
        while level:
            levels.append([self.names[at] for at in level])
            placed += len(level)
            following = []
            for at in level:
                for consumer in self.consumers[at]:
                    waiting[consumer] -= 1
                    if not waiting[consumer]:
                        following.append(consumer)
            level = sorted(following)
        if placed != len(self.names):
            raise ValueError("a graph with a cycle has no levels")
        return levels

    def ancestors(self, name: str) -> set[str]:
        """Every worker that must have completed before `name` can start."""
        import networkx

        return {self.names[at] for at in networkx.ancestors(self.digraph, self.position[name])}

    def descendants(self, name: str) -> set[str]:
        """Every worker that cannot start before `name` has completed."""
        import networkx

        return {self.names[at] for at in networkx.descendants(self.digraph, self.position[name])}

    def is_acyclic(self) -> bool:
        """Counted, so that the usual case loads no networkx."""
        waiting = [len(needs) for needs in self.producers]
        ready = [at for at, count in enumerate(waiting) if not count]
        for at in ready:
            for consumer in self.consumers[at]:
                waiting[consumer] -= 1
                if not waiting[consumer]:
                    ready.append(consumer)
        return len(ready) == len(self.names)

    def cycles(self) -> list[tuple[int, ...]]:
        """For each knot of workers that need each other: a shortest cycle through its first-defined worker.

        Positions in the order of the data's flow, the first not repeated: `(0, 1)` is 0 → 1 → 0.
        """
        if self.is_acyclic():
            return []
        import networkx

        knots = [
            sorted(knot)
            for knot in networkx.strongly_connected_components(self.digraph)
            if len(knot) > 1 or self.digraph.has_edge(*(tuple(knot) * 2))
        ]
        return [self._cycle_through(knot[0], frozenset(knot)) for knot in sorted(knots)]

    def _cycle_through(self, start: int, knot: frozenset[int]) -> tuple[int, ...]:
        came_from: dict[int, int] = {}
        reached = [start]
        for at in reached:
            for consumer in self.consumers[at]:
                if consumer == start:
                    cycle = [at]
                    while cycle[-1] != start:
                        cycle.append(came_from[cycle[-1]])
                    return tuple(reversed(cycle))
                if consumer in knot and consumer not in came_from:
                    came_from[consumer] = at
                    reached.append(consumer)
        raise AssertionError(f"worker {start} is in no cycle")


def build_graph(workflow: Workflow) -> Graph:
    """The graph of a valid workflow."""
    return graph_of(workflow.workers)


def graph_of(workers: Sequence[Worker]) -> Graph:
    """The graph of workers that may still have problems: references to nothing are no edges."""
    at_name = _positions(workers)
    producers: list[tuple[int, ...]] = []
    consumers: list[list[int]] = [[] for _ in workers]
    for at, worker in enumerate(workers):
        needs = {at_name[ref.producer] for ref in worker.inputs.values() if ref.producer in at_name}
        needs.update(at_name[name] for name in worker.depends_on if name in at_name)
        producers.append(tuple(sorted(needs)))
        for producer in needs:
            consumers[producer].append(at)
    names = tuple(worker.name for worker in workers)
    return Graph(names, tuple(producers), tuple(map(tuple, consumers)), tuple(workers))


def _positions(workers: Sequence[Worker]) -> dict[str, int]:
    """Of equal names (a problem of its own) the first counts."""
    positions: dict[str, int] = {}
    for at, worker in enumerate(workers):
        positions.setdefault(worker.name, at)
    return positions
