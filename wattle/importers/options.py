"""What an import is told besides the file."""

from dataclasses import dataclass

MAX_BYTES = 4 * 1024 * 1024  # of a file that a person wrote


@dataclass(frozen=True, slots=True)
class Place:
    """Where the file is. `directory` is absolute; `stem` is its name without the ending, "" for standard input."""

    directory: str
    stem: str

    @property
    def directory_name(self) -> str:
        return self.directory.rstrip("/").rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Options:
    """`name` None: the file's own. `working_dir` is where its commands run, as the definition shall say it.

    `include_disabled`: also what the other tool would not have started by itself.
    """

    place: Place
    name: str | None = None
    working_dir: str | None = None
    include_disabled: bool = False
