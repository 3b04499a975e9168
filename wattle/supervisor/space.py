"""Is there room in the data directory, and what is done when there is none.

Two things are kept for that moment. Ahead of the database's log (`-wal`) blocks are reserved, which no worker
that floods the disk can take. The ballast (keeper/ballast.py) is there as long as all is well; the first write
that meets the full disk all the same gives it up. So ends and stops are still written down. From then on nothing
new is begun, until there is room for both and some more. The loop's thread changes it, any thread may ask it.
"""

import logging
import os
from contextlib import suppress

from wattle.errors import Unavailable, WattleError
from wattle.keeper import ballast
from wattle.keeper.reserve import UNSUPPORTED, reserve
from wattle.store.database import no_room

logger = logging.getLogger(__name__)

HEADROOM_BYTES = 512 * 1024  # beside the ballast, before anything new is begun
HEADROOM_INODES = 16
LEAST_BYTES = 64 * 1024  # with less the disk counts as full before a write has met it
EXT4_BLOCKS = 4096  # kept by ext4 for itself, whoever writes; less where that would be more than 2 % of all
OPEN_BYTES = 64 * 1024  # twice as much as the shared memory of the database
LOOK_SECONDS = 0.5  # while the disk is full
COMMITTED_LOOK_SECONDS = 2.0  # after a commit: it uses up the reserve, and the keeper gives the ballast up silently


class Space:
    """Room for what Wattle writes itself. A disk that is full is told once when it fills and once when it is over."""

    def __init__(self, data_dir: str, ballast_bytes: int = 0, database: str = "wattle.db") -> None:
        """`ballast_bytes` is the size of each of the two; 0: nothing is kept."""
        self._data_dir = data_dir
        self._ballast_bytes = ballast_bytes
        self._log = os.path.join(data_dir, f"{database}-wal")
        self._reserved: tuple[int, float] = (0, 0)  # inode of the log, and up to where it has blocks
        self._is_full = False
        self._store_problem: WattleError | None = None
        self._keeper_problem: str | None = None

    # --- what the loop finds

    def look(self) -> float | None:
        """Keep what is missing where there is room; the seconds until the next look, None where all is well."""
        wanted_bytes = HEADROOM_BYTES if self._is_full else LEAST_BYTES
        if self._has_ballast() and self._has_reserve() and self._has_room(wanted_bytes):
            self._has_recovered()
        else:
            self.fills()
        return LOOK_SECONDS if self._is_full else None

    def _has_ballast(self) -> bool:
        if not self._ballast_bytes or ballast.exists(self._data_dir):
            return True
        has_room = self._has_room(self._ballast_bytes + HEADROOM_BYTES)
        return has_room and ballast.make(self._data_dir, self._ballast_bytes)

    def _has_reserve(self) -> bool:
        """At least half of it; it is made whole then."""
        if not self._ballast_bytes:
            return True
        try:
            log = os.open(self._log, os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            return True  # made by the first commit
        try:
            found = os.fstat(log)
            inode, until = self._reserved
            if inode != found.st_ino or until - found.st_size < self._ballast_bytes // 2:
                reserve(log, found.st_size, self._ballast_bytes)
                self._reserved = (found.st_ino, found.st_size + self._ballast_bytes)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                return False
            self._reserved = (found.st_ino, float("inf"))
        finally:
            os.close(log)
        return True

    def fills(self) -> None:
        """A write met the full disk."""
        if not self._is_full:
            self._is_full = True
            logger.error(
                "the disk of %s is full: what runs goes on, nothing new is begun until %d KiB are free",
                self._data_dir,
                (2 * self._ballast_bytes + HEADROOM_BYTES) // 1024,
            )

    def make_room_to_open(self) -> None:
        """Before the database is opened where there is no room: a little of what is kept for its log is free then.

        SQLite needs some for its shared memory. Where blocks are smaller than a page it finds that out too late, when
        it writes to memory that has none (SIGBUS).
        """
        if self._ballast_bytes < 2 * OPEN_BYTES or self._has_room(LEAST_BYTES):
            return
        with suppress(OSError):  # there is no log, or it is not there that room is lacking
            log = os.open(self._log, os.O_WRONLY | os.O_CLOEXEC)
            try:
                found, kept = os.fstat(log), self._ballast_bytes - OPEN_BYTES
                os.ftruncate(log, found.st_size)  # frees what lies ahead of the end
                os.fsync(log)  # only then others can have it
                reserve(log, found.st_size, kept)
                self._reserved = (found.st_ino, found.st_size + kept)
            finally:
                os.close(log)

    def give_up_ballast(self) -> bool:
        """True if there is room now to try a write again."""
        return ballast.give_up(self._data_dir)

    def store_failed(self, error: WattleError) -> None:
        """What was gathered could not be committed."""
        if self._store_problem is None or self._store_problem.code != error.code:
            logger.error("the database cannot be written, what happens is kept in memory meanwhile: %s", error)
        self._store_problem = error

    def store_works(self) -> None:
        if self._store_problem is not None:
            logger.warning("the database can be written again, and what had happened is written")
            self._store_problem = None

    def keeper_says(self, problem: str | None) -> None:
        """Why the keeper starts nothing, None: it starts again."""
        if problem is not None and self._keeper_problem is None:
            logger.error("nothing new is started: %s", problem)
        elif problem is None and self._keeper_problem is not None:
            logger.warning("the keeper starts workers again")
        self._keeper_problem = problem

    # --- what others may know

    def require_store(self) -> None:
        """Unavailable, OutOfSpace or Refused while the last commit failed: what that said."""
        problem = self._store_problem
        if problem is not None:
            raise type(problem)(problem.code, problem.message)

    def require(self) -> None:
        """OutOfSpace while there is no room for anything new."""
        if self._is_full or not self._has_room(LEAST_BYTES):
            self.fills()
            self.look()
        if self._is_full:
            raise no_room(self._data_dir)

    def check(self) -> bool:
        """For readiness; OutOfSpace or Unavailable says why not."""
        if self._is_full or not self._has_room(LEAST_BYTES):
            raise no_room(self._data_dir)
        if self._keeper_problem is not None:
            raise Unavailable("STORE_UNAVAILABLE", f"Nothing new is started: {self._keeper_problem}")
        return True

    # --- helpers

    def _has_recovered(self) -> None:
        if self._is_full:
            self._is_full = False
            logger.warning("there is room again in %s: everything goes on", self._data_dir)

    def _has_room(self, wanted_bytes: int) -> bool:
        try:
            found = os.statvfs(self._data_dir)
        except OSError:
            return False
        blocks, inodes = found.f_bavail, found.f_favail
        if os.geteuid() == 0:  # may use what is kept for root
            inodes = found.f_ffree
            if found.f_blocks >= 50 * EXT4_BLOCKS:  # else how much that is cannot be told
                blocks = max(blocks, found.f_bfree - EXT4_BLOCKS)
        has_inodes = found.f_files == 0 or inodes >= HEADROOM_INODES  # 0: it does not count them
        return has_inodes and blocks * found.f_frsize >= wanted_bytes


