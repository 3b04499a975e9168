from collections.abc import Iterator
from pathlib import Path

import pytest
from store.example import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "wattle.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path)
    yield store
    store.close()
