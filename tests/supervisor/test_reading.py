"""What is read while the loop writes: each answer is of one moment, whatever happens between two of its statements."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.supervisor.world import World
from wattle.service.definitions import Definitions
from wattle.service.reading import Reading
from wattle.store.database import Reader
from wattle.store.queries import Queries


def log_state(reading: Reading) -> Any:
    state = reading.log_state("wf", "b")
    return state.attempt, state.over, state.status


def workers(reading: Reading) -> Any:
    return [(worker.name, worker.status, worker.phase, worker.reason) for worker in reading.workers("wf")]


def run(reading: Reading) -> Any:
    view = reading.run("1")
    return view.status, view.counts, [(worker.name, worker.status, worker.reason) for worker in view.workers]


def interrupted(path: Path, read: Callable[[Reading], Any], happens: str, at: int) -> int:
    """Have it happen before the statement of that number, and see the answer; gives how many statements there were."""
    path.mkdir()
    world, statements = World(path, "a -> b").play("run; start a; commit"), 0
    reader = Reader(path / "wattle.db")
    queries = Queries(reader)
    reading = Reading(queries, Definitions(queries), world.path)
    before, connection = read(reading), reader.connection()
    assert connection is not None

    def trace(_: str) -> None:
        nonlocal statements
        statements += 1
        if statements == at:
            world.play(happens)

    connection.set_trace_callback(trace)
    told = read(reading)
    connection.set_trace_callback(None)
    after = read(reading)
    assert told in (before, after)
    assert (before != after) is (at <= statements)
    reader.close()
    world.kill()
    return statements


@pytest.mark.parametrize("read", [log_state, workers, run])
@pytest.mark.parametrize("happens", ["exit a 0; start b; exit b 0; commit", "exit a 1; commit"])
def test_an_answer_is_of_one_moment(tmp_path: Path, happens: str, read: Callable[[Reading], Any]) -> None:
    """Nobody is told of a worker that is over and never began, or that waits for one that is completed."""
    at = 1
    while interrupted(tmp_path / str(at), read, happens, at) >= at:
        at += 1
    assert at > 3
