from collections.abc import Iterator
from pathlib import Path

import pytest
from keeper.client import Client


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Client]:
    """A running keeper with a connected daemon; whatever it started is gone afterwards."""
    client = Client(tmp_path)
    client.start()
    yield client
    client.close()


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Client]:
    """A data directory without a keeper yet."""
    client = Client(tmp_path)
    yield client
    client.close()
