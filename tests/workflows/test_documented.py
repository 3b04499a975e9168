"""The three workflows that the README runs, through the command line. Definitions that name /tmp get another place."""

import json
import re
from pathlib import Path

import pytest

from tests.workflows.checkout import Checkout
from tests.workflows.test_source_report_scripts import Report, source_files_of_the_library


@pytest.fixture(scope="module")
def elsewhere(checkout: Checkout) -> Path:
    """Where the documented definitions write instead of /tmp."""
    for name in ("hello-world", "data-pipeline"):
        path = checkout.workflows / f"{name}.json"
        path.write_text(path.read_text().replace("/tmp/", f"{checkout.server.directory}/"))
    return checkout.server.directory


def test_hello_world_greets(checkout: Checkout, elsewhere: Path) -> None:
    process = checkout.run("hello-world")
    assert process.returncode == 0, process.stderr
    assert (elsewhere / "hello-world/greeting.txt").read_text() == "Hello, Wattle Scheduler!\n"
    assert "1 completed" in process.stderr


def test_the_data_pipeline_adds_up_what_it_fetched(checkout: Checkout, elsewhere: Path) -> None:
    process = checkout.run("data-pipeline")
    assert process.returncode == 0, process.stderr
    raw = json.loads((elsewhere / "data-pipeline/raw.json").read_text())
    assert raw == {"data": [1, 2, 3, 4, 5]}
    assert (elsewhere / "data-pipeline/result.txt").read_text() == f"Sum: {sum(raw['data'])}\n"


def test_the_source_report_counts_what_is_there(checkout: Checkout) -> None:
    report = Report(checkout.completed("source-report"), {})
    lines = {
        name: len(path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines())
        for name, path in source_files_of_the_library().items()
    }
    assert {name: file["lines"] for name, file in report.files.items()} == lines
    shown = dict(re.findall(r'data-total="([^"]+)">([^<]+)<', report.page))
    assert shown["files"] == f"{len(lines):,}"
    assert shown["lines"] == f"{sum(lines.values()):,}"
    assert shown["functions"] == f"{report.query('SELECT count(*) FROM functions')[0][0]:,}"


def test_the_source_report_draws_its_map_into_the_page(checkout: Checkout) -> None:
    directory = checkout.completed("source-report")
    assert (directory / "map.svg").read_text() in (directory / "index.html").read_text()
