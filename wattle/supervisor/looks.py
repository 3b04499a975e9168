"""One look at a service: is it well. Jobs on threads of their own, never on the loop; each is bounded in time.

`exec` is not among them: the keeper runs that, as it runs everything (services.py).
"""

import http.client
import os
import re
import socket
import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from wattle.definition.model import Probe

MOST_BYTES = 1 << 20  # of a log, in one look
LONGEST_LINE = 1 << 16


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look found: `problem` is None where the service is well. `key` says which look it was."""

    key: str
    problem: str | None


@dataclass(slots=True)
class LogPlace:
    """How far a log was searched. Used by one look at a time."""

    path: str
    offset: int = 0
    rest: bytes = b""


@dataclass(slots=True)
class Places:
    """The files of the attempt that is looked at."""

    logs: tuple[LogPlace, ...] = ()
    notify: str = ""
    _pattern: re.Pattern[str] | None = field(default=None, repr=False)

    def pattern(self, text: str) -> re.Pattern[str]:
        if self._pattern is None:
            self._pattern = re.compile(text)
        return self._pattern


def look(key: str, probe: Probe, places: Places) -> Looked:
    """Look once."""
    try:
        problem = _LOOKS[probe.kind](probe, places)
    except TimeoutError:
        problem = f"no answer within {probe.timeout_seconds:g} s"
    except (OSError, http.client.HTTPException, ValueError) as error:
        problem = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return Looked(key, problem)


def _tcp(probe: Probe, places: Places) -> str | None:
    host, _, port = probe.target.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), probe.timeout_seconds).close()
    return None


def _http(probe: Probe, places: Places) -> str | None:
    """No certificate is checked and no proxy asked: the question is whether it answers."""
    parts = urlsplit(probe.target)
    host, port = parts.hostname or "", parts.port
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(host, port, timeout=probe.timeout_seconds, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=probe.timeout_seconds)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"User-Agent": "wattle-probe", "Connection": "close"})
        status = connection.getresponse().status
    finally:
        connection.close()
    return None if 200 <= status < 400 else f"status {status}"


def _file(probe: Probe, places: Places) -> str | None:
    os.stat(probe.target)
    return None


def _log(probe: Probe, places: Places) -> str | None:
    pattern = places.pattern(probe.target)
    if any(_has_match(place, pattern) for place in places.logs):
        return None
    return "no such line yet"


def _has_match(place: LogPlace, pattern: re.Pattern[str]) -> bool:
    try:
        descriptor = os.open(place.path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        data = place.rest + os.pread(descriptor, MOST_BYTES, place.offset)
    finally:
        os.close(descriptor)
    place.offset += len(data) - len(place.rest)
    *lines, rest = data.split(b"\n")
    place.rest = rest[-LONGEST_LINE:]
    return any(pattern.search(line[:LONGEST_LINE].decode("utf-8", "replace")) for line in lines)


def _notify(probe: Probe, places: Places) -> str | None:
    with open(places.notify, "rb") as file:
        return None if b"\n" in file.read(LONGEST_LINE) else "it has not said so yet"


_LOOKS = {"tcp": _tcp, "http": _http, "file": _file, "log": _log, "notify": _notify}
