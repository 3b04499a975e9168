"""RunPlan: what may start, what an end causes, why one waits (A13, A14)."""

import random
import time

from hypothesis import given
from hypothesis import strategies as st

from tests.engine.graphs import from_needs, graph
from wattle.engine.plan import RunPlan
from wattle.engine.states import Status

COMPLETED, FAILED, CANCELLED, CREATED = Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.CREATED


def test_only_workers_without_open_producers_are_ready() -> None:
    plan = RunPlan(graph("fetch -> clean index; clean -> report; index -> report"))
    assert plan.take_ready() == ["fetch"]
    assert plan.finish("fetch", COMPLETED) == []
    assert plan.take_ready() == ["clean", "index"]
    plan.finish("clean", COMPLETED)
    assert plan.take_ready() == []
    plan.finish("index", COMPLETED)
    assert plan.take_ready() == ["report"]


def test_a_worker_starts_as_soon_as_its_own_producers_are_done_without_a_level_barrier() -> None:
    plan = RunPlan(graph("slow -> after_slow; quick -> after_quick"))
    plan.take_ready()
    plan.finish("quick", COMPLETED)
    assert plan.take_ready() == ["after_quick"]


def test_finished_workers_given_at_the_start_count() -> None:
    plan = RunPlan(graph("fetch -> clean index"), finished={"fetch": COMPLETED})
    assert plan.take_ready(limit=1) == ["clean"]
    assert plan.take_ready(limit=5) == ["index"]


def test_higher_priority_goes_first_then_definition_order() -> None:
    plan = RunPlan(graph("a; b; c; d"), priorities={"c": 5, "b": -1})
    assert plan.take_ready() == ["c", "a", "d", "b"]


def test_a_failure_cancels_all_descendants_and_leaves_other_branches_alone() -> None:
    plan = RunPlan(graph("a -> b; b -> c; x -> y"))
    plan.take_ready()
    assert plan.finish("a", FAILED, "exit code 3") == ["b", "c"]
    assert plan.status("c") is CANCELLED
    plan.finish("x", COMPLETED)
    assert plan.take_ready() == ["y"]


def test_the_result_is_failed_before_cancelled_before_completed() -> None:
    plan = RunPlan(graph("a -> b; c"))
    plan.take_ready()
    plan.finish("a", FAILED)
    assert plan.result() is Status.RUNNING
    plan.finish("c", COMPLETED)
    assert plan.is_finished and plan.result() is FAILED
    assert RunPlan(graph("a; b"), {"a": CANCELLED, "b": COMPLETED}).result() is CANCELLED
    assert RunPlan(graph("a; b"), {"a": COMPLETED, "b": COMPLETED}).result() is COMPLETED


def test_why_names_the_culprit_and_how_it_ended() -> None:
    plan = RunPlan(graph("clean -> middle; middle -> report"))
    plan.take_ready()
    plan.finish("clean", FAILED, "exit code 3")
    assert plan.why("report") == "cancelled: it needs clean through middle, which failed (exit code 3)"
    assert plan.why("middle") == "cancelled: it needs clean, which failed (exit code 3)"
    assert plan.why("clean") == "failed: exit code 3"
    assert plan.culprit("report") == "clean"


def test_why_says_what_is_waited_for() -> None:
    plan = RunPlan(graph("a -> c; b -> c"))
    assert plan.why("c") == "waits for a (not started), b (not started)"
    plan.take_ready(limit=1)
    plan.finish("a", COMPLETED)
    plan.take_ready(limit=1)
    assert plan.why("c") == "waits for b (not finished)"
    assert RunPlan(graph("a")).why("a") == "ready, waits for a free slot"


def test_why_of_many_producers_stays_short() -> None:
    plan = RunPlan(from_needs({**{f"p{i}": [] for i in range(100)}, "c": [f"p{i}" for i in range(100)]}))
    assert plan.why("c").endswith("and 95 more")


def test_a_renewed_worker_brings_back_what_was_cancelled_on_its_account() -> None:
    plan = RunPlan(graph("a -> b; b -> c"))
    plan.take_ready()
    plan.finish("a", FAILED)
    assert plan.renew("a") == ["b", "c"]
    assert plan.take_ready() == []
    plan.finish("a", COMPLETED)
    assert plan.take_ready() == ["b"]


def test_a_renewed_worker_does_not_bring_back_what_another_failure_keeps_cancelled() -> None:
    plan = RunPlan(graph("a -> c; b -> c; c -> d; a -> e"))
    plan.take_ready()
    assert plan.finish("a", FAILED) == ["c", "e", "d"]
    plan.finish("b", FAILED)
    assert plan.renew("a") == ["e"]
    assert plan.culprit("c") == "b" and plan.culprit("d") == "b"
    plan.finish("a", COMPLETED)
    assert plan.take_ready() == ["e"]


def test_consumers_not_yet_started_wait_for_a_renewed_producer() -> None:
    plan = RunPlan(graph("a -> b c"))
    plan.take_ready()
    plan.finish("a", COMPLETED)
    assert plan.take_ready(limit=1) == ["b"]
    plan.renew("a")
    assert plan.take_ready() == []
    plan.finish("a", COMPLETED)
    assert plan.take_ready() == ["c"]


def test_a_withdrawn_worker_is_offered_again() -> None:
    plan = RunPlan(graph("a -> b"))
    plan.take_ready()
    plan.finish("a", COMPLETED)
    assert plan.take_ready() == ["b"]
    plan.put_back("b")
    assert plan.take_ready() == ["b"]


def test_a_forced_worker_is_left_alone_by_a_failure_above_it() -> None:
    plan = RunPlan(graph("a -> b; b -> c"))
    plan.take_ready()
    plan.take("b")
    assert plan.finish("a", FAILED) == []
    plan.finish("b", COMPLETED)
    assert plan.take_ready() == ["c"]


needs_strategy = st.integers(1, 30).flatmap(
    lambda n: st.tuples(*[st.sets(st.integers(0, max(0, i - 1)), max_size=4) for i in range(n)]).map(
        lambda all_needs: {f"w{i}": [f"w{p}" for p in sorted(needs) if p < i] for i, needs in enumerate(all_needs)}
    )
)


@given(needs=needs_strategy, seed=st.integers(0, 2**32))
def test_never_a_worker_before_its_producers_and_every_worker_ends_exactly_once(needs: dict, seed: int) -> None:
    """I8: on random DAGs, in any order of ends, with random failures."""
    chance = random.Random(seed)
    plan = RunPlan(from_needs(needs))
    running: list[str] = []
    ended: dict[str, Status] = {}
    while not plan.is_finished:
        running += plan.take_ready(limit=chance.randint(1, 5))
        assert running, "a plan that is not finished has something to run"
        name = running.pop(chance.randrange(len(running)))
        assert all(ended[producer] is COMPLETED for producer in needs[name])
        assert name not in ended
        ended[name] = chance.choice([COMPLETED, COMPLETED, COMPLETED, FAILED, CANCELLED])
        for lost in plan.finish(name, ended[name]):
            assert lost not in ended and lost not in running
            assert any(ended.get(producer) in (FAILED, CANCELLED) for producer in needs[lost])
            ended[lost] = CANCELLED
    assert set(ended) == set(needs)
    assert {name: plan.status(name) for name in needs} == ended


@given(needs=needs_strategy, seed=st.integers(0, 2**32))
def test_renewing_until_all_completes_always_ends_well(needs: dict, seed: int) -> None:
    """Whatever fails and is begun again, in any order: a plan whose failures are all mended completes."""
    chance = random.Random(seed)
    plan = RunPlan(from_needs(needs))
    running: list[str] = []
    failures = 20
    for _ in range(100 * len(needs)):
        running += plan.take_ready()
        if not running:
            broken = [name for name in needs if plan.status(name) is FAILED]
            if not broken:
                break
            running.append(name := chance.choice(broken))
            plan.renew(name)
        name = running.pop(chance.randrange(len(running)))
        fails = failures > 0 and chance.random() < 0.3
        failures -= fails
        plan.finish(name, FAILED if fails else COMPLETED)
    assert plan.result() is COMPLETED


class CountingList(list):
    """A list that counts how often it is looked into."""

    looks = 0

    def __getitem__(self, at):  # type: ignore[no-untyped-def]
        type(self).looks += 1
        return super().__getitem__(at)

    def __iter__(self):  # type: ignore[no-untyped-def]
        type(self).looks += len(self)
        return super().__iter__()


def _looks(workers: int) -> int:
    shape = from_needs({f"w{i}": [f"w{p}" for p in range(max(0, i - 4), i)] for i in range(workers)})

    class Counted:
        names = shape.names
        producers = [CountingList(p) for p in shape.producers]
        consumers = [CountingList(c) for c in shape.consumers]

    CountingList.looks = 0
    plan = RunPlan(Counted)  # type: ignore[arg-type]
    while not plan.is_finished:
        for name in plan.take_ready(limit=8):
            plan.finish(name, COMPLETED)
    return CountingList.looks


def test_a_whole_run_costs_workers_plus_edges() -> None:
    """Counted, not timed: twice the workers, twice the looks at edges."""
    small, large = _looks(1000), _looks(2000)
    assert small <= 2.5 * 4 * 1000
    assert large <= 2.1 * small


def test_a_chain_of_10_000_neither_recurses_nor_crawls() -> None:
    plan = RunPlan(from_needs({f"w{i}": [f"w{i - 1}"] if i else [] for i in range(10_000)}))
    plan.take_ready()
    began = time.process_time()
    assert len(plan.finish("w0", FAILED)) == 9_999
    assert time.process_time() - began < 5
    assert plan.why("w9999").startswith("cancelled: it needs w0 through w9998")
