"""README.md: its commands, its examples, its map."""

import re
from pathlib import Path

import pytest

from tests.docs.documents import (
    DOCS,
    PAGES,
    READERS_DATA_DIR,
    README,
    ROOT,
    blocks,
    examples,
    screen_shape,
    section,
)
from tests.docs.shells import Reader, answered, compared
from tests.test_layers import FILES, room_of
from tests.whole.server import Server, eventually

pytestmark = pytest.mark.usefixtures("clean_places")
NEWCOMERS = ["scripts/wattle run workflows/source-report.json", "scripts/test", "scripts/wattle serve"]


def test_its_commands_are_there() -> None:
    typed = [block.text.strip() for block, _ in examples(README) if "curl" not in block.text]
    assert set(typed) >= {*NEWCOMERS, "scripts/wattle down"}
    for line in "\n".join(typed).splitlines():
        assert line.startswith("sed ") or (ROOT / line.split()[0]).stat().st_mode & 0o100, line


def test_the_tour_prints_what_is_shown(tmp_path: Path) -> None:
    """Write, run, break, ask why, mend, run again from there: by somebody who has the page alone."""
    reader, tour = Reader(tmp_path), section(README, "A tour")
    taken = [(block, answer) for block, answer in examples(README) if block.text in tour]
    assert [word for word in ("init", "run", "why", "--from", "history") if f"{word} " not in tour] == []
    for block, answer in taken:
        assert answer is not None, f"{block}: what does it print?"
        assert screen_shape(reader.types(block.text)) == screen_shape(answer.text), f"{block}: {block.text}"
    assert len(taken) == 3 and (reader.checkout / "first-files/total.txt").read_text().strip() == "5"
    reader.types("wattle down")


def test_it_stays_short() -> None:
    assert len(README.read_text().splitlines()) < 400


def test_the_curl_examples_are_answered_as_shown(server: Server) -> None:
    """W-50 to W-54, pasted from the page."""
    for block, answer in examples(README):
        if "curl " in block.text:
            assert answer is not None, f"{block}: what does it answer?"
            came, said = compared(answered(server, block, answer), answer)
            assert came == said, f"{block}: {block.text}"
    assert Path("/tmp/hello-world/greeting.txt").read_text() == "Hello, Wattle Scheduler!\n"
    result = Path("/tmp/data-pipeline/result.txt")
    assert eventually(lambda: result.is_file() and result.read_text()) == "Sum: 15\n"


def test_serve_says_what_is_shown(server: Server) -> None:
    log = server.directory / "serve.log"
    said = str(eventually(lambda: (text := log.read_text()).count("\n") >= 2 and text))
    said = said.replace(str(server.data_dir), READERS_DATA_DIR)
    shown = next(answer.text for block, answer in examples(README) if block.text.strip() == NEWCOMERS[2] and answer)
    addresses = re.compile(r"http://\S+")
    assert set(addresses.sub("", shown).split()) == set(addresses.sub("", "\n".join(said.splitlines()[:2])).split())
    assert shown.splitlines()[1] == said.splitlines()[1]


def test_a_run_looks_as_shown(tmp_path: Path) -> None:
    """The form of the lines, by a smaller workflow."""
    screen = screen_shape(Reader(tmp_path).types("scripts/wattle run workflows/hello-world.json; wattle down"))
    assert re.match(r"run <n> of 'hello-world': 1 workers?\n  <seconds>  ▶ running  greet\n", screen), screen
    assert "✓ completed: run <n> of 'hello-world' after <seconds>: 1 completed\noutputs: /tmp/hello-world" in screen


def test_the_map_lists_the_rooms_that_there_are() -> None:
    listed = re.findall(r"^  (\w+)(?:\.py|/) ", section(README, "The map"), re.MULTILINE)
    assert sorted(listed) == sorted({room for path in FILES if (room := room_of(path))})


def test_every_file_that_a_page_names_is_there() -> None:
    missing = set()
    for page in PAGES:
        for path in re.findall(r"`((?:wattle|tests|scripts|workflows|docs)/[\w./-]*)`", page.read_text()):
            if not (ROOT / path).exists() and "output" not in path:
                missing.add(f"{page.name}: {path}")
    for row in re.findall(r"^\|.*\|$", section(README, "The map"), re.MULTILINE):
        directory = ""
        for path in re.findall(r"`([\w/]+\.py|[\w/]+/)`", row):
            directory = path.rpartition("/")[0] if "/" in path else directory
            if not (ROOT / directory / path.rpartition("/")[2]).exists():
                missing.add(f"{README.name}: {directory}/{path}")
    assert missing == set()


def test_every_link_leads_somewhere() -> None:
    wrong = set()
    for page in [*PAGES, ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            path, _, anchor = target.partition("#")
            leads_to = page.parent / path if path else page
            if not leads_to.exists() or (anchor and anchor not in _anchors(leads_to)):
                wrong.add(f"{page.name}: {target}")
    assert wrong == set()


def test_every_page_is_reached_from_the_readme() -> None:
    assert {page.name for page in DOCS.glob("*.md")} <= set(re.findall(r"\]\(docs/([\w-]+\.md)\)", README.read_text()))


def test_every_fence_is_closed_and_has_a_language() -> None:
    for page in PAGES:
        assert len(re.findall(r"^```", page.read_text(), re.MULTILINE)) == 2 * len(blocks(page)), page.name
        assert all(block.language for block in blocks(page)), page.name


def _anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
