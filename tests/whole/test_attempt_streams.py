"""The stream of one attempt: it ends with that, whatever follows."""

from tests.whole.event_source import EventSource
from tests.whole.server import Server, eventually

PATH = "/api/workers/w/a/logs/stream"


def test_the_stream_of_an_attempt_ends_with_it(server: Server) -> None:
    command = "echo try $WATTLE_ATTEMPT; while [ ! -e end$WATTLE_ATTEMPT ]; do sleep 0.02; done; exit $WATTLE_ATTEMPT"
    here = server.directory / "w"
    here.mkdir()
    retry = {"limit": 1, "delay_seconds": 0.05}
    server.run("w", [{"name": "a", "command": command, "retry": retry}], working_dir=str(here))
    eventually(lambda: server.get(f"{PATH.removesuffix('/stream')}?tail=1"))
    assert server.request("GET", f"{PATH}?attempt=2").body["error"]["code"] == "ATTEMPT_NOT_FOUND"
    assert server.request("GET", f"{PATH}?attempt=0").status == 400
    live = EventSource(server.port, f"{PATH}?attempt=1")
    connection = live.connect()
    assert next(connection).data["content"] == "try 1"
    (here / "end1").touch()
    (end,) = connection
    assert (end.name, end.data["status"], end.data["exit_code"]) == ("end", "failed", 1)
    eventually(lambda: server.workers("w")["a"]["status"] == "running" and server.get("/api/runs/1")["attempts"][1:])
    assert server.request("GET", f"{PATH}?attempt=1", Last_Event_ID=end.id).status == 204
    (here / "end2").touch()
    assert server.ended("w") == "failed"
    server.post("/api/workflows/w/start")
    server.ended("w")
    uid = end.id.partition(":")[0]
    again = server.request("GET", f"{PATH}?attempt=1", Last_Event_ID=f"{uid}:0:0").body
    assert again.count(uid) > 1, "an id is of its own run's attempt"
