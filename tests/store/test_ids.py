import uuid

from hypothesis import given, settings
from hypothesis import strategies as st

from wattle.store.ids import uuid7


@settings(deadline=None)
@given(at=st.integers(0, 2**48 * 1000 - 1))
def test_a_uuid7_has_its_version_its_variant_and_its_millisecond(at: int) -> None:
    value = uuid.UUID(uuid7(at))
    assert (value.version, value.variant) == (7, uuid.RFC_4122)
    assert value.int >> 80 == at // 1000


@settings(deadline=None)
@given(first=st.integers(0, 2**60), later=st.integers(1, 10**9))
def test_uuid7s_sort_by_time_down_to_a_microsecond(first: int, later: int) -> None:
    assert uuid7(first) < uuid7(first + later) or (first + later) // 1000 >= 2**48


def test_two_uuid7s_of_one_instant_differ() -> None:
    assert uuid7(5) != uuid7(5)
