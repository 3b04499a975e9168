"""The logs of several workers at once, each from its start on, until no run of theirs is active."""

import queue
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from wattle.cli.log_lines import Line, Wanted, Worker, read_beginning, whole_lines
from wattle.cli.printing import Printer
from wattle.client import Client, NoServer

MOST_STREAMS = 64
PATIENCE_SECONDS = 60.0
EVERYTHING = Wanted()


def follow(
    client: Client,
    worker: Worker,
    tail: int | None,
    wanted: Wanted,
    *,
    attempt: int | None = None,
    was_there: bool = False,
) -> Iterator[Line]:
    """What one worker has printed (of each stream the last `tail` wanted lines), then what comes, until its part in the
    run is over, or that `attempt` alone is. What is there is chosen by the server, what comes by us. `was_there`: the
    server has answered before.
    """
    place, is_over = "", False
    if wanted.is_part:
        beginning = read_beginning(client, worker, tail, wanted, attempt)
        yield from beginning.lines
        place, is_over, tail = beginning.id, beginning.is_over, None
    lines = client.stream_logs(
        *worker, tail=tail, stream=wanted.stream, attempt=attempt, last_event_id=place, was_there=was_there
    )
    for line in lines if wanted.grep is None else whole_lines(lines):
        is_over = is_over and line["type"] != "attempt"
        if wanted.keeps(line, is_new=not is_over):
            yield line


class Followed:
    """One thread watches for workers that start, one more reads each stream; the caller's thread prints.

    `tail`: only the last lines of each at first, then all that come. `whole` are workflows of which every worker and
    all lines are wanted: theirs is one stream, in the order in which the lines were written. `attempt`: only that one
    of each target, all of which have it.
    """

    def __init__(
        self,
        client: Client,
        targets: Sequence[Worker],
        *,
        tail: int | None = None,
        wanted: Wanted = EVERYTHING,
        whole: Collection[str] = (),
        attempt: int | None = None,
    ) -> None:
        self._client, self._tail, self._wanted, self._whole = client, tail, wanted, list(whole)
        self._attempt = attempt
        self._targets = [target for target in targets if target[0] not in whole]
        self._has_many_workflows = len({workflow for workflow, _ in targets}) > 1
        self._arrived: queue.SimpleQueue[tuple[str, Line] | Exception | None] = queue.SimpleQueue()
        self._places = threading.Semaphore(MOST_STREAMS)
        self._streams: dict[Worker, threading.Thread] = {}

    def print(self, printer: Printer) -> None:
        threading.Thread(target=self._guarded, args=(self._follow_all,), daemon=True).start()
        while (arrived := self._arrived.get()) is not None:
            if isinstance(arrived, Exception):
                raise arrived
            printer.line(*arrived)

    def _guarded(self, work: Any, *arguments: Any) -> None:
        try:
            work(*arguments)
        except Exception as error:  # the printing thread raises it
            self._arrived.put(error)

    def _start(self, work: Any, *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=self._guarded, args=(work, *arguments), daemon=True)
        thread.start()
        return thread

    def _follow_all(self) -> None:
        threads = [self._start(self._follow_whole, workflow) for workflow in self._whole]
        if self._attempt is not None:
            for target in self._targets:
                self._open(target)
        elif self._targets:
            self._watch()
        for thread in (*threads, *self._streams.values()):
            thread.join()
        self._arrived.put(None)

    def _follow_whole(self, workflow: str) -> None:
        if not self._client.list_runs(workflow, limit=1):
            return  # it has never run, and is not waited for
        stream = self._client.stream_workflow_logs(
            workflow, tail=self._tail, stream=self._wanted.stream, was_there=True
        )
        for line in stream:
            self._arrived.put((self._name((workflow, line.get("worker") or "")), line))

    def _watch(self) -> None:
        after, heard_at = self._client.last_event_id(), time.monotonic()
        workflows = list(dict.fromkeys(workflow for workflow, _ in self._targets))
        while True:
            try:
                running = [name for name in workflows if self._client.get_workflow(name)["status"] == "running"]
                self._open_streams(workflows)
                if not running:
                    return
                only = running[0] if len(running) == 1 else None
                for event in self._client.read_events(after=after, wait=5, workflow=only):
                    after = event["id"]
                heard_at = time.monotonic()
            except NoServer:
                if time.monotonic() - heard_at > PATIENCE_SECONDS:
                    raise
                time.sleep(0.5)

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
                    self._open(target)

    def _open(self, target: Worker) -> None:
        self._places.acquire()
        self._streams[target] = self._start(self._stream, target)

    def _stream(self, target: Worker) -> None:
        try:
            lines = follow(
                self._client, target, self._tail, self._wanted, attempt=self._attempt, was_there=True
            )
            for line in lines:
                self._arrived.put((self._name(target), line))
        finally:
            self._places.release()

    def _name(self, target: Worker) -> str:
        return "/".join(target) if self._has_many_workflows else target[1]
