"""A shell that runs the real `wattle`, apart from whatever the caller has set and running."""

import json
import os
import time
from pathlib import Path

from tests import forking

ROOT = Path(__file__).resolve().parents[2]


class Started:
    """A `wattle` in the background; what it prints goes to files, to be looked at while it runs."""

    def __init__(self, arguments, place, environ, cwd):
        self._out, self._err = place.with_suffix(".out"), place.with_suffix(".err")
        with self._out.open("w") as out, self._err.open("w") as err, open(os.devnull) as nothing:
            self.process = forking.start(
                arguments, stdin=nothing.fileno(), stdout=out.fileno(), stderr=err.fileno(), env=environ, cwd=cwd
            )

    @property
    def out(self):
        return self._out.read_text()

    @property
    def err(self):
        return self._err.read_text()

    def says(self, text, seconds=20.0):
        """Waits until `text` has been said on stderr."""
        try:
            wait_for(lambda: text in self.err, seconds)
        except AssertionError:
            raise AssertionError(f"{text!r} was not said, but: {self.err}") from None

    def signal(self, number):
        self.process.send_signal(number)

    def ends(self, seconds=30.0):
        """Its exit status, once it has ended."""
        return self.process.wait(timeout=seconds)


class Shell:
    """Runs `wattle` with a HOME and a data directory of its own; nothing of the caller's settings gets in."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory / "home"),
            "WATTLE_DATA_DIR": str(self.data_dir),
            "PYTHONPATH": str(ROOT),
            "LANG": "C.UTF-8",
            "WATTLE_LISTEN": "127.0.0.1:0",  # nobody's port
        }
        (directory / "home").mkdir()
        self.started: list[Started] = []

    def write(self, name, document):
        path = self.directory / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    def run(self, *arguments, stdin="", **environ):
        return forking.run(list(map(str, arguments)), input=stdin, env=self.environ | environ, cwd=self.directory)

    def start(self, *arguments, **environ):
        """In the background, until the test ends at the latest."""
        place = self.directory / f"{len(self.started)}"
        started = Started(list(map(str, arguments)), place, self.environ | environ, self.directory)
        self.started.append(started)
        return started

    def close(self):
        if (self.data_dir / "wattle.db").exists():
            self.run("down")
        for started in self.started:
            started.process.kill()
            started.process.wait()


def wait_for(condition, seconds=20.0):
    """What `condition()` gives as soon as it is true; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s: {condition}")
