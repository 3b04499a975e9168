from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.whole.server import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A running server; at the end everything it started is ended through `down`."""
    server = Server(tmp_path).start()
    yield server
    server.down()
