"""A worker that makes the four descendants which a supervisor loses, prints their pids, and sleeps.

Run as `python -I -S evasive.py [leader's answer to TERM: obey, exit, ignore] [end by itself: yes]`.
"""

import os
import signal
import sys
import time


def child(*, own_session: bool = False, twice: bool = False, immune: bool = False) -> None:
    """Fork one that sleeps for a minute and tells its pid."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        if own_session:
            os.setsid()
        if twice and os.fork():
            os._exit(0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN if immune else signal.SIG_DFL)
        os.write(writing, b"%d" % os.getpid())
        os.close(reading)
        os.close(writing)
        time.sleep(60)
        os._exit(0)
    os.close(writing)
    print(int(os.read(reading, 20)), flush=True)
    os.close(reading)
    if twice:
        os.waitpid(pid, 0)


answer = sys.argv[1] if len(sys.argv) > 1 else "obey"
if answer == "exit":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(3))
if answer == "ignore":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child()
child(own_session=True)
child(own_session=True, twice=True)
child(immune=True)
if len(sys.argv) > 2:
    sys.exit(5)
while True:
    time.sleep(60)
