"""Descriptors and what to call when one is ready. `epoll` forgets a descriptor only when its last copy is
closed, so whoever closes one forgets it here first.
"""

import select
from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT


class Poller:
    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._calls: dict[int, Callable[[int], None]] = {}

    def watch(self, descriptor: int, mask: int, call: Callable[[int], None]) -> None:
        """Call `call(mask that is ready)` from now on."""
        self._epoll.register(descriptor, mask)
        self._calls[descriptor] = call

    def change(self, descriptor: int, mask: int) -> None:
        self._epoll.modify(descriptor, mask)

    def forget(self, descriptor: int) -> None:
        if self._calls.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def wait(self, seconds: float | None) -> list[tuple[int, int]]:
        return self._epoll.poll(-1 if seconds is None else seconds, 64)

    def serve(self, ready: list[tuple[int, int]]) -> None:
        for descriptor, mask in ready:
            call = self._calls.get(descriptor)
            if call is not None:
                call(mask)
