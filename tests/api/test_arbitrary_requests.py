"""Whatever comes in, nothing answers 5xx and every error has the envelope (design.md, sections 5 and 6)."""

import json
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from api.examples import EXAMPLE_WORKFLOW, under, workflow
from api.service import Service
from flask.testing import FlaskClient
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

QUIET = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
PATHS = [
    "/api", "/api/workflows", "/api/v1/workflows", "/api/workflows/{}", "/api/v1/workflows/{}",
    "/api/workflows/{}/start", "/api/workflows/{}/stop", "/api/workflows/{}/restart", "/api/workflows/{}/workers",
    "/api/workflows/{}/dag", "/api/workflows/{}/runs", "/api/workers/{}", "/api/workers/{}/{}",
    "/api/workers/{}/{}/start", "/api/workers/{}/{}/stop", "/api/workers/{}/{}/restart", "/api/workers/{}/{}/why",
    "/api/workers/{}/{}/schema", "/api/workers/{}/{}/logs", "/api/workers/{}/{}/logs/stream",
    "/api/workers/{}/{}/metrics", "/api/runs/{}", "/api/events", "/api/down", "/healthz", "/readyz", "/{}",
]  # fmt: skip
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
PARAMETERS = [
    "page", "page_size", "status", "sort_by", "order", "force", "limit", "offset", "after", "workflow", "tail",
    "attempt", "last_event_id", "include",
]  # fmt: skip
KNOWN = [b"example-workflow", b"data_fetcher", b"1", b"e"]

texts = st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace"))
names = st.one_of(st.sampled_from(KNOWN), st.binary(max_size=40), texts)
encoded = names.map(lambda name: quote_from_bytes(name, safe=""))
raw = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="?#"), max_size=40)
words = st.sampled_from(["true", "asc", "name", "running", "", "-1", "1e3"])
values = st.one_of(encoded, raw, st.integers().map(str), words)
queries = st.lists(st.tuples(st.sampled_from(PARAMETERS), values), max_size=4).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)
header_texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60)
headers = st.dictionaries(
    st.sampled_from(
        ["Accept-Language", "Origin", "Sec-Fetch-Site", "Idempotency-Key", "Last-Event-ID", "Host", "Accept", "Cookie",
         "Authorization", "Range", "If-None-Match", "Content-Type", "Access-Control-Request-Method"]
    ),
    header_texts,
    max_size=3,
)  # fmt: skip
jsons: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
bodies = st.one_of(st.just(b""), st.binary(max_size=200), jsons.map(lambda value: json.dumps(value).encode()))


class Server:
    """All examples share one daemon, and its next one where a request has ended it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.example = under(service.directory, EXAMPLE_WORKFLOW)
        self.example["workers"][0] |= {"command": "sleep 600", "args": []}
        self.begun: Any = None

    def client(self) -> FlaskClient:
        return self.service.app.test_client(use_cookies=False)

    def forget_all(self) -> None:
        if self.service.is_ending():
            self.service.join()
            self.service.start()
        self.service.forget()

    def run_the_example(self) -> None:
        """It is all there is and it is active; made anew only where the last request has changed that."""
        name = self.example["name"]
        if self.service.is_ending() or self.service.names() != [name] or self.facts() != self.begun:
            self.forget_all()
            self.service.create(self.example)
            self.service.changing.start_workflow(name)
            self.service.until("running", name, "data_fetcher")
            self.begun = self.facts()

    def facts(self) -> Any:
        reading, name = self.service.reading, self.example["name"]
        workers = [(worker.name, worker.status, worker.attempt) for worker in reading.workers(name)]
        return reading.workflow(name).run_id, workers, reading.definition(name)


@pytest.fixture(scope="module")
def server(shared: Service) -> Server:
    return Server(shared)


def check(answer: Any) -> None:
    event(f"answered {answer.status_code}")
    assert answer.status_code < 500 or answer.status_code == 501
    if answer.status_code >= 400 and answer.data:
        assert list(answer.json) == ["success", "error", "timestamp"]
        assert set(answer.json["error"]) <= {"code", "message", "details"}
        assert len(answer.data) < 1_000_000


@QUIET
@given(method=st.sampled_from(METHODS), path=st.sampled_from(PATHS), name=encoded, other=encoded, query=queries,
       more=headers, body=bodies, as_json=st.booleans())  # fmt: skip
def test_arbitrary_requests_never_answer_5xx(
    server: Server,
    method: str,
    path: str,
    name: str,
    other: str,
    query: str,
    more: dict[str, str],
    body: bytes,
    as_json: bool,
) -> None:
    server.run_the_example()
    sent = {"Content-Type": "application/json"} | more if as_json else more
    suffix = "&follow=false" if "stream" in path else ""
    check(server.client().open(f"{path.format(name, other)}?{query}{suffix}", method=method, headers=sent, data=body))


@QUIET
@given(path=raw, query=raw)
def test_arbitrary_paths_never_answer_5xx(server: Server, path: str, query: str) -> None:
    server.run_the_example()
    check(server.client().get(f"/api/{path}?{query}"))


@QUIET
@given(body=bodies)
def test_malformed_definitions_answer_4xx_and_store_nothing(server: Server, body: bytes) -> None:
    """Issue 2: malformed bodies give no 5xx and store nothing."""
    server.forget_all()
    answer = server.client().post("/api/workflows", data=body, content_type="application/json")
    check(answer)
    assert 400 <= answer.status_code < 500
    assert not server.service.names()


@QUIET
@given(data=st.data())
def test_definitions_with_one_part_replaced_never_answer_5xx(server: Server, data: st.DataObject) -> None:
    document = json.loads(json.dumps(EXAMPLE_WORKFLOW))
    part: Any = document
    while True:
        keys = list(part) if isinstance(part, dict) else list(range(len(part)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(part[key], dict | list) or not part[key] or data.draw(st.booleans()):
            break
        part = part[key]
    part[key] = data.draw(jsons)
    server.forget_all()
    answer = server.client().post("/api/workflows", data=json.dumps(document).encode(), content_type="application/json")
    check(answer)
    assert bool(server.service.names()) is (answer.status_code == 201)


@QUIET
@given(name=st.text(min_size=1, max_size=30))
def test_what_can_be_created_can_be_read_at_its_location(server: Server, name: str) -> None:
    server.forget_all()
    body = json.dumps(workflow(name, "w")).encode()
    answer = server.client().post("/api/workflows", data=body, content_type="application/json")
    if answer.status_code == 201:
        event("created")
        read = server.client().get(answer.headers["Location"])
        assert read.status_code == 200
        assert server.client().get("/api/workflows").json["data"] == [read.json["data"]]
        assert server.client().delete(answer.headers["Location"]).status_code == 200
