"""Write the page: one HTML file with the map and the answers to some questions, to be opened from disk.

Reads `database`, `picture` and `checks`, writes `page`. The page's frame and style are in page.html; what is computed
here fills its $placeholders.
"""

from __future__ import annotations

import os
import platform
import sqlite3
from html import escape
from pathlib import Path
from string import Template

PROBES = "é ß Ł ž € – α Ж א ع ก あ 中 한"
QUESTION = """$ sqlite3 unicode.sqlite
sqlite> -- all digits that mean seven
sqlite> SELECT printf('U+%04X', codepoint), char(codepoint), name FROM characters WHERE category = 'Nd' AND number = 7;
sqlite> -- which encodings can write the euro sign?
sqlite> SELECT encoding FROM encoded WHERE codepoint = unicode('€');
sqlite> -- what is the ligature for ffi made of?
sqlite> SELECT char(part), kind FROM decompositions WHERE codepoint = unicode('ﬃ');"""


def main() -> None:
    database = sqlite3.connect(os.environ["WATTLE_INPUT_DATABASE"])
    version = database.execute("SELECT value FROM facts WHERE key = 'unicode'").fetchone()[0]
    frame = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    page = frame.substitute(
        version=version,
        python=".".join(platform.python_version_tuple()[:2]),
        lead=lead(database),
        totals=totals(database),
        picture=Path(os.environ["WATTLE_INPUT_PICTURE"]).read_text(encoding="utf-8"),
        categories=categories(database),
        words=words(database),
        encodings=encodings(database),
        longest=longest(database),
        composed=composed(database),
        question=escape(QUESTION),
        checks=escape(Path(os.environ["WATTLE_INPUT_CHECKS"]).read_text(encoding="utf-8").rstrip()),
    )
    target = Path(os.environ["WATTLE_OUTPUT_PAGE"])
    target.write_text(page, encoding="utf-8")
    print(f"the page is {target}")


def lead(database: sqlite3.Connection) -> str:
    total, chinese = database.execute("SELECT count(*), sum(first_word = 'CJK') FROM characters").fetchone()
    hangul = database.execute("SELECT count(*) FROM characters WHERE first_word = 'HANGUL'").fetchone()[0]
    free = database.execute("SELECT sum(unassigned) FROM planes").fetchone()[0]
    return (
        f"<strong>{total:,} characters</strong>: {100 * chinese / total:.0f} % are Chinese ones, "
        f"{100 * hangul / total:.0f} % Hangul syllables and letters, and all other writing, every symbol and every "
        f"sign are the remaining {100 * (total - chinese - hangul) / total:.0f} %. {free:,} code points are still free."
    )


def totals(database: sqlite3.Connection) -> str:
    queries = {
        "characters": "SELECT count(*) FROM characters",
        "private": "SELECT sum(private) FROM planes",
        "pairs of cases": "SELECT count(*) FROM cases",
        "made of others": "SELECT count(DISTINCT codepoint) FROM decompositions",
        "names in HTML": "SELECT count(*) FROM entities",
        "encodings": "SELECT count(*) FROM encodings",
    }
    numbers = [(name, database.execute(query).fetchone()[0]) for name, query in queries.items()]
    return "\n".join(f'<div><dt>{name}</dt><dd data-total="{name}">{count:,}</dd></div>' for name, count in numbers)


def categories(database: sqlite3.Connection) -> str:
    rows = database.execute(
        "SELECT code, meaning, count(*) AS characters, CASE WHEN kind = 'mark' THEN '◌' ELSE '' END || (SELECT "
        "char(codepoint) FROM characters AS one WHERE one.category = code ORDER BY codepoint LIMIT 1 OFFSET 2), kind "
        "FROM categories JOIN characters ON category = code GROUP BY code ORDER BY characters DESC, code"
    ).fetchall()
    most = rows[0][2]
    body = []
    for code, meaning, count, one, kind in rows:
        shown = sign(one) if kind not in ("other", "space") else ""  # those cannot be seen
        body.append(f"{heading(code)}<td>{meaning}</td>{bar(count, most)}<td>{shown}</td>")
    return table("Categories", "of Unicode", ("code", "meaning", "characters#", "such as"), body)


def words(database: sqlite3.Connection) -> str:
    rows = database.execute(
        "SELECT first_word, count(*) AS characters FROM characters "
        "WHERE substr(category, 1, 1) = 'L' GROUP BY first_word ORDER BY characters DESC, first_word LIMIT 27"
    ).fetchall()
    # A square root: Chinese characters would leave nothing of the others.
    body = [f"{heading(word)}{bar(count, rows[0][1], 0.5)}" for word, count in rows]
    note = "by the first word of their names, which is the script's for most; the length of a bar is a square root"
    return table("Letters", note, ("word", "characters#"), body)


def encodings(database: sqlite3.Connection) -> str:
    probes = PROBES.split()
    rows = database.execute("SELECT name, bytes, characters FROM encodings ORDER BY characters DESC, name").fetchall()
    body = []
    for name, size, count in rows:
        marks = ", ".join("?" * len(probes))
        query = f"SELECT codepoint FROM encoded WHERE encoding = ? AND codepoint IN ({marks})"
        found = {row[0] for row in database.execute(query, (name, *map(ord, probes)))}
        cells = "".join(
            '<td class="mark">✓</td>' if ord(probe) in found else '<td class="mark no">·</td>' for probe in probes
        )
        body.append(f"{heading(name)}<td>{size}</td>{bar(count, rows[0][2], 0.5)}{cells}")
    titles = ("encoding", "bytes", "characters#", *(f"{probe}|" for probe in probes))
    return table(f"{len(rows)} encodings", "the length of a bar is a square root", titles, body)


def longest(database: sqlite3.Connection) -> str:
    rows = database.execute(
        "SELECT codepoint, name FROM characters ORDER BY length(name) DESC, codepoint LIMIT 10"
    ).fetchall()
    body = [f'{heading(f"U+{codepoint:04X}")}<td>{escape(name)}</td><td class="number">{len(name)}</td>'
            for codepoint, name in rows]  # fmt: skip
    return table("The 10 longest names", "", ("character", "name", "length#"), body)


def composed(database: sqlite3.Connection) -> str:
    rows = database.execute(
        "SELECT codepoint, name, count(*) AS parts FROM decompositions JOIN characters USING (codepoint) "
        "GROUP BY codepoint ORDER BY parts DESC, codepoint LIMIT 10"
    ).fetchall()
    body = [f'{heading(f"U+{codepoint:04X}")}<td>{sign(chr(codepoint))}</td><td>{escape(name.capitalize())}</td>'
            f'<td class="number">{parts}</td>' for codepoint, name, parts in rows]  # fmt: skip
    return table("The 10 that are made of most others", "", ("character", "", "name", "parts#"), body)


def table(caption: str, note: str, titles: tuple[str, ...], rows: list[str]) -> str:
    """A table in a card. A title that ends with # is that of numbers, with | that of marks."""
    kinds = {"#": ' class="number"', "|": ' class="mark"'}
    heads = "".join(f'<th scope="col"{kinds.get(title[-1:], "")}>{title.rstrip("#|")}</th>' for title in titles)
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    small = f" <small>{note}</small>" if note else ""
    return (
        f'<div class="card"><div class="scroll" tabindex="0" role="region" aria-label="{caption}">'
        f"<table><caption>{caption}{small}</caption><thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"
        "</div></div>"
    )


def heading(text: str) -> str:
    return f'<th scope="row">{escape(text)}</th>'


def bar(number: int, most: int, power: float = 1.0) -> str:
    share = 100 * (number / most) ** power
    return f'<td class="number bar"><i style="--share:{share:.1f}"></i><span>{number:,}</span></td>'


def sign(character: str | None) -> str:
    return f'<bdi dir="ltr">{escape(character)}</bdi>' if character else ""


if __name__ == "__main__":
    main()
