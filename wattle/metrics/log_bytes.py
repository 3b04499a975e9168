"""How much workers have printed: the sizes of their log files, looked at once they have ended, or when asked for."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable

from wattle.logs.files import attempt_files
from wattle.store.rows import AttemptRow

MOST_ENDED = 10_000  # not looked at yet


class LogBytes:
    """Bytes in the logs of the attempts that live or have ended under this daemon. It never falls."""

    def __init__(self, data_dir: str) -> None:
        self._data_dir = data_dir
        self._ended: deque[tuple[int, int, int]] = deque()
        self._folded = 0
        self._total = 0
        self._lock = threading.Lock()

    def ended(self, attempt: AttemptRow) -> None:
        """To be looked at later; where nobody did for long, the oldest two at once. The loop's thread."""
        self._ended.append((attempt.run_id, attempt.position, attempt.number))
        if len(self._ended) > MOST_ENDED and self._lock.acquire(blocking=False):
            try:
                for _ in range(2):
                    self._folded += self._size(*self._ended.popleft())
            finally:
                self._lock.release()

    def fold(self) -> None:
        """Look at the logs of those that have ended. Any thread but the loop's."""
        with self._lock:
            while self._ended:
                self._folded += self._size(*self._ended.popleft())

    def total(self, live: Callable[[], Iterable[AttemptRow]]) -> int:
        """Of those that have ended and of those that live (asked for after the former, so that none counts twice)."""
        self.fold()
        living = [(attempt.run_id, attempt.position, attempt.number) for attempt in live()]
        with self._lock:
            self._total = max(self._total, self._folded + sum(self._size(*key) for key in living))
            return self._total

    def _size(self, run_id: int, position: int, number: int) -> int:
        files, size = attempt_files(self._data_dir, run_id, position, number), 0
        for path in (files.stdout, files.stderr):
            try:
                size += os.stat(path).st_size
            except OSError:  # pruned, or never made
                continue
        return size
