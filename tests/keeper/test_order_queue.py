from hypothesis import given
from hypothesis import strategies as st

from wattle.keeper.order_queue import OrderQueue
from wattle.keeper.worker import Order


def order(uid: str, group: str = "run", priority: int = 0, takes_slot: bool = True) -> Order:
    message = {"uid": uid, "group": group, "priority": priority, "takes_slot": takes_slot}
    return Order({**message, "argv": ["true"], "cwd": "/", "stdout": "/o", "stderr": "/e"})


def take(queue: OrderQueue) -> list[str]:
    """Take all that may run now, and let it live."""
    uids = []
    while (taken := queue.take()) is not None:
        queue.lives(taken.uid, taken.group, taken.takes_slot)
        uids.append(taken.uid)
    return uids


def test_priority_goes_before_arrival() -> None:
    queue = OrderQueue()
    queue.limit("run", 10)
    for uid, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 5), ("e", -1)):
        queue.add(order(uid, priority=priority))
    assert take(queue) == ["b", "d", "a", "c", "e"]


def test_a_group_never_has_more_than_its_slots() -> None:
    queue = OrderQueue()
    queue.limit("run", 2)
    for uid in "abcd":
        queue.add(order(uid))
    assert take(queue) == ["a", "b"]
    queue.ended("a", "run")
    assert take(queue) == ["c"]
    queue.limit("run", 3)
    assert take(queue) == ["d"]


def test_groups_with_room_are_served_in_turn() -> None:
    queue = OrderQueue()
    for group in ("x", "y", "z"):
        queue.limit(group, 2)
    for uid in ("x1", "x2", "x3", "y1", "y2", "z1"):
        queue.add(order(uid, group=uid[0]))
    assert take(queue) == ["x1", "y1", "z1", "x2", "y2"]


def test_all_groups_together_stay_within_max_processes() -> None:
    queue = OrderQueue()
    queue.max_processes = 3
    for number in range(6):
        queue.add(order(str(number), group=str(number)))
    assert take(queue) == ["0", "1", "2"]
    queue.ended("1", "1")
    assert take(queue) == ["3"]


def test_an_order_without_a_slot_bypasses_its_group_but_not_the_machine() -> None:
    queue = OrderQueue()
    queue.limit("run", 1)
    queue.max_processes = 3
    for uid, takes_slot in (("a", True), ("b", True), ("s1", False), ("s2", False), ("s3", False)):
        queue.add(order(uid, takes_slot=takes_slot))
    assert take(queue) == ["a", "s1", "s2"]


def test_a_withdrawn_order_is_never_taken() -> None:
    queue = OrderQueue()
    queue.limit("run", 0)
    for uid in "ab":
        queue.add(order(uid))
    assert queue.withdraw("a") and not queue.withdraw("a") and not queue.withdraw("unknown")
    queue.limit("run", 5)
    assert take(queue) == ["b"]
    assert not queue.waits_in("run")


def test_a_withdrawn_order_may_be_ordered_again() -> None:
    queue = OrderQueue()
    queue.limit("run", 0)
    queue.add(order("a"))
    queue.withdraw("a")
    queue.add(order("a", priority=-1))
    queue.limit("run", None)
    assert take(queue) == ["a"]


@given(
    st.dictionaries(st.sampled_from("xyz"), st.none() | st.integers(0, 3)),
    st.lists(st.tuples(st.sampled_from("xyz"), st.integers(-2, 2), st.booleans(), st.booleans()), max_size=30),
    st.integers(1, 6),
)
def test_no_limit_is_ever_passed_and_nothing_that_may_run_waits(
    limits: dict[str, int | None], orders: list[tuple[str, int, bool, bool]], max_processes: int
) -> None:
    queue = OrderQueue()
    queue.max_processes = max_processes
    for group, slots in limits.items():
        queue.limit(group, slots)
    live: dict[str, Order] = {}
    pending: dict[str, Order] = {}

    def settle() -> None:
        while (taken := queue.take()) is not None:
            del pending[taken.uid]
            live[taken.uid] = taken
            queue.lives(taken.uid, taken.group, taken.takes_slot)
        assert len(live) <= max_processes
        for group in "xyz":
            slots = limits.get(group)
            used = sum(1 for each in live.values() if each.group == group and each.takes_slot)
            assert slots is None or used <= slots
            if len(live) < max_processes and (slots is None or used < slots):
                assert not [each for each in pending.values() if each.group == group]

    for number, (group, priority, takes_slot, ends_one) in enumerate(orders):
        pending[str(number)] = order(str(number), group, priority, takes_slot)
        queue.add(pending[str(number)])
        settle()
        if ends_one and live:
            uid, ended = live.popitem()
            queue.ended(uid, ended.group)
            settle()


def test_probes_are_asked_however_many_processes_live_and_are_none_of_them() -> None:
    """A service that cannot be asked seems ill, and would be ended for it."""
    queue = OrderQueue()
    queue.max_processes = 2
    for uid in ("a", "b", "c"):
        queue.add(order(uid))
    assert take(queue) == ["a", "b"]
    for uid in ("p1", "p2"):
        queue.add(order(uid, group="probes", takes_slot=False))
    assert take(queue) == ["p1", "p2"]
    queue.ended("a", "run")
    assert take(queue) == ["c"], "two probes live, and take nobody's place"
    queue.add(order("p3", group="probes", takes_slot=False))
    assert queue.withdraw("p3") and take(queue) == []
    for uid, group in (("p1", "probes"), ("p2", "probes"), ("b", "run"), ("c", "run")):
        queue.ended(uid, group)
    assert take(queue) == [] and not queue
