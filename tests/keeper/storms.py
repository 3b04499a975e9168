"""Workers that make processes faster than one can look: `python -I -S storms.py KIND SECONDS`.

Every process of a storm ends by itself after SECONDS, whatever becomes of it. `up` is printed when it rages.

brood   the leader makes a child each 5 ms (T5), half of them in sessions of their own
chain   eight lines of which each forks, leaves its session and exits, without a pause: no pid lives for a millisecond
hydra   pairs that watch each other through pidfds; whoever sees the other die makes two new ones, each in a session
        of its own, up to 2,000 in all
"""

import mmap
import os
import select
import signal
import sys
import time

kind, until = sys.argv[1], time.monotonic() + float(sys.argv[2])
PAIRS = 40
MOST = 2000
made = mmap.mmap(-1, 4)  # shared: how many were made (roughly, nobody locks it)


def brood() -> None:
    print("up", flush=True)
    number = 0
    while time.monotonic() < until:
        time.sleep(0.005)
        number += 1
        if os.fork() == 0:
            if number % 2:
                os.setsid()
            time.sleep(max(0.0, until - time.monotonic()))
            os._exit(0)


def chain() -> None:
    for _ in range(8):
        if os.fork() == 0:
            while time.monotonic() < until:
                if os.fork():
                    os._exit(0)
                os.setsid()
            os._exit(0)
    print("up", flush=True)
    time.sleep(max(0.0, until - time.monotonic()))


def hydra() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    pipes = [(os.pipe(), os.pipe()) for _ in range(PAIRS)]
    for mine, other in ((0, 1), (1, 0)):
        for pair in pipes:
            if os.fork() == 0:
                os.setsid()
                os.write(pair[other][1], b"%10d" % os.getpid())
                watch(int(os.read(pair[mine][0], 10)))
    time.sleep(0.3)
    print("up", flush=True)
    time.sleep(max(0.0, until - time.monotonic()))


def watch(target: int) -> None:
    while time.monotonic() < until:
        try:
            pidfd = os.pidfd_open(target)
        except OSError:
            pass
        else:
            select.select([pidfd], [], [], max(0.0, until - time.monotonic()))
            os.close(pidfd)
        if time.monotonic() >= until:
            break
        me = os.getpid()
        for _ in range(2):
            count = int.from_bytes(made[:4], "little") + 1
            if count > MOST:
                os._exit(0)
            made[:4] = count.to_bytes(4, "little")
            target = os.fork()
            if target == 0:
                os.setsid()
                target = me
                break
    os._exit(0)


{"brood": brood, "chain": chain, "hydra": hydra}[kind]()
