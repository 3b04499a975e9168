"""Many scenes from one seed, some at a time: every failpoint for n = 1, 2, 3 … until a scene passes clean, and scenes
in which daemon, keeper or both are killed at random instants. What is found is counted and said in one line.
"""

import random
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.scene import Played, Scene
from wattle.keeper.failpoints import FILE_POINTS, POINTS

LANES = 3
RANDOM_EVERY = 4  # of so many scenes one has random kills
RANDOM_KILLS = 6
# Who is killed at the middle, so that the point is passed at all.
PLANS = {
    "daemon.adopt": "keeper daemon",
    "daemon.answer": "daemon",
    "daemon.boot": "daemon",
    "daemon.import": "daemon",
    "daemon.keeper.lost": "keeper",
    "daemon.keeper": "keeper daemon",
    "keeper.adopt": "keeper daemon",
}
# What a scene does not do; tests/faults/test_keeper_points.py and tests/whole/test_retention_attempts.py go there.
ELSEWHERE = ("daemon.retention.committed", "keeper.segment.discarded", "keeper.withdraw.after")


@dataclass(frozen=True)
class Job:
    """One scene to play. With `number` 0 its kills are at random instants."""

    point: str = ""
    action: str = ""
    number: int = 0
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.point}:{self.number}:{self.action}" if self.number else f"random kills {self.seed}"

    def scene(self, directory: Path) -> Scene:
        if not self.number:
            chance = random.Random(self.seed)
            return Scene(directory, pauses=22, chance=chance, kills=chance.randrange(1, RANDOM_KILLS))
        plan = next((plan for prefix, plan in PLANS.items() if self.point.startswith(prefix)), "")
        in_pause = ""
        if self.action == "sleep":
            in_pause = "keeper" if self.point.startswith("daemon") else "daemon"
        return Scene(directory, str(self), plan, in_pause=in_pause)


@dataclass
class Campaign:
    """Plays until `seconds` are over, but the first round of all points to its end; then `say` says what came."""

    seed: int
    seconds: float
    goes_on: bool = False  # with random kills, once every point is exhausted
    scenes: int = 0
    attempts: int = 0
    unknown: int = 0
    mistaken: int = 0
    violations: list[str] = field(default_factory=list)
    fired: Counter[str] = field(default_factory=Counter)  # by failpoint, and by who was killed at random
    exhausted: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._taking = threading.Lock()
        self._directory = Path(tempfile.mkdtemp(prefix="wattle-faults-"))
        self._pulled = 0
        first = [Job(point, "kill", 1) for point in POINTS if point not in ELSEWHERE]
        files = [Job(job.point, action, 1) for job in first if job.point in FILE_POINTS for action in ("eio", "enospc")]
        pauses = [Job(job.point, "sleep", 1) for job in first]
        for jobs in (first, files, pauses):
            self._chance.shuffle(jobs)
        self._first = deque(first + files)
        self._later = deque(pauses)

    def run(self) -> "Campaign":
        self._until = time.monotonic() + self.seconds
        with ThreadPoolExecutor(LANES, thread_name_prefix="faults") as lanes:
            for lane in [lanes.submit(self._play_all) for _ in range(LANES)]:
                lane.result()
        if not self.violations:
            self._directory.rmdir()
        return self

    def say(self) -> str:
        fired = sum(self.fired.values())
        points = {name for name in self.fired if "." in name}
        return (
            f"seed {self.seed}: {len(self.violations)} violations in {fired} fired faults "
            f"({len(points)} of {len(POINTS)} failpoints, {len(self.exhausted)} of them to the end; "
            f"{self.fired['daemon']} daemons and {self.fired['keeper']} keepers killed from outside); "
            f"{self.scenes} scenes, {self.attempts} attempts, {self.unknown} exit statuses unknown where daemon and "
            f"keeper both died, {self.mistaken} processes left behind taken for their worker"
        )

    def _play_all(self) -> None:
        for job, directory in self._jobs():
            self._take_in(job, job.scene(directory).play())

    def _jobs(self) -> Iterator[tuple[Job, Path]]:
        while True:
            with self._taking:
                job = self._next()
                self._pulled += 1
                number = self._pulled
            if job is None:
                return
            yield job, self._directory / str(number)

    def _next(self) -> Job | None:
        is_over = time.monotonic() > self._until
        if not is_over and self._pulled % RANDOM_EVERY == 0:
            return Job(seed=self._chance.randrange(2**32))
        if self._first:
            return self._first.popleft()
        if is_over:
            return None
        if self._later:
            return self._later.popleft()
        return Job(seed=self._chance.randrange(2**32)) if self.goes_on else None

    def _take_in(self, job: Job, played: Played) -> None:
        with self._taking:
            self.scenes += 1
            self.attempts += played.attempts
            self.unknown += played.unknown
            self.mistaken += played.mistaken
            self.fired.update(text.partition(":")[0] for text in played.fired)
            self.fired.update(played.killed)
            if played.violations:
                self.violations += [f"{job}: {violation} ({played.directory})" for violation in played.violations]
            if job.number and not played.violations:
                if played.fired:
                    self._later.append(Job(job.point, job.action, job.number + 1))
                elif job.number > 1:
                    self.exhausted.add((job.point, job.action))
        if not played.violations:
            played.forget()
