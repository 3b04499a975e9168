"""Which boot of the machine a record is of: the keeper's name tells, whatever the wall clock says (F17, F29, C8)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.supervisor.world import World
from wattle.keeper.keeper_ids import is_of_boot, new_keeper_id

HERE, OTHER = "11111111-2222-4333-8444-555555555555", "99999999-2222-4333-8444-555555555555"
YEAR = 31_557_600 * 1_000_000


def start_that_nobody_wrote_down(path: Path, keeper_id: str, years: int) -> World:
    """Daemon and keeper are dead, the start is in the keeper's journal alone; the machine's boot is HERE now. The
    instant of the record is so many years away from when the machine started, by a clock that was set since."""
    world = World(path, "a")
    world.now += years * YEAR
    world.play("run; start a; kill keeper; kill daemon")
    journal = world.keeper.journal

    def records(after: Mapping[str, int]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        yield from ((keeper_id, record) for record in journal if record["seq"] > after.get(keeper_id, 0))

    world.keeper.records = records  # type: ignore[method-assign]
    world.keeper.keeper_id, world.keeper.boot_id = new_keeper_id(HERE), HERE
    return world


@pytest.mark.parametrize("years", [-10, 20])
def test_what_was_started_in_this_boot_is_adopted_by_its_identity(tmp_path: Path, years: int) -> None:
    world = start_that_nobody_wrote_down(tmp_path, new_keeper_id(HERE), years).play("boot")
    (entry,) = world.keeper.adopted
    assert (entry["pid"], entry["boot_id"]) == (1000, HERE)
    assert world.statuses() == {"a": "running"}


@pytest.mark.parametrize("years", [-10, 20])
def test_what_was_started_in_another_boot_is_nobodys_process_any_more(tmp_path: Path, years: int) -> None:
    world = start_that_nobody_wrote_down(tmp_path, new_keeper_id(OTHER), years).play("boot")
    assert world.keeper.adopted == []
    assert world.reasons() == {"a": "the machine restarted"}


@pytest.mark.parametrize(("years", "is_adopted"), [(-10, False), (20, True)])
def test_a_name_that_does_not_tell_leaves_it_to_the_clock(tmp_path: Path, years: int, is_adopted: bool) -> None:
    """The control: the same records, and it is the clock that decides."""
    world = start_that_nobody_wrote_down(tmp_path, "0" * 32, years).play("boot")
    assert bool(world.keeper.adopted) is is_adopted


def test_names_sort_by_age_and_are_never_the_same() -> None:
    names = [new_keeper_id(HERE) for _ in range(100)]
    assert len(set(names)) == 100 and [name[:12] for name in names] == sorted(name[:12] for name in names)
    assert {is_of_boot(name, HERE) for name in names} == {True}
    assert {is_of_boot(name, OTHER) for name in names} == {False}
    assert is_of_boot("0" * 32, HERE) is None
