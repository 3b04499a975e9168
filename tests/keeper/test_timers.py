from wattle.keeper.timers import Timers


def test_timers_run_in_order_and_once() -> None:
    timers, seen = Timers(), []
    for at in (3, 1, 2):
        timers.arm(at, lambda at=at: seen.append(at))
    timers.run(2)
    assert seen == [1, 2]
    assert timers.next_at() == 3
    timers.run(9)
    timers.run(9)
    assert seen == [1, 2, 3]
    assert timers.next_at() is None


def test_a_cancelled_timer_never_runs_even_when_due_in_the_same_turn() -> None:
    timers, seen = Timers(), []
    second = timers.arm(2, lambda: seen.append("second"))
    timers.arm(1, lambda: timers.cancel(second))
    timers.cancel(None)
    timers.run(5)
    assert seen == []
    assert len(timers) == 0


def test_a_timer_that_arms_itself_for_now_does_not_hold_the_turn() -> None:
    timers, seen = Timers(), []

    def again() -> None:
        seen.append(1)
        timers.arm(1, again)

    timers.arm(1, again)
    timers.run(1)
    assert seen == [1]


def test_cancelled_timers_do_not_pile_up() -> None:
    timers = Timers()
    for number in range(10_000):
        timers.cancel(timers.arm(1_000_000 + number, lambda: None))
    assert len(timers._heap) < 200
    assert len(timers) == 0
