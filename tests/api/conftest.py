"""A Flask test client on the app of a real daemon, one for a module. Its pump answers a test client in place."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from api.service import Service
from flask.testing import FlaskClient


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("service"))
    yield service
    service.down()


@pytest.fixture
def service(shared: Service) -> Iterator[Service]:
    """No workflow is there; numbers of runs and events are those of the module."""
    yield shared
    shared.forget()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Service]:
    """One that the test may damage."""
    service = Service(tmp_path)
    yield service
    service.down()


@pytest.fixture
def client(service: Service) -> FlaskClient:
    return service.app.test_client()
