"""What runs when: slots, priorities, withdrawal."""

from keeper.client import PYTHON, Client, until

WAIT = ["/bin/sh", "-c", "echo up; while [ ! -e go ]; do sleep 0.01; done"]


def _go(keeper: Client) -> None:
    (keeper.data_dir / "go").touch()


def test_no_more_run_at_once_than_there_are_slots(keeper: Client) -> None:
    keeper.send(type="limits", groups={"run": 2})
    code = """
import os, time
here = "running-%d" % os.getpid()
open(here, "x").close()
time.sleep(0.03)
print(len([name for name in os.listdir(".") if name.startswith("running-")]))
os.unlink(here)
"""
    uids = [keeper.order([*PYTHON, code]) for _ in range(12)]
    for uid in uids:
        assert keeper.wait_record("ended", uid)["exit_code"] == 0
    seen = [int(keeper.output(uid)) for uid in uids]
    assert max(seen) == 2


def test_higher_priority_goes_first_then_arrival(keeper: Client) -> None:
    keeper.send(type="limits", groups={"run": 1})
    entries = [keeper.entry(WAIT)]
    for priority in (0, 3, 0, 3, 1):
        entries.append(keeper.entry(["true"], priority=priority))
    keeper.send(type="order", orders=entries[:1])
    keeper.wait_record("started", entries[0]["uid"])
    keeper.send(type="order", orders=entries[1:])
    _go(keeper)
    for entry in entries:
        keeper.wait_record("ended", entry["uid"])
    order = [record["uid"] for record in keeper.records if record["kind"] == "started"]
    assert order == [entries[index]["uid"] for index in (0, 2, 4, 5, 1, 3)]


def test_a_service_takes_no_slot_but_counts_for_the_machine(keeper: Client) -> None:
    keeper.send(type="limits", max_processes=2, groups={"run": 1})
    service = keeper.order(WAIT, takes_slot=False)
    worker = keeper.order(WAIT)
    keeper.wait_record("started", service)
    keeper.wait_record("started", worker)
    third = keeper.order(["true"], group="other")
    keeper.disconnect()
    keeper.connect()
    assert keeper.hello["queued"] == [third]
    _go(keeper)
    assert keeper.wait_record("ended", third)["exit_code"] == 0


def test_a_refused_order_takes_no_slot(keeper: Client) -> None:
    keeper.send(type="limits", groups={"run": 1})
    for _ in range(3):
        keeper.refusal(["no-such-command"])
    assert keeper.run(["true"])["exit_code"] == 0


def test_a_slot_is_taken_until_the_whole_tree_is_gone(keeper: Client) -> None:
    keeper.send(type="limits", groups={"run": 1})
    leaves_one = "import os, signal, time\nif os.fork() == 0:\n signal.signal(15, signal.SIG_IGN)\n time.sleep(60)"
    first = keeper.order([*PYTHON, leaves_one])
    second = keeper.order(["true"])
    ended = keeper.wait_record("ended", first)
    assert ended["left"] == 1
    assert keeper.wait_record("started", second)["at"] >= ended["at"] + 500_000


def test_what_was_withdrawn_never_runs_and_what_runs_is_not_withdrawn(keeper: Client) -> None:
    keeper.send(type="limits", groups={"run": 1})
    running, *queued = [keeper.order(WAIT) for _ in range(4)]
    keeper.wait_record("started", running)
    keeper.send(type="withdraw", uids=[running, queued[0], queued[2], "unknown"], request=7)
    assert keeper.wait_message("withdrawn", request=7)["uids"] == [queued[0], queued[2]]
    _go(keeper)
    for uid in (running, queued[1]):
        assert keeper.wait_record("ended", uid)["exit_code"] == 0
    assert sorted(path.name for path in keeper.logs.glob("*.out")) == sorted([f"{running}.out", f"{queued[1]}.out"])


def test_slots_given_later_are_filled_at_once(keeper: Client) -> None:
    keeper.send(type="limits", groups={"run": 0})
    uids = [keeper.order(WAIT) for _ in range(3)]
    keeper.send(type="limits", groups={"run": 3})
    for uid in uids:
        keeper.wait_record("started", uid)
    _go(keeper)


def test_the_queue_is_worked_off_without_a_daemon(keeper: Client) -> None:
    keeper.send(type="limits", groups={"run": 2})
    uids = [keeper.order(["true"]) for _ in range(20)]
    keeper.wait_record("ended", uids[0])
    keeper.disconnect()
    until(lambda: {r["uid"] for r in keeper.journal() if r["kind"] == "ended"} == set(uids), "all ends")
