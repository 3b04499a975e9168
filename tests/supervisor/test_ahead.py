"""Orders ahead of the ends that they wait for (supervisor/ahead.py): what the keeper begins by itself, and every way
in which the daemon thinks otherwise meanwhile. `deaf` … `hear`: the daemon hears of it all at once, afterwards."""

import random
from contextlib import suppress
from pathlib import Path

import pytest

from tests.supervisor.world import World
from wattle.errors import Conflict
from wattle.supervisor.ahead import LIMIT

EACH: dict[str, dict[str, object]] = {
    "outputs": {"outputs": {"x": "x.txt"}, "capture_stdout": False},
    "service": {"kind": "service"},
    "codes": {"success_exit_codes": [3]},
}


def ahead_of(world: World) -> set[str]:
    return {order["env"]["WATTLE_WORKER"] for order in world.keeper.ahead.values()}


def test_what_waits_is_ordered_ahead_as_far_as_there_is_room(tmp_path: Path) -> None:
    chain = "; ".join(f"w{number} -> w{number + 1}" for number in range(100))
    world = World(tmp_path, chain).play("run; start w0")
    assert ahead_of(world) == {f"w{number}" for number in range(1, LIMIT + 1)}
    assert set(world.statuses().values()) == {"running", "created"}
    assert {view.phase for view in world.reading.workers("wf") if view.name != "w0"} == {"waiting"}
    world.play("exit w0 0; start w1")
    assert max(ahead_of(world), key=lambda name: int(name[1:])) == f"w{LIMIT + 1}"


@pytest.mark.parametrize("kind", EACH)
def test_where_the_end_is_not_all_that_counts_nothing_is_ordered_ahead(tmp_path: Path, kind: str) -> None:
    world = World(tmp_path, "fetch -> load", each={"fetch": EACH[kind]}).play("run; start fetch")
    assert ahead_of(world) == set()


def test_of_a_keeper_that_does_not_know_it_nothing_is_ordered_ahead(tmp_path: Path) -> None:
    world = World(tmp_path, "fetch -> load")
    world.play("kill daemon")
    world.keeper.features = ("signal",)
    world.play("boot; run; start fetch")
    assert ahead_of(world) == set()
    world.play("exit fetch 0; start load; exit load 0")
    assert world.status() == "completed"


def test_many_producers_are_waited_for_as_ever(tmp_path: Path) -> None:
    world = World(tmp_path, "; ".join(f"p{number} -> all" for number in range(9))).play("run")
    assert ahead_of(world) == set()
    for number in range(9):
        world.play(f"start p{number}; exit p{number} 0")
    world.play("start all; exit all 0")
    assert world.status() == "completed"


DONE = ("completed", "completed completed completed")


@pytest.mark.parametrize(
    ("history", "ends_as", "workers"),
    [
        # all at once
        ("deaf; start a; exit a 0; start b; exit b 0; start c; exit c 0; hear", *DONE),
        ("deaf; start a; exit a 0; start b; exit b 5; hear", "failed", "completed failed cancelled"),
        ("deaf; start a; exit a 0; start b; hear; exit b 0; start c; exit c 0", *DONE),
        # stops that come too late for some: what has ended well by itself has completed
        ("start a; deaf; exit a 0; start b; stop a; hear; exit b 0; start c; exit c 0", *DONE),
        ("start a; deaf; exit a 0; stop a; hear; start b; exit b 0; start c; exit c 0", *DONE),
        ("start a; deaf; exit a 0; start b; exit b 0; start c; exit c 0; stop a; stop b; hear", *DONE),
        ("start a; deaf; exit a 0; start b; exit b 0; start c; stop; hear; exit c -15",
         "cancelled", "completed completed cancelled"),
        ("start a; deaf; exit a 0; start b; exit b 0; start c; exit c 0; stop; hear", *DONE),
        ("start a; stop a; exit a 0", "cancelled", "cancelled cancelled cancelled"),
        ("start a; deaf; exit a 0; start b; stop b; hear; exit b -15", "cancelled", "completed cancelled cancelled"),
        ("start a; deaf; exit a 0; start b; stop c; hear; exit b 0", "cancelled", "completed completed cancelled"),
        ("start a; deaf; exit a 0; start b; stop; hear; exit b -15", "cancelled", "completed cancelled cancelled"),
        ("start a; stop b; exit a 0", "cancelled", "completed cancelled cancelled"),
        ("start a; stop; exit a 0", "cancelled", "cancelled cancelled cancelled"),
        # restarts that come too late
        ("start a; deaf; exit a 0; start b; restart a; hear; start a; exit a 0; exit b 0; start c; exit c 0", *DONE),
        ("start a; deaf; exit a 0; restart a; hear; start a; exit a 0; start b; exit b 0; start c; exit c 0", *DONE),
        ("start a; deaf; exit a 0; start b; hear; restart b; exit b 0; start b; exit b 0; start c; exit c 0", *DONE),
        ("start a; restart a; exit a 0; start a; exit a 0; start b; exit b 0; start c; exit c 0", *DONE),
        # by force, before it is its turn
        ("start a; force c; start c; exit c 0; exit a 0; start b; exit b 0", *DONE),
        ("start a; deaf; exit a 0; start b; force c; hear; start c; exit b 0; exit c 0", *DONE),
        # failures
        ("start a; exit a 3", "failed", "failed cancelled cancelled"),
        ("refuse a", "failed", "failed cancelled cancelled"),
        # the daemon dies
        ("start a; kill daemon; exit a 0; start b; exit b 0; start c; exit c 0; boot", *DONE),
        ("start a; kill daemon; exit a 0; start b; exit b 0; boot; start c; exit c 0", *DONE),
        ("start a; kill daemon; exit a 0; boot; start b; exit b 0; start c; exit c 0", *DONE),
        ("start a; kill daemon; boot; exit a 0; start b; exit b 0; start c; exit c 0", *DONE),
        ("start a; kill daemon; exit a 0; start b; boot; stop; exit b -15",
         "cancelled", "completed cancelled cancelled"),
        ("start a; stop b; kill daemon; exit a 0; boot", "cancelled", "completed cancelled cancelled"),
    ],
)  # fmt: skip
def test_a_history_ends_as_it_should(tmp_path: Path, history: str, ends_as: str, workers: str) -> None:
    world = World(tmp_path, "a -> b; b -> c").play("run; " + history)
    assert (world.status(), " ".join(world.statuses().values())) == (ends_as, workers)
    rests(world)


def rests(world: World) -> None:
    """Nothing is left anywhere, and no attempt was started twice."""
    keeper = world.keeper
    assert not world.supervisor.runs.active
    assert not (keeper.live or keeper.queued or keeper.ahead)
    signalled = [record for record in keeper.journal if record.get("signal") == 15]
    assert all(record["cause"] == "stopped" for record in signalled), "it was told to end"
    assert len(set(keeper.spawned)) == len(keeper.spawned)
    assert all(answer.done() for answer in world.answers if hasattr(answer, "done"))


@pytest.mark.parametrize(
    ("what", "rest", "ends_as"),
    [("stop", "boot", "completed cancelled cancelled"),
     ("stop", "start b; boot; exit b -15", "completed cancelled cancelled"),
     ("stop", "start b; exit b 0; boot", "completed completed cancelled"),
     ("stop", "start b; exit b 0; start c; boot; exit c -15", "completed completed cancelled"),
     ("stop a", "start b; exit b 0; boot; start c; exit c 0", "completed completed completed"),
     ("stop b", "start b; boot; exit b -15", "completed cancelled cancelled")],
)  # fmt: skip
def test_a_stop_that_a_dead_daemon_never_sent_ends_what_runs_by_then(
    tmp_path: Path, what: str, rest: str, ends_as: str
) -> None:
    """It is on disk, and the keeper never heard of it: the producer ended well, and its consumers began."""
    world = World(tmp_path, "a -> b; b -> c").play("run; start a")
    receive = world.keeper.receive
    world.keeper.receive = lambda frame: None  # type: ignore[method-assign]
    world.play(f"{what}; kill daemon")
    world.keeper.receive = receive  # type: ignore[method-assign]
    world.play("exit a 0; " + rest)
    assert " ".join(world.statuses().values()) == ends_as
    rests(world)
    begun = {attempt.worker: attempt.status for attempt in world.queries.attempts(1)}
    assert begun["a"] == "completed"
    assert set(begun) == {"a"} | {name for name in "bc" if f"start {name}" in rest}, "they are in the history"


def test_a_retry_takes_along_what_was_ordered_after_the_attempt_before(tmp_path: Path) -> None:
    retry = {"a": {"retry": {"limit": 1, "delay_seconds": 1}}}
    world = World(tmp_path, "a -> b; b -> c", each=retry).play("run; start a; exit a 3; wait 2; start a; exit a 0")
    world.play("start b; exit b 0; start c; exit c 0")
    assert world.status() == "completed"
    rests(world)


def test_a_producer_that_begins_again_is_waited_for_by_who_waits_for_others_too(tmp_path: Path) -> None:
    world = World(tmp_path, "a -> c; b -> c").play("run; start a; start b; exit a 0")
    assert ahead_of(world) == {"c"}
    world.play("restart a; start a; exit b 0")
    assert not [order for order in world.keeper.queued.values() if order["env"]["WATTLE_WORKER"] == "c"]
    world.play("exit a 0; start c; exit c 0")
    assert world.status() == "completed"
    rests(world)


def test_what_may_begin_needs_no_room_among_the_orders(tmp_path: Path) -> None:
    names = [f"w{number}" for number in range(LIMIT + 10)]
    each = {name: {"priority": 1} for name in names}
    world = World(tmp_path, f"a -> b; gate -> {' '.join(names)}", each=each, max_parallel=1)
    world.play("run; start gate; start a; exit gate 0")
    world.play("exit a 0; commit")
    assert {view.name: view.phase for view in world.reading.workers("wf")}["b"] == "queued"


def test_the_time_limit_ends_what_began_unheard(tmp_path: Path) -> None:
    world = World(tmp_path, "a -> b; b -> c", timeout_seconds=5).play("run; start a; deaf; exit a 0; start b; wait 6")
    world.play("hear; exit b -15")
    assert world.statuses() == {"a": "completed", "b": "cancelled", "c": "cancelled"}
    assert {attempt.worker: attempt.status for attempt in world.queries.attempts(1)} == {
        "a": "completed", "b": "cancelled",
    }  # fmt: skip
    assert world.status() == "failed"
    rests(world)


def test_a_keeper_that_dies_takes_its_orders_ahead_along(tmp_path: Path) -> None:
    world = World(tmp_path, "a -> b; b -> c").play("run; start a; kill keeper")
    world.supervisor.lose_keeper("killed")
    world.settle()
    assert [adopted["tag"][1] for adopted in world.keeper.adopted] == [0]
    assert ahead_of(world) == {"b", "c"}


def test_the_next_keeper_is_told_what_was_being_stopped(tmp_path: Path) -> None:
    """The dead one may have told it to end: an exit with 0 is no good end then."""
    world = World(tmp_path, "a -> c; b").play("run; start a; start b; stop a; kill keeper")
    world.supervisor.lose_keeper("killed")
    world.settle()
    assert [(adopted["tag"][1], adopted["stopping"]) for adopted in world.keeper.adopted] == [(0, True), (2, False)]


def test_what_a_dead_keeper_began_by_itself_is_looked_for_and_not_begun_again(tmp_path: Path) -> None:
    """Its start is not in the journal, the end before it is."""
    world = World(tmp_path, "a -> b; b -> c").play("run; start a; deaf; exit a 0; start b; kill keeper")
    del world.keeper.journal[-1]
    world.supervisor.lose_keeper("killed")
    world.play("hear")
    assert [adopted["tag"][1] for adopted in world.keeper.adopted] == [1]
    assert not world.keeper.queued


def test_an_order_ahead_that_waits_to_be_sent_is_not_for_the_next_keeper(tmp_path: Path) -> None:
    world = World(tmp_path, "a -> b; b -> c")
    run = world.supervisor.runs.active[world.run()]
    run.ahead.clear()
    run.candidates.append(1)
    world.supervisor.runs.advance(run)
    assert world.supervisor.outbox.has_frames
    world.keeper.frames.clear()
    world.supervisor.lose_keeper("it hung up")
    world.settle()
    sent = [order for frame in world.keeper.frames if frame["type"] == "order" for order in frame["orders"]]
    assert [order["env"]["WATTLE_WORKER"] for order in sent] == ["b", "c"]


@pytest.mark.parametrize(
    ("graph", "history", "workers"),
    [
        # called back, and the daemon dies before it hears that it was: it waits, and is not ordered again
        ("a -> c; b -> c",
         "start a; start b; exit a 0; deaf; again a; kill daemon; hear; boot; exit b 0; start a; exit a 0; start c; "
         "exit c 0",
         "completed completed completed"),
        # the number of the attempts it has had is not forgotten, or the log of the first would be taken for the next's
        ("a -> b; x",
         "start x; start a; exit a 0; start b; exit b 0; again b; again a; commit; kill daemon; boot; "
         "start a; exit a 0; start b; exit b 0; exit x 0",
         "completed completed completed"),
        # a producer is stopped while it is called back on account of another
        ("a -> c; b -> c",
         "start a; start b; exit a 0; deaf; stop b; exit b -15; again a; hear; start a; exit a 0",
         "completed cancelled cancelled"),
        # a producer that failed the second time has cost nothing that had begun, nor what waits for that
        ("a -> b c; b -> d; c -> d",
         "start a; exit a 0; start b; start c; restart a; start a; exit a 3; kill daemon; boot; "
         "exit b 0; exit c 0; start d; exit d 0",
         "failed completed completed completed"),
        # what was begun unheard is no order ahead any more
        ("a -> b; x",
         "start x; start a; deaf; exit a 0; start b; exit b 0; restart a; hear; start a; exit a 3; again a; start a; "
         "exit a 0; exit x 0",
         "completed completed completed"),
        # a force is not forgotten
        ("a -> c; b -> c",
         "start a; start b; exit a 0; deaf; again a; force c; kill daemon; hear; boot; commit; kill daemon; boot; "
         "start c; exit c 0; exit b 0; start a; exit a 0",
         "completed completed completed"),
        # what was begun by force below it does not bring the others back
        ("a -> b; b -> c; x",
         "start x; start a; exit a 3; force b; start b; exit b 0; kill daemon; boot; exit x 0",
         "failed completed cancelled completed"),
    ],
)  # fmt: skip
def test_what_had_been_decided_stands_whatever_comes_in_between(
    tmp_path: Path, graph: str, history: str, workers: str
) -> None:
    world = World(tmp_path, graph).play("run; " + history)
    assert " ".join(world.statuses().values()) == workers
    rests(world)


def test_what_is_to_end_is_held_back_before_that_is_written_down(tmp_path: Path) -> None:
    """A commit may take as long as many workers of a chain."""
    world = World(tmp_path, "a -> b; b -> c").play("run; start a")
    commit, seen = world.supervisor.commit, list[set[str]]()

    def slowly(extra: None) -> None:
        seen.append(ahead_of(world))
        commit(extra)

    world.supervisor.commit = slowly  # type: ignore[method-assign, assignment]
    world.play("stop")
    assert seen[0] == set()


def test_what_was_stopped_before_it_began_has_had_no_attempt(tmp_path: Path) -> None:
    world = World(tmp_path, "a -> b; c").play("run; stop b; stop c; start a; stop a; exit a -15")
    world.statuses()
    assert {view.name: view.attempt for view in world.reading.workers("wf")} == {"a": 1, "b": 0, "c": 0}


def test_what_was_called_back_is_not_ordered_again_after_a_crash(tmp_path: Path) -> None:
    world = World(tmp_path, "a -> c; b -> c").play("run; start a; start b; exit a 0; deaf; again a")
    world.play("kill daemon; hear; boot")
    assert "c" not in {order["env"]["WATTLE_WORKER"] for order in world.keeper.queued.values()}


def test_what_is_stopped_before_its_turn_is_restarted_only_with_its_inputs(tmp_path: Path) -> None:
    world = World(tmp_path, "a -> b").play("run; start a; deaf; stop b; restart b")
    with pytest.raises(Conflict, match="'a' has not completed"):
        world.answers[-1].result(0)
    world.play("hear; exit a 0")
    assert world.statuses() == {"a": "completed", "b": "cancelled"}
    rests(world)


@pytest.mark.parametrize("seed", range(400))
def test_whatever_is_done_meanwhile_it_comes_to_rest(tmp_path: Path, seed: int) -> None:
    """Random graphs, keepers, users and crashes: no attempt twice, none before its producers, and an end."""
    chance = random.Random(seed)
    names = [f"w{number}" for number in range(chance.randint(2, 7))]
    edges = [f"{a} -> {b}" for index, b in enumerate(names) for a in names[:index] if chance.random() < 0.5]
    each = {name: {"retry": {"limit": 1, "delay_seconds": 0.1}} for name in names if chance.random() < 0.2}
    world = World(tmp_path, "; ".join(edges + names), each=each, max_parallel=chance.randint(1, 4))
    needs = {name: {edge.split()[0] for edge in edges if edge.split()[2] == name} for name in names}
    world.play("run")
    keeper, well, forced = world.keeper, set[str](), set[str]()

    def worker(order: dict[str, dict[str, str]]) -> str:
        return order["env"]["WATTLE_WORKER"]

    for _ in range(80):
        is_alive = world._writer is not None
        active = world.supervisor.runs.active.values()
        if is_alive and not world.is_deaf:
            assert set(keeper.live) <= {live.uid for run in active for live in run.workers.values()}
            if not active:
                break
        queued, running = [worker(o) for o in keeper.queued.values()], [worker(o) for o in keeper.live.values()]
        doings = ["start"] * 2 * bool(queued) + ["exit"] * 3 * bool(running)
        doings += ["hear" if world.is_deaf else "deaf", *["user"] * 2 * bool(active), "crash"] if is_alive else ["boot"]
        match chance.choice(doings):
            case "start":
                name = chance.choice(queued)
                assert name in forced or needs[name] <= well, f"{name} was begun before {needs[name] - well} ended"
                world.play(f"start {name}")
            case "exit":
                name = chance.choice(running)
                was_stopped = keeper.find(name, keeper.live)["uid"] in keeper.stops
                code = 0 if chance.random() < 0.85 else 3
                world.play(f"exit {name} {code}")
                if code == 0 and not was_stopped:
                    well.add(name)
            case "user":
                wish, name = chance.choice(["stop", "restart", "again", "force"]), chance.choice(names)
                with suppress(Conflict):
                    world.play(f"{wish} {name}")
                    forced |= {name} if wish == "force" else set()
            case "crash":
                world.play("kill daemon; hear")
            case doing:
                world.play(doing)
    if world._writer is None:
        world.play("boot")
    world.play("hear; wait 1")
    for _ in range(200):
        if not world.supervisor.runs.active:
            break
        for order in list(keeper.queued.values()):
            world.play(f"start {worker(order)}")
        for order in list(keeper.live.values()):
            world.play(f"exit {worker(order)} 0")
        world.play("wait 0.2")
    statuses = world.statuses()
    assert set(statuses.values()) <= {"completed", "failed", "cancelled"}, statuses
    rests(world)
