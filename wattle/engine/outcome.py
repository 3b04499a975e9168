"""How an attempt ended, judged from what the keeper recorded. Values and words only."""

import signal as signals
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wattle.definition.model import Worker


@dataclass(frozen=True, slots=True)
class Outcome:
    """The judgement. `mendable` is False for failures that a retry cannot mend (design: Retries)."""

    succeeded: bool
    reason_code: str | None = None
    reason: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    mendable: bool = True


def signal_name(number: int) -> str:
    """`SIGKILL` for 9; `signal 35` for those without a name."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def judge(record: Mapping[str, Any], worker: Worker) -> Outcome:
    """The outcome of an `ended` or `refused` record of the keeper's journal (keeper/protocol.py)."""
    if record["kind"] == "refused":
        return Outcome(False, record["reason_code"], record["reason"], mendable=bool(record["retryable"]))
    exit_code, signal = record.get("exit_code"), record.get("signal")
    if record.get("cause") == "timed_out":
        reason = f"timed out after {seconds_text(worker.timeout_seconds or 0)}"
        return Outcome(False, "timed_out", reason, exit_code, signal)
    if record.get("cause") == "memory":
        limit = worker.limits.memory_max_bytes if worker.limits is not None else None
        reason = f"its processes held {bytes_text(record['memory_bytes'])} of memory; memory_max_bytes is "
        return Outcome(False, "memory", reason + bytes_text(limit or 0), exit_code, signal)
    if not record.get("known", True):
        return Outcome(False, record.get("reason_code", "lost"), record.get("reason", "exit status unknown"))
    if signal is not None:
        return Outcome(False, "signalled", f"killed by {signal_name(signal)}", exit_code, signal)
    if exit_code in worker.success_exit_codes:
        return Outcome(True, exit_code=exit_code)
    return Outcome(False, "exit_code", f"exit code {exit_code}", exit_code)


def seconds_text(seconds: float) -> str:
    """`60 s`, `0.5 s`."""
    return f"{seconds:g} s"


def bytes_text(count: int) -> str:
    """`64 MiB (67108864 bytes)`; only the bytes where they are few."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >= 1 << power:
            return f"{count / (1 << power):.4g} {unit} ({count} bytes)"
    return f"{count} bytes"
