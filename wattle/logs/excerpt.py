"""Both logs of an attempt as one answer: the end, a page, a span of time, or what matches; in order and with times.

Where the lines of both are given, they come in the order in which they were written, as far as the side index knows it
(index.py). Bounded by what is asked for, never by the size of the logs. It reads files and waits only for a search.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from wattle.logs.files import LogFiles, index_file
from wattle.logs.index import ENDLESS, Stretch, Timeline, read_timeline, span
from wattle.logs.pages import Line, Missing, Part, absent, read_part, read_tail
from wattle.logs.read import MAX_TAIL_BYTES
from wattle.logs.search import Scope, search
from wattle.logs.watched import gap_seconds

BOTH = (0, 1)
DEFAULT_BYTES = 64 * 1024
MOST_BYTES = 4 * 1024 * 1024
_NOTED_MICROSECONDS = int(1e6 * (1 + gap_seconds(ENDLESS)))  # until a watched line is in the index


class Written(Protocol):
    """Whose logs they are: `service.views.LogState`."""

    @property
    def stdout(self) -> str | None: ...
    @property
    def stderr(self) -> str | None: ...
    @property
    def started_at(self) -> int | None: ...
    @property
    def ended_at(self) -> int | None: ...
    @property
    def logs_removed(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Ask:
    """What part of the logs is wanted.

    `begin` are offsets of stdout and stderr; `since` and `until` are µs; `pattern` is a regular expression.
    `limit` bytes of each stream at most (of both together with a pattern).
    """

    streams: Sequence[int] = BOTH
    begin: tuple[int, int] = (0, 0)
    limit: int = DEFAULT_BYTES
    since: int | None = None
    until: int | None = None
    pattern: str | None = None
    context: int = 0


@dataclass(frozen=True, slots=True)
class Timed:
    """A line, and when it was written: not before `after` and not later than `by` (µs; None: not known).

    `is_watched`: somebody looked when it was, so that it was written right before `by`.
    """

    line: Line
    after: int | None
    by: int | None
    is_match: bool = False
    is_watched: bool = False


@dataclass(frozen=True, slots=True)
class Excerpt:
    """`next` are the offsets at which to go on; `complete`: there was nothing more of what was asked for."""

    missing: tuple[Missing, ...]
    lines: tuple[Timed, ...]
    next: tuple[int, int]
    complete: bool


def last_lines(written: Written, lines: int, streams: Sequence[int] = BOTH, max_bytes: int = MAX_TAIL_BYTES) -> Excerpt:
    """The last `lines` lines of each stream, at most `max_bytes` of each; not `complete` where that bound cut some."""
    if written.logs_removed:
        return _removed(streams)
    tails = {stream: read_tail(path, stream, lines, max_bytes) for stream, path in _paths(written, streams)}
    parts = {stream: part for stream, (part, _) in tails.items()}
    begin = _begins(parts)
    return _merged(parts, _timeline(written, begin, parts), not any(is_cut for _, is_cut in tails.values()))


def read_excerpt(written: Written, ask: Ask) -> Excerpt:
    """A page from `ask.begin` on, or what matches there. Raises what `search` raises."""
    if written.logs_removed:
        return _removed(ask.streams, ask.begin)
    files = _files(written)
    bounds = span(index_file(files), ask.since, ask.until) if files is not None else None
    if bounds is None or _is_outside(written, ask):
        return Excerpt((), (), ask.begin, True)
    begin = (max(ask.begin[0], bounds.begin[0]), max(ask.begin[1], bounds.begin[1]))
    if ask.pattern is not None:
        return _matching(written, ask, begin, bounds.end)
    parts = {
        stream: read_part(path, stream, begin[stream], ask.limit, end=bounds.end[stream])
        for stream, path in _paths(written, ask.streams)
    }
    complete = all(part.at_end or part.next >= bounds.end[stream] for stream, part in parts.items())
    timeline = _timeline(written, begin, parts)
    parts = _in_step(parts, timeline)
    excerpt = _merged(parts, timeline, complete, begin)
    return _within(excerpt, ask)


def _removed(streams: Sequence[int], begin: tuple[int, int] = (0, 0)) -> Excerpt:
    return Excerpt(tuple(absent(stream, is_removed=True) for stream in streams), (), begin, True)


def _matching(written: Written, ask: Ask, begin: tuple[int, int], end: tuple[int, int]) -> Excerpt:
    scopes = [Scope(path, stream, begin[stream], end[stream]) for stream, path in _paths(written, ask.streams)]
    found = search(scopes, ask.pattern or "", ask.context, ask.limit)
    matches = {(line.stream, line.start) for one in found for line, is_match in one.lines if is_match}
    parts = {
        scope.stream: Part(one.missing, tuple(line for line, _ in one.lines), one.next, one.at_end)
        for scope, one in zip(scopes, found, strict=True)
    }
    excerpt = _merged(parts, _timeline(written, begin, parts), all(one.at_end for one in found), begin, matches)
    return _within(excerpt, ask)


def _in_step(parts: dict[int, Part], timeline: Timeline) -> dict[int, Part]:
    """Where one stream was read less far in time than the other, the other waits for it: pages keep the order."""
    limits = [timeline.number(stream, part.next + 1) for stream, part in parts.items() if not part.at_end]
    if not limits or len(parts) < 2:
        return parts
    last = min(limits)
    kept = {}
    for stream, part in parts.items():
        lines = tuple(line for line in part.lines if timeline.number(stream, line.end) <= last)
        if len(lines) < len(part.lines):
            part = Part(part.missing, lines, part.lines[len(lines)].start, False)
        kept[stream] = part
    return kept


def _merged(
    parts: dict[int, Part],
    timeline: Timeline,
    complete: bool,
    begin: tuple[int, int] = (0, 0),
    matches: Iterable[tuple[int, int]] = (),
) -> Excerpt:
    stdout, stderr = (parts[stream].lines if stream in parts else () for stream in BOTH)
    matching = set(matches)
    timed = tuple(
        Timed(line, stretch.after, stretch.by, (stream, line.start) in matching, stretch.groups > 0)
        for stream, line, stretch in timeline.merged(stdout, stderr, end_of=lambda line: line.end)
    )
    missing = tuple(one for part in parts.values() for one in part.missing)
    ends = tuple(parts[stream].next if stream in parts else begin[stream] for stream in BOTH)
    return Excerpt(missing, timed, (ends[0], ends[1]), complete)


def _within(excerpt: Excerpt, ask: Ask) -> Excerpt:
    """Without the lines that were surely not written in the time asked for."""
    if ask.since is None and ask.until is None:
        return excerpt
    since, until = ask.since or 0, ENDLESS if ask.until is None else ask.until
    lines = tuple(
        timed for timed in excerpt.lines if (timed.by is None or timed.by >= since) and _earliest(timed) <= until
    )
    return Excerpt(excerpt.missing, lines, excerpt.next, excerpt.complete)


def _earliest(timed: Timed) -> int:
    """When it may have been written at the soonest: where it was watched, a silence before it says nothing of it."""
    after = timed.after or 0
    return max(after, timed.by - _NOTED_MICROSECONDS) if timed.is_watched and timed.by is not None else after


def _is_outside(written: Written, ask: Ask) -> bool:
    """Whether the attempt's whole life is outside the time asked for."""
    too_late = ask.until is not None and written.started_at is not None and written.started_at > ask.until
    too_early = ask.since is not None and written.ended_at is not None and written.ended_at < ask.since
    return too_late or too_early


def _timeline(written: Written, begin: tuple[int, int], parts: dict[int, Part]) -> Timeline:
    """From `begin` to where the parts end, and where it is not known to be all, to what comes then."""
    files = _files(written)
    if files is None:
        return Timeline((Stretch(None, None, ENDLESS, ENDLESS),))
    ends = [parts[stream].next + (not parts[stream].at_end) if stream in parts else 0 for stream in BOTH]
    attempt = (index_file(files), written.started_at, written.ended_at)
    return read_timeline(*attempt, stdout=begin[0], stderr=begin[1], until=(ends[0], ends[1]))


def _begins(parts: dict[int, Part]) -> tuple[int, int]:
    """The first offsets of what was read; a stream of which nothing was read holds nothing up."""
    found = [parts[stream].lines[0].start if stream in parts and parts[stream].lines else ENDLESS for stream in BOTH]
    return found[0], found[1]


def _files(written: Written) -> LogFiles | None:
    if written.stdout is None or written.stderr is None:
        return None
    return LogFiles(written.stdout, written.stderr)


def _paths(written: Written, streams: Sequence[int]) -> list[tuple[int, str]]:
    files = _files(written)
    return [] if files is None else [(stream, files[stream]) for stream in streams]
