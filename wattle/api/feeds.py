"""What many clients want to hear: each feed reads a thing once, encodes it once, and gives it to all its members.

A client joins a feed when its own source has told it everything up to where the feed stands; one that reads too slowly
leaves it and is served by a source of its own again, from where it was: the file is what waits, not memory.
"""

import logging
import math
from collections.abc import Callable, Collection, Hashable
from typing import NamedTuple

from wattle.api.connection import Client
from wattle.api.replies import closed, polled
from wattle.api.sources import Shared
from wattle.logs.forward import OpenFile
from wattle.logs.hearing import Hearing

logger = logging.getLogger(__name__)

_AT_ONCE = 50  # so often at once …
_STEP_SECONDS = 0.01  # … and for long only so often: a flood is taken in gulps
_POLLS = 4  # at a time
_FLOOD_BYTES = 64 * 1024  # said at a time: of some hundred lines
_LOOK_SECONDS = 30.0  # how old what is known of an attempt may get though nobody said that it changed


class Pace:
    """How often something may be done: so often at once, for long once in `step_seconds` (a leaky bucket, GCRA)."""

    def __init__(self, at_once: int = _AT_ONCE, step_seconds: float = _STEP_SECONDS) -> None:
        self._step_seconds = step_seconds
        self._burst_seconds = (at_once - 1) * step_seconds
        self._paid_until = 0.0

    def take(self, now: float) -> float:
        """It is done now, allowed or not; when it may be done again, a step from now at the latest."""
        self._paid_until = min(max(self._paid_until, now), now + self._burst_seconds) + self._step_seconds
        return self._paid_until - self._burst_seconds


class Feed:
    """Its `members` have heard all that it has said. `trailing` are clients that are about to join."""

    def __init__(self, source: Shared) -> None:
        self.source = source
        self.members: dict[Client, None] = {}
        self.trailing: set[Client] = set()
        self.changed = True
        self.done = False
        self.looked_at = 0.0
        self.armed: set[OpenFile] = set()
        self.is_polled = False
        self.is_flooded = False  # it grows by much, or more often than it may be looked at
        self.pace = Pace()
        self.rests_until = 0.0


class _Token(NamedTuple):
    feed: Feed
    file: OpenFile


Give = Callable[[Feed, bytes, str], None]


class Feeds:
    """All feeds by their keys, and the one descriptor that says which of their files have grown. The pump's thread."""

    def __init__(self, poll_seconds: float, *, use_inotify: bool = True) -> None:
        self._poll_seconds = poll_seconds
        self._feeds: dict[Hashable, Feed] = {}
        self._due: dict[Feed, float] = {}
        self.inotify: Hearing | None = None
        if use_inotify:
            try:
                self.inotify = Hearing()
            except OSError as error:
                logger.warning("logs are polled, for inotify cannot be used: %s", error.strerror)

    def __len__(self) -> int:
        return len(self._feeds)

    def get(self, key: Hashable) -> Feed | None:
        return self._feeds.get(key)

    def open(self, source: Shared, now: float) -> Feed:
        """A feed that goes on with this source. It is due: something may have come since its last poll."""
        feed = self._feeds[source.key] = Feed(source)
        feed.looked_at = now
        self._due[feed] = now
        return feed

    def leave(self, feed: Feed, client: Client) -> set[Client]:
        """It has gone. Gives those who were about to join, where it was the last member: they have no feed any more."""
        feed.members.pop(client, None)
        feed.trailing.discard(client)
        if feed.members or feed.done:
            return set()
        self._end(feed)
        return feed.trailing

    @property
    def next_at(self) -> float | None:
        return min(self._due.values(), default=None)

    def due(self, now: float) -> list[Feed]:
        found = [feed for feed, at in self._due.items() if at <= now]
        for feed in found:
            del self._due[feed]
        return found

    def is_current(self, feed: Feed) -> bool:
        return self._feeds.get(feed.source.key) is feed

    def grown(self, now: float) -> None:
        """The descriptor says that files have grown."""
        if self.inotify is None:
            return
        grown, ended = self.inotify.read()
        for token in ended:
            assert isinstance(token, _Token)
            token.feed.armed.discard(token.file)
        for token in grown:
            assert isinstance(token, _Token)
            feed = token.feed
            at = max(now, feed.rests_until)
            if self._due.get(feed, math.inf) > at:  # it may be due late, for a line without its end
                self._due[feed] = at
            if feed.rests_until > now:
                self._flood(feed)

    def changed(self, subjects: Collection[str] | None, now: float) -> None:
        """The state of these has changed, None: of anything."""
        for feed in self._feeds.values():
            if subjects is None or feed.source.concerns(subjects):
                feed.changed = True
                self._due[feed] = min(now, self._due.get(feed, now))

    def look_again(self, feed: Feed, now: float) -> None:
        """Somebody passes by: nothing is believed for ever."""
        if now - feed.looked_at >= _LOOK_SECONDS:
            feed.changed = True
            self._due.setdefault(feed, now)

    def advance(self, feed: Feed, now: float, give: Give) -> None:
        """Say what there is to say to all members; `give` gets the position before it. Then `done`, or it waits."""
        feed.rests_until = feed.pace.take(now)
        changed, feed.changed = feed.changed, False
        if changed:
            feed.looked_at = now
        self._arm(feed)  # before the poll: what comes after it is told
        more = news = False
        said_bytes = 0
        for _ in range(_POLLS):
            before = feed.source.position
            said, more, feed.done = polled(feed.source, now, changed)
            changed = False
            if said:
                give(feed, said, before)
                said_bytes += len(said)
                if said_bytes > _FLOOD_BYTES:
                    self._flood(feed)
            news = not more and self._arm(feed)  # what came before that was told to nobody
            if feed.done or not (more or news):
                break
        if said_bytes <= _FLOOD_BYTES and feed.rests_until <= now:
            feed.is_flooded = False
        if feed.done or not feed.members:
            self._end(feed)
        elif more or news:
            self._due[feed] = now
        else:
            waits = [feed.source.waits_seconds] if feed.source.waits_seconds is not None else []
            if feed.is_polled or feed.source.waits_for_files:
                waits.append(self._poll_seconds)
            if waits:
                self._due[feed] = now + min(waits)

    def close(self) -> None:
        for feed in list(self._feeds.values()):
            self._end(feed)
        if self.inotify is not None:
            self.inotify.close()

    def _arm(self, feed: Feed) -> bool:
        """Have its files watched that are not; whether there were such."""
        files = list(feed.source.files())
        feed.is_polled = False
        if len(files) == len(feed.armed) and feed.armed.issuperset(files):
            return False
        for gone in feed.armed.difference(files):
            self._forget(feed, gone)
        news = False
        for file in files:
            if file in feed.armed:
                continue
            if self.inotify is not None and self.inotify.watch(file.fd, _Token(feed, file), once=feed.is_flooded):
                feed.armed.add(file)
                news = True
            else:
                feed.is_polled = True
        return news

    def _flood(self, feed: Feed) -> None:
        """What is written until it is read again need not be told, and shall cost its writer nothing."""
        if not feed.is_flooded:
            feed.is_flooded = True
            for file in list(feed.armed):
                self._forget(feed, file)

    def _forget(self, feed: Feed, file: OpenFile) -> None:
        feed.armed.discard(file)
        if self.inotify is not None:
            self.inotify.forget(_Token(feed, file))

    def _end(self, feed: Feed) -> None:
        if not self.is_current(feed):
            return
        del self._feeds[feed.source.key]
        self._due.pop(feed, None)
        for file in list(feed.armed):
            self._forget(feed, file)
        closed(feed.source)
