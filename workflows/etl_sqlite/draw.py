"""Draw Unicode as a map: a square is 256 code points, its colours say what they are.

Reads `database`, writes `picture`. Plane 0, in which most writing of today is, is large; the others that are not empty
stand beside it. It is a picture by itself and part of the page, so its style rules all begin with `.map`; light and
dark follow the reader's system.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter, defaultdict
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 1200, 640
KINDS = {  # class, its words in the legend, light and dark colour
    "cjk": ("Chinese characters", "#d08a4e", "#c98647"),
    "hangul": ("Hangul", "#8a9a4b", "#9aab5a"),
    "letter": ("other letters and marks", "#9c4221", "#e0693f"),
    "symbol": ("symbols", "#4f7c8a", "#6ba3b3"),
    "other": ("digits, punctuation, controls", "#2f3e63", "#a3b4e0"),
    "private": ("private use", "#dccfb8", "#4d453b"),
    "surrogates": ("surrogates", "#a99f92", "#6f675f"),
}
NAMES = {0: "Basic Multilingual Plane", 1: "Supplementary Multilingual", 2: "Supplementary Ideographic",
         3: "Tertiary Ideographic", 14: "Special Purpose", 15: "Private Use A", 16: "Private Use B"}  # fmt: skip
PLACES = {0: (48, 96, 32)} | {
    plane: (592 + 206 * column, 96 + 274 * row, 12)
    for row, planes in enumerate([(1, 2, 3), (14, 15, 16)])
    for column, plane in enumerate(planes)
}


def main() -> None:
    database = sqlite3.connect(os.environ["WATTLE_INPUT_DATABASE"])
    kinds, words = contents(database)
    target = Path(os.environ["WATTLE_OUTPUT_PICTURE"])
    version = database.execute("SELECT value FROM facts WHERE key = 'unicode'").fetchone()[0]
    planes = dict(database.execute("SELECT number, assigned FROM planes"))
    target.write_text(picture(kinds, words, planes, version), encoding="utf-8")
    print(f"a map of {sum(planes.values()):,} characters in {len(kinds):,} squares")


def contents(database: sqlite3.Connection) -> tuple[dict[int, Counter], dict[int, Counter]]:
    """Per square (code point // 256): how many of each kind, and of each first word of a name."""
    kinds: dict[int, Counter] = defaultdict(Counter)
    words: dict[int, Counter] = defaultdict(Counter)
    rows = database.execute(
        "SELECT codepoint >> 8, first_word, substr(category, 1, 1), count(*) FROM characters GROUP BY 1, 2, 3"
    )
    for square, word, category, count in rows:
        words[square][word or "control"] += count
        if category in "LM":
            kinds[square][{"CJK": "cjk", "HANGUL": "hangul"}.get(word, "letter")] += count
        else:
            kinds[square]["symbol" if category == "S" else "other"] += count
    for square in range(0xD8, 0xE0):
        kinds[square]["surrogates"] = 256
    for square in [*range(0xE0, 0xF9), *range(0xF00, 0x1100)]:
        kinds[square]["private"] = 254 if square in (0xFFF, 0x10FF) else 256
    return kinds, words


def picture(kinds: dict[int, Counter], words: dict[int, Counter], planes: dict[int, int], version: str) -> str:
    total = sum(planes.values())
    parts = [panel(plane, planes[plane], kinds, words) for plane in PLACES]
    return f"""<svg class="map" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"
 aria-labelledby="map-title map-description">
<title id="map-title">A map of Unicode {version}</title>
<desc id="map-description">{total:,} characters. Each small square is 256 code points, filled from below by those that
are assigned; colours say what they are. Planes 4 to 13 are empty and not shown.</desc>
<style>{style()}</style>
<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>
<text class="heading" x="2" y="26">A map of Unicode {version}</text>
<text class="note" x="2" y="48">{total:,} characters; a square is 256 code points, filled as far as assigned</text>
{legend()}
{"".join(parts)}
</svg>
"""


def panel(plane: int, assigned: int, kinds: dict[int, Counter], words: dict[int, Counter]) -> str:
    left, top, size = PLACES[plane]
    shown = f"{assigned:,} characters" if assigned else "65,534 private"
    parts = [
        f'<text class="plane" x="{left}" y="{top - 22}">Plane {plane}</text>',
        f'<text class="note" x="{left}" y="{top - 7}">{NAMES[plane]}</text>',
        f'<text class="note" x="{left + 16 * size}" y="{top - 22}" text-anchor="end">{shown}</text>',
    ]
    for row in range(16):
        if plane == 0:
            y = top + row * size + 20
            parts.append(f'<text class="note" x="{left - 8}" y="{y}" text-anchor="end">{row:X}000</text>')
        for column in range(16):
            square = plane * 256 + row * 16 + column
            gap = 2 if plane == 0 else 1
            parts.append(cell(square, left + column * size, top + row * size, size - gap, kinds, words))
    return "\n".join(parts) + "\n"


def cell(square: int, x: int, y: int, size: int, kinds: dict[int, Counter], words: dict[int, Counter]) -> str:
    found = kinds.get(square, Counter())
    first = f"U+{square * 256:04X} to U+{square * 256 + 255:04X}"
    sentence = f"{first}: {', '.join(f'{count} {word}' for word, count in words[square].most_common(3))}"
    if not words.get(square):
        sentence = f"{first}: {KINDS[next(iter(found))][0] if found else 'nothing yet'}"
    parts, bottom = [], y + size
    for kind in KINDS:
        if found[kind]:
            height = size * found[kind] / 256
            bottom -= height
            parts.append(f'<rect class="{kind}" x="{x}" y="{bottom:.1f}" width="{size}" height="{height:.1f}"/>')
    empty = f'<rect class="empty" x="{x}" y="{y}" width="{size}" height="{size}"/>' if sum(found.values()) < 256 else ""
    return f"<g><title>{escape(sentence)}</title>{empty}{''.join(parts)}</g>"


def legend() -> str:
    parts, x = [], 48
    for kind, (words, _, _) in KINDS.items():
        parts.append(f'<rect class="{kind}" x="{x}" y="{HEIGHT - 18}" width="12" height="12"/>')
        parts.append(f'<text class="note" x="{x + 18}" y="{HEIGHT - 8}">{words}</text>')
        x += 44 + int(6.6 * len(words))
    parts.append(f'<rect class="empty" x="{x}" y="{HEIGHT - 18}" width="12" height="12"/>')
    parts.append(f'<text class="note" x="{x + 18}" y="{HEIGHT - 8}">unassigned</text>')
    return "\n".join(parts)


def style() -> str:
    rules = [
        '.map{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}',
        ".map .heading{font-size:22px;font-weight:650}.map .note{font-size:12px}",
        ".map .plane{font-size:13.5px;font-weight:650}",
        *scheme(1, ink="#241a12", ground="#fffdf9", muted="#6b5d52", empty="#f1ebe1"),
        "@media (prefers-color-scheme:dark){",
        *scheme(2, ink="#f3e9dc", ground="#1b1712", muted="#b0a395", empty="#2a251f"),
        "}",
    ]
    return "\n".join(rules)


def scheme(column: int, ink: str, ground: str, muted: str, empty: str) -> list[str]:
    colours = [f".map .{kind}{{fill:{KINDS[kind][column]}}}" for kind in KINDS]
    return [
        f".map text{{fill:{ink}}}.map .note{{fill:{muted}}}.map .ground{{fill:{ground}}}.map .empty{{fill:{empty}}}",
        f".map g:hover rect{{stroke:{ink};stroke-width:1}}",
        *colours,
    ]


if __name__ == "__main__":
    main()
