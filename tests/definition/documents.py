"""The seed's request bodies as they arrive at the server, and short ways to write and to refuse a document."""

import copy
import json
from typing import Any

import pytest

from wattle.definition.model import Workflow
from wattle.definition.paths import Context
from wattle.definition.validate import read_workflow
from wattle.errors import WattleError

CONTEXT = Context(base_dir="/srv/app", home="/home/ann", work_dir="/var/wattle/work", data_dir="/var/wattle")

HELLO_WORLD = b"""{
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
        "inputs": null,
        "outputs": {
          "greeting": "/tmp/hello-world/greeting.txt"
        }
      }
    ]
  }"""

DATA_PIPELINE = rb"""{
    "name": "data-pipeline",
    "working_dir": "/tmp/data-pipeline",
    "workers": [
      {
        "name": "fetch_data",
        "workflow_name": "data-pipeline",
        "command": "python3 -c \"import json; print(json.dumps({\\\"data\\\": [1,2,3,4,5]}))\"",
        "working_dir": "/tmp/data-pipeline",
        "outputs": {
          "raw_data": "/tmp/data-pipeline/raw.json"
        }
      },
      {
        "name": "process_data",
        "workflow_name": "data-pipeline",
        "command": "python3 -c \"import json; data=json.load(open(\\\"/tmp/data-pipeline/raw.json\\\")); result=sum(data[\\\"data\\\"]); print(f\\\"Sum: {result}\\\")\"",
        "working_dir": "/tmp/data-pipeline",
        "inputs": {
          "input_file": "fetch_data/raw_data"
        },
        "outputs": {
          "result": "/tmp/data-pipeline/result.txt"
        }
      }
    ]
  }"""  # noqa: E501

EXAMPLE_WORKFLOW = b"""{
  "name": "example-workflow",
  "working_dir": "/tmp/example-workflow",
  "workers": [
    {
      "name": "data_fetcher",
      "workflow_name": "example-workflow",
      "command": "python fetch_data.py",
      "args": ["--source", "database"],
      "working_dir": "/tmp/example-workflow",
      "env_vars": {
        "DATABASE_URL": "sqlite:///data.db"
      },
      "inputs": null,
      "outputs": {
        "raw_data": "/tmp/raw_data.json",
        "metadata": "/tmp/metadata.json"
      }
    },
    {
      "name": "data_processor",
      "workflow_name": "example-workflow",
      "command": "python process_data.py",
      "args": ["--input", "/tmp/raw_data.json"],
      "working_dir": "/tmp/example-workflow",
      "env_vars": {
        "PROCESSING_MODE": "batch"
      },
      "inputs": {
        "input_data": "data_fetcher/raw_data",
        "config": "data_fetcher/metadata"
      },
      "outputs": {
        "processed_data": "/tmp/processed_data.json"
      }
    }
  ]
}"""

SEED_BODIES = {"W-50": HELLO_WORLD, "W-54": DATA_PIPELINE, "W-55": EXAMPLE_WORKFLOW}

# One document with every field in use.
FULL: dict[str, Any] = {
    "$schema": "http://localhost:9240/schema.json",
    "name": "full",
    "description": "everything at once",
    "working_dir": "~/full",
    "params": {"level": {"type": "integer", "default": 3, "required": False, "description": "how much"}},
    "env_vars": {"MODE": "fast", "LEVEL": 3, "DEBUG": True},
    "env_file": "settings.env",
    "max_parallel": 4,
    "timeout_seconds": 3600,
    "workers": [
        {
            "name": "make",
            "command": "make -j2 'all parts'",
            "args": ["--quiet"],
            "working_dir": "src",
            "env_vars": {"N": 1.5},
            "outputs": {"binary": "bin/app", "log": {"path": "/tmp/full.log", "optional": True}},
            "timeout_seconds": 60,
            "retry": {"limit": 3, "delay_seconds": 0.5, "factor": 1, "max_delay_seconds": 10, "jitter": 0.1},
            "success_exit_codes": [0, 2],
            "stop": {"signal": "SIGINT", "grace_seconds": 1, "scope": "leader"},
            "priority": 5,
            "stdout": "log",
            "user": "ann:staff",
            "umask": "027",
            "nice": 10,
            "rlimits": {"open_files": 100, "core_bytes": 0, "address_space_bytes": "unlimited", "processes": 50},
            "memory_max_bytes": 1073741824,
            "log": {"max_bytes": 16777216},
            "inherit_env": ["LANG", "TZ"],
        },
        {"name": "try", "command": "./app > log", "inputs": {"app": "make/binary"}, "capture_stdout": False},
        {"name": "tell", "command": "mail", "depends_on": ["try"], "args": None, "outputs": {}, "retry": None},
    ],
}


def read(document: object, text: str | None = None) -> Workflow:
    return read_workflow(document, CONTEXT, text=text)


def refusal(document: object, text: str | None = None) -> WattleError:
    """The error that reading the document raises; fails where there is none."""
    with pytest.raises(WattleError) as caught:
        read(document, text)
    return caught.value


def workflow(*workers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A workflow `w` in /tmp/w; workers without a command get one."""
    return {
        "name": "w",
        "working_dir": "/tmp/w",
        "workers": [{"command": "x", **worker} for worker in workers],
        **fields,
    }


def worker(**fields: Any) -> dict[str, Any]:
    """A workflow `w` with one worker `a` of these fields."""
    return workflow({"name": "a", **fields})


def full() -> dict[str, Any]:
    return copy.deepcopy(FULL)


def resolve(document: Any, pointer: str) -> tuple[bool, Any]:
    """RFC 6901: whether the pointer leads somewhere, and where."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict) and key in document:
            document = document[key]
        elif isinstance(document, list) and key.isdecimal() and int(key) < len(document):
            document = document[int(key)]
        else:
            return False, None
    return True, document


def loaded(body: bytes) -> Any:
    return json.loads(body)
