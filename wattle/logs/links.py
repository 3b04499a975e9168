"""The documented paths `<workflow's directory>/<worker>/stdout.log` and `stderr.log` (W-21, A19).

They are symlinks to the newest attempt's files, a convenience: where one cannot be made, because something
else stands there or the place is not writable, the real path is named instead and nothing is touched.
Everything happens relative to a descriptor of the directory, so that a directory swapped for a symlink
meanwhile leads nowhere else.
"""

import contextlib
import os
import re
import secrets

from wattle.logs.files import LogFiles, logs_root

_LOOKS_OURS = re.compile(r"/logs/(\d+|unstarted)/\d+\.\d+\.(out|err)$")


def ensure_links(working_dir: str, worker: str, files: LogFiles, *, data_dir: str) -> tuple[str, str]:
    """The paths at which stdout and stderr can be read now: the documented ones, or the real ones.

    Makes the directory (parents too), the files (empty, 0600) and the links. A link is replaced only if it
    points into `data_dir`'s logs, or looks as if another data directory's Wattle had made it. Never raises
    for reasons of the file system; may be called from any thread.
    """
    for path in files:
        _make_file(path)
    directory = os.path.join(working_dir, worker)
    try:
        os.makedirs(directory, exist_ok=True)
        dir_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return files.stdout, files.stderr
    try:
        root = logs_root(data_dir)
        stdout = _ensure_link(dir_fd, "stdout.log", files.stdout, root)
        stderr = _ensure_link(dir_fd, "stderr.log", files.stderr, root)
    finally:
        os.close(dir_fd)
    return (
        os.path.join(directory, "stdout.log") if stdout else files.stdout,
        os.path.join(directory, "stderr.log") if stderr else files.stderr,
    )


def _make_file(path: str) -> None:
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))


def _ensure_link(dir_fd: int, name: str, target: str, root: str) -> bool:
    """Whether `name` now points to `target`."""
    try:
        os.symlink(target, name, dir_fd=dir_fd)
        return True
    except FileExistsError:
        pass
    except OSError:
        return False
    try:
        present = os.readlink(name, dir_fd=dir_fd)  # EINVAL where it is no symlink
        if present == target:
            return True
        return (_is_inside(present, root) or bool(_LOOKS_OURS.search(present))) and _replace(dir_fd, name, target)
    except OSError:
        return False


def _is_inside(path: str, root: str) -> bool:
    return os.path.normpath(path).startswith(os.path.normpath(root) + os.sep)


def _replace(dir_fd: int, name: str, target: str) -> bool:
    temporary = f".{name}.{secrets.token_hex(6)}"
    os.symlink(target, temporary, dir_fd=dir_fd)
    try:
        os.rename(temporary, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    except OSError:
        os.unlink(temporary, dir_fd=dir_fd)
        return False
    return True
