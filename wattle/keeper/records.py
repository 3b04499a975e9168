"""What the keeper writes down and tells: records as lines of JSON, each without its opening brace and number.

Formatted by hand: two a worker, they are the most frequent thing the keeper makes, and its dearest in Python.
"""

import json
import os

from wattle.keeper.protocol import encode_json
from wattle.keeper.refusals import Refusal
from wattle.keeper.worker import Order, Worker

_STARTED = b'"kind":"started",%b,"at":%d,"pid":%d,"inode":%b,"start_ticks":%b}'
_EXITED = b'"kind":"exited",%b,"at":%d,"exit_code":%b,"signal":%b}'
_REFUSED = b'"kind":"refused",%b,"at":%d,"reason_code":%b,"reason":%b,"retryable":%b}'
_ENDED = (
    b'"kind":"ended",%b,"at":%d,"started_at":%d,"duration_us":%d,"exit_code":%b,"signal":%b,'
    b'"core":%b,"known":%b,"cause":%b,"escalated":%b,"left":%d,"unattributed":%d,"user_us":%b,"system_us":%b,'
    b'"max_rss_bytes":%b}'
)
_TOLD = b'%b,"told":{"at":%d,"signal":%d,"killed_at":%b,"pid":%d,"processes":%d}}'
_CAUSES = {None: b"null", "stopped": b'"stopped"', "timed_out": b'"timed_out"'}
_MEMORY = b'"memory","memory_bytes":%d'


def started(worker: Worker) -> bytes:
    inode, ticks = _number(worker.inode), _number(worker.start_ticks)
    return _STARTED % (worker.identity, worker.started_at, worker.pid, inode, ticks)


def refused(order: Order, at: int, refusal: Refusal) -> bytes:
    words = (encode_json(refusal.code), encode_json(refusal.reason), _truth(refusal.retryable))
    return _REFUSED % (order.identity, at, *words)


def exited(worker: Worker) -> bytes:
    """The leader has ended, others of its tree live: what `ended` will say of its status, should we die before."""
    exit_code, signal, _ = _outcome(worker.status)
    return _EXITED % (worker.identity, worker.ended_at, _number(exit_code), _number(signal))


def ended(worker: Worker) -> bytes:
    exit_code, signal, has_core = _outcome(worker.status)
    record = _ENDED % (
        worker.identity,
        worker.ended_at,
        worker.started_at,
        worker.duration_us,
        _number(exit_code),
        _number(signal),
        _truth(has_core),
        _truth(worker.status is not None),
        _CAUSES[worker.cause] if worker.memory_bytes is None else _MEMORY % worker.memory_bytes,
        _truth(worker.escalated),
        len(worker.left),
        worker.unattributed,
        _number(worker.user_us),
        _number(worker.system_us),
        _number(worker.max_rss_bytes),
    )
    told = worker.told
    if told is not None:
        record = _TOLD % (record[:-1], told.at, told.signal, _number(told.killed_at), worker.pid, len(told.reached))
    if worker.detached:
        record = b'%b,"detached":%d}' % (record[:-1], worker.detached)
    return record


def live(worker: Worker) -> dict:
    """What `hello` says of a live worker."""
    return {
        **json.loads(b"{%b}" % worker.identity),
        "pid": worker.pid,
        "inode": worker.inode,
        "start_ticks": worker.start_ticks,
        "at": worker.started_at,
    }


def _outcome(status: int | None) -> tuple[int | None, int | None, bool]:
    """(exit code, signal, core dumped) of a raw wait status; one of the first two, neither if unknown."""
    if status is None:
        return None, None, False
    if os.WIFSIGNALED(status):
        return None, os.WTERMSIG(status), os.WCOREDUMP(status)
    return os.WEXITSTATUS(status), None, False


def _number(value: int | None) -> bytes:
    return b"null" if value is None else b"%d" % value


def _truth(value: bool) -> bytes:
    return b"true" if value else b"false"
