"""A DAG as boxes and arrows in text: rows by distance from the sources, arrows pointing down.

Pure: names and edges in, lines out. Workers that need the same and feed the same are one box from four on. The
columns in which lines leave and enter boxes are kept apart, and a line that crosses another goes over it, so
that what is joined is what belongs together.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from wattle.cli.output import plain, width

ALIKE_FROM = 4  # so many workers that differ in nothing but their name are one box
GAP = 2
_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_LINES = " ╵╷│╴┘┐┤╶└┌├─┴┬┼"
_ASCII = dict(zip("╵╷│╴┘┐┤╶└┌├─┴┬┼▼…×", "|||-++++++" "+-+++v.x"))


@dataclass(slots=True)
class Box:
    """One or several workers alike; without names it is a place where a long line passes a row."""

    names: list[str]
    row: int
    producers: list["Box"] = field(default_factory=list)
    consumers: list["Box"] = field(default_factory=list)
    left: int = 0
    entry: int = 0  # columns

    @property
    def label(self) -> str:
        if len(self.names) < 2:
            return plain("".join(self.names))
        return plain(f"{self.names[0]} … {self.names[-1]}  ×{len(self.names)}")

    @property
    def width(self) -> int:
        return width(self.label) + 4 if self.names else 1

    @property
    def exit(self) -> int:
        return self.left + self.width // 2


def draw(names: Sequence[str], edges: Iterable[tuple[str, str]], columns: int | None, *, ascii_only: bool) -> list[str]:
    """The drawing; where it would be wider than `columns` or has too many boxes, a list by rows instead."""
    rows = _arranged(_boxes(names, list(edges)))
    boxes = sum(bool(box.names) for row in rows for box in row)
    lines = []
    if boxes <= 150 and sum(map(len, rows)) <= 1000:
        _place(rows)
        lines = _Canvas(rows).lines()
    if not lines or max(map(width, lines)) > (columns or 200):
        lines = _listed(rows)
    if ascii_only:
        lines = ["".join(_ASCII.get(character, character) for character in line) for line in lines]
    return lines


def _boxes(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> list[list[Box]]:
    producers: dict[str, set[str]] = {name: set() for name in names}
    consumers: dict[str, set[str]] = {name: set() for name in names}
    for producer, consumer in edges:
        producers[consumer].add(producer)
        consumers[producer].add(consumer)
    row_of: dict[str, int] = {}
    waiting = {name: len(producers[name]) for name in names}
    ready = [name for name in names if not waiting[name]]
    for name in ready:
        row_of[name] = max((row_of[producer] + 1 for producer in producers[name]), default=0)
        for consumer in consumers[name]:
            waiting[consumer] -= 1
            if not waiting[consumer]:
                ready.append(consumer)
    alike: dict[tuple[frozenset[str], frozenset[str]], list[str]] = {}
    for name in names:
        alike.setdefault((frozenset(producers[name]), frozenset(consumers[name])), []).append(name)
    box_of: dict[str, Box] = {}
    rows: list[list[Box]] = [[] for _ in range(max(row_of.values(), default=-1) + 1)]
    for group in alike.values():
        for part in [group] if len(group) >= ALIKE_FROM else [[name] for name in group]:
            box = Box(part, row_of[part[0]])
            rows[box.row].append(box)
            box_of.update(dict.fromkeys(part, box))
    position = {name: at for at, name in enumerate(names)}
    for row in rows:
        row.sort(key=lambda box: position[box.names[0]])
    for name in names:
        box = box_of[name]
        for producer in sorted(producers[name], key=position.__getitem__):
            if box_of[producer] not in box.producers:
                box.producers.append(box_of[producer])
                box_of[producer].consumers.append(box)
    return rows


def _arranged(rows: list[list[Box]]) -> list[list[Box]]:
    """Long lines get a place in every row they pass; boxes stand near what they belong to."""
    for row in list(rows):
        for box in list(row):
            for consumer in list(box.consumers):
                _split(box, consumer, rows)
    for _ in range(4):
        for near, turn in (("producers", rows[1:]), ("consumers", rows[-2::-1])):
            at = {id(box): place for row in rows for place, box in enumerate(row)}
            for row in turn:
                row.sort(key=lambda box: _mean([at[id(each)] for each in getattr(box, near)], at[id(box)]))
                at.update({id(box): place for place, box in enumerate(row)})
    return rows


def _split(box: Box, consumer: Box, rows: list[list[Box]]) -> None:
    if consumer.row == box.row + 1:
        return
    before = box
    for row in range(box.row + 1, consumer.row):
        # lines from one box to several share their way
        between = next((each for each in before.consumers if not each.names and each.row == row), None)
        if between is None:
            between = Box([], row, [before])
            before.consumers.append(between)
            rows[row].append(between)
        before = between
    box.consumers.remove(consumer)
    consumer.producers[consumer.producers.index(box)] = before
    before.consumers.append(consumer)


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _place(rows: list[list[Box]]) -> None:
    above: list[Box] = []
    for row in rows:
        exits = {box.exit: box for box in above if box.consumers}
        wanted = [_mean([each.exit for each in box.producers], 0) - box.width // 2 for box in row]
        _spread(row, wanted)
        if row:
            # as a whole to where its boxes want to be
            shift = round(_mean([want - box.left for want, box in zip(wanted, row)], 0)) if above else 0
            shift = max(shift, -row[0].left)
            for box in row:
                box.left += shift
        right = -GAP
        for box in row:
            box.left = max(box.left, right + GAP)
            while not box.names and not _may_enter(box, box.left, exits):
                box.left += 1
            box.entry = _entry(box, exits)
            right = box.left + box.width
        above = row


def _spread(row: list[Box], wanted: list[float]) -> None:
    right = -GAP
    for box, want in zip(row, wanted):
        box.left = max(round(want), right + GAP, 0)
        right = box.left + box.width


def _may_enter(box: Box, column: int, exits: dict[int, Box]) -> bool:
    return column not in exits or box.producers == [exits[column]]


def _entry(box: Box, exits: dict[int, Box]) -> int:
    columns = range(box.left + 1, box.left + box.width - 1) if box.names else [box.left]
    for column in sorted(columns, key=lambda column: abs(column - box.exit)):
        if _may_enter(box, column, exits):
            return column
    return box.exit


class _Canvas:
    def __init__(self, rows: list[list[Box]]) -> None:
        self._bits: dict[tuple[int, int], int] = {}
        self._joints: set[tuple[int, int]] = set()
        self._texts: dict[tuple[int, int], str] = {}
        self._height = 0
        for row, below in zip(rows, [*rows[1:], []]):
            for box in row:
                self._box(box)
            self._height += 3
            if below:
                self._connect(row, below)

    def lines(self) -> list[str]:
        cells = self._bits.keys() | self._texts.keys()
        lines = []
        for y in range(self._height):
            in_row = {x for x, at in cells if at == y}
            line, x = "", 0
            while x <= max(in_row, default=-1):
                text = self._texts.get((x, y)) or self._line(x, y)
                line += text
                x += max(1, width(text))
            lines.append(line.rstrip())
        return lines

    def _line(self, x: int, y: int) -> str:
        bits = self._bits.get((x, y), 0)
        if bits == _UP | _DOWN | _LEFT | _RIGHT and (x, y) not in self._joints:
            bits = _UP | _DOWN
        return _LINES[bits]

    def _box(self, box: Box) -> None:
        y, right = self._height, box.left + box.width - 1
        if not box.names:
            self._vertical(box.left, y, y + 2, from_above=True, to_below=True)
            return
        for corner_y, bit in ((y, _DOWN), (y + 2, _UP)):
            self._horizontal(box.left, right, corner_y)
            for x in (box.left, right):
                self._add(x, corner_y, bit)
        for x in (box.left, right):
            self._texts[x, y + 1] = "│"
        self._texts[box.left + 2, y + 1] = box.label
        if box.consumers:
            self._add(box.exit, y + 2, _DOWN)

    def _connect(self, row: list[Box], below: list[Box]) -> None:
        tracks = _tracks(row)
        first, count = self._height, max(tracks.values(), default=-1) + 1
        last = first + count  # the line of arrow heads
        for box in row:
            if not box.consumers:
                continue
            if id(box) not in tracks:
                self._vertical(box.exit, first - 1 + bool(box.names), last, from_above=True, to_below=True)
                continue
            y = first + tracks[id(box)]
            ends = [box.exit, *(consumer.entry for consumer in box.consumers)]
            self._vertical(box.exit, first, y, from_above=True)
            self._horizontal(min(ends), max(ends), y)
            self._joints.update((x, y) for x in ends)
        for consumer in below:
            highest = [first + tracks[id(box)] for box in consumer.producers if id(box) in tracks]
            if highest:
                self._vertical(consumer.entry, min(highest), last, to_below=True)
            if consumer.names and consumer.producers:
                self._texts[consumer.entry, last] = "▼"
        self._height = last + 1

    def _horizontal(self, left: int, right: int, y: int) -> None:
        for x in range(left, right):
            self._add(x, y, _RIGHT)
            self._add(x + 1, y, _LEFT)

    def _vertical(self, x: int, top: int, bottom: int, *, from_above: bool = False, to_below: bool = False) -> None:
        if from_above:
            self._add(x, top, _UP)
        for y in range(top, bottom):
            self._add(x, y, _DOWN)
            self._add(x, y + 1, _UP)
        if to_below:
            self._add(x, bottom, _DOWN)

    def _add(self, x: int, y: int, bit: int) -> None:
        self._bits[x, y] = self._bits.get((x, y), 0) | bit


def _tracks(row: list[Box]) -> dict[int, int]:
    """In which line below the row each box's arrows run sideways; a box that has only one straight below has none."""
    tracks: dict[int, int] = {}
    taken: list[int] = []  # by line: the last column in use
    spans = []
    for box in row:
        columns = [box.exit, *(consumer.entry for consumer in box.consumers)]
        if box.consumers and min(columns) != max(columns):
            spans.append((min(columns), max(columns), box))
    for left, right, box in sorted(spans, key=lambda span: span[:2]):
        line = next((at for at, used in enumerate(taken) if used + 1 < left), len(taken))
        taken[line:line + 1] = [right]
        tracks[id(box)] = line
    return tracks


def _listed(rows: list[list[Box]]) -> list[str]:
    lines = []
    for number, row in enumerate(rows, 1):
        for box in (box for box in row if box.names):
            needs = [producer.label for producer in _real(box)]
            more = f", … ({len(needs)} in all)" if len(needs) > 6 else ""
            lines.append(f"{number:>4}  {box.label}" + (f"  <-  {', '.join(needs[:6])}{more}" if needs else ""))
    return lines


def _real(box: Box) -> list[Box]:
    """Its producers, seen through the places that long lines pass."""
    found: list[Box] = []
    for producer in box.producers:
        while not producer.names:
            producer = producer.producers[0]
        found.append(producer)
    return found
