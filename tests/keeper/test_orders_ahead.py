"""Orders that wait for the ends of others: what follows begins by itself, and only from a good end that is on disk."""

import os
from pathlib import Path

import pytest
from keeper.client import PYTHON, Client, until

from wattle.keeper.orders_ahead import OrdersAhead
from wattle.keeper.worker import Order

GO = ["/bin/sh", "-c", "while [ ! -e go ]; do sleep 0.01; done"]
SOON = 0.3  # what does not happen within that does not happen


def go(keeper: Client) -> None:
    (keeper.data_dir / "go").touch()


def ahead(keeper: Client, argv: list[str], after: list[str], **fields: object) -> str:
    return keeper.order(argv, after=after, **fields)


def never_began(keeper: Client, uid: str) -> bool:
    """The keeper has done all it was asked for, and the worker's log was never made."""
    keeper.pump(SOON)
    keeper.send(type="describe", uid="nobody", request=7)
    keeper.wait_message("tree", request=7)
    return not (keeper.logs / f"{uid}.out").exists()


def test_a_chain_goes_through_without_a_word(keeper: Client) -> None:
    keeper.send(type="limits", groups={"run": 2})
    entries = [keeper.entry(GO)]
    for _ in range(100):
        entries.append(keeper.entry(["/bin/true"], after=[entries[-1]["uid"]]))
    keeper.send(type="order", orders=entries)
    go(keeper)
    keeper.wait_record("ended", entries[-1]["uid"])
    wanted = [(entry["uid"], kind) for entry in entries for kind in ("started", "ended")]
    assert [(record["uid"], record["kind"]) for record in keeper.journal()] == wanted


def test_what_follows_several_waits_for_all_of_them(keeper: Client) -> None:
    one, other = keeper.order(["/bin/true"]), keeper.order(GO)
    both = ahead(keeper, ["/bin/true"], [other, "unknown"])
    third = ahead(keeper, ["/bin/true"], [other])
    keeper.wait_record("ended", one)
    assert never_began(keeper, third)
    go(keeper)
    keeper.wait_record("ended", third)
    assert never_began(keeper, both)


@pytest.mark.parametrize(
    "argv",
    [["/bin/false"], ["/bin/sh", "-c", "kill -9 $$"], ["/nonexistent/command"]],
    ids=["code", "signal", "refused"],
)
def test_from_a_bad_end_nothing_follows_until_it_is_released(keeper: Client, argv: list[str]) -> None:
    entry = keeper.entry(argv)
    follower = keeper.entry(["/bin/true"], after=[entry["uid"]])
    keeper.send(type="order", orders=[follower, entry])
    keeper.wait_record("refused" if "nonexistent" in argv[0] else "ended", entry["uid"])
    assert never_began(keeper, follower["uid"])
    keeper.send(type="release", uids=["unknown", follower["uid"]])
    assert keeper.wait_record("ended", follower["uid"])["exit_code"] == 0


@pytest.mark.parametrize("way", ["stop", "timeout", "late stop"])
def test_an_exit_with_0_that_was_asked_for_is_no_good_end(keeper: Client, way: str) -> None:
    """`late stop`: its leader has ended with 0, of its tree something is left that does not hear."""
    code = "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done"
    if way == "late stop":
        code = "trap '' TERM; (while :; do sleep 0.05; done) & echo up"
    limit = 0.3 if way == "timeout" else None
    uid = keeper.order(["/bin/sh", "-c", code], timeout_seconds=limit)
    follower = ahead(keeper, ["/bin/true"], [uid])
    keeper.wait_output(uid, "up")
    if way == "late stop":
        keeper.wait_record("exited", uid)
    if way != "timeout":
        keeper.send(type="stop", uid=uid, request=1, grace_seconds=0.2)
    assert keeper.wait_record("ended", uid)["exit_code"] == 0
    assert never_began(keeper, follower)


def test_what_a_good_end_left_behind_is_gone_before_its_followers_begin(keeper: Client) -> None:
    uid = keeper.order(["/bin/sh", "-c", "sleep 60 & echo up"])
    follower = ahead(keeper, ["/bin/true"], [uid])
    keeper.wait_record("ended", follower)
    ended = keeper.wait_record("ended", uid)
    assert (ended["exit_code"], ended["left"]) == (0, 1)
    kinds = [(record["uid"], record["kind"]) for record in keeper.journal()]
    assert kinds.index((uid, "ended")) < kinds.index((follower, "started"))


def test_an_order_ahead_can_be_taken_back_stopped_and_replaced(keeper: Client) -> None:
    uid = keeper.order(GO)
    entries = [keeper.entry(["/bin/true"], after=[uid]) for _ in range(3)]
    keeper.send(type="order", orders=entries)
    first, second, third = (entry["uid"] for entry in entries)
    keeper.send(type="withdraw", uids=[first, "unknown"], request=5)
    assert keeper.wait_message("withdrawn", request=5)["uids"] == [first]
    keeper.send(type="stop", uid=second, request=6)
    keeper.wait_message("gone", uid=second)
    keeper.send(type="order", orders=[keeper.entry(["/bin/true"], uid=third)])
    keeper.wait_record("ended", third)
    go(keeper)
    keeper.wait_record("ended", uid)
    assert never_began(keeper, first) and never_began(keeper, second)
    assert len([record for record in keeper.records if record["uid"] == third]) == 2, "once, not twice"


def test_a_new_daemon_finds_no_order_ahead(keeper: Client) -> None:
    uid = keeper.order(GO)
    follower = ahead(keeper, ["/bin/true"], [uid])
    keeper.wait_record("started", uid)
    keeper.disconnect()
    keeper.connect()
    assert keeper.hello["queued"] == []
    go(keeper)
    keeper.wait_record("ended", uid)
    assert never_began(keeper, follower)


def test_without_a_daemon_it_goes_on_all_the_same(keeper: Client) -> None:
    uid = keeper.order(GO)
    follower = ahead(keeper, [*PYTHON, "print('here')"], [uid])
    keeper.wait_record("started", uid)
    keeper.disconnect()
    go(keeper)
    until(lambda: (keeper.logs / f"{follower}.out").exists() and keeper.output(follower) == "here\n")


def test_a_follower_has_the_priority_of_its_order(keeper: Client) -> None:
    keeper.send(type="limits", groups={"run": 1})
    first = keeper.entry(GO)
    after = [first["uid"]]
    entries = [first, keeper.entry(["/bin/true"], after=after), keeper.entry(["/bin/true"], after=after, priority=5)]
    keeper.send(type="order", orders=entries)
    go(keeper)
    for entry in entries:
        keeper.wait_record("ended", entry["uid"])
    started = [record["uid"] for record in keeper.records if record["kind"] == "started"]
    assert started == [entries[0]["uid"], entries[2]["uid"], entries[1]["uid"]]


@pytest.mark.parametrize("after", ["x", [1], {"x": 1}, 7])
def test_an_order_after_no_uids_is_no_order(keeper: Client, after: object) -> None:
    keeper.send(type="order", orders=[keeper.entry(["/bin/true"], after=after)])
    keeper.wait_closed()


def test_an_end_is_on_disk_before_what_follows_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk takes no record for a while: the second write of the journal fails, which has the end."""
    monkeypatch.setenv("WATTLE_FAILPOINT", "keeper.journal.before:2:enospc")
    client = Client(tmp_path).start()
    try:
        uid = client.order(GO)
        follower = ahead(client, ["/bin/true"], [uid])
        client.wait_record("started", uid)
        go(client)
        ended, started = client.wait_record("ended", uid), client.wait_record("started", follower)
        assert started["at"] - ended["at"] > 200_000, "it waited until the journal was tried again"
    finally:
        client.close()


def test_a_keeper_killed_before_what_follows_begins_has_written_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATTLE_FAILPOINT", "keeper.follow.before:1:kill")
    client = Client(tmp_path).start()
    try:
        uid = client.order(GO)
        follower = ahead(client, ["/bin/true"], [uid])
        client.wait_record("started", uid)
        go(client)
        client.wait_closed()
        client.reap_keeper()
        assert [record["kind"] for record in client.journal()] == ["started", "ended"]
        assert not os.path.exists(client.logs / f"{follower}.out")
    finally:
        monkeypatch.delenv("WATTLE_FAILPOINT")
        client.close()


def order(uid: str, *after: str) -> Order:
    paths = {"argv": ["x"], "cwd": "/", "stdout": "/o", "stderr": "/e"}
    return Order({"uid": uid, "after": list(after), **paths})


def test_what_is_free_can_still_be_taken_back() -> None:
    orders = OrdersAhead()
    for each in (order("b", "a"), order("c", "a"), order("d", "a", "b")):
        orders.add(each)
    orders.ended_well("a")
    assert orders.has_free
    assert orders.take("b") is not None
    assert orders.take("b") is None
    assert [each.uid for each in orders.take_free()] == ["c"]
    orders.ended_well("b")
    assert [each.uid for each in orders.take_free()] == ["d"]
    assert not orders


def test_an_order_of_the_same_uid_takes_the_place_of_the_first() -> None:
    orders = OrdersAhead()
    orders.add(order("b", "a"))
    orders.add(order("b", "x"))
    orders.ended_well("a")
    assert not orders.has_free
    orders.never_well("x")
    orders.ended_well("x")
    assert not orders.has_free
    assert orders.take("b") is not None
    assert not orders
