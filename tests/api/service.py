"""A real daemon in this process: its loop on a thread, its keeper and workers processes, its store a file.

What needs the main thread of a process of its own is left out: signals, and taking in a dead keeper's workers.
"""

import ctypes
import os
import resource
import signal
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from api.examples import as_bytes
from flask import Flask

from tests.whole.server import command_of, eventually, parent_of, pids
from wattle.api.pump import Pump
from wattle.config import Config
from wattle.daemon import PR_SET_CHILD_SUBREAPER, Daemon, raise_open_files
from wattle.service.changing import Changing
from wattle.service.reading import Reading


class Service:
    """`app`, `reading`, `changing` and `pump` are the daemon's own, new ones after each `start`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self.config = Config(data_dir=str(self.data_dir), base_dir=str(directory), home=str(directory))
        self._others = children()
        self._open_files = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.start()

    def start(self) -> None:
        begun: Future[Daemon] = Future()
        self._thread = threading.Thread(target=self._run, args=(begun,), name="daemon")
        self._thread.start()
        self.daemon = begun.result(30)

    def _run(self, begun: "Future[Daemon]") -> None:
        """SQLite's writer is of one thread, so all of the daemon's life is on it."""
        daemon = Daemon(self.config, listen=False)
        try:
            daemon.start()
        except BaseException as error:
            begun.set_exception(error)
            return
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)  # the other tests of this process are not its
        begun.set_result(daemon)
        try:
            daemon._supervisor.run()
        finally:
            daemon._release()

    @property
    def app(self) -> Flask:
        app: Flask = self.daemon.app
        return app

    @property
    def reading(self) -> Reading:
        return self.daemon.reading

    @property
    def changing(self) -> Changing:
        return self.daemon.changing

    @property
    def pump(self) -> Pump:
        return self.daemon._pump

    def keepers(self) -> set[int]:
        commands = {pid: command_of(pid) for pid in pids()}
        return {pid for pid, text in commands.items() if "wattle-keeper" in text and str(self.data_dir) in text}

    def is_ending(self) -> bool:
        return self.daemon._supervisor.commands.is_ending

    def join(self) -> None:
        """Wait until the daemon has ended, of which somebody has told it."""
        self._thread.join(30)
        assert not self._thread.is_alive()

    def down(self) -> None:
        """Nothing is left of it."""
        if not self.is_ending():
            self.daemon.down()
        self.join()
        for keeper in self.keepers():
            os.kill(keeper, signal.SIGTERM)  # it knows, unless the store was broken
        eventually(lambda: not self.keepers())
        for ended in children() - self._others:
            os.waitpid(ended, 0)
        resource.setrlimit(resource.RLIMIT_NOFILE, self._open_files)
        raise_open_files.cache_clear()

    # --- for tests

    def create(self, document: Any) -> None:
        self.changing.create_workflow(as_bytes(document))

    def names(self) -> list[str]:
        return [view.name for view in self.reading.workflows()]

    def forget(self) -> None:
        """Everything is stopped and deleted. Ids of runs and events go on."""
        for name in self.names():
            self.changing.delete_workflow(name, force=True).result(30)

    def until(self, status: str, workflow: str, worker: str) -> Any:
        """The worker's view once it has that status."""

        def look() -> Any:
            view = self.reading.worker(workflow, worker)
            return view if view.status == status else None

        return eventually(look)


def children() -> set[int]:
    return {pid for pid in pids() if parent_of(pid) == os.getpid()}
