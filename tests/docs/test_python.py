"""docs/python.md and the Python client against a real server: every route has a method, and every method its route."""

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, get_type_hints

import httpx
import pytest

from tests.docs.documents import DOCS, blocks, section, table
from tests.docs.test_http import documented_routes
from tests.whole.server import Server, eventually
from wattle import client as module
from wattle.client import Client, ClientError

PAGE = DOCS / "python.md"
NAPS = {
    "name": "naps",
    "workers": [{"name": "nap", "command": "echo good night; exec sleep 600"}, {"name": "dream", "command": "true"}],
}


def documented() -> dict[str, tuple[str, str]]:
    """{method of the client: (HTTP method, path with every part that varies as `{}`)}"""
    found = {}
    for name, route, _ in table(section(PAGE, "Methods")):
        method, _, path = route.strip("`").partition(" ")
        found[name.strip("`")] = (method, re.sub(r"\{[^}]*\}", "{}", path))
    return found


def methods() -> dict[str, Callable[..., Any]]:
    return {
        name: each for name, each in inspect.getmembers(Client, inspect.isfunction)
        if not name.startswith("_") and name != "close"
    }  # fmt: skip


def test_every_route_has_a_method_and_every_method_is_on_the_page() -> None:
    assert set(documented()) == set(methods())
    assert set(documented().values()) == documented_routes()


@pytest.mark.parametrize("name", methods())
def test_every_method_is_typed_and_says_what_it_gives(name: str) -> None:
    method = methods()[name]
    hints = get_type_hints(method, vars(module) | {"httpx": httpx})
    assert set(hints) == {*inspect.signature(method).parameters, "return"} - {"self"}
    assert method.__doc__ and method.__doc__.strip().splitlines()[0], name


def test_the_scripts_print_what_stands_below_them(server: Server) -> None:
    found = blocks(PAGE)
    scripts = [(block, after) for block, after in pairwise(found) if block.language == "python"]
    assert len(scripts) == 2
    for block, after in scripts:
        script = block.text.replace("localhost:9240", f"localhost:{server.port}")
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stdout) == (0, after.text), done.stderr


class Recording(httpx.HTTPTransport):
    """Remembers what was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.method, request.url.path))
        return super().handle_request(request)


def test_every_method_calls_its_route_of_a_real_server(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    try:
        all_called(server)
    finally:
        if server.process is not None and server.process.poll() is None:
            server.down()


def all_called(server: Server) -> None:
    """To the end: `down` is a method too."""
    transport = Recording()
    seen: dict[str, list[tuple[str, str]]] = {}
    with Client(f"http://127.0.0.1:{server.port}", transport=transport) as client:

        def call(name: str, *arguments: Any, **options: Any) -> Any:
            del transport.asked[:]
            answer = getattr(client, name)(*arguments, **options)
            if inspect.isgenerator(answer):
                answer = next(answer)
            seen[name] = list(transport.asked)
            return answer

        assert call("create_workflow", NAPS).changed is True
        assert call("put_workflow", "naps", NAPS).changed is False
        assert call("definition", "naps")["workers"][0]["command"] == "echo good night; exec sleep 600"
        last = call("last_event_id")
        started = call("start_workflow", "naps", idempotency_key="k")
        assert started.repeated is False
        assert client.start_workflow("naps", idempotency_key="k") == (started.text, started.run_id, True)
        eventually(lambda: client.log_tail("naps", "nap", 1))
        assert [each["name"] for each in call("list_workflows", status="running,failed", page=1)] == ["naps"]
        assert client.list_workflows(status="failed") == []
        assert [each["name"] for each in call("get_workflow", "naps", with_workers=True)["workers"]] == ["nap", "dream"]
        assert [each["name"] for each in call("list_workers", "naps", sort_by="name")] == ["dream", "nap"]
        assert [each["name"] for each in call("list_worker_summaries", "naps", order="desc")] == ["dream", "nap"]
        assert call("get_worker", "naps", "nap")["status"] == call("why", "naps", "nap")["status"] == "running"
        assert set(call("dag", "naps")) == {"nodes", "edges", "levels"}
        assert call("list_runs", "naps")[0]["id"] == call("get_run", started.run_id)["id"] == started.run_id
        assert call("worker_schema", "naps", "nap")["schema"]["type"] == "object"
        assert call("workflow_schema")["$schema"].startswith("https://json-schema.org/")
        assert "pss_bytes" in call("metrics", "naps", "nap", attempt=1, pss=True)
        assert call("metrics_history", "naps", "nap", attempt=1, since=0)["attempt"] == 1
        with pytest.raises(ClientError, match="has no attempt 9"):
            client.metrics("naps", "nap", attempt=9)
        assert call("log_paths", "naps", "nap", attempt=1)[0].startswith("stdout: /")
        assert call("log_tail", "naps", "nap", 1) == [{"type": "stdout", "content": "good night"}]
        assert call("log_page", "naps", "nap", grep="night")["data"][0]["content"] == "good night"
        assert client.log_page("naps", "nap", **{"from": "11:0"})["data"] == []
        assert call("download_log", "naps", "nap") == b"good night\n"
        for name, about in (
            ("stream_logs", ("naps", "nap")), ("stream_workflow_logs", ("naps",)),
            ("stream_run_logs", (started.run_id,)),
        ):  # fmt: skip
            assert call(name, *about)["type"] in ("attempt", "stdout"), name
        (event,) = [call("read_events", after=last)[0]]
        assert event["kind"] == "run.started"
        assert call("stream_events", last, workflow="naps") == call("events", last, workflow="naps") == event
        assert call("signal_worker", "naps", "nap", "CONT").pids
        assert call("restart_worker", "naps", "nap").run_id == started.run_id
        assert call("apply_worker", "naps", "nap") == (
            "Worker 'naps/nap' has that definition already", started.run_id, "unchanged"
        )  # fmt: skip
        assert call("stop_worker", "naps", "nap").stop["survivors"] == 0
        assert call("restart_workflow", "naps").run_id != started.run_id
        assert call("stop_workflow", "naps").text == "Workflow 'naps' stopped"
        assert call("start_worker", "naps", "dream").run_id
        eventually(lambda: client.why("naps", "dream")["status"] == "completed")
        assert call("delete_worker", "naps", "dream").startswith("Worker")
        assert call("delete_workflow", "naps", force=True).startswith("Workflow")
        assert call("version") and call("health")["success"] and call("why_not_ready") is None
        assert "wattle_build_info" in call("prometheus")
        assert call("down").text == "Wattle is down"
    assert server.process is not None and server.process.wait(20) == 0
    for name, (method, path) in documented().items():
        pattern = re.compile(path.replace("{}", "[^/]+"))
        assert any(asked == method and pattern.fullmatch(where) for asked, where in seen[name]), (name, seen[name])
