"""YAML to the values that JSON has, with the place of each: for definition files; HTTP takes JSON only.

A subset with no surprises: no anchors and aliases (a document of a kilobyte could mean a gigabyte), no tags, no
second document, no key twice. What is not quoted is null, a boolean or a number only where YAML 1.2 and JSON
agree that it is: `yes`, `no`, `on`, `off`, `0644` and `2026-01-31` are texts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from wattle.definition.document import MAX_DEPTH, MAX_VALUES
from wattle.definition.places import pointer
from wattle.definition.problems import shown
from wattle.errors import Malformed, Problem, TooLarge

CODE = "INVALID_YAML"
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_UNREADABLE = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # not c-printable
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<rest>\.[0-9]+)?(?P<power>[eE][+-]?[0-9]+)?")
_QUOTED_BEGIN = re.compile(r""":\s+("[^"]*"|'[^']*')\s*\S*""")
_KEPT_BEGIN = re.compile(r"[:-]\s+([@`%&*!]).?$")
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Places:
    """`{pointer: (line, column)}` of every value."""

    places: Mapping[str, tuple[int, int]]

    def located(self, problem: Problem) -> Problem:
        """The problem with its place: that of its value, else of the nearest container."""
        at = problem.pointer
        while at not in self.places and at:
            at = at.rpartition("/")[0]
        line, column = self.places.get(at, (None, None))
        return replace(problem, line=line, column=column)


def parse_yaml(data: bytes, *, max_bytes: int, anchors: bool = False) -> tuple[object, Places]:
    """The value that `data` holds, and its places; Malformed `INVALID_YAML` with one located Problem, TooLarge.

    With `anchors` aliases and `<<` are taken as other tools take them; what they repeat counts as if written out.
    """
    if len(data) > max_bytes:
        raise TooLarge("BODY_TOO_LARGE", f"The file has {len(data)} bytes; the limit is {max_bytes} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        column = len(before) - before.rfind("\n")
        _refuse(f"byte 0x{data[error.start]:02x} is not UTF-8", before.count("\n") + 1, column)
    return _Reading(anchors).value_of(text.removeprefix("\ufeff"))


def write_yaml(document: object, *, is_ascii: bool = False) -> str:
    """A text that `parse_yaml` reads as the same value. To the writer's YAML 1.1 `1e3` is a text: that is quoted."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    Dumper.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(rf"{_NUMBER.pattern}\Z"), list("-0123456789"))
    return yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=not is_ascii)


@dataclass(slots=True)
class _Container:
    value: Any
    pointer: str
    key: str | None = None  # of a mapping: that the next value belongs to

    def put(self, value: object) -> str:
        """Take in the next value; its pointer."""
        if isinstance(self.value, list):
            self.value.append(value)
            return f"{self.pointer}/{len(self.value) - 1}"
        assert self.key is not None
        self.value[self.key] = value
        at, self.key = self.pointer + pointer((self.key,)), None
        return at


class _Reading:
    """Events of the parser to values, without recursion."""

    def __init__(self, anchors: bool = False) -> None:
        self._anchored: dict[str, Any] | None = {} if anchors else None
        self._open: list[_Container] = []
        self._places: dict[str, tuple[int, int]] = {}
        self._count = 0
        self._result: object = None

    def value_of(self, text: str) -> tuple[object, Places]:
        import yaml

        if unreadable := _UNREADABLE.search(text):
            at = unreadable.start()
            line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
            _refuse(f"it holds the character U+{ord(unreadable[0]):04X}, which no YAML may hold", line, column)
        documents = 0
        try:
            for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
                if isinstance(event, yaml.DocumentStartEvent):
                    documents += 1
                    if documents > 1:
                        self._refuse(event, "a second document begins here; a definition is one")
                elif isinstance(event, yaml.AliasEvent):
                    self._alias(event)
                elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                    self._close(event)
                elif isinstance(event, yaml.NodeEvent):
                    self._node(event)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            said = " ".join(filter(None, (error.problem, error.context)))
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            _refuse(said or "it cannot be read", line, column, _remedy(said, text, line, column))
        except yaml.YAMLError as error:
            _refuse(f"it cannot be read: {shown(str(error).splitlines()[0])}", 1, 1)
        if not documents:
            _refuse("the file is empty", 1, 1)
        return self._result, Places(self._places)

    def _node(self, event: Any) -> None:
        import yaml

        if event.anchor is not None and self._anchored is None:
            self._refuse(event, f"the anchor '&{shown(event.anchor)}' is not allowed")
        if event.tag is not None and event.tag != "!":
            self._refuse(event, f"the tag '{shown(event.tag)}' is not allowed")
        here = self._open[-1] if self._open else None
        is_scalar = isinstance(event, yaml.ScalarEvent)
        if here is not None and here.key is None and isinstance(here.value, dict):
            self._key(event, here, is_scalar)
            return
        self._count += 1
        if self._count > MAX_VALUES:
            self._refuse(event, f"it holds more than {MAX_VALUES} values")
        value: Any = self._scalar(event) if is_scalar else {} if isinstance(event, yaml.MappingStartEvent) else []
        at = ""
        if here is None:
            self._result = value
        else:
            at = here.put(value)
        self._places[at] = _place(event)
        if event.anchor is not None and self._anchored is not None:
            self._anchored[event.anchor] = value
        if not is_scalar:
            if len(self._open) >= MAX_DEPTH:
                self._refuse(event, f"it is nested deeper than {MAX_DEPTH} levels")
            self._open.append(_Container(value, at))

    def _alias(self, event: Any) -> None:
        if self._anchored is None:
            self._refuse(event, f"the alias '*{shown(str(event.anchor))}' is not allowed")
        here = self._open[-1] if self._open else None
        if here is not None and here.key is None and isinstance(here.value, dict):
            self._refuse(event, "a key must be a text")
        if event.anchor not in self._anchored:
            self._refuse(event, f"no anchor '&{shown(str(event.anchor))}' stands before its alias")
        value = self._anchored[event.anchor]
        if here is None or any(value is each.value for each in self._open):
            self._refuse(event, f"the alias '*{shown(str(event.anchor))}' stands within what it means")
        self._places[here.put(self._copied(event, value))] = _place(event)

    def _copied(self, event: Any, value: Any) -> Any:
        self._count += 1
        if self._count > MAX_VALUES:
            self._refuse(event, f"it holds more than {MAX_VALUES} values")
        if isinstance(value, dict):
            return {key: self._copied(event, each) for key, each in value.items()}
        return [self._copied(event, each) for each in value] if isinstance(value, list) else value

    def _close(self, event: Any) -> None:
        """`<<` gives a mapping what it does not have itself."""
        closed = self._open.pop().value
        if self._anchored is None or not isinstance(closed, dict) or "<<" not in closed:
            return
        merged = closed.pop("<<")
        for each in merged if isinstance(merged, list) else [merged]:
            if not isinstance(each, dict):
                self._refuse(event, "what `<<` merges must be a mapping")
            for key, value in each.items():
                closed.setdefault(key, value)

    def _key(self, event: Any, here: _Container, is_scalar: bool) -> None:
        if not is_scalar:
            self._refuse(event, "a key must be a text")
        if event.value in here.value:
            self._refuse(event, f"the key '{shown(event.value, 60)}' stands twice in one mapping")
        self._check_text(event)
        here.key = event.value

    def _scalar(self, event: Any) -> Any:
        self._check_text(event)
        text: str = event.value
        if event.style:
            return text
        if text in _NULL:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        number = _NUMBER.fullmatch(text)
        if number is None:
            return text
        if number["rest"] or number["power"]:
            value = float(text)
            if value in (float("inf"), float("-inf")):
                self._refuse(event, f"the number '{shown(text, 60)}' is beyond the range of 64 bits")
            return value
        if len(text) > 20 or not _SMALLEST <= int(text) <= _LARGEST:
            self._refuse(event, f"the number '{shown(text, 60)}' is beyond the range of 64 bits")
        return int(text)

    def _check_text(self, event: Any) -> None:
        if "\0" in event.value:
            self._refuse(event, "a text holds NUL")

    def _refuse(self, event: Any, reason: str) -> NoReturn:
        _refuse(reason, *_place(event))


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _remedy(said: str, text: str, line: int, column: int) -> str | None:
    """What to write instead where a command meets what YAML keeps for itself; by the place, as its parsers differ."""
    lines = text.split("\n")
    here = lines[line - 1] if line <= len(lines) else ""
    before, at = here[: column - 1], here[column - 1 : column]
    if "mapping values are not allowed" in said:
        return "a text that holds `: ` stands in quotes, or in a block below `command: |`"
    if at == "\t" and not before.strip():
        return "indent with blanks, not with tabs"
    if _QUOTED_BEGIN.search(before):
        return "the text ends at its second quote: quote the whole value, or use a block below `command: |`"
    if kept := _KEPT_BEGIN.search(before + at):
        return f"a text that begins with {kept[1]} stands in quotes"
    return None


def _refuse(reason: str, line: int, column: int, remedy: str | None = None) -> NoReturn:
    message = f"The file is not acceptable YAML: {reason} (line {line}, column {column})"
    problem = Problem(CODE, message, "", remedy, line=line, column=column)
    raise Malformed(CODE, message, details=[problem])
