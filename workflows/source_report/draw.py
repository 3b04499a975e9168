"""Draw the library as a map: area is lines, colour is the mean complexity of the functions.

Reads `database` (from join.py), writes `picture`: an SVG treemap (Bruls, Huizing, van Wijk: "Squarified
treemaps", 2000), packages with their files inside. It is a picture by itself and part of the page, so its
style rules all begin with `.map`; light and dark follow the reader's system.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from dataclasses import dataclass, field
from html import escape

from worker_files import input_file, output_file, write_text

WIDTH, HEIGHT, TOP = 1200, 800, 68
HEADER, GAP = 18, 1.5
NESTED_FROM = 0.008  # share of all lines from which a package shows its files
TOO_SMALL = 45.0  # square units below which tiles are drawn as one
CHARACTER = 0.56  # mean width of one, in font sizes

BREAKS = (1.25, 1.75, 2.5, 3.5, 5.0, 7.0)  # of the mean complexity, between seven colours
LIGHT = ("#f7eddd", "#f1dab6", "#eac18a", "#de9f60", "#cb7a44", "#a64b2d", "#742a20")
DARK = ("#2b2722", "#41342a", "#5d4431", "#825a3a", "#b27a45", "#dd9d56", "#ffcf8e")


@dataclass
class Tile:
    """A file, or a package or folder of them."""

    name: str
    files: int = 0
    lines: int = 0
    functions: int = 0
    complexity: int = 0
    inside: dict[str, Tile] = field(default_factory=dict)

    def add(self, lines: int, functions: int, complexity: int) -> None:
        self.files += 1
        self.lines += lines
        self.functions += functions
        self.complexity += complexity

    @property
    def colour(self) -> str:
        if not self.functions:
            return "none"
        return f"c{sum(self.complexity / self.functions >= limit for limit in BREAKS)}"

    @property
    def sentence(self) -> str:
        files = f"{self.files:,} files, " if self.files > 1 else ""
        if not self.functions:
            return f"{self.name}: {files}{self.lines:,} lines, no functions"
        mean = self.complexity / self.functions
        return f"{self.name}: {files}{self.lines:,} lines, {self.functions:,} functions of mean complexity {mean:.1f}"


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    width: float
    height: float

    def inset(self, margin: float, top: float = 0.0) -> Box:
        return Box(
            self.x + margin, self.y + margin + top, self.width - 2 * margin, max(0.0, self.height - 2 * margin - top)
        )


def main() -> None:
    database = sqlite3.connect(str(input_file("database")))
    library = dict(database.execute("SELECT key, value FROM library"))
    tiles = tiles_of(database.execute("SELECT path, package, lines, functions, complexity FROM files"))
    write_text(output_file("picture"), picture(tiles, library))
    print(f"a map of {len(tiles)} packages, {sum(tile.lines for tile in tiles):,} lines")


def tiles_of(files) -> list[Tile]:
    """A tile a package, with tiles inside; modules that are one file share the tile `single modules`."""
    packages: dict[str, Tile] = {}
    for path, package, *measures in files:
        alone = "/" not in path
        outer_name = "single modules" if alone else package
        inner_name = package if alone else path.split("/")[1].removesuffix(".py")
        outer = packages.setdefault(outer_name, Tile(outer_name))
        outer.add(*measures)
        outer.inside.setdefault(inner_name, Tile(inner_name)).add(*measures)
    return list(packages.values())


def squarify(tiles: list[Tile], box: Box) -> list[tuple[Tile, Box]]:
    """Divide `box` among `tiles` by their lines, keeping each piece as near to a square as can be."""
    tiles = sorted((tile for tile in tiles if tile.lines), key=lambda tile: -tile.lines)
    lines_left = sum(tile.lines for tile in tiles)
    placed = []
    while tiles:
        per_line = box.width * box.height / lines_left
        side = min(box.width, box.height) or 1.0
        row, worst = [tiles[0]], worst_ratio(tiles[:1], per_line, side)
        for tile in tiles[1:]:
            ratio = worst_ratio([row[0], *row[1:], tile], per_line, side)
            if ratio > worst:
                break
            row.append(tile)
            worst = ratio
        lines = sum(tile.lines for tile in row)
        depth = lines * per_line / side
        along = 0.0
        for tile in row:
            length = side * tile.lines / lines
            if box.width >= box.height:
                placed.append((tile, Box(box.x, box.y + along, depth, length)))
            else:
                placed.append((tile, Box(box.x + along, box.y, length, depth)))
            along += length
        if box.width >= box.height:
            box = Box(box.x + depth, box.y, max(0.0, box.width - depth), box.height)
        else:
            box = Box(box.x, box.y + depth, box.width, max(0.0, box.height - depth))
        tiles, lines_left = tiles[len(row) :], lines_left - lines
    return placed


def worst_ratio(row: list[Tile], per_line: float, side: float) -> float:
    """How far from a square the worst tile of a row is. `row` is in descending order of lines."""
    area = sum(tile.lines for tile in row) * per_line or 1.0
    largest, smallest = row[0].lines * per_line, row[-1].lines * per_line
    return max(side**2 * largest / area**2, area**2 / (side**2 * smallest))


def picture(tiles: list[Tile], library: dict[str, str]) -> str:
    lines = sum(tile.lines for tile in tiles)
    shown = []
    for tile, box in squarify(tiles, Box(0, TOP, WIDTH, HEIGHT - TOP)):
        is_nested = tile.lines >= NESTED_FROM * lines and len(tile.inside) > 1 and box.height > 3 * HEADER
        shown.append(package(tile, box) if is_nested else leaf(tile, box))
    title = f"A map of {library['title']}"
    most = max(tiles, key=lambda tile: tile.lines, default=Tile("nothing"))
    description = (
        f"A treemap of {lines:,} lines in {sum(tile.files for tile in tiles):,} source files. The area of a tile is "
        f"its number of lines, its colour the mean complexity of its functions. The largest is {most.sentence}."
    )
    return f"""<svg class="map" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"
 aria-labelledby="map-title map-description">
<title id="map-title">{escape(title)}</title>
<desc id="map-description">{escape(description)}</desc>
<style>{style()}</style>
<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>
<text class="heading" x="2" y="26">{escape(title[0].upper() + title[1:])}</text>
<text class="note" x="2" y="48">{lines:,} lines of Python {escape(library["python"])}; area is lines</text>
{legend()}
{"".join(shown)}
</svg>
"""


def package(tile: Tile, box: Box) -> str:
    """A package as a frame with a heading and its files inside."""
    frame = box.inset(GAP)
    parts = [f'<g class="package"><title>{escape(tile.sentence)}</title>{rectangle(frame)}']
    parts.append(fitted(tile.name, f"{tile.lines:,}", frame, 12))
    parts.append("</g>")
    inner = frame.inset(GAP, top=HEADER)
    area_of_line = inner.width * inner.height / max(tile.lines, 1)
    small = [each for each in tile.inside.values() if each.lines * area_of_line < TOO_SMALL]
    drawn = [each for each in tile.inside.values() if each.lines * area_of_line >= TOO_SMALL]
    if len(small) > 1:
        drawn.append(together(small))
    else:
        drawn += small
    parts += [leaf(each, place) for each, place in squarify(drawn, inner)]
    return "".join(parts) + "\n"


def together(tiles: list[Tile]) -> Tile:
    return Tile(
        f"{len(tiles)} small ones",
        *(sum(getattr(tile, key) for tile in tiles) for key in ("files", "lines", "functions", "complexity")),
    )


def leaf(tile: Tile, box: Box) -> str:
    inside = box.inset(GAP / 2)
    label = tile.name.removeprefix("test_")
    sizes = (15, 11, 9.5) if inside.width > 130 and inside.height > 56 else (11, 9.5)
    size = next((size for size in sizes if len(label) <= room_in(inside, size)), 9.5)
    text = fitted(label, f"{tile.lines:,}", inside, size) if inside.height >= size + 5 else ""
    return f'<g class="{tile.colour}"><title>{escape(tile.sentence)}</title>{rectangle(inside)}{text}</g>\n'


def fitted(name: str, number: str, box: Box, size: float) -> str:
    """The name, shortened where it does not fit, and below or beside it the number, if there is room."""
    room = room_in(box, size)
    if room < min(len(name), 5):
        return ""
    shown = name if len(name) <= room else name[: room - 1] + "…"
    x, y = box.x + 5, box.y + size + 3
    text = f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}">{escape(shown)}</text>'
    if size == 12 and len(name) + len(number) + 3 <= room:
        right = box.x + box.width - 5
        text += f'<text class="number" x="{right:.1f}" y="{y:.1f}" font-size="11" text-anchor="end">{number}</text>'
    elif size != 12 and box.height > 2 * size + 12 and len(number) <= room:
        text += f'<text class="number" x="{x:.1f}" y="{y + size + 2:.1f}" font-size="{min(size, 11)}">{number}</text>'
    return text


def room_in(box: Box, size: float) -> int:
    """How many characters of that font size fit beside each other."""
    return int((box.width - 8) / (size * CHARACTER))


def rectangle(box: Box) -> str:
    width, height = max(box.width, 0.5), max(box.height, 0.5)
    return f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def legend() -> str:
    """The seven colours with the complexities between them, and the grey of what has no functions."""
    step, y = 50, 14
    left = WIDTH - 7 * step - 88
    parts = [f'<text class="note" x="{left - 12}" y="{y + 12}" text-anchor="end">mean complexity of a function</text>']
    for number in range(7):
        parts.append(f'<g class="c{number}"><rect x="{left + number * step}" y="{y}" width="{step}" height="16"/></g>')
    for number, limit in enumerate(BREAKS, start=1):
        x = left + number * step
        parts.append(f'<text class="note" x="{x}" y="{y + 32}" text-anchor="middle">{limit:g}</text>')
    x = WIDTH - 76
    parts.append(f'<g class="none"><rect x="{x}" y="{y}" width="74" height="16"/></g>')
    parts.append(f'<text class="note" x="{x + 37}" y="{y + 32}" text-anchor="middle">no functions</text>')
    return "\n".join(parts)


def style() -> str:
    rules = [
        '.map{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}',
        ".map .heading{font-size:22px;font-weight:650}.map .note{font-size:12.5px}",
        ".map .package>text:first-of-type{font-weight:650}.map g:not(.package):hover>rect{stroke-width:1.5}",
        *scheme(LIGHT, dark_from=5, ink="#241a12", ground="#fffdf9", muted="#6b5d52", frame="#e9dfd0", none="#e6e4df"),
    ]
    dark = scheme(DARK, dark_from=4, ink="#f3e9dc", ground="#1b1712", muted="#b0a395", frame="#38312a", none="#33333a")
    return "\n".join([*rules, "@media (prefers-color-scheme:dark){", *dark, "}"])


def scheme(colours: tuple[str, ...], dark_from: int, ink: str, ground: str, muted: str, frame: str, none: str) -> list:
    """The rules of one colour scheme; from `dark_from` on, tiles take the other ink to stay readable."""
    other = "#ffffff" if ground > "#8" else "#17110b"
    rules = defaultdict(str)
    rules[".map text"] = f"fill:{ink}"
    rules[".map .ground"] = f"fill:{ground}"
    rules[".map .note"] = f"fill:{muted}"
    rules[".map .package rect"] = f"fill:{frame}"
    rules[".map .none rect"] = f"fill:{none}"
    rules[".map g:hover>rect"] = f"stroke:{ink}"
    for number, colour in enumerate(colours):
        rules[f".map .c{number} rect"] = f"fill:{colour}"
        rules[f".map .c{number} text"] = f"fill:{ink if number < dark_from else other}"
    return [f"{selector}{{{rule}}}" for selector, rule in rules.items()]


if __name__ == "__main__":
    main()
