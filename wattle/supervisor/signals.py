"""Signals that users send to workers: asked of the keeper, answered with whom they reached.

A signal is no stop: nothing is wanted of the worker by it, and what its processes make of it is told by their end, or
by nothing. It is for the attempt that runs now, so it never waits: where no keeper can be asked it is refused. The
history has it before it is sent; a daemon that is killed in between leaves it said and, perhaps, not sent.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any

from wattle.engine.outcome import signal_name
from wattle.engine.states import State
from wattle.errors import Conflict, Forbidden, Unavailable
from wattle.supervisor.answers import SignalView
from wattle.supervisor.clock import Clock, Timers
from wattle.supervisor.keepers import Link
from wattle.supervisor.ledger import Ledger
from wattle.supervisor.live import LiveRun, LiveWorker
from wattle.supervisor.outbox import Outbox

ANSWER_SECONDS = 10.0
FEATURE = "signal"  # as keepers that can do it say in their hello
Done = Callable[[Any], None]  # takes the SignalView, or the WattleError that came instead


@dataclass(frozen=True, slots=True)
class _Asked:
    run: LiveRun
    live: LiveWorker
    sent: SignalView  # what is asked for, with no processes yet
    actor: str
    done: Done


class Signals:
    """The loop's thread only. `link` tells of the keeper there is now, None: there is none."""

    def __init__(
        self, outbox: Outbox, ledger: Ledger, timers: Timers, clock: Clock, link: Callable[[], Link | None]
    ) -> None:
        self._outbox, self._ledger, self._timers, self._clock, self._link = outbox, ledger, timers, clock, link
        self._asked: dict[int, _Asked] = {}
        self._requests = count(1)

    def send(self, found: tuple[LiveRun, LiveWorker], number: int, scope: str, actor: str, done: Done) -> None:
        """To the worker's newest attempt, if it runs: Conflict or Unavailable where there is nobody to send it to."""
        run, live = found
        row = live.row
        if row is None or row.ended_at is not None or not live.is_live:
            raise not_running(run.subject(live), live)
        self._check_keeper()
        self._event(run, live, "signalled", f"{signal_name(number)} sent by a user", number, scope, actor)
        request = next(self._requests)
        asked = SignalView(live.name, live.uid, live.attempt, run.id, number, scope)
        self._asked[request] = _Asked(run, live, asked, actor, done)
        frame = {"type": "signal", "uid": live.uid, "signal": number, "scope": scope, "request": request}
        self._outbox.send(frame)
        self._timers.at(self._clock.monotonic() + ANSWER_SECONDS, partial(self._silent, request))
        self._ledger.urgent = True

    def answered(self, request: int, pids: list[int], refused: list[int]) -> None:
        """What the keeper says of one of them."""
        asked = self._asked.pop(request, None)
        if asked is None:
            return  # it was answered as silent
        subject, name = asked.run.subject(asked.live), signal_name(asked.sent.number)
        if pids:
            self._answer(asked, replace(asked.sent, pids=tuple(pids), refused=tuple(refused)))
        elif refused:
            who = ", ".join(map(str, refused))
            message = f"Wattle may not send {name} to the processes of '{subject}' ({who}): they are another user's"
            self._refuse(asked, Forbidden("SIGNAL_NOT_PERMITTED", f"{message}; only that user or root may"))
        else:
            self._refuse(asked, not_running(subject, asked.live))

    def keeper_lost(self) -> None:
        """No answer comes of what was asked, and what was not sent yet is not for the next keeper."""
        self._outbox.drop("signal")
        asked, self._asked = self._asked, {}
        for each in asked.values():
            self._refuse(each, _unavailable("was lost before it answered: the signal may have been sent or not"))

    def _silent(self, request: int) -> None:
        asked = self._asked.pop(request, None)
        if asked is not None:
            words = f"has not answered within {ANSWER_SECONDS:g} s: the signal may still be sent"
            self._refuse(asked, _unavailable(words))

    def _check_keeper(self) -> None:
        link = self._link()
        if link is None:
            raise _unavailable("is away, nothing was sent")
        if FEATURE not in link.hello.get("features", ()):
            message = "The keeper, which has the workers, was started by an older Wattle and can send no signals"
            remedy = "stop and restart work; `wattle down` and `wattle serve` replace it"
            raise Conflict("KEEPER_TOO_OLD", f"{message}; {remedy}")

    def _refuse(self, asked: _Asked, error: Conflict | Forbidden | Unavailable) -> None:
        sent = asked.sent
        self._event(asked.run, asked.live, "signal_failed", error.message, sent.number, sent.scope, asked.actor)
        self._answer(asked, error)

    def _answer(self, asked: _Asked, answer: object) -> None:
        asked.done(answer)
        self._ledger.urgent = True

    def _event(
        self, run: LiveRun, live: LiveWorker, kind: str, reason: str, number: int, scope: str, actor: str
    ) -> None:
        pid = live.row.pid if live.row is not None else None
        what = {"signal": signal_name(number), "scope": scope, "attempt": live.attempt, "pid": pid, "reason": reason}
        self._ledger.event(self._clock.now(), run.subject(live), f"worker.{kind}", run.id, what, actor)


def not_running(subject: str, live: LiveWorker | None) -> Conflict:
    """There is no process to signal; `live` None: no run is active that has the worker."""
    if live is None or live.has_ended:
        remedy = f"`wattle start {subject}` starts it"
    elif live.is_live or live.state is State.SETTLING:
        remedy = f"its process has just ended; `wattle status {subject}` shows how"
    else:
        remedy = f"it waits to be started; `wattle stop {subject}` keeps it from that"
    return Conflict("WORKER_NOT_RUNNING", f"Worker '{subject}' is not running, so there is nobody to signal; {remedy}")


def _unavailable(words: str) -> Unavailable:
    return Unavailable("KEEPER_AWAY", f"The keeper, which has the workers, {words}; try again")
