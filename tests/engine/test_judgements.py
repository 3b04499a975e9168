"""How an attempt ended, when it is tried again, and what it is called."""

import uuid
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattle.definition.model import Limits, Retry, Worker
from wattle.engine.identity import attempt_uid
from wattle.engine.outcome import bytes_text, judge
from wattle.engine.retry import retry_at

WORKER = Worker(0, "w", "x", ("x",), True, "/tmp", timeout_seconds=60, success_exit_codes=frozenset({0, 3}))


def ended(**fields: object) -> dict:
    return {"kind": "ended", "exit_code": None, "signal": None, "cause": None, "known": True} | fields


@pytest.mark.parametrize(
    ("record", "succeeded", "code", "reason"),
    [
        (ended(exit_code=0), True, None, None),
        (ended(exit_code=3), True, None, None),
        (ended(exit_code=7), False, "exit_code", "exit code 7"),
        (ended(exit_code=137), False, "exit_code", "exit code 137"),
        (ended(signal=11), False, "signalled", "killed by SIGSEGV"),
        (ended(signal=9, cause="timed_out"), False, "timed_out", "timed out after 60 s"),
        (ended(known=False), False, "lost", "exit status unknown"),
    ],
)
def test_an_end_is_judged_in_words(record: dict, succeeded: bool, code: str, reason: str) -> None:
    outcome = judge(record, WORKER)
    assert (outcome.succeeded, outcome.reason_code, outcome.reason) == (succeeded, code, reason)
    assert outcome.mendable


def test_an_end_for_memory_has_the_figures() -> None:
    greedy = replace(WORKER, limits=Limits(memory_max_bytes=64 << 20))
    outcome = judge(ended(signal=9, cause="memory", memory_bytes=80_000_000), greedy)
    assert (outcome.succeeded, outcome.reason_code, outcome.mendable) == (False, "memory", True)
    assert outcome.reason == (
        "its processes held 76.29 MiB (80000000 bytes) of memory; memory_max_bytes is 64 MiB (67108864 bytes)"
    )
    assert bytes_text(1000) == "1000 bytes"


def test_a_refused_spawn_says_whether_a_retry_can_mend_it() -> None:
    record = {"kind": "refused", "reason_code": "command_not_found", "reason": "no such command", "retryable": False}
    assert judge(record, WORKER).mendable is False
    assert judge(record | {"retryable": True}, WORKER).mendable is True


def test_the_limit_counts_retries_after_the_first_attempt() -> None:
    retry = Retry(limit=2, delay_seconds=1, factor=2)
    assert retry_at(retry, 1, 0, "x") == 1_000_000
    assert retry_at(retry, 2, 0, "x") == 2_000_000
    assert retry_at(retry, 3, 0, "x") is None
    assert retry_at(Retry(), 1, 0, "x") is None


@given(
    limit=st.integers(1, 1000),
    attempts=st.integers(1, 1000),
    delay=st.floats(0, 1e6),
    factor=st.floats(1, 100),
    longest=st.floats(0, 1e6),
    jitter=st.floats(0, 1),
    seed=st.text(max_size=10),
)
def test_a_delay_is_bounded_and_the_same_again_after_a_crash(
    limit: int, attempts: int, delay: float, factor: float, longest: float, jitter: float, seed: str
) -> None:
    retry = Retry(limit, delay, factor, longest, jitter)
    at = retry_at(retry, attempts, 1000, seed)
    assert at == retry_at(retry, attempts, 1000, seed)
    if attempts > limit:
        assert at is None
    else:
        assert at is not None and 1000 <= at <= 1000 + longest * (1 + jitter) * 1e6 + 1


def test_jitter_spreads_the_retries_of_many() -> None:
    """R3: 100 workers that fail together are not tried again together: no second has more than 15 of them."""
    retry = Retry(limit=1, delay_seconds=20, jitter=0.5)
    delays = sorted((retry_at(retry, 1, 0, f"uid-{i}") or 0) // 1_000_000 for i in range(100))
    assert delays[0] >= 10 and delays[-1] <= 30
    assert max(delays.count(second) for second in set(delays)) <= 15


def test_an_attempts_uid_is_a_uuid7_that_a_recovered_daemon_finds_again() -> None:
    uid = attempt_uid("00" * 16, 1_700_000_000_000_000, 5, 2)
    assert uid == attempt_uid("00" * 16, 1_700_000_000_000_000, 5, 2)
    parsed = uuid.UUID(uid)
    assert parsed.version == 7 and parsed.variant == uuid.RFC_4122
    assert parsed.int >> 80 == 1_700_000_000_000


def test_uids_differ_by_run_worker_and_number() -> None:
    uids = {attempt_uid(key * 16, 1, p, n) for key in ("00", "01") for p in range(50) for n in range(1, 5)}
    assert len(uids) == 2 * 50 * 4
