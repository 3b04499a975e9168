"""One look at a service: is it well. Jobs on threads of their own, never on the loop; each is bounded in time.

`exec` is not among them: the keeper runs that, as it runs everything (services.py).
"""

import http.client
import os
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from wattle.definition.model import Probe
from wattle.errors import WattleError
from wattle.logs.holes import hole_end
from wattle.logs.search import Scope, search

MOST_BYTES = 1 << 20  # of a log, in one look
LONGEST_LINE = 1 << 16
SPECIAL = frozenset(r".^$*+?{}[]\|()")


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


@dataclass(slots=True)
class Places:
    """The files of the attempt that is looked at."""

    logs: tuple[LogPlace, ...] = ()
    notify: str = ""


def look(key: str, probe: Probe, places: Places) -> Looked:
    """Look once."""
    try:
        problem = _LOOKS[probe.kind](probe, places)
    except TimeoutError:
        problem = f"no answer within {probe.timeout_seconds:g} s"
    except WattleError as error:
        problem = error.message
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
    if any(_has_match(place, probe.target) for place in places.logs):
        return None
    return "no such line yet"


def _has_match(place: LogPlace, pattern: str) -> bool:
    """In the whole lines that came since the look before. An expression is matched in a process of its own: it may
    take for ever, and all of the daemon with it."""
    try:
        descriptor = os.open(place.path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        begin = hole_end(descriptor, place.offset)
        data = os.pread(descriptor, MOST_BYTES, begin)
    finally:
        os.close(descriptor)
    length = data.rfind(b"\n") + 1
    if not length and len(data) == MOST_BYTES:
        length = MOST_BYTES  # of a line without an end
    if not length:
        return False
    place.offset = begin + length
    if SPECIAL.isdisjoint(pattern):
        return pattern.encode("utf-8", "replace") in data[:length]
    return bool(search([Scope(place.path, 0, begin, begin + length)], pattern, context=0, max_bytes=1)[0].lines)


def _notify(probe: Probe, places: Places) -> str | None:
    with open(places.notify, "rb") as file:
        return None if b"\n" in file.read(LONGEST_LINE) else "it has not said so yet"


_LOOKS = {"tcp": _tcp, "http": _http, "file": _file, "log": _log, "notify": _notify}
