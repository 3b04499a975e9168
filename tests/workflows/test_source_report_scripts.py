"""The scripts of workflows/source-report.json, without Wattle: what they say is what is there.

A tiny driver starts them as the definition says, with the variables that Wattle sets. Totals are compared
with a count written another way: lines by splitting bytes, all else by tokens, where the scripts use syntax trees.
"""

import csv
import json
import os
import re
import sqlite3
import subprocess
import sys
import sysconfig
import tokenize
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

WORKFLOWS = Path(__file__).parents[2] / "workflows"
SCRIPTS = WORKFLOWS / "source_report"
DEFINITION = json.loads((WORKFLOWS / "source-report.json").read_text())


class Report:
    """What a run of the workflow left in its directory."""

    def __init__(self, directory: Path, printed: dict[str, str]) -> None:
        self.directory = directory
        self.printed = printed
        self.page = (directory / "index.html").read_text()
        self.files = {row["path"]: dict(row) for row in self.query("SELECT * FROM files")}

    def query(self, sql: str) -> list[sqlite3.Row]:
        with closing(sqlite3.connect(self.directory / "source-report.sqlite")) as database:
            database.row_factory = sqlite3.Row
            return database.execute(sql).fetchall()

    def total(self, measure: str) -> int:
        return sum(file[measure] for file in self.files.values())


def run_worker(worker: dict, directory: Path, *arguments: str) -> subprocess.CompletedProcess:
    outputs = {each["name"]: each.get("outputs", {}) for each in DEFINITION["workers"]}
    env = dict(os.environ)
    for name, reference in worker.get("inputs", {}).items():
        producer, output = reference.split("/")
        env[f"WATTLE_INPUT_{name.upper()}"] = str(directory / outputs[producer][output])
    for name, path in worker["outputs"].items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        env[f"WATTLE_OUTPUT_{name.upper()}"] = str(directory / path)
    program, script = worker["command"].split()
    assert program == "python"
    command = [sys.executable, str(SCRIPTS / Path(script).name), *arguments]
    return subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, check=False)


def run_workflow(directory: Path, *arguments: str) -> Report:
    """Run all workers, in waves: those whose producers have ended. `arguments` are for `list`."""
    printed: dict[str, str] = {}
    waiting = list(DEFINITION["workers"])
    while waiting:
        ready = [w for w in waiting if all(ref.split("/")[0] in printed for ref in w.get("inputs", {}).values())]
        assert ready, f"nothing can start of {[worker['name'] for worker in waiting]}"
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            ended = pool.map(lambda w: run_worker(w, directory, *(arguments if w["name"] == "list" else ())), ready)
        for worker, process in zip(ready, ended, strict=True):
            assert process.returncode == 0, f"{worker['name']}: {process.stderr}"
            assert process.stderr == ""
            printed[worker["name"]] = process.stdout
            waiting.remove(worker)
    return Report(directory, printed)


def write_tree(directory: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return directory


def source_files_of_the_library() -> dict[str, Path]:
    root = Path(sysconfig.get_path("stdlib"))
    foreign = {"site-packages", "dist-packages", "__pycache__"}
    paths = (path for path in root.rglob("*.py") if path.is_file())
    return {
        path.relative_to(root).as_posix(): path
        for path in paths
        if not foreign.intersection(path.relative_to(root).parts)
    }


# The real library, once for all tests of this module.


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return run_workflow(tmp_path_factory.mktemp("source-report"))


@pytest.fixture(scope="module")
def library() -> dict[str, Path]:
    return source_files_of_the_library()


def test_every_source_file_of_the_library_is_measured_once(report, library):
    assert sorted(report.files) == sorted(library)


def test_lines_and_blank_lines_are_those_of_an_independent_count(report, library):
    for name, path in library.items():
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines()
        assert report.files[name]["lines"] == len(lines), name
        assert report.files[name]["blank"] == sum(not line.strip() for line in lines), name


def test_functions_classes_imports_and_comments_are_those_that_the_tokens_show(report, library):
    compared = 0
    for name in sorted(library)[::17]:
        if report.files[name]["error"]:
            continue
        with open(library[name], "rb") as file:
            tokens = list(tokenize.tokenize(file.readline))
        names = Counter(token.string for token in tokens if token.type == tokenize.NAME)
        comments = [t for t in tokens if t.type == tokenize.COMMENT and t.line[: t.start[1]].strip("\ufeff \t\f") == ""]
        counted = report.files[name]
        assert (counted["functions"], counted["classes"], counted["imports"]) == (
            names["def"],
            names["class"],
            names["import"],
        ), name
        assert counted["comment"] == len(comments), name
        compared += 1
    assert compared > 20


def test_each_line_is_of_one_kind(report):
    for name, file in report.files.items():
        assert min(file["code"], file["docstring"], file["comment"], file["blank"]) >= 0, name
        assert file["lines"] == file["code"] + file["docstring"] + file["comment"] + file["blank"], name


def test_the_csv_holds_the_rows_of_the_database(report):
    with (report.directory / "files.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    as_text = [
        {column: "" if cell is None else str(cell) for column, cell in row.items()} for row in report.files.values()
    ]
    assert rows == as_text


def test_the_functions_and_imports_of_the_database_add_up_to_the_files(report):
    functions, complexity = report.query("SELECT count(*), sum(complexity) FROM functions")[0]
    statements = report.query("SELECT count(DISTINCT path || ':' || line) FROM imports")[0][0]
    assert functions == report.total("functions")
    assert complexity == report.total("complexity")
    assert 0.99 * report.total("imports") <= statements <= report.total("imports")  # `import a; import b` is rare


def test_the_page_shows_the_totals(report):
    shown = dict(re.findall(r'data-total="([^"]+)">([^<]+)<', report.page))
    assert shown["files"] == f"{len(report.files):,}"
    for measure in ("lines", "functions", "classes", "imports"):
        assert shown[measure] == f"{report.total(measure):,}"


def test_the_page_lists_groups_the_largest_files_and_the_most_complex_functions(report):
    for (label,) in report.query("SELECT label FROM groups"):
        assert plain_text(label) in plain_text(report.page)
    largest = sorted(report.files.values(), key=lambda file: -file["lines"])[:20]
    most_complex = report.query("SELECT name FROM functions ORDER BY complexity DESC LIMIT 19")
    for name in [file["path"] for file in largest] + [row["name"] for row in most_complex]:
        assert plain_text(name) in plain_text(report.page)


def plain_text(html: str) -> str:
    return html.replace("<wbr>", "").replace("&lt;", "<").replace("&gt;", ">")


def test_the_page_is_well_formed_and_needs_nothing_from_elsewhere(report):
    checker = TagChecker()
    checker.feed(report.page)
    checker.close()
    assert checker.open == []
    assert checker.ids == sorted(set(checker.ids))
    links = re.findall(r'(?:href|src)="([^"#]+)"', report.page)
    assert links and all((report.directory / link).is_file() for link in links)
    assert "://" not in report.page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "$" not in re.sub(r"<pre.*?</pre>", "", report.page, flags=re.S)  # no placeholder is left


class TagChecker(HTMLParser):
    """Notes tags that are not closed in order, and the ids."""

    EMPTY = {"meta", "br", "wbr", "link", "img"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found_ids: list[str] = []

    @property
    def ids(self) -> list[str]:
        return sorted(self.found_ids)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.found_ids += [text for name, text in attrs if name == "id"]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_picture_is_a_titled_svg_whose_tiles_lie_within_it_and_do_not_overlap(report):
    root = ElementTree.parse(report.directory / "map.svg").getroot()
    svg = "{http://www.w3.org/2000/svg}"
    assert root.find(f"{svg}title").text == "A map of the Python standard library"
    assert f"{report.total('lines'):,} lines" in root.find(f"{svg}desc").text
    _, _, width, height = map(float, root.get("viewBox").split())

    tiles = []
    for group in root.iter(f"{svg}g"):
        if group.find(f"{svg}title") is not None and group.get("class") != "package":
            rectangle = group.find(f"{svg}rect")
            tiles.append(tuple(float(rectangle.get(key)) for key in ("x", "y", "width", "height")))
    assert len(tiles) > 100
    for x, y, w, h in tiles:
        assert x >= 0 and y >= 0 and x + w <= width + 0.1 and y + h <= height + 0.1
    area = sum(w * h for _, _, w, h in tiles)
    assert 0.75 * width * height < area < width * height
    for one, (x, y, w, h) in enumerate(tiles):
        for x2, y2, w2, h2 in tiles[:one]:
            apart = x >= x2 + w2 - 0.6 or x2 >= x + w - 0.6 or y >= y2 + h2 - 0.6 or y2 >= y + h - 0.6
            assert apart, f"{(x, y, w, h)} lies over {(x2, y2, w2, h2)}"


def test_groups_are_balanced_and_every_worker_says_what_it_did(report):
    lines = [row[0] for row in report.query("SELECT sum(lines) FROM files GROUP BY group_number")]
    assert len(lines) == 8
    assert max(lines) < 2 * sum(lines) / 8
    for name, text in report.printed.items():
        assert text.strip(), name
    assert (report.directory / "index.html").as_uri() in report.printed["page"]


# Other trees, with what a library may hold.


def test_files_that_do_not_parse_are_counted_by_lines_and_named(tmp_path):
    tree = write_tree(
        tmp_path / "tree",
        {
            "good.py": b"import os\n",
            "python2.py": b"print 'hello'\n\n",
            "nul.py": b"a = 1\0\n",
            "encoding.py": b"# -*- coding: uft-8 -*-\nx = 1\n",
            "bytes.py": b"x = '\xf6'\n",
            "nested.py": b"(" * 5000 + b")" * 5000 + b"\n",
            "chain.py": b"x = " + b"not " * 200_000 + b"1\n",
        },
    )
    report = run_workflow(tmp_path, str(tree))

    broken = {name for name, file in report.files.items() if file["error"]}
    assert broken >= {"python2.py", "nul.py", "encoding.py", "bytes.py", "nested.py"}
    assert "good.py" not in broken
    assert report.files["python2.py"]["lines"] == 2
    assert report.files["good.py"]["imports"] == 1
    printed = "".join(report.printed.values())
    for name in broken:
        assert f"does not parse: {name}: " in printed
        assert f'<th scope="row">{name.replace(".py", ".<wbr>py")}</th>' in report.page


@pytest.mark.parametrize(
    "source, kinds",
    [
        (b"", {"lines": 0}),
        (b"x = 1", {"lines": 1, "code": 1}),
        (b"x = 1\r\n\r\n# so\r\n", {"lines": 3, "code": 1, "blank": 1, "comment": 1}),
        (b"\xef\xbb\xbf# so\nx = 1\n", {"lines": 2, "code": 1, "comment": 1}),
        ("# coding: latin-1\nx = 'ö'\n".encode("latin-1"), {"lines": 2, "code": 1, "comment": 1}),
        (b"\x0c\nx = 1  # so\n", {"lines": 2, "code": 1, "blank": 1}),
        (b'"""Doc.\n\n# no comment\n"""\nx = 1\n', {"lines": 5, "docstring": 3, "blank": 1, "code": 1}),
        (b'x = """\n# no comment\n"""\n', {"lines": 3, "code": 3}),
        (b'x = ("a"\n  # a comment\n  "b")\n', {"lines": 3, "code": 2, "comment": 1}),
        (b'x = 1\ny = f"""\n# no comment {x}\n"""\n', {"lines": 4, "code": 4}),
        (b'def f(): "Doc."\n', {"lines": 1, "code": 1}),
        (b'class A:\n    """Doc."""\n', {"lines": 2, "code": 1, "docstring": 1}),
    ],
)
def test_lines_are_told_apart(tmp_path, source, kinds):
    part = measure(tmp_path, source)
    file = part["files"][0]
    assert file["error"] is None
    expected = {"lines": 0, "code": 0, "docstring": 0, "comment": 0, "blank": 0, **kinds}
    assert {kind: file[kind] for kind in expected} == expected


@pytest.mark.parametrize(
    "body, complexity",
    [
        ("pass", 1),
        ("if a: pass", 2),
        ("if a: pass\n    elif b: pass\n    else: pass", 3),
        ("for a in b: pass\n    else: pass", 2),
        ("while a and b or c: pass", 4),
        ("try: pass\n    except A: pass\n    except B: pass\n    finally: pass", 3),
        ("return a if b else c", 2),
        ("return [a for a in b if a if c for d in e]", 5),
        ("with a: assert b", 1),
        ("match a:\n        case 1 | 2: pass\n        case b if c: pass\n        case _: pass", 3),
        ("return lambda: a or b", 2),
    ],
)
def test_complexity_is_one_and_the_decisions(tmp_path, body, complexity):
    part = measure(tmp_path, f"def f():\n    {body}\n".encode())
    assert [function[1:2] + function[4:] for function in part["functions"]] == [["f", complexity]]


def test_a_nested_function_decides_for_itself(tmp_path):
    source = (
        b"class A:\n    if x: pass\n    async def f(self):\n"
        b"        def g():\n            if a: pass\n        if b and c: g()\n"
    )
    functions = {name: (line, lines, value) for _, name, line, lines, value in measure(tmp_path, source)["functions"]}
    assert functions == {"A.f": (3, 4, 3), "A.f.<locals>.g": (4, 2, 2)}


def test_imports_are_counted_as_statements_and_kept_by_module(tmp_path):
    part = measure(tmp_path, b"import os, sys\nfrom . import a\nif 1: from ..b.c import (d,\n    e)\n")
    assert part["files"][0]["imports"] == 3
    assert sorted(imported[1:] for imported in part["imports"]) == [[1, "os"], [1, "sys"], [2, "."], [3, "..b.c"]]


def measure(directory: Path, source: bytes) -> dict:
    write_tree(directory, {"file.py": source})
    group = {"root": str(directory), "number": 1, "label": "one", "files": ["file.py"]}
    (directory / "group.json").write_text(json.dumps(group))
    env = {"WATTLE_INPUT_FILES": str(directory / "group.json"), "WATTLE_OUTPUT_PART": str(directory / "part.json")}
    subprocess.run([sys.executable, SCRIPTS / "measure.py"], env={**os.environ, **env}, check=True, capture_output=True)
    return json.loads((directory / "part.json").read_text())


def test_only_the_library_itself_is_listed(tmp_path):
    tree = write_tree(
        tmp_path / "tree",
        {
            "a.py": b"\n",
            "b/c.py": b"\n",
            "site-packages/d.py": b"\n",
            "b/__pycache__/e.py": b"\n",
            "f.txt": b"\n",
            "g.py/h.py": b"\n",
        },
    )
    (tree / "dangling.py").symlink_to("nowhere")
    (tree / "link.py").symlink_to("a.py")
    assert sorted(run_workflow(tmp_path, str(tree)).files) == ["a.py", "b/c.py", "g.py/h.py", "link.py"]


@pytest.mark.parametrize(
    "files, message",
    [
        (None, "there is no directory"),
        ({}, "there are no Python source files"),
        ({"__pycache__/abc.cpython-311.pyc": b""}, "compiled files (.pyc) only"),
    ],
)
def test_a_library_without_source_is_explained(tmp_path, files, message):
    tree = tmp_path / "tree"
    if files is not None:
        tree.mkdir()
        write_tree(tree, files)
    process = run_worker(DEFINITION["workers"][0], tmp_path, str(tree))
    assert process.returncode == 1
    assert message in process.stderr and str(tree) in process.stderr
    assert len(process.stderr.splitlines()) == 1


def test_a_script_started_by_hand_says_how_it_is_meant(tmp_path):
    env = {name: text for name, text in os.environ.items() if not name.startswith("WATTLE_")}
    process = subprocess.run(
        [sys.executable, SCRIPTS / "join.py"], env=env, capture_output=True, text=True, check=False
    )
    assert process.returncode == 1
    assert "start it with `wattle run`" in process.stderr


def test_the_definition_writes_outside_of_what_is_committed():
    ignored = (WORKFLOWS.parent / ".gitignore").read_text().splitlines()
    assert "/workflows/output/" in ignored
    assert DEFINITION["working_dir"].startswith("output/")
    for worker in DEFINITION["workers"]:
        script = WORKFLOWS / DEFINITION["working_dir"] / worker["command"].split()[1]
        assert Path(os.path.normpath(script)).is_file()
