"""Where this worker's files are: Wattle says so in the environment, whatever the directory."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path


def input_file(name: str) -> Path:
    """The path of the input `name` of this worker."""
    return _file("INPUT", name)


def output_file(name: str) -> Path:
    """The path of the output `name` of this worker; its directory exists."""
    return _file("OUTPUT", name)


def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="ascii"))


def write_json(path: Path, document: dict) -> None:
    """Write `document` so that the file is there whole or not at all."""
    write_text(path, json.dumps(document, separators=(",", ":")) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 so that the file is there whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _file(kind: str, name: str) -> Path:
    variable = f"WATTLE_{kind}_" + re.sub(r"[^A-Z0-9_]", "_", name.upper())
    if variable not in os.environ:
        sys.exit(f"{variable} is not set: this script is a worker of source-report.json, start it with `wattle run`")
    return Path(os.environ[variable])
