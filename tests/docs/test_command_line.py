"""docs/command-line.md: its commands are typed by somebody with a home and a checkout of their own."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.docs.documents import DOCS, examples, screen_shape, section, shape, table
from tests.docs.shells import Reader
from wattle.cli.app import VERBS, cli
from wattle.cli.exits import Exit
from wattle.cli.session import Session
from wattle.config import SETTINGS

PAGE = DOCS / "command-line.md"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    yield reader
    reader.types("wattle down")


def test_the_commands_print_what_is_shown(reader: Reader) -> None:
    for block, answer in examples(PAGE):
        assert answer is not None, f"{block}: what does it print?"
        screen = reader.types(block.text)
        if answer.language == "json":
            assert shape(json.loads(screen)) == shape(json.loads(answer.text)), block
        else:
            assert screen_shape(screen) == screen_shape(answer.text), f"{block}: {block.text}\n{screen}"


def test_every_verb_is_listed() -> None:
    verbs = {row[0].split()[1].strip("`") for row in table(PAGE.read_text())}
    assert verbs == set(VERBS)


def test_the_options_of_every_verb_are_listed() -> None:
    shared = {"--data-dir", "--server", "--lang", "--color", "--quiet"}
    there = {}
    for name in set(VERBS) - {"serve"}:
        command = cli.get_command(click.Context(cli, obj=Session()), name)
        verbs = {name: command} | {f"{name} {inner}": each for inner, each in getattr(command, "commands", {}).items()}
        for path, verb in verbs.items():
            assert verb is not None
            options = [param.opts for param in verb.params if isinstance(param, click.Option)]
            there[path] = {opts[-1] for opts in options} - shared
    rows = table(section(PAGE, "Options"))
    said = {row[0].strip("`"): set(re.findall(r"(?<!\()`(-[\w-]+)`", row[1])) for row in rows}
    assert said == {path: options for path, options in there.items() if options}


def test_the_exit_statuses_are_those_of_the_code() -> None:
    rows = table(section(PAGE, "Exit status"))
    assert {row[1].strip("`"): int(row[0]) for row in rows} == {code.name: int(code) for code in Exit}


def test_every_setting_is_listed_with_its_variable_and_flag() -> None:
    rows = table(section(PAGE, "Settings"))
    said = {tuple(cell.strip("`") for cell in row[:3]) for row in rows}
    assert said == {(setting.name, setting.variable, setting.flag) for setting in SETTINGS}


def test_the_options_of_serve_are_documented(reader: Reader) -> None:
    options = set(re.findall(r"--[a-z][a-z-]+", reader.types("wattle serve --help"))) - {"--help"}
    assert {option for option in options if f"`{option}" not in PAGE.read_text()} == set()
