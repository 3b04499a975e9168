"""A real pseudo-terminal with a screen: what a user sees, whatever was written to bring it about."""

import fcntl
import os
import pty
import struct
import termios
import threading
import time

import pyte

from tests import forking


class Terminal:
    """A `wattle` in a terminal of so many columns and lines. `lines` is what stands there now, `past` above it too."""

    def __init__(self, shell, arguments, columns, lines, **environ):
        self._screen = pyte.HistoryScreen(columns, lines, history=1000)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self._raw = b""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.process = forking.start(
            list(map(str, arguments)), stdin=slave, stdout=slave, stderr=slave, terminal=True, cwd=shell.directory,
            env=shell.environ | {"TERM": "xterm-256color"} | environ,
        )  # fmt: skip
        self._master, self._slave = master, slave
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return
            if not data:
                return
            with self._lock:
                self._raw += data
                self._stream.feed(data)

    @property
    def raw(self):
        with self._lock:
            return self._raw

    @property
    def lines(self):
        with self._lock:
            return [line.rstrip() for line in self._screen.display]

    @property
    def past(self):
        """Everything that has been on the screen and was not drawn over."""
        with self._lock:
            above = ["".join(line[x].data for x in range(self._screen.columns)) for line in self._screen.history.top]
            return [line.rstrip() for line in [*above, *self._screen.display]]

    @property
    def text(self):
        return "\n".join(self.lines)

    @property
    def cursor_is_shown(self):
        with self._lock:
            return not self._screen.cursor.hidden

    def colour_of(self, text):
        """The colour of the first cell of a text on the screen, which may just be drawn anew."""
        found = []

        def look(_):
            with self._lock:
                for y, line in enumerate(self._screen.display):
                    if (x := line.find(text)) >= 0:
                        found.append(self._screen.buffer[y][x].fg)
            return found

        self.until(look)
        return found[0]

    def types(self, text):
        os.write(self._master, text.encode())

    def until(self, condition, seconds=20.0):
        """Waits for `condition(lines)`; gives the lines that it is true of."""
        deadline = time.monotonic() + seconds
        while not condition(lines := self.lines):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s:\n{self.text}")
            time.sleep(0.01)
        return lines

    def shows(self, *texts, seconds=20.0):
        """Waits until all of them are on the screen at once."""
        return self.until(lambda lines: all(any(text in line for line in lines) for text in texts), seconds)

    def ends(self, seconds=30.0):
        """The exit status, once everything it wrote is on the screen."""
        code = self.process.wait(seconds)
        self.settings = termios.tcgetattr(self._slave)
        os.close(self._slave)
        self._slave = None
        self._reader.join(5)
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._slave is not None:
            os.close(self._slave)
        self._reader.join(5)
        os.close(self._master)
