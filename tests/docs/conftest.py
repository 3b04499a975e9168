import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.shells import TEMPORARY
from tests.whole.server import Server


@pytest.fixture
def clean_places() -> Iterator[None]:
    """Some of the documented examples write to fixed places; scripts/test runs these alone."""
    _clean()
    yield
    _clean()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A running server on a data directory of its own, so that runs are numbered from 1."""
    assert shutil.which("curl"), "the pages' examples are curl commands: install curl"
    server = Server(tmp_path).start()
    yield server
    server.down()


def _clean() -> None:
    for path in TEMPORARY:
        shutil.rmtree(path, ignore_errors=True)
