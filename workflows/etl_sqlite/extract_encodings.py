"""Extract which characters each text encoding of Python can write.

    extract_encodings.py one|several           those of one byte a character, or of several

Writes `encodings` (a row each) and `encoded` (a row per encoding and character). Encodings that write all of Unicode
are left out, and so are characters that are private or unassigned.
"""

from __future__ import annotations

import encodings
import pkgutil
import sys
import unicodedata

from tables import write_table

NOT_ENCODINGS_OF_TEXT = {"aliases", "charmap", "idna", "mbcs", "oem", "punycode", "rot_13", "undefined"}
LEFT_OUT = ("_codec", "_escape", "iso8859_1")  # ends of names; iso8859_1 is latin_1


def main() -> None:
    wanted = sys.argv[1]
    known = [chr(n) for n in range(sys.maxunicode + 1) if unicodedata.category(chr(n)) not in ("Cn", "Co", "Cs")]
    everything = "".join(known)
    found, rows = [], []
    for name in text_encodings():
        written = everything.encode(name, "ignore")
        characters = set(written.decode(name, "ignore")).intersection(known)
        if len(characters) == len(known):
            continue
        if (len(written) == len(characters)) == (wanted == "one"):
            found.append((name, wanted, len(characters)))
            rows += [(name, codepoint) for codepoint in sorted(map(ord, characters))]
    write_table("encodings", found)
    write_table("encoded", rows)
    print(f"{len(found)} encodings, {len(rows):,} characters in them")


def text_encodings() -> list[str]:
    modules = {module.name for module in pkgutil.iter_modules(encodings.__path__)} - NOT_ENCODINGS_OF_TEXT
    return sorted(name for name in modules if not name.startswith("utf_") and not name.endswith(LEFT_OUT))


if __name__ == "__main__":
    main()
