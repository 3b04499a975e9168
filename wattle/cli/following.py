"""The logs of several workers at once, each from its start on, until no run of theirs is active."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from wattle.cli.printing import Printer
from wattle.client import Client, NoServer

MOST_STREAMS = 64
PATIENCE_SECONDS = 60.0
Worker = tuple[str, str]  # (workflow, worker)


class Followed:
    """One thread watches for workers that start, one more reads each stream; the caller's thread prints.

    `tail`: only the last lines of each at first, then all that come. `keeps` says which lines are wanted.
    """

    def __init__(
        self,
        client: Client,
        targets: Sequence[Worker],
        *,
        tail: int | None = None,
        keeps: Callable[[dict[str, Any]], bool] = lambda line: True,
    ) -> None:
        self._client, self._targets, self._tail, self._keeps = client, list(targets), tail, keeps
        self._has_many_workflows = len({workflow for workflow, _ in targets}) > 1
        self._arrived: queue.SimpleQueue[tuple[str, dict[str, Any]] | Exception | None] = queue.SimpleQueue()
        self._places = threading.Semaphore(MOST_STREAMS)
        self._streams: dict[Worker, threading.Thread] = {}

    def print(self, printer: Printer) -> None:
        threading.Thread(target=self._guarded, args=(self._watch,), daemon=True).start()
        while (arrived := self._arrived.get()) is not None:
            if isinstance(arrived, Exception):
                raise arrived
            printer.line(*arrived)

    def _guarded(self, work: Any, *arguments: Any) -> None:
        try:
            work(*arguments)
        except Exception as error:  # the printing thread raises it
            self._arrived.put(error)

    def _watch(self) -> None:
        after, heard_at = self._client.last_event_id(), time.monotonic()
        workflows = list(dict.fromkeys(workflow for workflow, _ in self._targets))
        while True:
            try:
                running = [name for name in workflows if self._client.get_workflow(name)["status"] == "running"]
                self._open_streams(workflows)
                if not running:
                    break
                only = running[0] if len(running) == 1 else None
                for event in self._client.read_events(after=after, wait=5, workflow=only):
                    after = event["id"]
                heard_at = time.monotonic()
            except NoServer:
                if time.monotonic() - heard_at > PATIENCE_SECONDS:
                    raise
                time.sleep(0.5)
        for thread in self._streams.values():
            thread.join()
        self._arrived.put(None)

    def _open_streams(self, workflows: Sequence[str]) -> None:
        """Of the wanted workers that have started and have none yet."""
        for workflow in workflows:
            started = {
                worker["name"]
                for worker in self._client.list_worker_summaries(workflow)
                if worker["started_at"] is not None
            }
            for target in self._targets:
                if target[0] == workflow and target[1] in started and target not in self._streams:
                    self._places.acquire()
                    self._streams[target] = threading.Thread(
                        target=self._guarded, args=(self._stream, target), daemon=True
                    )
                    self._streams[target].start()

    def _stream(self, target: Worker) -> None:
        name = "/".join(target) if self._has_many_workflows else target[1]
        try:
            for line in self._client.stream_logs(*target, tail=self._tail):
                if self._keeps(line):
                    self._arrived.put((name, line))
        finally:
            self._places.release()
