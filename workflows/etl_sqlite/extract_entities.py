"""Extract the names that HTML has for characters (`&euro;`) from Python's `html.entities`. Writes `entities`."""

from __future__ import annotations

from html.entities import html5

from tables import write_table

# Some have two spellings, `amp` and `amp;`: the semicolon is not part of the name.
names = {name.rstrip(";"): text for name, text in html5.items()}
rows = [(name, ord(text[0]), ord(text[1]) if len(text) == 2 else "") for name, text in sorted(names.items())]
write_table("entities", rows)
print(f"{len(rows):,} names")
