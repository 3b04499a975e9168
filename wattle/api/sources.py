"""What the pump asks of those who give it something to write."""

from collections.abc import Collection, Hashable, Iterable
from typing import Protocol, Self, runtime_checkable

from wattle.logs.forward import OpenFile


class Source(Protocol):
    """What is written to one client. Only the pump's thread calls it; it must not wait, and bounds what it gives."""

    @property
    def more(self) -> bool:
        """Whether another poll would give more at once."""

    @property
    def done(self) -> bool:
        """Whether the answer is complete with what has been given."""

    def poll(self, now: float, notified: bool) -> bytes:
        """What there is to write now, maybe nothing. `now` is monotonic. `notified`: something has changed."""

    def close(self) -> None:
        """The client is gone or served. Called once."""


@runtime_checkable
class Shared(Source, Protocol):
    """A source of which many clients want the same: two with one key at one position give the same from there on."""

    @property
    def key(self) -> Hashable | None:
        """What it tells of. None: nobody else will ever want just this."""

    @property
    def position(self) -> str:
        """Where it stands: the id of what was given last."""

    @property
    def waits_for_files(self) -> bool:
        """Whether it waits for a file that is not there yet."""

    @property
    def waits_seconds(self) -> float | None:
        """How soon it is to be polled again though nothing tells of a change; None: it need not be."""

    def files(self) -> Iterable[OpenFile]:
        """The open files whose growth gives it something to say."""

    def concerns(self, subjects: Collection[str]) -> bool:
        """Whether a change of state of one of these (`workflow`, `workflow/worker`) may."""

    def at(self, position: str) -> Self:
        """Another one of this key that starts there."""
