"""docs/import.md: its commands, and what it says about numbers."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.documents import DOCS, examples, screen_shape, section, table
from tests.docs.shells import Reader
from wattle.cli.importing import import_verb
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


@pytest.mark.parametrize("kind", import_verb.commands)
def test_every_option_is_listed(reader: Reader, kind: str) -> None:
    offered = set(re.findall(r"^  (?:-o, )?(--[a-z-]+)", reader.types(f"wattle import {kind} --help"), re.MULTILINE))
    text = PAGE.read_text().replace("`-o OUT`", "`--output OUT`")
    shared = set(re.findall(r"--[a-z-]+", reader.types("wattle import --help")))
    assert {option for option in offered - shared if f"`{option}" not in text} == set()


def test_the_defaults_of_wfformat_are_those_of_the_code() -> None:
    rows = table(section(PAGE, "Options"))
    said = {row[0].strip("`").split()[0]: row[2] for row in rows}
    assert float(said["--scale"]) == Options().scale and int(said["--max-bytes"]) == Options().max_bytes


def test_the_numbers_are_those_of_the_code() -> None:
    text = section(PAGE, "What becomes of what")
    assert f"at most {SMALL_READ_BYTES // 1024} KiB together" in text
    assert f"at most {LARGE_WRITE_BYTES // 1024**2} MiB;" in text
    assert f"first {KEPT_CHARACTERS} characters" in text and f"`{FILES_DIRECTORY}/`" in text
