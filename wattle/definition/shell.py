"""How sh reads the place of each placeholder in a command: inside which quotes, or nowhere that can be told.

A value must never become shell text, so a placeholder is turned into a reference to a variable, and the quotes
around it decide how that is written. This is no parser of sh: it follows quotes, `$(…)`, `${…}`, `$((…))`,
backquotes, comments and here-documents, and where it cannot be sure it says so for everything that follows.
"""

import re
from dataclasses import dataclass, field
from enum import Enum

_BLANKS = re.compile(r"[ \t]*")
_BEFORE_COMMENT = frozenset(" \t\n;&|()<>")
_CASE = re.compile(r"case(?![A-Za-z0-9_])")
_DELIMITER_ENDS = frozenset(" \t\n;&|<>()")


class Where(Enum):
    """The place of a placeholder; the value says why it may not stand there (None: it may)."""

    PLAIN = None, 1
    DOUBLE = None, 2  # inside double quotes, or in a here-document that sh expands
    COMMENT = None, 3
    SINGLE = "stands inside single quotes, where sh replaces nothing", 4
    QUOTED_HERE = "stands in a here-document whose delimiter is quoted, where sh replaces nothing", 5
    ESCAPED = "has a backslash before it", 6
    UNSURE = "stands where Wattle cannot be sure how sh reads it", 7

    @property
    def reason(self) -> str | None:
        return self.value[0]


@dataclass(slots=True)
class _Open:
    """Something that has begun: `kind` is `` (the command), `"`, `(` (`$(`), `{` (`${`), `((` or `here`."""

    kind: str
    depth: int = 1  # of parentheses
    here_documents: list[tuple[str, bool, bool]] = field(default_factory=list)  # (delimiter, strips tabs, quoted)


def places_of(text: str, mark: str) -> list[Where]:
    """Where each `mark`, a character that stands for a placeholder, is; in order."""
    return _Look(text, mark, "").found


class _Look:
    def __init__(self, text: str, mark: str, kind: str) -> None:
        self.text, self.mark = text, mark
        self.found: list[Where] = []
        self.is_lost = False
        self._open = [_Open(kind)]
        self._at = self._word_goes_on_at = 0
        while self._at < len(text):
            self._step()
        if len(self._open) > 1 or self._open[0].here_documents:
            self.is_lost = True

    def _step(self) -> None:
        character, kind = self.text[self._at], self._open[-1].kind
        if character == self.mark:
            self._add(_PLACES[kind])
            self._at += 1
        elif character == "\\":
            if self.text[self._at + 1 : self._at + 2] == self.mark:
                self._add(Where.ESCAPED)
            is_between_words = self.text.startswith("\n", self._at + 1) and self._is_at_word()
            self._at += 2
            if not is_between_words:
                self._word_goes_on_at = self._at
        elif character == "`":
            self._skip_to(_end_of_backquotes(self.text, self._at), Where.UNSURE)
        elif character == "$":
            self._dollar(kind)
        elif kind in ("", "("):
            self._in_command(character)
        else:
            self._in_quotes(character, kind)

    def _in_command(self, character: str) -> None:
        here = self._open[-1]
        if character == "'":
            self._skip_to(self.text.find("'", self._at + 1) + 1 or len(self.text), Where.SINGLE)
        elif character == '"':
            self._begin('"', 1)
        elif character == "#" and self._is_at_word():
            end = self.text.find("\n", self._at)
            self._skip_to(end if end >= 0 else len(self.text), Where.COMMENT)
        elif self.text.startswith("<<<", self._at):
            self._at += 3
        elif self.text.startswith("<<", self._at):
            self._here_document()
        elif character == "\n" and here.here_documents:
            self._bodies(here)
        else:
            self._parenthesis(character)
            if here.kind == "(" and _CASE.match(self.text, self._at) and self._is_at_word():
                self.is_lost = True  # its patterns end with parentheses that were never opened
            self._at += 1

    def _in_quotes(self, character: str, kind: str) -> None:
        if kind == "{" and character in "\"'":
            # what quotes mean in there depends on the operator and on the quotes outside
            if character == "'" and all(each.kind in ("", "(", "{") for each in self._open):
                self._skip_to(self.text.find("'", self._at + 1) + 1 or len(self.text), Where.UNSURE)
                return
            if character == '"' and all(each.kind in ("", "(", "{") for each in self._open):
                self._begin('"', 1)
                return
            self.is_lost = True
        elif kind == "((" and character in "\"'":
            self.is_lost = True
        elif (kind == '"' and character == '"') or (kind == "{" and character == "}"):
            self._open.pop()
        elif kind == "((":
            self._parenthesis(character)
        self._at += 1

    def _parenthesis(self, character: str) -> None:
        here = self._open[-1]
        if here.kind in ("(", "(("):
            here.depth += (character == "(") - (character == ")")
            if not here.depth:
                self._open.pop()
                self._word_goes_on_at = self._at + 1
                self.is_lost |= bool(here.here_documents)

    def _dollar(self, kind: str) -> None:
        following = self.text[self._at + 1 : self._at + 3]
        if following == "((":
            self._begin("((", 3, depth=2)
        elif following[:1] == "(":
            self._begin("(", 2)
        elif following[:1] == "{":
            self._begin("{", 2)
        elif following[:1] == "'" and kind in ("", "("):
            self.is_lost = True  # dash and bash differ on what ends it
            self._at += 1
        else:
            self._at += 1

    def _here_document(self) -> None:
        at = self._at + 2
        strips_tabs = self.text.startswith("-", at)
        at = _BLANKS.match(self.text, at + strips_tabs).end()  # type: ignore[union-attr]  # it always matches
        end = at
        while end < len(self.text) and self.text[end] not in _DELIMITER_ENDS:
            if self.text[end] in "\"'":
                end = self.text.find(self.text[end], end + 1)
                if end < 0:
                    end = len(self.text)
                    break
            elif self.text[end] == "\\":
                end += 1
            end += 1
        word = self.text[at:end]
        if not word or self.mark in word or "$" in word or "`" in word:
            self.is_lost = True
            self._at += 2
            return
        delimiter = re.sub(r"[\"'\\]", "", word)
        self._open[-1].here_documents.append((delimiter, strips_tabs, delimiter != word))
        self._at = end

    def _bodies(self, here: _Open) -> None:
        """From the newline at which the waiting here-documents begin to the end of the last."""
        at = self._at + 1
        for delimiter, strips_tabs, is_quoted in here.here_documents:
            end, following = _end_of_body(self.text, at, delimiter, strips_tabs, is_quoted)
            body = self.text[at:end]
            if following is None:
                self.is_lost = True
            if is_quoted or self.is_lost:
                for _ in range(body.count(self.mark)):
                    self._add(Where.QUOTED_HERE)
            else:
                look = _Look(body, self.mark, "here")
                self.found += look.found
                self.is_lost |= look.is_lost
            at = len(self.text) if following is None else following
        here.here_documents.clear()
        self._at = at

    def _begin(self, kind: str, length: int, depth: int = 1) -> None:
        self._open.append(_Open(kind, depth))
        self._at += length

    def _skip_to(self, end: int, where: Where) -> None:
        for _ in range(self.text.count(self.mark, self._at, end)):
            self._add(where)
        self._at = end

    def _add(self, where: Where) -> None:
        self.found.append(Where.UNSURE if self.is_lost else where)

    def _is_at_word(self) -> bool:
        """Can a word begin here: not behind `\\;` and `$(…)`, which are parts of one."""
        if self._at == self._word_goes_on_at:
            return self._at == 0
        return self.text[self._at - 1] in _BEFORE_COMMENT


_PLACES = {
    "": Where.PLAIN, "(": Where.PLAIN, '"': Where.DOUBLE, "here": Where.DOUBLE, "{": Where.UNSURE, "((": Where.UNSURE,
}  # fmt: skip


def _end_of_backquotes(text: str, at: int) -> int:
    """Behind the backquote that ends what begins at `at`: the next one without a backslash, whatever the quotes."""
    match = re.compile(r"`(?:[^`\\]|\\.)*+`?", re.DOTALL).match(text, at)
    assert match is not None
    return match.end()


def _end_of_body(text: str, at: int, delimiter: str, strips_tabs: bool, is_quoted: bool) -> tuple[int, int | None]:
    """Where the delimiter's line begins, and what follows it (None: there is no such line)."""
    continued = False
    while at < len(text):
        newline = text.find("\n", at)
        end = newline if newline >= 0 else len(text)
        line = text[at:end]
        if not continued and (line.lstrip("\t") if strips_tabs else line) == delimiter:
            return at, end
        slashes = len(line) - len(line.rstrip("\\"))
        continued = not is_quoted and slashes % 2 == 1
        at = end + 1
    return len(text), None
