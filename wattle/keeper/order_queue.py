"""Orders that wait, and which is next: within its group the highest priority, then the first to arrive;
between groups with room, in turn. No process, no clock.

What is taken is not counted but looked at: the uids that live now, by group.
"""

import heapq
from collections import deque

from wattle.keeper.worker import Order

MAX_PROCESSES = 256
PROBES = "probes"  # the group of what looks at services: no worker, so not counted among max_processes

Entry = tuple[int, int, Order]


class _Group:
    """One group's orders: those that take one of its slots, and those that bypass them."""

    __slots__ = ("bypass", "live", "queued", "slots", "waiting")

    def __init__(self) -> None:
        self.slots: int | None = None
        self.live: set[str] = set()
        self.waiting: list[Entry] = []
        self.bypass: list[Entry] = []
        self.queued = False

    def has_room(self) -> bool:
        return self.slots is None or len(self.live) < self.slots


class OrderQueue:
    """A group without a limit is held back by `max_processes` only."""

    def __init__(self) -> None:
        self.max_processes = MAX_PROCESSES
        self._groups: dict[str, _Group] = {}
        self._orders: dict[str, Order] = {}
        self._live: set[str] = set()
        self._turns: deque[str] = deque()
        self._arrivals = 0
        self._returns = 0

    def __len__(self) -> int:
        return len(self._orders)

    def __contains__(self, uid: str) -> bool:
        return uid in self._orders

    def uids(self) -> list[str]:
        return list(self._orders)

    def waits_in(self, group: str) -> bool:
        known = self._groups.get(group)
        return known is not None and self._top(known.waiting) is not None

    def limit(self, group: str, slots: int | None) -> None:
        """Give the group so many slots; None: forget that it had a limit."""
        self._group(group).slots = slots
        self._offer(group)
        self._forget_if_idle(group)

    def add(self, order: Order) -> None:
        self._arrivals += 1
        self._push(order, self._arrivals)

    def put_back(self, order: Order) -> None:
        """It was taken and could not be started yet: it is the first of its priority again."""
        self._returns += 1
        self._push(order, -self._returns)

    def _push(self, order: Order, place: int) -> None:
        group = self._group(order.group)
        heap = group.waiting if order.takes_slot else group.bypass
        heapq.heappush(heap, (-order.priority, place, order))
        self._orders[order.uid] = order
        self._offer(order.group)

    def withdraw(self, uid: str) -> bool:
        """Take the order out; False if it does not wait here. Its heap entry is dropped when it surfaces."""
        return self._orders.pop(uid, None) is not None

    def take(self) -> Order | None:
        """Take the next order that may run now, None if none may. A probe may whenever it comes: on a machine whose
        processes are all taken, a service must not seem ill."""
        while self._turns and len(self._live) < self.max_processes:
            name = self._turns.popleft()
            group = self._groups[name]
            group.queued = False
            order = self._take_from(group)
            if order is not None:
                self._offer(name)
                return order
            self._forget_if_idle(name)
        return self._take_from(self._groups[PROBES]) if PROBES in self._groups else None

    def lives(self, uid: str, group: str, takes_slot: bool) -> None:
        """A worker of the group lives now."""
        if group != PROBES:
            self._live.add(uid)
        if takes_slot:
            self._group(group).live.add(uid)

    def ended(self, uid: str, group: str) -> None:
        self._live.discard(uid)
        self._group(group).live.discard(uid)
        self._offer(group)
        self._forget_if_idle(group)

    def _group(self, name: str) -> _Group:
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = _Group()
        return group

    def _offer(self, name: str) -> None:
        group = self._groups[name]
        if not group.queued and (group.bypass or (group.waiting and group.has_room())):
            group.queued = True
            self._turns.append(name)

    def _take_from(self, group: _Group) -> Order | None:
        bypass = self._top(group.bypass)
        waiting = self._top(group.waiting) if group.has_room() else None
        if waiting is not None and (bypass is None or waiting < bypass):
            heap = group.waiting
        elif bypass is not None:
            heap = group.bypass
        else:
            return None
        order = heapq.heappop(heap)[2]
        del self._orders[order.uid]
        return order

    def _top(self, heap: list[Entry]) -> Entry | None:
        while heap and self._orders.get(heap[0][2].uid) is not heap[0][2]:
            heapq.heappop(heap)
        return heap[0] if heap else None

    def _forget_if_idle(self, name: str) -> None:
        group = self._groups[name]
        if group.slots is None and not (group.live or group.waiting or group.bypass or group.queued):
            del self._groups[name]
