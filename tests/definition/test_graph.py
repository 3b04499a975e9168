import networkx
from definition.documents import read, workflow
from hypothesis import given
from hypothesis import strategies as st

from wattle.definition.graph import Edge, Graph, build_graph, graph_of
from wattle.definition.model import Worker


def graph(text: str) -> Graph:
    """From `c: a b; d: c`: each worker and what it needs; the others come first."""
    needs = {
        name.strip(): producers.split() for name, _, producers in (part.partition(":") for part in text.split(";"))
    }
    names = dict.fromkeys([*(producer for each in needs.values() for producer in each), *needs])
    return build_graph(read(workflow(*({"name": name, "depends_on": needs.get(name, [])} for name in names))))


def test_a_diamond() -> None:
    diamond = graph("b: a; c: a; d: b c")
    assert diamond.names == ("a", "b", "c", "d")
    assert diamond.producers == ((), (0,), (0,), (1, 2))
    assert diamond.consumers == ((1, 2), (3,), (3,), ())
    assert diamond.levels() == [["a"], ["b", "c"], ["d"]]
    assert diamond.ancestors("d") == {"a", "b", "c"}
    assert diamond.descendants("b") == {"d"}
    assert diamond.cycles() == []


def test_parallel_edges_keep_their_inputs_and_count_once() -> None:
    result = build_graph(
        read(
            workflow(
                {"name": "a", "outputs": {"x": "f", "y": "/g"}},
                {"name": "b", "inputs": {"i": "a/x", "j": "a/y"}, "depends_on": ["a"]},
            )
        )
    )
    assert result.producers[1] == (0,)
    assert result.edges == (
        Edge("a", "b", "i", "x", "/tmp/w/f"),
        Edge("a", "b", "j", "y", "/g"),
        Edge("a", "b", None, None, None),
    )


def test_no_workers_are_a_graph() -> None:
    assert graph_of([]).levels() == []


def test_a_chain_of_ten_thousand_needs_no_recursion() -> None:
    count = 10_000
    chain = build_graph(
        read(workflow(*({"name": f"w{n}", "depends_on": [f"w{n - 1}"] if n else []} for n in range(count))))
    )
    assert len(chain.levels()) == count
    assert len(chain.ancestors(f"w{count - 1}")) == len(chain.descendants("w0")) == count - 1


_EDGES = st.integers(1, 9).flatmap(
    lambda count: st.tuples(st.just(count), st.sets(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))))
)


@given(_EDGES)
def test_cycles_are_real_and_none_is_overlooked(drawn: tuple[int, set[tuple[int, int]]]) -> None:
    count, edges = drawn
    workers = [
        Worker(at, f"w{at}", "x", ("x",), True, "/", depends_on=tuple(f"w{p}" for p, c in sorted(edges) if c == at))
        for at in range(count)
    ]
    result = graph_of(workers)
    cycles = result.cycles()
    reference = networkx.DiGraph(edges)
    assert result.is_acyclic() is networkx.is_directed_acyclic_graph(reference) is (not cycles)
    for cycle in cycles:
        assert len(set(cycle)) == len(cycle)
        assert all(pair in edges for pair in zip(cycle, [*cycle[1:], cycle[0]], strict=True))
    knots = [knot for knot in networkx.strongly_connected_components(reference) if reference.subgraph(knot).edges]
    assert len(cycles) == len(knots)
