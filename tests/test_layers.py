"""Imports go up the list of rooms, never down (design: Rooms)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import wattle

ROOT = Path(wattle.__file__).parent
ROOMS = [
    "errors", "config", "definition", "importers", "engine", "store", "keeper", "logs", "metrics", "supervisor",
    "diagnosis", "service", "api", "web", "client", "daemon", "cli",
]  # fmt: skip
PURE = ("definition", "importers", "engine")
IMPURE = {"os", "time", "socket", "subprocess", "threading", "sqlite3", "pathlib", "random", "select", "signal"}
FILES = sorted(ROOT.rglob("*.py"))


def room_of(path: Path) -> str | None:
    """The room a file is in; None for the package's own `__init__`."""
    first = path.relative_to(ROOT).parts[0]
    return None if first == "__init__.py" else first.removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Every module imported anywhere in the file, late imports and those for types included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the room"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def wrong(path: Path) -> list[str]:
    room = room_of(path)
    if room is None:
        return [name for name in imports(path) if name.startswith("wattle.")]
    bad = []
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "wattle" or len(parts) < 2 or parts[1] not in ROOMS:
            continue
        if room == "keeper" and parts[1] != "keeper" or ROOMS.index(parts[1]) > ROOMS.index(room):
            bad.append(name)
    return bad


def test_every_file_is_in_a_room_of_the_list() -> None:
    assert {room_of(path) for path in FILES} - {None} <= set(ROOMS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_from_rooms_above_it(path: Path) -> None:
    assert wrong(path) == []


def test_only_the_command_line_imports_the_composition_root() -> None:
    users = {room_of(path) for path in FILES if any(name.startswith("wattle.daemon") for name in imports(path))}
    assert users <= {"cli", "daemon"}


def test_only_the_store_speaks_sql() -> None:
    users = {room_of(path) for path in FILES if {"sqlite3", "peewee"} & {name.split(".")[0] for name in imports(path)}}
    assert users == {"store"}


@pytest.mark.parametrize("path", [p for p in FILES if room_of(p) in PURE], ids=lambda p: str(p.relative_to(ROOT)))
def test_pure_rooms_have_no_clock_no_file_and_no_process(path: Path) -> None:
    allowed = {"os.path", "posixpath", "signal"}
    used = {name for name in imports(path) if name.split(".")[0] in IMPURE and name not in allowed}
    assert {name for name in used if not name.startswith(("os.path", "signal"))} == set()


def test_the_keeper_needs_only_the_standard_library() -> None:
    import sys

    names = {name.split(".")[0] for path in FILES if room_of(path) == "keeper" for name in imports(path)}
    assert names - {"wattle"} <= set(sys.stdlib_module_names)


def test_a_wrong_import_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control."""
    (tmp_path / "engine").mkdir()
    bad = tmp_path / "engine" / "bad.py"
    bad.write_text("def f():\n    from wattle.store import rows\n")
    monkeypatch.setattr(__import__("tests.test_layers", fromlist=["ROOT"]), "ROOT", tmp_path)
    assert wrong(bad) == ["wattle.store", "wattle.store.rows"]
