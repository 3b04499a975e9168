"""Orders that came ahead of their time: each waits until others have ended well, or for the daemon's word. No
process, no clock.

What has nothing more to wait for is free; it stays here until it is taken, so that it can still be taken back.
"""

from wattle.keeper.worker import Order


class OrdersAhead:
    """By their uids."""

    def __init__(self) -> None:
        self._orders: dict[str, Order] = {}
        self._awaited: dict[str, set[str]] = {}  # by an order's uid: whose ends it still waits for
        self._followers: dict[str, list[str]] = {}  # by the uid that is waited for
        self._free: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._orders)

    @property
    def has_free(self) -> bool:
        return bool(self._free)

    def add(self, order: Order) -> None:
        """Keep it until all of `order.after` have ended well; one of the same uid is forgotten."""
        self.take(order.uid)
        self._orders[order.uid] = order
        self._awaited[order.uid] = set(order.after)
        for uid in self._awaited[order.uid]:
            self._followers.setdefault(uid, []).append(order.uid)

    def take(self, uid: str) -> Order | None:
        """Take an order out, whatever it waits for; None where there is none."""
        order = self._orders.pop(uid, None)
        if order is None:
            return None
        for awaited in self._awaited.pop(uid):
            followers = self._followers.get(awaited, [])
            if uid in followers:
                followers.remove(uid)
            if not followers:
                self._followers.pop(awaited, None)
        if uid in self._free:
            self._free.remove(uid)
        return order

    def never_well(self, uid: str) -> None:
        """However this one ends, nothing follows from it."""
        self._followers.pop(uid, None)

    def ended_well(self, uid: str) -> None:
        """What waits for this end waits for one less."""
        for follower in self._followers.pop(uid, ()):
            awaited = self._awaited[follower]
            awaited.discard(uid)
            if not awaited:
                self._free.append(follower)

    def take_free(self) -> list[Order]:
        """Take out those that have nothing more to wait for, the first that was freed first."""
        return [order for uid in tuple(self._free) if (order := self.take(uid)) is not None]

    def clear(self) -> None:
        self._orders.clear()
        self._awaited.clear()
        self._followers.clear()
        self._free.clear()
