"""A Flask test client on the service in memory and the real pump (which, without Waitress, answers in place)."""

from pathlib import Path

import pytest
from api.examples import config
from api.fake_service import FakeService
from flask.testing import FlaskClient

from wattle.api.app import create_app
from wattle.api.pump import Pump


@pytest.fixture
def service(tmp_path: Path) -> FakeService:
    return FakeService(str(tmp_path))


@pytest.fixture
def client(service: FakeService) -> FlaskClient:
    return create_app(service, service, config(), Pump()).test_client()
