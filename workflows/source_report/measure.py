"""Measure one group of source files: lines, functions, classes, imports, complexity.

Reads `files` (from list.py), writes `part`. A file that does not parse is counted by its lines and named.

Lines are what `open()` yields and are each of one kind: blank, comment (nothing but a comment),
docstring, code. Functions are `def` and `async def`, nested ones and methods included. Imports are
statements. The complexity of a function is 1 + its decisions (McCabe's cyclomatic complexity, as the
tools radon and mccabe count it): if, elif, for, while, except, a conditional expression, each further
operand of and/or, each for and if of a comprehension, each case that is not the wildcard. What a
nested function or class decides is not its surrounding function's.
"""

from __future__ import annotations

import ast
import gc
import io
import time
import tokenize
import warnings
from pathlib import Path

from worker_files import input_file, output_file, read_json, write_json

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.ClassDef)
MATCH_CASE = getattr(ast, "match_case", ())  # Python 3.10
TEMPLATES = (ast.JoinedStr, getattr(ast, "TemplateStr", ast.JoinedStr))  # f"", and t"" of Python 3.14
STRINGS = (ast.Constant, *TEMPLATES)
DECISIONS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.IfExp)
NOTHING = ast.Module(body=[], type_ignores=[])
# What no decision, scope or multi-line string can be under is not looked at: half of all nodes.
LEAVES = {
    *(ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop),
    *(ast.Constant, ast.Name, ast.Pass, ast.Break, ast.Continue, ast.Global, ast.Nonlocal, ast.alias),
}


def main() -> None:
    group = read_json(input_file("files"))
    warnings.simplefilter("ignore")  # of the measured files, about themselves
    gc.disable()  # trees have no cycles, and the collector would double the time
    part = {"number": group["number"], "label": group["label"], "files": [], "functions": [], "imports": []}
    for name in group["files"]:
        measure(Path(group["root"], name), name, part)
    part["seconds"] = round(time.process_time(), 3)
    write_json(output_file("part"), part)

    total = {key: sum(file[key] for file in part["files"]) for key in ("lines", "functions")}
    print(
        f"{part['label']}: {len(part['files'])} files, {total['lines']:,} lines, "
        f"{total['functions']:,} functions in {part['seconds']:.1f} s of CPU"
    )
    for file in part["files"]:
        if file["error"]:
            print(f"does not parse: {file['path']}: {file['error']}")


def measure(path: Path, name: str, part: dict) -> None:
    """Add what is in the file at `path` to `part`, under its `name`."""
    try:
        source = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        tree = ast.parse(source)
        survey, error = Survey(tree), None
    except SyntaxError as problem:
        survey, error = Survey(NOTHING), f"{problem.msg} (line {problem.lineno})" if problem.lineno else problem.msg
    except (ValueError, RecursionError, MemoryError) as problem:
        survey, error = Survey(NOTHING), f"{type(problem).__name__}: {problem}".rstrip(": ")
    except OSError as problem:
        source, survey, error = b"", Survey(NOTHING), f"cannot be read: {problem.strerror}"

    complexities = [complexity for *_, complexity in survey.functions]
    part["files"].append(
        {
            "path": name,
            **kinds_of_lines(source, survey),
            "functions": len(survey.functions),
            "classes": survey.classes,
            "imports": survey.imports,
            "complexity": sum(complexities),
            "max_complexity": max(complexities, default=0),
            "error": error,
        }
    )
    part["functions"] += [[name, *function] for function in survey.functions]
    part["imports"] += [[name, *imported] for imported in survey.imported]


class Survey:
    """What one walk over a syntax tree finds. No recursion: some test files nest thousands deep."""

    def __init__(self, tree: ast.Module) -> None:
        self.functions: list[tuple[str, int, int, int]] = []  # qualified name, line, number of lines, complexity
        self.classes = 0
        self.imports = 0  # statements
        self.imported: list[tuple[int, str]] = []  # line, module as written
        self.docstrings: list[ast.expr] = []
        self.long_strings: list[ast.expr] = []  # string expressions of more than one line
        self._scopes: list[tuple[ast.AST, str]] = [(tree, "")]  # still to visit, with the prefix of names inside
        while self._scopes:
            self._visit(*self._scopes.pop())

    def _visit(self, scope: ast.AST, prefix: str) -> None:
        self._note_docstring(scope)
        complexity = 1
        nodes = list(children(scope))
        while nodes:
            node = nodes.pop()
            kind = node.__class__
            if kind in SCOPES:
                inner = prefix + node.name + (".<locals>." if kind in FUNCTIONS else ".")
                self._scopes.append((node, inner))
                self.classes += kind is ast.ClassDef
                continue
            if kind in STRINGS and node.end_lineno > node.lineno:
                self.long_strings.append(node)
            if kind is ast.Import or kind is ast.ImportFrom:
                self._note_import(node)
            elif kind in DECISIONS:
                complexity += 1
            elif kind is ast.BoolOp:
                complexity += len(node.values) - 1
            elif kind is ast.comprehension:
                complexity += 1 + len(node.ifs)
            elif kind is MATCH_CASE:
                complexity += not is_wildcard(node)
            nodes += children(node)
        if scope.__class__ in FUNCTIONS:
            name = prefix[: -len(".<locals>.")]
            self.functions.append((name, scope.lineno, scope.end_lineno - scope.lineno + 1, complexity))

    def _note_docstring(self, scope: ast.AST) -> None:
        first = scope.body[0] if scope.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            self.docstrings.append(first.value)

    def _note_import(self, node: ast.Import | ast.ImportFrom) -> None:
        self.imports += 1
        if isinstance(node, ast.Import):
            self.imported += [(node.lineno, alias.name) for alias in node.names]
        else:
            self.imported.append((node.lineno, "." * node.level + (node.module or "")))


def children(node: ast.AST, _fields: dict = {}) -> list[ast.AST]:  # noqa: B006 - the default is the cache
    """The nodes directly below `node` that matter here."""
    kind = node.__class__
    if kind in TEMPLATES:  # its own text is part of it, and since 3.12 has a misleading place
        return [value for value in node.values if value.__class__ is not ast.Constant]
    if kind not in _fields:
        _fields[kind] = () if kind in LEAVES or kind.__base__ in LEAVES else kind._fields
    found = []
    for field in _fields[kind]:
        value = getattr(node, field, None)
        if value.__class__ is list:
            found += [each for each in value if isinstance(each, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def is_wildcard(case: ast.AST) -> bool:
    """Whether it is `case _:` or `case name:`, which decides nothing."""
    pattern = case.pattern
    return case.guard is None and isinstance(pattern, ast.MatchAs) and pattern.pattern is None


def kinds_of_lines(source: bytes, survey: Survey) -> dict[str, int]:
    """How many lines there are, and how many of each kind; line numbers count from 1."""
    lines = source.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1]:
        lines.pop()
    stripped = [b"", *(line.strip() for line in lines)]
    blank = {number for number, line in enumerate(stripped) if number and not line}
    comment = {number for number, line in enumerate(stripped) if line.startswith(b"#")}
    for string in survey.long_strings:
        inside = comment.intersection(range(string.lineno + 1, string.end_lineno + 1))
        if inside:
            comment -= inside - comments_between_pieces(string, lines)
    docstring = set()
    for string in survey.docstrings:
        begins_line = not lines[string.lineno - 1][: string.col_offset].strip()
        docstring.update(range(string.lineno + (not begins_line), string.end_lineno + 1))
    docstring -= blank | comment
    return {
        "lines": len(lines),
        "blank": len(blank),
        "comment": len(comment),
        "docstring": len(docstring),
        "code": len(lines) - len(blank) - len(comment) - len(docstring),
    }


def comments_between_pieces(string: ast.expr, lines: list[bytes]) -> set[int]:
    """The numbers of the comment lines within a string of several pieces, `("a"  # so` ... `"b")`.

    The syntax tree has it as one expression; only its tokens tell a comment from text that looks like one.
    """
    pieces = lines[string.lineno - 1 : string.end_lineno]
    pieces[-1] = pieces[-1][: string.end_col_offset]
    pieces[0] = b"(" + pieces[0][string.col_offset :]
    text = b"\n".join(pieces).decode("utf-8", "replace") + "\n)"
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError):
        return set()
    return {string.lineno + token.start[0] - 1 for token in tokens if token.type == tokenize.COMMENT}


if __name__ == "__main__":
    main()
