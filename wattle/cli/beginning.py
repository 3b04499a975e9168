"""`wattle init`: a first definition, small, true and with remarks, to be run as it is and then changed."""

import json
import os
import re
import shlex

import click

from wattle.cli.definition import STDIN
from wattle.cli.session import Session, pass_session, shared_options
from wattle.errors import Refused

OTHERWISE = "first"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)

FIRST = """\
# A workflow is a set of workers: commands with named inputs and outputs.
name: {name}
working_dir: {directory}   # relative to this file; made when it is needed

workers:
  - name: count                 # needs nothing: starts at once
    command: for i in 1 2 3 4 5; do echo "row $i"; sleep 0.2; done
    outputs:
      rows: rows.txt            # its only output: what it prints is saved there

  - name: total                 # starts when count has completed
    command: wc -l < "$WATTLE_INPUT_ROWS" > "$WATTLE_OUTPUT_TOTAL"
    inputs:
      rows: count/rows          # the output `rows` of the worker `count`
    outputs:
      total: total.txt

  - name: report
    command: |                  # a block may hold several lines, and `: `
      echo "rows in all: $(cat "$WATTLE_INPUT_TOTAL")"
    inputs:
      total: total/total

# Without a file between them: `depends_on: [count]`. More (retry, timeout_seconds, params, kind: service …):
# docs/definitions.md, or `wattle schema` for an editor.
"""


@click.command("init")
@click.argument("file", metavar="FILE")
@shared_options
@pass_session
def init_verb(session: Session, file: str) -> None:
    """Write a small definition that runs as it is, with remarks ("-": to standard output).

    Its name is the file's. A file that ends in .json gets JSON, without the remarks. What is there is not overwritten.
    """
    text = text_of(file)
    if file == STDIN:
        session.out.say(text, end="")
        return
    try:
        with open(file, "x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError:
        raise Refused("FILE_EXISTS", f"{file} is there already; give another name") from None
    quoted = shlex.quote(file)
    session.note(f"wrote {file}. `wattle run {quoted}` runs it, `wattle graph {quoted}` draws it")


def text_of(file: str) -> str:
    """What is written to a file of that name."""
    name = _name_of(file)
    text = FIRST.format(name=_scalar(name), directory=_scalar(f"{name}-files"))
    if not file.lower().endswith(".json"):
        return text
    from wattle.definition.yaml_text import parse_yaml

    document, _ = parse_yaml(text.encode(), max_bytes=len(text.encode()))
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _name_of(file: str) -> str:
    """The file's name without its ending, where a workflow may be called so."""
    from wattle.definition.names import why_not_workflow

    stem = os.path.splitext(os.path.basename(file))[0]
    return OTHERWISE if file == STDIN or why_not_workflow(stem) else stem


def _scalar(text: str) -> str:
    """As YAML reads it back: in quotes unless it is plain to the eye."""
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in ("true", "false", "null")
    return text if is_plain else json.dumps(text, ensure_ascii=False)
