"""`wattle graph`: what needs what, drawn in the terminal, or as text for Graphviz and Mermaid."""

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from wattle.cli.definition import STDIN, checked
from wattle.cli.server import connect_or_read
from wattle.cli.session import Session, pass_session, shared_options
from wattle.cli.target import complete_workflows

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Drawn(NamedTuple):
    """`edges` are (producer, consumer, the input's name or None)."""

    title: str
    names: list[str]
    edges: list[tuple[str, str, str | None]]


def _files_or_workflows(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> "list[CompletionItem[str]]":
    """Workflows that begin so, else files."""
    from click.shell_completion import CompletionItem

    return complete_workflows(ctx, param, incomplete) or [CompletionItem(incomplete, type="file")]


@click.command("graph")
@click.argument("source", metavar="FILE|WF", shell_complete=_files_or_workflows)
@click.option("--dot", "form", flag_value="dot", help="As text for Graphviz.")
@click.option("--mermaid", "form", flag_value="mermaid", help="As text for Mermaid.")
@shared_options
@pass_session
def graph_verb(session: Session, source: str, form: str | None) -> None:
    """Draw which worker needs which, of a definition file ("-": standard input) or a stored workflow.

    Workers that need and feed the same are one box. What is too wide for the terminal becomes a list.
    """
    drawn = _of_file(session, source) if is_file(source) else _of_workflow(session, source)
    if form == "dot":
        lines = dot(drawn)
    elif form == "mermaid":
        lines = mermaid(drawn)
    else:
        from wattle.cli.drawing import draw

        pairs = [(producer, consumer) for producer, consumer, _ in drawn.edges]
        lines = draw(drawn.names, pairs, session.out.columns, ascii_only=not session.out.has_glyphs)
    if lines:
        session.out.say("\n".join(lines))
    else:
        session.note(f"'{drawn.title}' has no workers")


def is_file(source: str) -> bool:
    """A file that is there, or what can only be one; everything else is a workflow's name."""
    return source == STDIN or "/" in source or source.endswith((".json", ".yaml", ".yml")) or os.path.isfile(source)


def dot(drawn: Drawn) -> list[str]:
    lines = [f"digraph {_dot_text(drawn.title)} {{", "  node [shape=box]"]
    lines += [f"  {_dot_text(name)}" for name in drawn.names]
    for producer, consumer, label in drawn.edges:
        style = "[style=dashed]" if label is None else f"[label={_dot_text(label)}]"
        lines.append(f"  {_dot_text(producer)} -> {_dot_text(consumer)} {style}")
    return [*lines, "}"]


def mermaid(drawn: Drawn) -> list[str]:
    ids = {name: f"w{position}" for position, name in enumerate(drawn.names)}
    lines = ["flowchart TD", *(f'  {ids[name]}["{_mermaid_text(name)}"]' for name in drawn.names)]
    for producer, consumer, label in drawn.edges:
        arrow = "-.->" if label is None else f'-->|"{_mermaid_text(label)}"|'
        lines.append(f"  {ids[producer]} {arrow} {ids[consumer]}")
    return lines


def _dot_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _mermaid_text(text: str) -> str:
    return re.sub(r'["&<>#;`\[\]{}|]', lambda match: f"#{ord(match[0])};", text)


def _of_file(session: Session, path: str) -> Drawn:
    from wattle.definition import build_graph

    workflow = checked(path, session.config, session.talk.say).workflow
    edges = [(edge.producer, edge.consumer, edge.input) for edge in build_graph(workflow).edges]
    return Drawn(workflow.name, [worker.name for worker in workflow.workers], edges)


def _of_workflow(session: Session, name: str) -> Drawn:
    session.targets.append((name, None))
    with connect_or_read(session.config) as client:
        answer = client.dag(name)
    edges: Sequence[dict[str, str]] = answer["edges"]
    return Drawn(
        name,
        [node["name"] for node in answer["nodes"]],
        [(edge["from"], edge["to"], edge.get("input")) for edge in edges],
    )
