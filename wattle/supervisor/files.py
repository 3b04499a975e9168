"""Jobs on users' files: directories, outputs, captures, last words, links. They run on the loop's small pool,
never on the loop, and come back as messages. Each may be repeated after a crash from any step.
"""

import errno
import logging
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from typing import Any

from wattle.definition.model import Worker, Workflow
from wattle.keeper.ballast import UNWRITABLE
from wattle.keeper.failpoints import reach
from wattle.logs.files import LogFiles
from wattle.logs.holes import hole_end
from wattle.logs.links import ensure_links
from wattle.logs.read import last_line
from wattle.store.rows import CaptureRow
from wattle.supervisor.surroundings import (
    EnvFiles,
    env_files_of,
    io_path,
    needs_io_file,
    read_env_file,
    write_io_file,
)

logger = logging.getLogger(__name__)

COPY_BYTES = 1 << 27
MARK = "user.wattle.captured"
CaptureLookup = Callable[[str], CaptureRow | None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """`unusable` is {directory: why it could not be made}, `unread` {env_file: why it could not be read}. With
    `waits` it is all to be tried again: the disk of the data directory does not take what is Wattle's own.

    `uid` is the run's: a run that could not be committed leaves its id to the next one. `whose` is the worker that it
    was made for alone, as (position, version), None: for the run."""

    run_id: int
    uid: str
    unusable: dict[str, str]
    env_files: EnvFiles = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    waits: bool = False
    whose: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose files a job is about."""

    run_id: int
    worker: Worker
    attempt: int
    uid: str
    files: LogFiles
    started_at: int  # µs


@dataclass(frozen=True, slots=True)
class OutputsSeen:
    """A success looked at: what is missing, what deserves a notice, what was copied and waits for its rename."""

    subject: Subject
    missing: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    copied: CaptureRow | None = None
    placed: CaptureRow | None = None  # it stands at its path already, marked as ours
    beside: str | None = None  # looked at the others only: this one was captured just now
    problem: str | None = None
    problem_code: str = "capture_failed"


@dataclass(frozen=True, slots=True)
class Placed:
    """A captured file stands at its path."""

    subject: Subject
    capture: CaptureRow
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class LastWords:
    """A failure looked at: the last line of stderr, and that its outputs were set aside for the retry."""

    subject: Subject
    line: str | None


@dataclass(frozen=True, slots=True)
class Synced:
    """Captured files are on disk."""


@dataclass(frozen=True, slots=True)
class LookFailed:
    """A look that crashed."""

    subject: Subject


@dataclass(frozen=True, slots=True)
class Crashed:
    """A job that raised: what it was for is in its arguments."""

    job: Callable[[], Any]

    @property
    def _first(self) -> Any:
        return self.job.args[0] if isinstance(self.job, partial) and self.job.args else None

    @property
    def prepared(self) -> Prepared | None:
        """As if a preparation had found nothing to do: it takes the run's id and uid first."""
        if not isinstance(self.job, partial) or self.job.func is not prepare:
            return None
        run_id, uid = self.job.args[:2]
        return Prepared(run_id, uid, {}, whose=self.job.keywords.get("whose"))

    @property
    def subject(self) -> Subject | None:
        return self._first if isinstance(self._first, Subject) else None


def prepare(
    run_id: int,
    uid: str,
    log_dir: str,
    directories: Iterable[str],
    workflow: Workflow,
    workers: Sequence[Worker],
    data_dir: str,
    *,
    whose: tuple[int, int] | None = None,
) -> Prepared:
    """Make what workers need: their directories, their WATTLE_IO_FILEs; and read their env_files."""
    unusable: dict[str, str] = {}
    waits = False
    for directory in (log_dir, *directories):
        try:
            reach("daemon.prepare.before")
            os.makedirs(directory, mode=0o700 if directory == log_dir else 0o777, exist_ok=True)
        except OSError as error:
            unusable[directory] = error.strerror or str(error)
            waits = waits or (error.errno in UNWRITABLE and directory.startswith(f"{data_dir}/"))
    for worker in workers:
        if needs_io_file(workflow, worker):
            path = io_path(data_dir, run_id, worker)
            try:
                write_io_file(path, workflow, worker)
            except OSError as error:
                unusable[path] = error.strerror or str(error)
                waits = waits or error.errno in UNWRITABLE
    env_files, unread = {}, {}
    for path in env_files_of(workflow, workers):
        try:
            env_files[path] = read_env_file(path)
        except ValueError as reason:
            unread[path] = str(reason)
    return Prepared(run_id, uid, unusable, env_files, unread, waits, whose)


def look_at_outputs(subject: Subject, captured: CaptureLookup, again: bool = False) -> OutputsSeen:
    """Are the declared outputs there; is standard output to be saved as one (design: Outputs).

    `again`: an earlier look at this attempt may have been cut short between its copy and its rename.
    """
    worker = subject.worker
    half_done = _half_done(subject, captured) if again else None
    if half_done is not None:
        return OutputsSeen(subject, copied=half_done)
    target = _capture_target(worker, subject.files, captured)
    if target is not None:
        try:
            copied, is_marked = _copy(subject, target)
            if not is_marked:
                return OutputsSeen(subject, copied=copied)
            reach("daemon.capture.copied")
            os.rename(copied.temporary_path, target)
            reach("daemon.capture.renamed")
        except _HeadDropped as dropped:
            problem = f"standard output could not be saved as {target}: {dropped}"
            return OutputsSeen(subject, problem=problem, problem_code="OUTPUT_TRUNCATED")
        except OSError as error:
            return OutputsSeen(subject, problem=_not_saved(target, error))
        return replace(look_at_others(subject, target), placed=replace(copied, state="placed"))
    return look_at_others(subject, None)


def look_at_others(subject: Subject, captured_path: str | None) -> OutputsSeen:
    """Which declared outputs are missing or were there before, but for the one that was just captured."""
    reach("daemon.outputs.seen")
    missing, notices = [], []
    for output in subject.worker.outputs.values():
        if output.path == captured_path:
            continue
        try:
            found = os.stat(output.path)
        except OSError:
            if not output.optional:
                missing.append(output.path)
            continue
        if not _changed_since(found, subject.started_at):
            notices.append(f"{output.path} was there before and is unchanged")
    return OutputsSeen(subject, tuple(missing), tuple(notices), beside=captured_path)


class _HeadDropped(Exception):
    """The log is not whole: its head was dropped to bound it."""

    def __init__(self, dropped_bytes: int) -> None:
        super().__init__(f"the first {dropped_bytes} bytes of it were dropped to bound the log")


def place(subject: Subject, capture: CaptureRow) -> Placed:
    """Move a complete copy to its path; done already when the path has the copy's identity."""
    try:
        reach("daemon.capture.copied")
        os.rename(capture.temporary_path, capture.path)
    except FileNotFoundError as error:
        if not is_captured(capture):
            return Placed(subject, capture, _not_saved(capture.path, error))
    except OSError as error:
        return Placed(subject, capture, _not_saved(capture.path, error))
    return Placed(subject, capture)


def is_captured(capture: CaptureRow) -> bool:
    """Does the path hold just what Wattle put there."""
    try:
        found = os.lstat(capture.path)
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns, found.st_ino) == (capture.size, capture.mtime_ns, capture.inode)


def sync(paths: Sequence[str]) -> Synced:
    """Bring captured files to disk. All are set going before the first is waited for, so that they share the file
    system's own commit (measured on ext4, ten new small files: 85 µs each instead of 263)."""
    descriptors = []
    for path in paths:
        with suppress(OSError):  # a consumer may have moved it
            descriptors.append(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC))
    for descriptor in descriptors:
        with suppress(OSError):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)  # begins to write what is dirty
    for descriptor in descriptors:
        try:
            os.fsync(descriptor)
        except OSError as error:
            logger.warning("a captured file could not be synced: %s", error)
        os.close(descriptor)
    return Synced()


def last_words(subject: Subject, set_aside: bool) -> LastWords:
    """The last line a failed attempt wrote; with `set_aside` its outputs become `<path>.failed-<attempt>`."""
    line = last_line(subject.files.stderr)
    if set_aside:
        for output in subject.worker.outputs.values():
            with suppress(OSError):
                if _changed_since(os.stat(output.path), subject.started_at):
                    reach("daemon.outputs.set_aside")
                    os.rename(output.path, f"{output.path}.failed-{subject.attempt}")
    return LastWords(subject, line)


def link_logs(working_dir: str, data_dir: str, subjects: Iterable[tuple[str, LogFiles]]) -> None:
    """Let the documented log paths lead to the newest attempts' files."""
    for worker, files in subjects:
        ensure_links(working_dir, worker, files, data_dir=data_dir)


def make_launcher(directory: str, interpreter: str) -> None:
    """A directory in which `python` is Wattle's interpreter, for the end of the workers' PATH."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    quoted = "'" + interpreter.replace("'", "'\\''") + "'"
    text = f'#!/bin/sh\nexec {quoted} "$@"\n'
    for name in ("python", "python3"):
        path = os.path.join(directory, name)
        with suppress(OSError), open(path, encoding="utf-8", errors="replace") as existing:
            if existing.read() == text:
                continue
        temporary = f"{path}.{os.getpid()}"
        with open(temporary, "w", encoding="utf-8") as launcher:
            launcher.write(text)
        os.chmod(temporary, 0o700)
        os.rename(temporary, path)


def _capture_target(worker: Worker, files: LogFiles, captured: CaptureLookup) -> str | None:
    """The path that standard output is saved at, or None.

    Without `stdout` it is the one declared output, if the worker did not write it and printed anything.
    """
    if worker.stdout is not None:
        path = worker.outputs[worker.stdout].path
    elif worker.capture_stdout and len(worker.outputs) == 1:
        path = next(iter(worker.outputs.values())).path
        if not _size(files.stdout):
            return None
    else:
        return None
    if not os.path.lexists(path):
        return path
    earlier = captured(path)
    return path if _is_marked(path) or (earlier is not None and is_captured(earlier)) else None


def _half_done(subject: Subject, captured: CaptureLookup) -> CaptureRow | None:
    """This attempt's copy that is complete and recorded, but was not renamed before a crash."""
    for output in subject.worker.outputs.values():
        capture = captured(output.path)
        if capture is not None and capture.attempt_uuid == subject.uid and capture.state == "copied":
            with suppress(OSError):
                if os.stat(capture.temporary_path).st_ino == capture.inode:
                    return capture
    return None


def _copy(subject: Subject, target: str) -> tuple[CaptureRow, bool]:
    """A complete copy beside the target, and whether it carries our mark.

    The mark (an extended attribute) tells a later look that the file is ours even if nothing was written down, so
    it can be renamed at once, and synced together with others before anything is committed that tells of it. A file
    system without such attributes needs the copy's identity committed first, of a copy that is on disk.
    """
    temporary = f"{target}.wattle-{subject.uid[-12:]}"
    try:
        found, is_marked = _fill(temporary, subject.files.stdout, target)
    except (OSError, _HeadDropped):
        with suppress(OSError):
            os.unlink(temporary)
        raise
    row = CaptureRow(target, subject.uid, temporary, found.st_size, found.st_mtime_ns, found.st_ino, "copied")
    return row, is_marked


def _fill(temporary: str, log: str, target: str) -> tuple[os.stat_result, bool]:
    source = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check_whole(source)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC
        copy = os.open(temporary, flags, 0o666)
        try:
            reach("daemon.capture.opened")
            _copy_all(source, copy)
            _check_whole(source)  # or its head went meanwhile
            found = os.fstat(copy)
            is_marked = _set_mark(copy, target, found)
            if not is_marked:
                os.fsync(copy)
        finally:
            os.close(copy)  # where a network file system says that its disk is full
    finally:
        os.close(source)
    return found, is_marked


def _check_whole(source: int) -> None:
    """Leaves the descriptor at the start of the file."""
    dropped_bytes = hole_end(source, 0)
    if dropped_bytes:
        raise _HeadDropped(dropped_bytes)
    os.lseek(source, 0, os.SEEK_SET)


def _copy_all(source: int, copy: int) -> None:
    """The kernel copies, if it can between these two files."""
    try:
        while os.copy_file_range(source, copy, COPY_BYTES):
            pass
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        while os.sendfile(copy, source, None, COPY_BYTES):
            pass


def _set_mark(copy: int, target: str, found: os.stat_result) -> bool:
    try:
        os.setxattr(copy, MARK, _mark(target, found))
    except OSError:
        return False
    return True


def _mark(path: str, found: os.stat_result) -> bytes:
    """What the mark of a captured file says: a file that was moved, copied or written since says otherwise.

    The size is not part of it: after a power cut a file may be shorter than it was, and is still ours to replace.
    """
    identity = f"{found.st_mtime_ns}:{found.st_ino}:".encode()
    return identity + blake2b(os.fsencode(path), digest_size=16).hexdigest().encode()


def _is_marked(path: str) -> bool:
    """Does the path hold just what a Wattle put there, by the file's own mark."""
    try:
        return os.getxattr(path, MARK, follow_symlinks=False) == _mark(path, os.lstat(path))
    except OSError:
        return False


def _not_saved(path: str, error: OSError) -> str:
    return f"standard output could not be saved as {path}: {error.strerror}"


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _changed_since(found: os.stat_result, started_at: int) -> bool:
    """Written since the attempt began. A directory counts as changed; clocks of file systems are coarse (10 ms)."""
    return stat.S_ISDIR(found.st_mode) or max(found.st_mtime_ns, found.st_ctime_ns) // 1000 >= started_at - 10_000
