"""What a worker has printed, as it is now: its last lines, a page, a span of time, what matches, or the bytes.

Following it is `workers.stream_logs`. Answers are bounded; `next` says where to go on.
"""

import os
import re
import stat
import time
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.wsgi import wrap_file

from wattle.api import query
from wattle.api.envelope import instant, success
from wattle.api.rooms import rooms
from wattle.api.streams import MOST_LINES
from wattle.errors import Malformed, NotFound
from wattle.logs.excerpt import BOTH, DEFAULT_BYTES, MOST_BYTES, Ask, Excerpt, Timed, last_lines, read_excerpt
from wattle.logs.holes import hole_end
from wattle.logs.pages import NAMES, Gap, Line, Missing
from wattle.logs.read import open_log
from wattle.logs.search import LONGEST_PATTERN, MOST_CONTEXT
from wattle.logs.window import Window
from wattle.service.views import LogState

blueprint = Blueprint("logs", __name__)

_LOGS = "/workers/<name:workflow>/<name:worker>/logs"
_CLOSE_MICROSECONDS = 1_000_000  # bounds as close as this are told as one instant
_PAGED = ("from", "limit", "since", "until", "grep", "context")
_OFFSETS = re.compile(r"([0-9]{1,18})(?::([0-9]{1,18}))?", re.ASCII)
_REMOVED = "retention has removed it"
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.ASCII)


@blueprint.get(_LOGS)
def get_logs(workflow: str, worker: str) -> Response:
    """The two documented paths; with any parameter but `attempt` and `stream`, lines."""
    streams, number = _streams(), query.optional_integer("attempt", low=1)
    lines, has_times = query.optional_integer("tail", high=MOST_LINES), query.flag("times")
    paged = [name for name in _PAGED if name in request.args]
    if lines is not None and paged:
        message = f"'tail' and '{paged[0]}' cannot be given together: 'tail' is the end of the log, whatever it is"
        raise Malformed("INVALID_PARAMETER", message)
    if lines is None and not paged:
        return success(_paths(workflow, worker, number, streams))
    state = _state(workflow, worker, number)
    if lines is None:
        ask = _ask(streams)
        excerpt = read_excerpt(state, ask)
        return success(_entries(excerpt, ask), next=_next(excerpt, streams), complete=excerpt.complete)
    if not lines:
        return success([])
    excerpt = last_lines(state, lines, streams)
    told: dict[str, Any] = {} if excerpt.complete else {"complete": False}
    if has_times:
        return success(_entries(excerpt), **told)
    return success([*map(_missing, excerpt.missing), *(_plain(timed.line) for timed in excerpt.lines)], **told)


@blueprint.get(f"{_LOGS}/download")
def download_log(workflow: str, worker: str) -> Response:
    """The bytes of one stream as they are now. What was dropped of its head is left out, and counted in a header."""
    streams = _streams()
    stream = streams[0] if len(streams) == 1 else 0
    state = _state(workflow, worker, query.optional_integer("attempt", low=1))
    path = (state.stdout, state.stderr)[stream]
    if path is None:
        raise _no_log(workflow, worker, stream, "it has not been started")
    if state.logs_removed:
        raise _no_log(workflow, worker, stream, _REMOVED)
    try:
        fd = open_log(path)
    except OSError as error:
        raise _no_log(workflow, worker, stream, error.strerror or "it cannot be opened") from None
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode):
        os.close(fd)
        raise _no_log(workflow, worker, stream, "it is no file")
    kept = min(hole_end(fd, 0), facts.st_size) if facts.st_size else 0
    etag = f'"{facts.st_ino:x}-{kept:x}"'
    begin, end, status = _range(facts.st_size - kept, etag)
    headers = {
        "Content-Disposition": f'attachment; filename="{_file_name(state, stream)}"',
        "Content-Length": str(end - begin),
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-store",
        "ETag": etag,
        "X-Wattle-Dropped-Bytes": str(kept),
    }
    if status != 200:
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{facts.st_size - kept}"
    if status == 416:
        os.close(fd)
        headers |= {"Content-Length": "0", "Content-Range": f"bytes */{facts.st_size - kept}"}
        return Response(b"", 416, headers)
    body = Window(fd, kept + begin, kept + end)
    # Waitress sends a file from its own thread, so that no other one waits for a slow reader.
    answer = Response(wrap_file(request.environ, body), status, headers, direct_passthrough=True)  # type: ignore[arg-type]
    answer.content_type = "application/octet-stream"
    return answer


def _state(workflow: str, worker: str, number: int | None) -> LogState:
    state = rooms().reading.log_state(workflow, worker, attempt=number)
    if number is not None and state.attempt_uid is None:
        raise NotFound("ATTEMPT_NOT_FOUND", f"Worker '{workflow}/{worker}' has no attempt {number} in its newest run")
    return state


def _paths(workflow: str, worker: str, number: int | None, streams: tuple[int, ...]) -> list[str]:
    if number is None:
        paths: tuple[str | None, str | None] = rooms().reading.log_paths(workflow, worker)
    else:
        state = _state(workflow, worker, number)
        if state.logs_removed:
            raise _no_log(workflow, worker, streams[0], _REMOVED)
        paths = (state.stdout, state.stderr)
    return [f"{NAMES[stream]}: {paths[stream]}" for stream in streams]


def _streams() -> tuple[int, ...]:
    name = query.text("stream")
    if name is None:
        return BOTH
    if name not in NAMES:
        raise query.invalid("stream", name, "stdout or stderr")
    return (NAMES.index(name),)


def _ask(streams: tuple[int, ...]) -> Ask:
    pattern, begin = query.text("grep"), (0, 0)
    if pattern is not None and not 0 < len(pattern) <= LONGEST_PATTERN:
        raise query.invalid("grep", pattern, f"a regular expression of 1 to {LONGEST_PATTERN} characters")
    if pattern is None and "context" in request.args:
        raise Malformed("INVALID_PARAMETER", "The parameter 'context' is for lines around those that match 'grep'")
    if (text := query.text("from")) is not None:
        match = _OFFSETS.fullmatch(text)
        if match is None or (match[2] is not None and len(streams) == 1):
            raise query.invalid("from", text, "an offset, or two with a colon between, of stdout and of stderr")
        begin = (int(match[1]), int(match[2] or 0)) if streams != (1,) else (0, int(match[1]))
        if match[2] is None and streams == BOTH:
            streams = (0,)
    return Ask(
        streams=streams,
        begin=begin,
        limit=query.integer("limit", DEFAULT_BYTES, low=1, high=MOST_BYTES),
        since=query.instant("since"),
        until=query.instant("until"),
        pattern=pattern,
        context=query.integer("context", 0, high=MOST_CONTEXT),
    )


def _next(excerpt: Excerpt, streams: tuple[int, ...]) -> int | str:
    """As it is to be given back as `from`."""
    if len(streams) == 1:
        return excerpt.next[streams[0]]
    text = query.text("from")
    if text is not None and ":" not in text:
        return excerpt.next[0]
    return f"{excerpt.next[0]}:{excerpt.next[1]}"


def _entries(excerpt: Excerpt, ask: Ask | None = None) -> list[dict[str, Any]]:
    searched = ask is not None and ask.pattern is not None
    return [*map(_missing, excerpt.missing), *(_entry(timed, searched) for timed in excerpt.lines)]


def _missing(missing: Missing) -> dict[str, Any]:
    """In the words of the stream's events."""
    stream = NAMES[missing.stream]
    if isinstance(missing, Gap):
        return {"type": "gap", "stream": stream, "reason": missing.reason, "dropped_bytes": missing.dropped_bytes}
    return {"type": "truncated", "stream": stream, "size_bytes": missing.size_bytes}


def _entry(timed: Timed, searched: bool) -> dict[str, Any]:
    """`time` is when it surely stood there; with `after`, when it surely did not: where nobody watched, and the two are
    far apart."""
    line = timed.line
    by = timed.by if timed.by is not None else time.time_ns() // 1000
    entry: dict[str, Any] = {"type": NAMES[line.stream], "content": line.content, "time": instant(by)}
    if not timed.is_watched and (timed.after is None or by - timed.after > _CLOSE_MICROSECONDS):
        entry["after"] = instant(timed.after)
    entry["offset"] = line.start
    if searched:
        entry["match"] = timed.is_match
    return entry | _marks(line, "continues", "continued", "partial")


def _plain(line: Line) -> dict[str, Any]:
    """The documented form; only a piece of a line is marked."""
    return {"type": NAMES[line.stream], "content": line.content, **_marks(line, "continues", "continued")}


def _marks(line: Line, *names: str) -> dict[str, Any]:
    return {name: True for name in names if getattr(line, name)}


def _no_log(workflow: str, worker: str, stream: int, why: str) -> NotFound:
    return NotFound("LOG_NOT_FOUND", f"There is no {NAMES[stream]} log of worker '{workflow}/{worker}': {why}")


def _file_name(state: LogState, stream: int) -> str:
    """ASCII: names of workers may be in any script, which headers do not take."""
    return f"{state.attempt_uid or 'log'}.{NAMES[stream]}.log"


def _range(size: int, etag: str) -> tuple[int, int, int]:
    """(begin, end, status) of the one range that is asked for. What is malformed or several is the whole (RFC 9110)."""
    match = _RANGE.fullmatch(request.headers.get("Range", ""))
    if match is None or match[0] == "bytes=-" or request.headers.get("If-Range", etag) != etag:
        return 0, size, 200
    if not match[1]:
        begin, end = max(0, size - int(match[2])), size
    else:
        begin, end = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
        if match[2] and int(match[2]) < begin:
            return 0, size, 200
    return (begin, end, 206) if begin < end else (0, 0, 416)
