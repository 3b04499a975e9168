"""Shell blocks of the pages, run as they stand but for the port and the reader's directories."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.docs.documents import READERS_CHECKOUT, READERS_DATA_DIR, READERS_HOME, ROOT, Block, shape, text_shape
from tests.whole.server import Server

TEMPORARY = ("/tmp/hello-world", "/tmp/data-pipeline", "/tmp/example-workflow")
WITHIN_SECONDS = 15.0


def expected_status(answer: Block) -> int:
    """The HTTP status that the prose before an answer names; 200 where it names none."""
    named = re.findall(r"\b([1-5]\d\d)\b", answer.before)
    return int(named[-1]) if named else 200


def curl(server: Server, block: Block) -> tuple[int, str]:
    """Status and body."""
    assert block.text.count("curl ") == 1, f"{block}: one curl in a block"
    script = block.text.replace("localhost:9240", f"localhost:{server.port}").rstrip()
    script = script.replace("curl ", "curl -sS -w '%{stderr}%{http_code}' ", 1)  # not into what it may be piped to
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, f"{block}: {done.stderr}"
    return int(done.stderr), done.stdout.replace(str(server.data_dir), READERS_DATA_DIR)


def answered(server: Server, block: Block, answer: Block | None) -> tuple[int, str]:
    """What the call answers; a reading one is repeated until it is what the page says, for a while."""
    is_reading = not re.search(r" -X | -d | --data", block.text)
    until = time.monotonic() + WITHIN_SECONDS
    while True:
        found = curl(server, block)
        if answer is None or not is_reading or matches(found, answer) or time.monotonic() > until:
            return found
        time.sleep(0.02)


def matches(found: tuple[int, str], answer: Block) -> bool:
    return compared(found, answer)[0] == compared(found, answer)[1]


def compared(found: tuple[int, str], answer: Block) -> tuple[Any, Any]:
    """What came and what the page says, both without what differs from run to run."""
    status, body = found
    if answer.language == "json":
        return (status, shape(_read(body))), (expected_status(answer), shape(json.loads(answer.text)))
    return (status, text_shape(body).strip()), (expected_status(answer), text_shape(answer.text).strip())


def _read(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body


class Reader:
    """Somebody at a shell with a home and a checkout of their own, who types what the pages say."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.checkout = home / "wattle"
        self.data_dir = home / ".local/state/wattle"
        programs = home / "bin"
        programs.mkdir()
        (self.checkout / "workflows").mkdir(parents=True)
        (self.checkout / "scripts").mkdir()
        for name in ("hello-world.json", "data-pipeline.json", "source-report.json"):
            (self.checkout / "workflows" / name).write_text((ROOT / "workflows" / name).read_text())
        launcher = f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m wattle.cli "$@"\n'
        for path in (programs / "wattle", self.checkout / "scripts" / "wattle"):
            path.write_text(launcher)
            path.chmod(0o755)

    def types(self, command: str) -> str:
        """What is on the screen afterwards, stdout and stderr in the order in which they came."""
        environ = {
            "HOME": str(self.home),
            "PATH": f"{self.home}/bin:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "WATTLE_LISTEN": "127.0.0.1:0",  # nobody's port
        }
        done = subprocess.run(
            ["sh", "-c", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            cwd=self.checkout,
            env=environ,
        )
        return done.stdout.replace(str(self.checkout), READERS_CHECKOUT).replace(str(self.home), READERS_HOME)
