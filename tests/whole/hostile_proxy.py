"""A TCP proxy that misbehaves by seed, to stand between a client and the server (I7, F43, F45, F47, F49).

A `Fate` says what happens to a connection, and at which byte of what the server sends. A connection that survives one
gets the next, so does the next connection. A seed gives the same fates in the same order whatever the machine does;
`fired` counts those that came to pass, so that a test can show that its faults did.
"""

import math
import random
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from enum import StrEnum
from typing import NamedTuple

PIECE_BYTES = 64 * 1024
DRIPS = 400  # pieces of 1 to 7 bytes
DRIP_SECONDS = 0.0005
WAIT_SECONDS = 0.05


class Fault(StrEnum):
    NONE = "none"
    CUT = "cut"  # an orderly end, as if all had been said
    RESET = "reset"  # an end that throws away what is under way
    STALL = "stall"  # nothing for a while, then all of it
    DRIP = "drip"  # a few bytes at a time: lines and characters come in parts
    BLACK_HOLE = "black hole"  # what is sent vanishes, and nobody is told; in the end a reset


class Fate(NamedTuple):
    """`at`: so many bytes of the answer, its head included, come through before (at least 1). `seconds`: of silence."""

    fault: Fault
    at: int = 0
    seconds: float = 0.0
    seed: int = 0  # of the sizes of drips


def fates(seed: int, reach_bytes: int) -> Iterator[Fate]:
    """For ever: all faults in each dozen, close and far apart, by `reach_bytes` at most."""
    chance = random.Random(seed)
    dozen = [Fault.CUT] * 4 + [Fault.RESET] * 3 + [Fault.STALL] * 2 + [Fault.DRIP] * 2 + [Fault.BLACK_HOLE]
    while True:
        chance.shuffle(dozen)
        for fault in dozen:
            early, anywhere = math.exp(chance.uniform(0.0, math.log(reach_bytes))), chance.uniform(1, reach_bytes)
            at = int(chance.choice([early, anywhere]))
            seconds = {Fault.STALL: chance.uniform(0.05, 0.4), Fault.BLACK_HOLE: 1.0}.get(fault, 0.0)
            yield Fate(fault, at, seconds, chance.randrange(1 << 30))


class HostileProxy:
    """Listens on its `port` of 127.0.0.1 for a server on `upstream_port`, until `close`. A thread for each connection.

    `calm()`: from now on nothing new goes wrong. While the server is down connections are reset, which is no fault of
    ours and not counted.
    """

    def __init__(self, upstream_port: int, fates: Iterable[Fate]) -> None:
        self.upstream_port = upstream_port
        self.fired: Counter[Fault] = Counter()
        self.connections = 0
        self._fates = iter(fates)
        self._lock = threading.Lock()
        self._is_calm = False
        self._ends = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.settimeout(WAIT_SECONDS)
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, name="hostile proxy")]
        self._threads[0].start()

    def calm(self) -> None:
        self._is_calm = True

    def close(self) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "a connection of the proxy does not end"

    def _accept(self) -> None:
        with self._listener:
            while not self._ends.is_set():
                with suppress(TimeoutError):
                    client, _ = self._listener.accept()
                    self.connections += 1
                    thread = threading.Thread(target=self._serve, args=(client,), name="hostile proxy")
                    self._threads.append(thread)
                    thread.start()

    def _next_fate(self) -> Fate:
        with self._lock:  # of the generator
            return next(self._fates)

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                upstream = socket.create_connection(("127.0.0.1", self.upstream_port), timeout=10)
            except OSError:
                _reset(client)
                return
            with upstream, suppress(OSError):
                for each in (client, upstream):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    each.settimeout(10)
                self._carry(client, upstream)

    def _carry(self, client: socket.socket, upstream: socket.socket) -> None:
        fate, drips = self._next_fate(), iter(())
        left = fate.at
        while not self._ends.is_set():
            ready = select.select([client, upstream], [], [], WAIT_SECONDS)[0]
            if client in ready:
                data = client.recv(PIECE_BYTES)
                if not data:
                    return
                upstream.sendall(data)
            if upstream in ready:
                data = upstream.recv(PIECE_BYTES)
                if not data:
                    return
                while data:
                    harmless = self._is_calm or fate.fault is Fault.NONE
                    piece = data if harmless else data[:left]
                    data, left = data[len(piece) :], left - len(piece)
                    self._send(client, piece, drips)
                    if harmless or left:
                        continue
                    self.fired[fate.fault] += 1
                    if not self._strike(client, upstream, fate):
                        return
                    drips = _drips(fate) if fate.fault is Fault.DRIP else drips
                    fate = self._next_fate()
                    left = fate.at

    def _strike(self, client: socket.socket, upstream: socket.socket, fate: Fate) -> bool:
        """The fault; whether the connection goes on."""
        if fate.fault is Fault.STALL:
            self._ends.wait(fate.seconds)
        elif fate.fault is Fault.BLACK_HOLE:
            self._swallow(client, upstream, fate.seconds)
        if fate.fault in (Fault.RESET, Fault.BLACK_HOLE):
            _reset(client)
        return fate.fault in (Fault.STALL, Fault.DRIP)

    def _swallow(self, client: socket.socket, upstream: socket.socket, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._ends.is_set():
            for each in select.select([client, upstream], [], [], WAIT_SECONDS)[0]:
                if not each.recv(PIECE_BYTES):
                    return

    def _send(self, client: socket.socket, data: bytes, drips: Iterator[int]) -> None:
        """As long as there are drips, in those."""
        while data and (size := next(drips, 0)):
            client.sendall(data[:size])
            data = data[size:]
            self._ends.wait(DRIP_SECONDS)
        client.sendall(data)


def _drips(fate: Fate) -> Iterator[int]:
    chance = random.Random(fate.seed)
    return (chance.randrange(1, 8) for _ in range(DRIPS))


def _reset(connection: socket.socket) -> None:
    """What waits in it is thrown away, and the other side is told so."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
