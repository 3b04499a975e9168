import pytest
from definition.documents import read, workflow

from wattle.definition.graph import build_graph
from wattle.definition.selection import chosen_workers, lacking_inputs
from wattle.errors import NotFound

ETL = read(
    workflow(
        {"name": "db", "kind": "service"},
        {"name": "fetch", "outputs": {"rows": "rows", "log": {"path": "log", "optional": True}}},
        {"name": "clean", "inputs": {"rows": "fetch/rows", "log": "fetch/log"}, "outputs": {"good": "good"}},
        {"name": "load", "inputs": {"good": "clean/good"}, "depends_on": ["db"]},
        {"name": "lint"},
    )
)


def chosen(only: str = "", starts: str = "") -> str:
    workers = chosen_workers(ETL, build_graph(ETL), only.split(), starts.split())
    return " ".join(worker.name for worker in workers)


@pytest.mark.parametrize(
    "only, starts, run",
    [
        ("", "", "db fetch clean load lint"),
        ("clean", "", "clean"),
        ("", "clean", "db clean load"),
        ("load", "", "db load"),
        ("lint", "clean", "db clean load lint"),
        ("fetch fetch", "", "fetch"),
    ],
)
def test_a_run_is_of_the_chosen_their_descendants_and_the_services_that_they_need(only, starts, run) -> None:
    assert chosen(only, starts) == run


def test_a_name_that_is_no_workers_is_not_found() -> None:
    with pytest.raises(NotFound, match="other"):
        chosen("other")


def test_inputs_of_those_left_out_are_wanted_but_for_optional_ones() -> None:
    workers = [worker for worker in ETL.workers if worker.name in ("clean", "load")]
    assert [need[:2] for need in lacking_inputs(ETL, workers)] == [("clean", "fetch")]
