"""The workflows of docs/examples.md, by the command line. What comes out is compared with another way to find it."""

import bz2
import csv
import gzip
import hashlib
import json
import lzma
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import tarfile
import unicodedata
from collections import Counter, defaultdict
from contextlib import closing
from html.entities import html5
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.workflows.checkout import WORKFLOWS, Checkout
from tests.workflows.test_source_report_scripts import TagChecker

EXAMPLES = ("log-analysis", "etl-sqlite", "compress-verify", "build-c", "resilience")
PAGE = WORKFLOWS.parent / "docs/examples.md"


def need(program: str) -> None:
    assert shutil.which(program), f"this test needs {program} on PATH (Debian: apt-get install gcc libc6-dev coreutils)"


# All of them.

# Outputs that say how long something took, or where it is.
DIFFERS = {
    "compress-verify": re.compile(r".*/cost|verify-.*/row|report/.*"),
    "log-analysis": re.compile(r"collect/origin"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_second_run_makes_everything_again_and_the_same(checkout: Checkout, name: str) -> None:
    need("cc")
    checkout.completed(name)
    first = {key: (path.stat().st_mtime_ns, path.read_bytes()) for key, path in checkout.outputs(name).items()}

    process = checkout.run(name)

    assert process.returncode == 0, process.stderr
    second = {key: (path.stat().st_mtime_ns, path.read_bytes()) for key, path in checkout.outputs(name).items()}
    assert second.keys() == first.keys()
    for key, (written_at, content) in first.items():
        assert second[key][0] > written_at, f"{key} was not written again"
        if not (name in DIFFERS and DIFFERS[name].fullmatch(key)):
            assert second[key][1] == content, f"{key} has changed"


def test_nothing_is_written_outside_of_what_git_ignores(checkout: Checkout) -> None:
    def files(directory: Path) -> set[str]:
        found = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}
        return {path for path in found if not path.startswith("output/") and "__pycache__" not in path}

    for name in EXAMPLES:
        checkout.completed(name)
    assert files(checkout.workflows) == files(WORKFLOWS)


def test_every_workflow_is_described_and_documented() -> None:
    text = PAGE.read_text()
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    for path in WORKFLOWS.glob("*.json"):
        definition = json.loads(path.read_text())
        assert definition["name"] == path.stem
        if path.stem in EXAMPLES:
            assert path.stem in headings
            assert definition["description"]
            assert definition["working_dir"] == f"output/{path.stem}"
            assert f"scripts/wattle run workflows/{path.name}" in text
        else:
            assert f"workflows/{path.name}" in text


@pytest.mark.parametrize("name", ["log-analysis", "resilience"])
def test_the_page_shows_lines_of_the_report(checkout: Checkout, name: str) -> None:
    """Both reports are the same everywhere."""
    section = PAGE.read_text().split(f"\n## {name}\n")[1].split("\n## ")[0]
    shown = re.findall(r"^```text\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[-1]
    report = (checkout.completed(name) / "report.txt").read_text()
    assert set(shown.splitlines()) <= set(report.splitlines())


# log-analysis

REQUEST = re.compile(r'(\S+) \S+ \S+ \[(\d\d)/(\w{3})/(\d{4}):(\d\d)[^]]*] "([^"]*)" (\d{3}) (\S+)')
MONTHS = dict(zip("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), range(1, 13)))


class Counted:
    """An access log, counted line by line by a regular expression."""

    def __init__(self, log: Path) -> None:
        self.tables: dict[str, dict[str, list[int]]] = {
            table: defaultdict(lambda: [0, 0, 0, 0]) for table in ("page", "host", "status", "hour")
        }
        self.visitors: dict[str, set[str]] = defaultdict(set)
        self.rejected = []
        for line in log.read_text().splitlines():
            match = REQUEST.match(line)
            if match is None:
                self.rejected.append(line)
                continue
            host, day, month, year, hour, request, status, size = match.groups()
            words = request.split(" ")
            page = words[1].split("?")[0] if len(words) == 3 else "(no request)"
            self.visitors[page].add(host)
            keys = (page, host, status, f"{year}-{MONTHS[month]:02}-{day}T{hour}")
            for table, key in zip(self.tables.values(), keys):
                counts = table[key]
                counts[0] += 1
                counts[1] += 0 if size == "-" else int(size)
                counts[2] += status[0] == "4"
                counts[3] += status[0] == "5"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_the_tables_of_the_log_are_those_of_an_independent_count(checkout: Checkout) -> None:
    directory = checkout.completed("log-analysis")
    counted = Counted(directory / "access.log")
    assert sum(counts[0] for counts in counted.tables["host"].values()) > 190_000
    for table, file in (("page", "pages.tsv"), ("host", "hosts.tsv"), ("hour", "hours.tsv")):
        found = {
            row[table]: [int(row[column]) for column in ("hits", "bytes", "client_errors", "server_errors")]
            for row in rows_of(directory / file)
        }
        assert found == counted.tables[table]
    statuses = {row["status"]: [int(row["hits"]), int(row["bytes"])] for row in rows_of(directory / "statuses.tsv")}
    assert statuses == {status: counts[:2] for status, counts in counted.tables["status"].items()}
    visitors = {row["page"]: int(row["visitors"]) for row in rows_of(directory / "pages.tsv")}
    assert visitors == {page: len(hosts) for page, hosts in counted.visitors.items()}
    assert (directory / "rejected.log").read_text().splitlines() == counted.rejected


def test_the_report_of_the_log_leads_to_what_happened(checkout: Checkout) -> None:
    directory = checkout.completed("log-analysis")
    report = (directory / "report.txt").read_text()
    sections = dict(re.findall(r"^(The [^\n]*)\n\n(.*?)(?=\n\n|\Z)", report, re.MULTILINE | re.DOTALL))
    busiest = [row["page"] for row in rows_of(directory / "pages.tsv")][:15]
    assert [line.split()[-1] for line in sections["The 15 most visited pages"].splitlines()[1:]] == busiest
    # Somebody scanned on Tuesday night, the search was overloaded on Thursday at two.
    assert "203.0.113.251" in sections["The 5 hosts with most errors of their own (4xx)"]
    assert sections["The 5 hours with most errors of the server"].splitlines()[1].endswith("2026-11-12T14")
    assert sections["The 5 pages that fail most often (5xx)"].splitlines()[1].endswith("/search")


def test_a_log_of_ones_own_is_analysed(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    log = tmp_path / "my own.log"
    log.write_bytes(
        b'::1 - - [01/Feb/2026:00:00:01 +0100] "GET /a?b=c HTTP/1.1" 200 10\r\n'
        b'::1 - Jo [01/Feb/2026:00:59:59 +0100] "GET /a HTTP/2.0" 304 - "-" "say \\"hi\\""\n'
        b'10.0.0.1 - - [01/Feb/2026:01:00:00 +0100] "GET /\\"q\\" HTTP/1.1" 599 3000000000 "-" "x"\n'
        b'10.0.0.1 - - [01/Feb/2026:01:00:00 +0100] "\\x16\\x03" 400 0\n'
        b"no request at all\n"
        b'10.0.0.2 - - [01/Feb/2026:01:00:01 +0100] "GET /caf\xc3\xa9 HTTP/1.1" 200 3000000000'
    )
    try:
        process = checkout.run("log-analysis", ACCESS_LOG=str(log))
        assert process.returncode == 0, process.stderr
    finally:
        checkout.down()
    directory = checkout.output("log-analysis")
    pages = {row["page"]: (row["hits"], row["visitors"], row["bytes"]) for row in rows_of(directory / "pages.tsv")}
    assert pages == {
        "/a": ("2", "1", "10"),
        "/%22q%22": ("1", "1", "3000000000"),
        "(no request)": ("1", "1", "0"),
        "/café": ("1", "1", "3000000000"),
    }
    assert [row["hour"] for row in rows_of(directory / "hours.tsv")] == ["2026-02-01T00", "2026-02-01T01"]
    statuses = {row["status"]: row["meaning"] or "" for row in rows_of(directory / "statuses.tsv")}
    assert statuses == {"200": "OK", "304": "Not Modified", "400": "Bad Request", "599": ""}
    assert (directory / "rejected.log").read_text() == "no request at all\n"
    assert not (directory / "access.log").exists()


def test_a_log_that_is_not_there_is_named(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    try:
        process = checkout.run("log-analysis", ACCESS_LOG="/nowhere/access.log")
    finally:
        checkout.down()
    assert process.returncode == 1
    assert "ACCESS_LOG names /nowhere/access.log, which is not a file that can be read" in process.stderr


def test_a_table_that_lost_a_row_is_noticed(checkout: Checkout, tmp_path: Path) -> None:
    table = checkout.completed("log-analysis") / "hosts.tsv"
    shorter = tmp_path / "hosts.tsv"
    made = {"checks": tmp_path / "checks.txt", "rejected": tmp_path / "rejected.log"}
    assert checkout.run_script("log-analysis", "check", **made).returncode == 0

    shorter.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    process = checkout.run_script("log-analysis", "check", hosts=shorter, **made)

    assert process.returncode == 1
    assert re.match(r"hosts\.tsv has \d+ hits, but the log has \d+ good lines", process.stderr)


# etl-sqlite


def query(database: Path, sql: str, *values: object) -> list[tuple]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql, values).fetchall()


def test_the_database_holds_all_of_unicode(checkout: Checkout) -> None:
    database = checkout.completed("etl-sqlite") / "unicode.sqlite"
    categories = Counter(unicodedata.category(chr(codepoint)) for codepoint in range(sys.maxunicode + 1))
    private, surrogates, free = categories.pop("Co"), categories.pop("Cs"), categories.pop("Cn")
    assert dict(query(database, "SELECT category, count(*) FROM characters GROUP BY 1")) == categories
    sums = query(database, "SELECT sum(assigned), sum(private), sum(surrogates), sum(unassigned) FROM planes")
    assert sums == [(sum(categories.values()), private, surrogates, free)]
    for codepoint, name in query(database, "SELECT codepoint, name FROM characters WHERE codepoint % 101 = 0"):
        assert name == unicodedata.name(chr(codepoint), None) or name == f"TANGUT IDEOGRAPH-{codepoint:X}", codepoint
    assert dict(query(database, "SELECT capital, small FROM cases"))[ord("Ж")] == ord("ж")


def test_characters_can_be_put_together_from_the_database(checkout: Checkout) -> None:
    """What a table of decompositions is for: the compatibility form of texts, as Python makes it."""
    database = checkout.completed("etl-sqlite") / "unicode.sqlite"
    parts: dict[int, list[int]] = defaultdict(list)
    for codepoint, part in query(database, "SELECT codepoint, part FROM decompositions ORDER BY codepoint, position"):
        parts[codepoint].append(part)

    def taken_apart(codepoint: int) -> str:
        return "".join(taken_apart(part) for part in parts[codepoint]) if codepoint in parts else chr(codepoint)

    for character in "é ﬃ ½ ㎏ Ǖ ﷺ 豈 ｶﾞ".replace(" ", ""):
        assert taken_apart(ord(character)) == unicodedata.normalize("NFKD", character)


@pytest.mark.parametrize("encoding", ["cp1252", "koi8_r", "shift_jis", "big5hkscs", "ascii"])
def test_the_database_knows_what_an_encoding_can_write(checkout: Checkout, encoding: str) -> None:
    database = checkout.completed("etl-sqlite") / "unicode.sqlite"

    def can_be_written(character: str) -> bool:
        try:
            return character.encode(encoding).decode(encoding) == character
        except UnicodeError:
            return False

    expected = {
        codepoint
        for codepoint in range(0x30000)
        if unicodedata.category(chr(codepoint)) not in ("Cn", "Co", "Cs") and can_be_written(chr(codepoint))
    }
    found = {row[0] for row in query(database, "SELECT codepoint FROM encoded WHERE encoding = ?", encoding)}
    assert found == expected


def test_the_page_of_unicode_shows_what_was_counted(checkout: Checkout) -> None:
    directory = checkout.completed("etl-sqlite")
    page = (directory / "index.html").read_text()
    shown = dict(re.findall(r'data-total="([^"]+)">([^<]+)<', page))
    characters = sum(unicodedata.category(chr(n)) not in ("Cn", "Co", "Cs") for n in range(sys.maxunicode + 1))
    assert shown["characters"] == f"{characters:,}"
    assert shown["names in HTML"] == f"{len({name.rstrip(';') for name in html5}):,}"
    assert (directory / "map.svg").read_text() in page
    checker = TagChecker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    assert checker.ids == sorted(set(checker.ids))
    assert "://" not in page.replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_the_map_of_unicode_shows_every_character_once(checkout: Checkout) -> None:
    directory = checkout.completed("etl-sqlite")
    svg = "{http://www.w3.org/2000/svg}"
    area: Counter[str] = Counter()
    for group in ElementTree.parse(directory / "map.svg").getroot().iter(f"{svg}g"):
        for rectangle in group.iter(f"{svg}rect"):
            side = float(rectangle.get("width"))
            area[rectangle.get("class")] += 256 * float(rectangle.get("height")) / side
    chinese = query(
        directory / "unicode.sqlite",
        "SELECT count(*) FROM characters WHERE first_word = 'CJK' AND substr(category, 1, 1) IN ('L', 'M')",
    )[0][0]
    assert area["cjk"] == pytest.approx(chinese, rel=0.01)
    assert area["surrogates"] == pytest.approx(2048, rel=0.01)


@pytest.mark.parametrize(
    "harm, noticed",
    [
        ("DELETE FROM encoded WHERE encoding = 'koi8_r' AND codepoint = 53", "every encoding can write the digits"),
        ("DELETE FROM characters WHERE codepoint = 0x416", "every reference leads somewhere"),
        ("UPDATE characters SET name = 'LATIN SMALL LETTER WATTLE' WHERE codepoint = 97", "every name leads back"),
    ],
)
def test_a_harmed_database_does_not_pass_its_checks(
    checkout: Checkout, tmp_path: Path, harm: str, noticed: str
) -> None:
    database = tmp_path / "unicode.sqlite"
    shutil.copy(checkout.completed("etl-sqlite") / "unicode.sqlite", database)
    with closing(sqlite3.connect(database)) as connection, connection:
        assert connection.execute(harm).rowcount == 1
    process = checkout.run_script("etl-sqlite", "check", database=database, checks=tmp_path / "checks.txt")
    assert process.returncode == 1
    assert f"FAILED  {noticed}" in process.stdout
    assert not (tmp_path / "checks.txt").exists()


# compress-verify

OPENERS = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}


def test_every_archive_holds_the_library_as_it_is(checkout: Checkout) -> None:
    directory = checkout.completed("compress-verify")
    library = Path(sysconfig.get_path("stdlib"))
    for suffix in ("gz", "bz2", "xz"):
        packed: set[str] = set()
        for number in range(1, 5):
            with tarfile.open(directory / f"part-{number}.tar.{suffix}") as archive:
                for member in archive:
                    assert archive.extractfile(member).read() == (library / member.name).read_bytes()  # type: ignore[union-attr]
                    assert member.mtime == 0 and member.name not in packed
                    packed.add(member.name)
        assert len(packed) > 50


def test_the_table_of_archives_says_what_the_files_say(checkout: Checkout) -> None:
    directory = checkout.completed("compress-verify")
    rows = rows_of(directory / "archives.tsv")
    assert [(row["part"], row["method"]) for row in rows] == [
        (f"part-{number}.tar", method) for number in range(1, 5) for method in ("gzip", "bzip2", "xz")
    ]
    suffixes = {"gzip": "gz", "bzip2": "bz2", "xz": "xz"}
    for row in rows:
        archive = directory / f"{row['part']}.{suffixes[row['method']]}"
        with OPENERS[row["method"]](archive) as file:
            content = file.read()
        assert content == (directory / row["part"]).read_bytes()
        assert int(row["bytes"]) == len(content)
        assert int(row["compressed_bytes"]) == archive.stat().st_size < len(content) / 2
        assert row["sha256"] == hashlib.sha256(content).hexdigest()
    report = (directory / "report.txt").read_text()
    for method in OPENERS:
        size, compressed = (
            sum(int(row[column]) for row in rows if row["method"] == method) for column in ("bytes", "compressed_bytes")
        )
        assert re.search(rf"^all +{method} +{size:,} +{compressed:,} +{size / compressed:.2f} ", report, re.MULTILINE)


@pytest.mark.parametrize("method, suffix", [("gzip", "gz"), ("bzip2", "bz2"), ("xz", "xz")])
def test_a_damaged_archive_fails_its_verification(checkout: Checkout, tmp_path: Path, method: str, suffix: str) -> None:
    directory, worker, row = checkout.completed("compress-verify"), f"verify-{method}-2", tmp_path / "row.tsv"
    whole = (directory / f"part-2.tar.{suffix}").read_bytes()
    assert checkout.run_script("compress-verify", worker, row=row).returncode == 0
    row.unlink()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 0x10]) + whole[middle + 1 :]
    other = (directory / f"part-1.tar.{suffix}").read_bytes()
    for damaged, message in ((flipped, "cannot be decompressed|holds other bytes"),
                             (whole[:-100], "cannot be decompressed"), (other, "holds other bytes")):  # fmt: skip
        archive = tmp_path / "archive"
        archive.write_bytes(damaged)
        process = checkout.run_script("compress-verify", worker, archive=archive, row=row)
        assert process.returncode == 1
        assert re.match(f"archive (?:{message})", process.stderr)
        assert len(process.stderr.splitlines()) == 1
        assert not row.exists()


def test_a_directory_of_ones_own_is_packed(tmp_path: Path) -> None:
    given = tmp_path / "given"
    (given / "a folder").mkdir(parents=True)
    (given / "a folder" / "ü.txt").write_text("ü" * 5000)
    (given / "empty").touch()
    (given / "link").symlink_to("empty")
    (given / "data.bin").write_bytes(os.urandom(100_000))
    checkout = Checkout(tmp_path)
    try:
        process = checkout.run("compress-verify", COMPRESS_DIRECTORY=str(given))
        assert process.returncode == 0, process.stderr
    finally:
        checkout.down()
    packed = {}
    for number in range(1, 5):
        with tarfile.open(checkout.output("compress-verify") / f"part-{number}.tar.xz") as archive:
            packed |= {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    assert packed == {name: (given / name).read_bytes() for name in ("a folder/ü.txt", "empty", "data.bin")}


# build-c


def test_the_package_holds_a_program_that_counts_words(checkout: Checkout, tmp_path: Path) -> None:
    need("cc")
    directory = checkout.completed("build-c")
    archive = directory / "tally-1.0.tar.gz"
    assert (directory / "tally-1.0.tar.gz.sha256").read_text() == (
        f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  tally-1.0.tar.gz\n"
    )
    with tarfile.open(archive) as members:
        assert {member.mtime for member in members} == {0}
        members.extractall(tmp_path, filter="data")
    package = tmp_path / "tally-1.0"
    manifest = dict(line.split("  ")[::-1] for line in (package / "MANIFEST").read_text().splitlines())
    for name, checksum in manifest.items():
        assert hashlib.sha256((package / name).read_bytes()).hexdigest() == checksum
    files = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    assert files == {*manifest, "MANIFEST"}
    assert {name for name in files if name.startswith("src/")} == {
        f"src/{path.name}" for path in (WORKFLOWS / "build_c").glob("*.[ch]")
    }

    texts = [PAGE, *sorted((WORKFLOWS / "build_c").glob("*.c"))]
    words = Counter(re.findall(rb"[a-z\x80-\xff]+", b"\n".join(text.read_bytes() for text in texts).lower()))
    expected = sorted(words.items(), key=lambda item: (-item[1], item[0]))
    said = subprocess.run([package / "bin/tally", "-n", "1000000", *texts], capture_output=True, check=True).stdout
    assert said.splitlines() == [b"%d %s" % (count, word) for word, count in expected]


def test_a_mistake_in_a_source_ends_before_the_package(tmp_path: Path) -> None:
    need("cc")
    checkout = Checkout(tmp_path)
    source = checkout.workflows / "build_c/top.c"
    source.write_text(source.read_text().replace("a->count > b->count", "a->count < b->count"))
    try:
        process = checkout.run("build-c")
    finally:
        checkout.down()
    assert process.returncode == 1
    assert re.search(r"test_top\.c:\d+: not so: strcmp\(sorted\[n\]\.word, expected\[n\]\) == 0", process.stderr)
    assert re.search(r"cancelled +package", process.stderr)
    assert not (checkout.output("build-c") / "tally-1.0.tar.gz").exists()
    assert (checkout.output("build-c") / "tests/test_table.txt").read_text() == "10 facts, 0 wrong\n"


def test_a_missing_compiler_is_named(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    try:
        process = checkout.run("build-c", CC="no-such-compiler -O3")
    finally:
        checkout.down()
    assert process.returncode == 1
    assert "there is no C compiler: 'no-such-compiler -O3' is not on PATH; install gcc" in process.stderr


# resilience


def test_what_went_wrong_is_mended_and_told(checkout: Checkout) -> None:
    directory = checkout.completed("resilience")
    orders = (directory / "orders.csv").read_bytes()
    left = {path.name: path.read_bytes() for path in (directory / "fetched").iterdir()}
    assert left == {
        "orders.csv": orders,
        "orders.csv.failed-1": orders[: len(orders) // 3],
        "orders.csv.failed-2": orders[: 2 * len(orders) // 3],
    }
    rows = [line.split(",") for line in orders.decode().splitlines()]
    total = sum(int(count) * float(price) for _, _, count, price in rows) * 1.25
    report = (directory / "report.txt").read_text()
    assert f"{len(rows)} orders, {total:.2f} in all\n0 of them are cancelled\nnone is rejected\n" in report
    for worker, attempt in (("fetch", 3), ("price", 2), ("cancelled", 1)):
        why = checkout.server.wattle("why", f"resilience/{worker}", "--json")
        assert json.loads(why.stdout)["attempt"] == attempt
    assert not (directory / "rejects.csv").exists()
