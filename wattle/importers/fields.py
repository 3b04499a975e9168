"""Fields of a document of another tool, read one by one: of the wanted type, or a problem with its place.

What nobody has asked for is what cannot be kept: `unread` names it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from wattle.definition.places import Path
from wattle.definition.problems import Problems, Stage, it_is

_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Fields:
    """One mapping. Several names are spellings of one field: the first that is there counts. Null is absent."""

    def __init__(self, raw: Any, path: Path, problems: Problems) -> None:
        self.path, self._problems = path, problems
        self._read: set[str] = set()
        if not isinstance(raw, dict):
            problems.add(Stage.SHAPE, path, f"{_spoken(path)} must be a mapping{it_is(raw)}")
            raw = {}
        self.values: Mapping[str, Any] = raw

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def unread(self) -> list[str]:
        """Names of fields that are there and were not asked for."""
        return [name for name, value in self.values.items() if name not in self._read and value not in (None, [], {})]

    def any(self, *names: str) -> tuple[Path, Any]:
        """The value as it is, and its place; None where there is none."""
        self._read.update(names)
        found = next((name for name in names if self.values.get(name) is not None), names[0])
        return (*self.path, found), self.values.get(found)

    def text(self, *names: str) -> str | None:
        """Numbers and booleans are taken as they are written."""
        path, value = self.any(*names)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return str(value)
        return value if value is None or isinstance(value, str) else self._wrong(path, value, "a text")

    def number(self, *names: str, at_least: float = 0) -> float | None:
        path, value = self.any(*names)
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                return self._wrong(path, value, "a number")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not at_least <= value < 1e9:
            return self._wrong(path, value, f"a number, at least {at_least:g}")
        return int(value) if value == int(value) else value

    def whole(self, *names: str, at_least: int = 0) -> int | None:
        value = self.number(*names, at_least=at_least)
        return None if value is None else int(value)

    def flag(self, *names: str) -> bool | None:
        path, value = self.any(*names)
        if isinstance(value, str) and value.lower() in _WORDS:
            return _WORDS[value.lower()]
        return value if value is None or isinstance(value, bool) else self._wrong(path, value, "true or false")

    def texts(self, *names: str) -> list[str]:
        """A list of texts; one text alone is a list of it."""
        path, value = self.any(*names)
        if value is None:
            return []
        if not isinstance(value, list):
            value = [value]
        if any(isinstance(each, dict | list) or each is None for each in value):
            return self._wrong(path, value, "a list of texts") or []
        return [str(each) for each in value]

    def part(self, *names: str) -> "Fields | None":
        path, value = self.any(*names)
        return None if value is None else Fields(value, path, self._problems)

    def parts(self, *names: str) -> Iterator[tuple[str, "Fields"]]:
        """Of a mapping of mappings: the name and fields of each."""
        outer = self.part(*names)
        if outer is not None:
            for name in outer.values:
                outer._read.add(name)
                yield name, Fields(outer.values[name] or {}, (*outer.path, name), self._problems)

    def pairs(self, *names: str) -> dict[str, str]:
        """Variables: `[NAME=value, …]`, `{NAME: value}`, or a list of such mappings."""
        path, value = self.any(*names)
        found: dict[str, str] = {}
        for each in value if isinstance(value, list) else [] if value is None else [value]:
            if isinstance(each, dict):
                found.update((name, _written(inner)) for name, inner in each.items())
            elif isinstance(each, str) and "=" in each:
                name, _, text = each.partition("=")
                found[name.strip()] = text
            else:
                self._wrong(path, each, "NAME=value, or a mapping of names to values")
        return found

    def complain(self, path: Path, message: str) -> None:
        self._problems.add(Stage.VALUE, path, message)

    def _wrong(self, path: Path, value: Any, wanted: str) -> Any:
        self._problems.add(Stage.SHAPE, path, f"{_spoken(path)} must be {wanted}{it_is(value)}")
        return None


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _spoken(path: Path) -> str:
    return f"'{'.'.join(map(str, path))}'" if path else "the file"
