"""Effective directories and paths: absolute, normalised, decided from the document and a `Context` alone.

Nothing is looked up: `..` and doubled slashes are folded in the text, links are not followed.
"""

from dataclasses import dataclass
from posixpath import normpath

LONGEST_BYTES = 4095  # PATH_MAX without its NUL
LOG_NAMES = ("stdout.log", "stderr.log")


@dataclass(frozen=True, slots=True)
class Context:
    """Where relative paths begin: absolute directories. An empty `data_dir` means that none is known."""

    base_dir: str
    home: str
    work_dir: str
    data_dir: str


def absolute(path: str, base: str, home: str) -> str:
    """`path` as seen from `base`; `~` and `~/…` are `home`, `~other` is an ordinary name."""
    if path[0] == "~" and (path == "~" or path[1] == "/"):
        path = home + path[1:]
    elif path[0] != "/":
        path = f"{base}/{path}"
    path = normpath(path)
    return path[1:] if path.startswith("//") else path  # POSIX lets // be something else; Linux does not


def why_not_output(given: str, effective: str, directories: tuple[str, str], context: Context) -> str | None:
    """Why a worker's output cannot be at `effective` (given as `given`), or None.

    `directories` are the working directories of the worker and of the workflow.
    """
    if given.endswith("/") or given.rpartition("/")[2] in (".", ".."):
        return "names a directory, not a file"
    if effective in directories:
        return "is the working directory itself"
    in_data_dir = context.data_dir and is_inside(effective, context.data_dir)
    if in_data_dir and not is_below(effective, context.work_dir):
        return "is inside Wattle's data directory"
    return why_not_path(effective)


def why_not_path(effective: str) -> str | None:
    """Why no file system takes the path, or None."""
    if len(effective) * 4 > LONGEST_BYTES and len(effective.encode()) > LONGEST_BYTES:
        return f"is longer than {LONGEST_BYTES} bytes as an absolute path"
    return None


def is_below(path: str, directory: str) -> bool:
    return path.startswith(directory if directory.endswith("/") else f"{directory}/")


def is_inside(path: str, directory: str) -> bool:
    return path == directory or is_below(path, directory)


def log_owner(path: str, workflow_dir: str) -> str | None:
    """The worker whose log would be at `path` (`<workflow's directory>/<worker>/stdout.log`), or None."""
    if not path.endswith(LOG_NAMES) or not is_below(path, workflow_dir):
        return None
    parts = path[len(workflow_dir) :].strip("/").split("/")
    return parts[0] if len(parts) == 2 and parts[1] in LOG_NAMES else None
