"""What a turn does once it has been decided: frames to the keeper, jobs to the pool, answers to callers.

Held back while facts that must be on disk first are not. Frames keep the order of the decisions: a stop that
overtook the order of the same worker would find nothing to stop, and the worker would start after it.
"""

from collections.abc import Callable
from typing import Any

Job = Callable[[], Any]
Frame = dict[str, Any]


class Outbox:
    """Filled by decisions, emptied by the loop's `act` and `answer`."""

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._held_back: list[str] = []
        self._jobs: list[Job] = []
        self._ahead: list[Job] = []
        self._looks: list[Job] = []
        self._answers: list[Callable[[], None]] = []
        self._afterwards: list[Callable[[], None]] = []

    def send(self, frame: Frame) -> None:
        """A frame to the keeper (keeper/protocol.py)."""
        self._frames.append(frame)

    def order(self, order: dict[str, Any]) -> None:
        """Orders that follow one another share a frame."""
        if self._frames and self._frames[-1]["type"] == "order":
            self._frames[-1]["orders"].append(order)
        else:
            self.send({"type": "order", "orders": [order]})

    def release(self, uid: str) -> None:
        """It was ordered ahead; from now on it waits for nothing but a slot."""
        if self._frames and self._frames[-1]["type"] == "release":
            self._frames[-1]["uids"].append(uid)
        else:
            self.send({"type": "release", "uids": [uid]})

    def withdraw(self, uid: str) -> None:
        if self._frames and self._frames[-1]["type"] == "withdraw":
            self._frames[-1]["uids"].append(uid)
        else:
            self.send({"type": "withdraw", "uids": [uid], "request": 0})

    def hold_back(self, uid: str) -> None:
        """It is to end: it should not begin while that is written down. Not to be held back itself, for it decides
        nothing: a stop or a withdrawal follows, or the wish is forgotten and it is ordered again."""
        self._held_back.append(uid)

    def stop(self, uid: str, grace_seconds: float | None = None) -> None:
        """`grace_seconds`: what is left of the worker's own, where a former keeper began."""
        left = {} if grace_seconds is None else {"grace_seconds": grace_seconds}
        self.send({"type": "stop", "uid": uid, "request": 0, **left})

    def drop(self, kind: str) -> None:
        """The frames of that type that are not sent yet are not to be sent."""
        self._frames = [frame for frame in self._frames if frame["type"] != kind]

    def drop_ahead(self) -> None:
        """Orders ahead that are not sent yet are not to be sent."""
        for frame in self._frames:
            if frame["type"] == "order":
                frame["orders"] = [order for order in frame["orders"] if "after" not in order]

    def limits(self, groups: dict[str, int | None]) -> None:
        self.send({"type": "limits", "groups": groups})

    def job(self, job: Job) -> None:
        """Run on the pool; what it returns comes back as a message."""
        self._jobs.append(job)

    def ahead(self, job: Job) -> None:
        """Run on the pool while the commit that decides on it waits for the disk, and not where that is given up
        before. For what may be repeated and means nothing by itself."""
        self._ahead.append(job)

    def look(self, look: Job) -> None:
        """Run on the probes' threads, where it may wait for others; what it returns comes back as a message."""
        self._looks.append(look)

    def answer(self, answer: Callable[[], None]) -> None:
        """Called after the commit of this turn."""
        self._answers.append(answer)

    def after_commit(self, call: Callable[[], None]) -> None:
        """Called once what has been gathered so far is on disk."""
        self._afterwards.append(call)

    @property
    def has_frames(self) -> bool:
        return bool(self._frames)

    @property
    def has_others(self) -> bool:
        """Something is to be done that needs no keeper."""
        return bool(self._jobs or self._looks or self._answers)

    def take_frames(self) -> list[Frame]:
        frames, self._frames = self._frames, []
        return frames

    def take_held_back(self) -> list[str]:
        uids, self._held_back = self._held_back, []
        return uids

    def take_jobs(self) -> list[Job]:
        jobs, self._jobs = self._jobs, []
        return jobs

    def take_ahead(self) -> list[Job]:
        jobs, self._ahead = self._ahead, []
        return jobs

    def take_looks(self) -> list[Job]:
        looks, self._looks = self._looks, []
        return looks

    def take_afterwards(self) -> list[Callable[[], None]]:
        calls, self._afterwards = self._afterwards, []
        return calls

    def take_answers(self) -> list[Callable[[], None]]:
        answers, self._answers = self._answers, []
        return answers
