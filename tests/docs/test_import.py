"""docs/import.md: its commands, and what it says about numbers."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.documents import DOCS, examples, screen_shape, section, table
from tests.docs.shells import Reader
from wattle.importers.names import KEPT_CHARACTERS
from wattle.importers.replay import LARGE_WRITE_BYTES, SMALL_READ_BYTES
from wattle.importers.wfformat import FILES_DIRECTORY, Options

PAGE = DOCS / "import.md"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    yield reader
    reader.types("wattle down")


def test_the_commands_print_what_is_shown(reader: Reader) -> None:
    for block, answer in examples(PAGE):
        assert answer is not None, f"{block}: what does it print?"
        assert screen_shape(reader.types(block.text)) == screen_shape(answer.text), block


def test_every_option_is_listed_with_its_default(reader: Reader) -> None:
    rows = table(section(PAGE, "Options"))
    said = {row[0].strip("`").split()[0]: row[2] for row in rows}
    offered = set(re.findall(r"^  (?:-o, )?(--[a-z-]+)", reader.types("wattle import wfformat --help"), re.MULTILINE))
    assert {"--output" if option == "-o" else option for option in said} == offered - {
        "--help", "--data-dir", "--server", "--lang"
    }  # fmt: skip
    assert float(said["--scale"]) == Options().scale and int(said["--max-bytes"]) == Options().max_bytes


def test_the_numbers_are_those_of_the_code() -> None:
    text = section(PAGE, "What becomes of what")
    assert f"at most {SMALL_READ_BYTES // 1024} KiB together" in text
    assert f"at most {LARGE_WRITE_BYTES // 1024**2} MiB;" in text
    assert f"first {KEPT_CHARACTERS} characters" in text and f"`{FILES_DIRECTORY}/`" in text
