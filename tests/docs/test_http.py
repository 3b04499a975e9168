"""docs/http.md against the Flask app, the code base and a real server."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import wattle
from tests.docs.documents import DOCS, examples, section, table
from tests.docs.shells import answered, compared
from tests.whole.server import Server
from wattle import errors
from wattle.api import errors as edge
from wattle.api.app import create_app
from wattle.client import ClientError, NoServer
from wattle.config import load_config
from wattle.definition import command, params, problems, yaml_text

PAGE = DOCS / "http.md"
KINDS: list[type] = [errors.WattleError, *errors.WattleError.__subclasses__(), *errors.Unavailable.__subclasses__()]
CLASSES: dict[str, type] = {
    **{kind.__name__: kind for kind in KINDS},
    "Problem": errors.Problem,
}
# First arguments that are no text in the source; what they can be is taken from the tables they name.
COMPUTED = {
    "CODE",
    "_CODES[stage]",
    "_HTTP_CODES.get(raised.code, _code_of(raised))",
    "error.code",
    "first.code",
    "str(error.get('code', 'UNKNOWN'))",
}
NO_STATUS = "–"


def routes() -> set[tuple[str, str]]:
    """(method, path) with every part that varies as `{}`."""
    nobody: Any = None
    app = create_app(nobody, None, load_config({"data_dir": "/nowhere"}, {}, "/"), nobody)
    return {
        (method, re.sub(r"<[^>]*>", "{}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def documented_routes() -> set[tuple[str, str]]:
    rows = table(section(PAGE, "Routes"))
    return {(method, re.sub(r"\{[^}]*\}", "{}", path.strip("`"))) for method, path, _ in rows}


def raised(source: str) -> Iterator[tuple[str, type | None]]:
    """(code, class of the error or None) of everything in a source that makes an error with a code."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = ast.unparse(node.func)
        first = node.args[0]
        if name == "NoServer":
            yield "NO_SERVER", NoServer
        elif name in ("sse.error",) or name.rpartition(".")[2] in CLASSES:
            kind = CLASSES.get(name.rpartition(".")[2])
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value, kind
            else:
                assert ast.unparse(first) in COMPUTED, f"{name}({ast.unparse(first)}, …): which codes can that be?"


def codes() -> dict[str, set[type]]:
    """{code: classes of the errors that have it}"""
    found: dict[str, set[type]] = defaultdict(set)
    for path in Path(wattle.__file__).parent.rglob("*.py"):
        for code, kind in raised(path.read_text(encoding="utf-8")):
            found[code] |= {kind} if kind is not None else set()
    for stage, code in problems._CODES.items():
        found[code] |= {errors.Malformed} if stage is problems.Stage.SHAPE else {errors.Invalid}
    for code in (command.CODE, params.CODE):
        found[code].add(errors.Invalid)
    found[yaml_text.CODE].add(errors.Malformed)
    for code in edge._HTTP_CODES.values():
        found.setdefault(code, set())
    return found


def documented_codes() -> dict[str, set[str]]:
    """{code: HTTP statuses}"""
    rows = table(section(PAGE, "Error codes"))
    assert len({row[0] for row in rows}) == len(rows), "a code stands twice in the table"
    return {row[0].strip("`"): set(row[1].split(", ")) for row in rows}


def test_every_route_is_documented_and_nothing_else() -> None:
    served, documented = routes(), documented_routes()
    aliases = {(method, path.replace("/api/v1/", "/api/")) for method, path in served if "/api/v1/" in path}
    assert aliases == {route for route in documented if route[1].startswith("/api/workflows")}
    assert "`/api/v1/workflows`" in section(PAGE, "Routes")
    assert {route for route in served if "/api/v1/" not in route[1]} == documented


def test_every_route_has_an_example_that_is_run() -> None:
    called = set()
    for block, _ in examples(PAGE):
        called.add((found[1] if (found := re.search(r"-X (\w+)", block.text)) else "GET", _path(block.text)))
    patterns = {
        (method, path): re.compile(path.replace("{}", "[^/]+")) for method, path in documented_routes()
    }
    without = {
        route for route, pattern in patterns.items()
        if not any(method == route[0] and pattern.fullmatch(path) for method, path in called)
    }  # fmt: skip
    assert without == {("POST", "/api/down")}  # it would end the server that all examples are run against


def _path(script: str) -> str:
    match = re.search(r"localhost:9240([^\s\"'?]*)", script)
    assert match is not None, script
    return match[1]


def test_the_table_of_codes_holds_exactly_the_codes_there_are() -> None:
    assert sorted(documented_codes()) == sorted(codes())


def test_a_code_that_nobody_documented_would_be_found() -> None:
    """Positive control."""
    source = "raise errors.Conflict('NEW_CODE', 'no')\nyield sse.error('OTHER', 'no')\nraise NoServer('no')"
    assert dict(raised(source)) == {"NEW_CODE": errors.Conflict, "OTHER": None, "NO_SERVER": NoServer}


def test_codes_have_the_statuses_that_the_table_says() -> None:
    """Those of the command line (`–`) are codes that no server answers with, or that are met before there is one."""
    by_hand = {code: {str(status)} for status, code in edge._HTTP_CODES.items()}
    wrong = {}
    for code, kinds in codes().items():
        said = documented_codes()[code]
        statuses = {str(edge.STATUSES[kind]) for kind in kinds if kind in edge.STATUSES} or by_hand.get(code)
        if said == {NO_STATUS}:
            early = ("INVALID_SETTING", "NO_SERVER", yaml_text.CODE)
            is_right = kinds <= {errors.Refused, NoServer, ClientError} or code in early
        else:
            is_right = statuses is None or said == statuses
        if not is_right:
            wrong[code] = (said, statuses)
    assert wrong == {}


def test_every_reason_why_a_process_cannot_be_started_is_named() -> None:
    source = "".join(path.read_text() for path in (Path(wattle.__file__).parent / "keeper").glob("*.py"))
    refusals = set(re.findall(r"Refusal\(\s*\"(\w+)\"", source)) | set(re.findall(r"errno\.\w+: \(\"(\w+)\"", source))
    assert len(refusals) > 15
    text = section(PAGE, "Error codes")
    assert {code for code in refusals if f"`{code}`" not in text} == set()


def test_the_examples_are_answered_as_shown(server: Server) -> None:
    """In the order of the page; ids, instants and amounts by their shape, all else exactly."""
    for block, answer in examples(PAGE):
        assert answer is not None, f"{block}: what does it answer?"
        came, said = compared(answered(server, block, answer), answer)
        assert came == said, f"{block}: {block.text}"
