"""Hearing that files grow: one inotify descriptor for all of them.

A watch that stays costs a writer of tiny unbuffered writes a third of its speed; one that is good for one event costs
it nothing until it is set again, which is as often as somebody wants to read. So a flood is heard of once a read and
slows nobody down, and what grows now and then is heard of without another system call for each growth.
"""

import ctypes
from collections.abc import Hashable

from wattle.logs.inotify import IN_IGNORED, IN_MODIFY, IN_ONESHOT, IN_Q_OVERFLOW, Inotify, libc

# File systems on which others than this kernel write: network ones, and FUSE, which may be anything.
_FOREIGN = {
    0x6969: "nfs",
    0xFF534D42: "cifs",
    0xFE534D42: "smb2",
    0x517B: "smb",
    0x65735546: "fuse",
    0x01021997: "9p",
    0x00C36400: "ceph",
    0x5346414F: "afs",
    0x0BD00BD0: "lustre",
    0x47504653: "gpfs",
}


class Hearing:
    """`fd` is readable when a watched file has grown. One thread at a time."""

    def __init__(self) -> None:
        """OSError where there is no inotify, or no instance of it is left to this user."""
        self._inotify = Inotify()
        self.fd = self._inotify.fd
        self._tokens: dict[int, set[Hashable]] = {}  # by watch: files have one each, whoever watches
        self._watches: dict[Hashable, int] = {}

    def watch(self, fd: int, token: Hashable, *, once: bool = False) -> bool:
        """Tell `token` when the open file grows, `once` or until it is forgotten.

        False: nobody would tell, so it must be polled.
        """
        if is_foreign(fd):
            return False
        self.forget(token)
        try:  # by descriptor: the file may have another name by now, or none
            watch = self._inotify.watch(f"/proc/self/fd/{fd}", IN_MODIFY | (IN_ONESHOT if once else 0))
        except OSError:
            return False
        self._tokens.setdefault(watch, set()).add(token)
        self._watches[token] = watch
        return True

    def read(self) -> tuple[set[Hashable], set[Hashable]]:
        """Those whose files have grown (all, where more happened than the kernel kept), and those that must set another
        watch to hear more."""
        grown: set[Hashable] = set()
        ended: set[Hashable] = set()
        while events := list(self._inotify.read()):
            for watch, mask in events:
                if mask & IN_Q_OVERFLOW:  # among what is lost may be the word that a watch has gone
                    grown.update(self._watches)
                    ended.update(self._watches)
                    for token in list(self._watches):
                        self.forget(token)
                grown.update(self._tokens.get(watch, ()))
                if mask & IN_IGNORED:
                    for token in self._tokens.pop(watch, ()):
                        ended.add(token)
                        self._watches.pop(token, None)
        return grown, ended

    def forget(self, token: Hashable) -> None:
        """It wants to hear no more."""
        watch = self._watches.pop(token, None)
        if watch is None:
            return
        tokens = self._tokens.get(watch, set())
        tokens.discard(token)
        if not tokens:
            self._tokens.pop(watch, None)
            self._inotify.unwatch(watch)

    def close(self) -> None:
        self._inotify.close()


def is_foreign(fd: int) -> bool:
    """Whether others than this kernel may write to the file, of which inotify hears nothing."""
    buffer = ctypes.create_string_buffer(256)  # struct statfs; f_type is its first word
    if libc().fstatfs(fd, buffer) != 0:
        return True
    return (ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF) in _FOREIGN
