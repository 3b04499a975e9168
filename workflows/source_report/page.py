"""Write the page: one HTML file with its numbers, tables and picture inside, to be opened from disk.

Reads `database` (from join.py) and `picture` (from draw.py), writes `page`. The page's frame, style and
the sorting of its tables are in page.html; what is computed here fills its $placeholders.
"""

from __future__ import annotations

import re
import sqlite3
from html import escape
from pathlib import Path
from string import Template

from worker_files import input_file, output_file, write_text

KINDS = ("code", "docstring", "comment", "blank")
MEASURES = (
    "count(*) AS files, sum(lines) AS lines, sum(functions) AS functions, sum(classes) AS classes, "
    "sum(imports) AS imports, sum(complexity) AS complexity, max(max_complexity) AS max_complexity"
)
BANDS = ((1, 1), (2, 2), (3, 4), (5, 7), (8, 12), (13, 20), (21, None))
QUESTION = """$ sqlite3 source-report.sqlite
sqlite> -- the longest functions that decide nothing
sqlite> SELECT path, name, lines FROM functions WHERE complexity = 1 ORDER BY lines DESC LIMIT 5;"""


def main() -> None:
    database = sqlite3.connect(str(input_file("database")))
    database.row_factory = sqlite3.Row
    library = {row["key"]: row["value"] for row in database.execute("SELECT key, value FROM library")}
    kinds_of_lines = ", ".join(f"sum({kind}) AS {kind}" for kind in KINDS)
    total = database.execute(f"SELECT {MEASURES}, {kinds_of_lines} FROM files").fetchone()
    title = library["title"][0].upper() + library["title"][1:]
    text = {key: escape(library[key]) for key in ("python", "root", "system")}
    frame = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    page = frame.substitute(
        text,
        title=escape(title),
        measured_at=escape(library["measured_at"].replace("T", " ").replace("Z", " UTC")),
        lead=lead(database, library, total),
        totals=totals(total),
        kinds=kinds(total),
        picture=input_file("picture").read_text(encoding="utf-8"),
        packages=packages(database),
        largest=largest(database),
        most_complex=most_complex(database),
        most_imported=most_imported(database),
        distribution=distribution(database),
        groups=groups(database),
        unparsable=unparsable(database),
        question=escape(QUESTION),
    )
    output = output_file("page")
    write_text(output, page)
    print(", ".join(f"{total[what]:,} {what}" for what in ("files", "lines", "functions", "imports")))
    print(f"the page is {output}")
    print(f"open it: {output.as_uri()}")


def lead(database: sqlite3.Connection, library: dict[str, str], total: sqlite3.Row) -> str:
    """What stands out, in three sentences."""
    package = database.execute(f"SELECT package, {MEASURES} FROM files GROUP BY package ORDER BY lines DESC").fetchone()
    share = percent(package["lines"], total["lines"])
    sentences = [
        f"<strong>{total['lines']:,} lines</strong> in {total['files']:,} files.",
        f"{share} of them are in <code>{escape(package['package'])}</code>, the largest of {library['packages']} "
        "packages and modules.",
    ]
    function = database.execute("SELECT * FROM functions ORDER BY complexity DESC, path LIMIT 1").fetchone()
    if function:
        simple = database.execute("SELECT count(*) FROM functions WHERE complexity = 1").fetchone()[0]
        sentences.append(
            f"{percent(simple, total['functions'])} of all functions decide nothing; the most complex one, "
            f"<code>{escape(function['name'])}</code> in <code>{escape(function['path'])}</code>, reaches "
            f"{function['complexity']}."
        )
    return " ".join(sentences)


def totals(total: sqlite3.Row) -> str:
    shown = [(name, f"{total[name]:,}") for name in ("files", "lines", "functions", "classes", "imports")]
    shown.append(("mean complexity", mean(total)))
    return "\n".join(f'<div><dt>{name}</dt><dd data-total="{name}">{number}</dd></div>' for name, number in shown)


def kinds(total: sqlite3.Row) -> str:
    """One bar of all lines, divided by their kind."""
    parts = "".join(f'<span style="flex:{total[kind] or 0};background:var(--{kind})"></span>' for kind in KINDS)
    items = "".join(
        f'<li><i style="background:var(--{kind})"></i>{kind} <b>{total[kind] or 0:,}</b> '
        f"({percent(total[kind] or 0, total['lines'])})</li>"
        for kind in KINDS
    )
    legend = f'<ul class="legend" aria-label="Lines by kind">{items}</ul>'
    return f'<div class="kinds" aria-hidden="true">{parts}</div>\n{legend}'


def packages(database: sqlite3.Connection) -> str:
    rows = database.execute(
        f"SELECT package, {MEASURES} FROM files GROUP BY package ORDER BY lines DESC, package"
    ).fetchall()
    most = max((row["lines"] for row in rows), default=0)
    return table(
        "All packages and modules",
        "most lines first; choose a heading to sort",
        ("package", "files", "lines", "functions", "classes", "imports", "mean complexity", "most complex"),
        [(row["package"], row["files"], Bar(row["lines"], most), *measures(row)) for row in rows],
        sorted_by="lines",
    )


def groups(database: sqlite3.Connection) -> str:
    rows = database.execute(
        f"SELECT label, seconds, {MEASURES} FROM groups JOIN files ON group_number = number "
        "GROUP BY number ORDER BY number"
    ).fetchall()
    return table(
        "Groups",
        "and the CPU seconds that each took",
        ("group", "files", "lines", "functions", "classes", "imports", "mean complexity", "most complex", "seconds"),
        [(row["label"], row["files"], row["lines"], *measures(row), Number(row["seconds"], 2)) for row in rows],
    )


def measures(row: sqlite3.Row) -> tuple:
    counts = (row["functions"], row["classes"], row["imports"])
    if not row["functions"]:
        return (*counts, Number(None), Number(None))
    return (*counts, Number(row["complexity"] / row["functions"], 2), row["max_complexity"])


def largest(database: sqlite3.Connection) -> str:
    rows = database.execute("SELECT path, lines, functions FROM files ORDER BY lines DESC, path LIMIT 20").fetchall()
    most = max((row["lines"] for row in rows), default=0)
    return table(
        "The 20 largest files",
        "by their lines",
        ("file", "lines", "functions"),
        [(row["path"], Bar(row["lines"], most), row["functions"]) for row in rows],
        sorted_by="lines",
    )


def most_complex(database: sqlite3.Connection) -> str:
    rows = database.execute("SELECT * FROM functions ORDER BY complexity DESC, path, line LIMIT 20").fetchall()
    most = max((row["complexity"] for row in rows), default=0)
    return table(
        "The 20 most complex functions",
        "1 + decisions",
        ("function", "complexity", "lines"),
        [
            (Place(row["name"], f"{row['path']}:{row['line']}"), Bar(row["complexity"], most), row["lines"])
            for row in rows
        ],
        sorted_by="complexity",
    )


def most_imported(database: sqlite3.Connection) -> str:
    rows = database.execute(
        "SELECT module, count(DISTINCT path) AS files FROM imports WHERE module NOT LIKE '.%' "
        "GROUP BY module ORDER BY files DESC, module LIMIT 20"
    ).fetchall()
    most = max((row["files"] for row in rows), default=0)
    return table(
        "The 20 most imported modules",
        "by the files that import them by their full name",
        ("module", "files"),
        [(row["module"], Bar(row["files"], most)) for row in rows],
        sorted_by="files",
    )


def distribution(database: sqlite3.Connection) -> str:
    rows = []
    total = database.execute("SELECT count(*) FROM functions").fetchone()[0]
    for low, high in BANDS:
        where = "complexity >= ? AND complexity <= ?"
        functions, lines = database.execute(
            f"SELECT count(*), coalesce(sum(lines), 0) FROM functions WHERE {where}", (low, high or 1_000_000)
        ).fetchone()
        band = f"{low}" if low == high else f"{low} – {high}" if high else f"{low} and more"
        rows.append((band, functions, percent(functions, total), lines))
    most = max(row[1] for row in rows)
    return table(
        "How complex functions are",
        "a nested function is counted by itself, its lines in both",
        ("complexity", "functions", "share", "lines"),
        [(band, Bar(functions, most), Text(share), lines) for band, functions, share, lines in rows],
        sortable=False,
    )


def unparsable(database: sqlite3.Connection) -> str:
    rows = database.execute("SELECT path, lines, error FROM files WHERE error IS NOT NULL ORDER BY path").fetchall()
    if not rows:
        return ""
    return (
        '<section aria-labelledby="unparsable"><h2 id="unparsable">Not parsed</h2>'
        f"<p>{len(rows)} of the files are not valid for this Python, most of them on purpose: they are test data. "
        "Their lines count, all else in them does not.</p>"
        + table(
            "Files that do not parse",
            "",
            ("file", "lines", "why"),
            [(row["path"], row["lines"], row["error"]) for row in rows],
        )
        + "</section>"
    )


class Bar:
    """A number with a bar beside it, as long as its share of `most`."""

    def __init__(self, number: int, most: int) -> None:
        self.number = number
        self.share = 100 * number / most if most else 0.0

    def cell(self) -> str:
        bar = f'<i style="--share:{self.share:.1f}"></i>'
        return f'<td class="number bar" data-value="{self.number}">{bar}<span>{self.number:,}</span></td>'


class Number:
    """A number with decimals, or none at all."""

    def __init__(self, number: float | None, decimals: int = 0) -> None:
        self.number, self.decimals = number, decimals

    def cell(self) -> str:
        if self.number is None:
            return '<td class="number" data-value="0">–</td>'
        return f'<td class="number" data-value="{self.number:.4f}">{self.number:,.{self.decimals}f}</td>'


class Text:
    """What stands to the right, like a number."""

    def __init__(self, text: str) -> None:
        self.text = text

    def cell(self) -> str:
        return f'<td class="number">{escape(self.text)}</td>'


class Place:
    """A name and where it is."""

    def __init__(self, name: str, where: str) -> None:
        self.name, self.where = name, where

    def heading(self) -> str:
        return f'<th scope="row">{breakable(self.name)}<br><small>{breakable(self.where)}</small></th>'


def table(
    caption: str, note: str, columns: tuple, rows: list[tuple], sorted_by: str = "", sortable: bool = True
) -> str:
    """A table in a card. The first cell of each row is its heading; numbers stand to the right."""
    first = rows[0] if rows else ("",) * len(columns)
    heads = "".join(
        f'<th scope="col"{" class=number" if not isinstance(cell, (str, Place)) else ""}'
        f"{' aria-sort=descending' if column == sorted_by else ''}>{column}</th>"
        for column, cell in zip(columns, first)
    )
    body = "\n".join(f"<tr>{heading(row[0])}{''.join(cell(each) for each in row[1:])}</tr>" for row in rows)
    small = f" <small>{escape(note)}</small>" if note else ""
    kind = " class=sortable" if sortable else ""
    return (
        f'<div class="card"><div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f"<table{kind}><caption>{escape(caption)}{small}</caption>"
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div></div>"
    )


def heading(value: object) -> str:
    return value.heading() if isinstance(value, Place) else f'<th scope="row">{breakable(str(value))}</th>'


def breakable(name: str) -> str:
    """The name as HTML, with places where a narrow table may break it."""
    return re.sub(r"([/.])(?=\w)", r"\1<wbr>", escape(name))


def cell(value: object) -> str:
    if isinstance(value, int):
        return f'<td class="number" data-value="{value}">{value:,}</td>'
    return f"<td>{escape(value)}</td>" if isinstance(value, str) else value.cell()


def mean(row: sqlite3.Row) -> str:
    return f"{row['complexity'] / row['functions']:.2f}" if row["functions"] else "–"


def percent(part: int, whole: int) -> str:
    share = 100 * part / whole if whole else 0.0
    return f"{share:.0f} %" if share >= 9.95 or share == 0 else f"{share:.1f} %" if share >= 0.1 else "< 0.1 %"


if __name__ == "__main__":
    main()
