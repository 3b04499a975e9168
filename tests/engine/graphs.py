"""Graphs written as text: `"a -> b c; b -> d"`, and random ones."""

from wattle.definition.graph import Graph, graph_of
from wattle.definition.model import Worker


def graph(text: str) -> Graph:
    """The graph of `producer -> consumer consumer; lonely`."""
    names: dict[str, None] = {}
    needs: dict[str, list[str]] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        producer, _, consumers = (piece.strip() for piece in part.partition("->"))
        names[producer] = None
        for consumer in consumers.split():
            names[consumer] = None
            needs.setdefault(consumer, []).append(producer)
    return from_needs({name: needs.get(name, []) for name in names})


def from_needs(needs: dict[str, list[str]]) -> Graph:
    """The graph of {worker: the workers it needs}."""
    return graph_of(
        [
            Worker(position, name, "true", ("true",), True, "/tmp", depends_on=tuple(producers))
            for position, (name, producers) in enumerate(needs.items())
        ]
    )
