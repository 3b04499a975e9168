"""Bodies of the document (W-50, W-55) and small ones, and a configuration."""

import json
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from tests.supervisor.world import World
from wattle.api.app import create_app
from wattle.api.pump import Pump
from wattle.config import Config

HELLO_WORLD = {
    "name": "hello-world",
    "working_dir": "/tmp/hello-world",
    "workers": [
        {
            "name": "greet",
            "workflow_name": "hello-world",
            "command": "echo Hello, Wattle Scheduler!",
            "args": [],
            "working_dir": "/tmp/hello-world",
            "env_vars": {},
            "inputs": None,
            "outputs": {"greeting": "/tmp/hello-world/greeting.txt"},
        }
    ],
}
EXAMPLE_WORKFLOW = {
    "name": "example-workflow",
    "working_dir": "/tmp/example-workflow",
    "workers": [
        {
            "name": "data_fetcher",
            "workflow_name": "example-workflow",
            "command": "python fetch_data.py",
            "args": ["--source", "database"],
            "working_dir": "/tmp/example-workflow",
            "env_vars": {"DATABASE_URL": "sqlite:///data.db"},
            "inputs": None,
            "outputs": {"raw_data": "/tmp/raw_data.json", "metadata": "/tmp/metadata.json"},
        },
        {
            "name": "data_processor",
            "workflow_name": "example-workflow",
            "command": "python process_data.py",
            "args": ["--input", "/tmp/raw_data.json"],
            "working_dir": "/tmp/example-workflow",
            "env_vars": {"PROCESSING_MODE": "batch"},
            "inputs": {"input_data": "data_fetcher/raw_data", "config": "data_fetcher/metadata"},
            "outputs": {"processed_data": "/tmp/processed_data.json"},
        },
    ],
}


def workflow(name: str, *workers: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "workers": [{"name": worker, "command": "true"} for worker in workers], **fields}


def lasting(name: str, *workers: str, **fields: Any) -> dict[str, Any]:
    """Workers that run until they are stopped."""
    return {"name": name, "workers": [{"name": worker, "command": "sleep 600"} for worker in workers], **fields}


def under(directory: Path, document: dict[str, Any]) -> dict[str, Any]:
    """With its paths in the directory instead of /tmp, where others run the documented ones."""
    moved: dict[str, Any] = json.loads(as_bytes(document).replace(b'"/tmp/', b'"%s/' % str(directory).encode()))
    return moved


def config(**changes: Any) -> Config:
    return Config(**({"data_dir": "/nowhere", "base_dir": "/", "home": "/"} | changes))


def client_of(world: World) -> FlaskClient:
    """A client of the app on the world's store."""
    return create_app(world.reading, world.changing, config(), Pump()).test_client()


def as_bytes(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()
