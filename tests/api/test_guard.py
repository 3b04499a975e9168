"""Who may call (design.md, section 6)."""

import pytest
from api.examples import HELLO_WORLD, as_bytes, config
from api.service import Service
from flask.testing import FlaskClient

from wattle.api import guard
from wattle.api.app import create_app
from wattle.api.pump import Pump

HOSTS = [
    ("localhost", True),
    ("localhost:9240", True),
    ("LOCALHOST:9240", True),
    ("localhost.", True),
    ("localhost.:80", True),
    ("localhost:", True),
    ("127.0.0.1", True),
    ("127.0.0.1:9240", True),
    ("192.168.1.5:9240", True),
    ("[::1]", True),
    ("[::1]:9240", True),
    ("[2001:DB8::7]:1", True),
    ("build.example", True),
    ("BUILD.example.:9240", True),
    ("", False),
    (None, False),
    ("evil.example", False),
    ("evil.example:9240", False),
    ("localhost.evil.example", False),
    ("evil.localhost", False),
    ("127.0.0.1.nip.io", False),
    ("127.1", False),
    ("2130706433", False),
    ("0x7f.1", False),
    ("::1", False),
    ("[::1", False),
    ("[127.0.0.1]", False),
    ("[::1]evil.example", False),
    ("localhost:9240:1", False),
    ("localhost:80@evil.example", False),
    ("localhost, evil.example", False),
    ("localhost/", False),
    ("localhost evil", False),
    ("ｌocalhost", False),
    ("١٢٧.0.0.1", False),
    (".", False),
    (":9240", False),
]


@pytest.mark.parametrize("host, allowed", HOSTS)
def test_only_ip_literals_localhost_and_configured_hosts_are_answered(host: str | None, allowed: bool) -> None:
    assert guard.is_host_allowed(host, frozenset({"build.example"})) is allowed


ORIGINS = [
    ("http://localhost", True),
    ("http://localhost:3000", True),
    ("https://LOCALHOST:3000", True),
    ("http://127.0.0.1:9240", True),
    ("http://127.8.9.1:5", True),
    ("http://[::1]:5173", True),
    ("https://ui.example", True),
    ("https://UI.example", True),
    ("null", False),
    ("", False),
    ("http://evil.example", False),
    ("http://localhost.evil.example", False),
    ("http://evil.example#http://localhost", False),
    ("http://user@localhost", False),
    ("http://localhost/", False),
    ("https://ui.example:8443", False),
    ("http://ui.example", False),
    ("http://192.168.1.5:9240", False),
    ("http://0.0.0.0:9240", False),
    ("file://", False),
    ("chrome-extension://abcdef", False),
    ("http://localhost, http://evil.example", False),
    ("http://[::1", False),
]


@pytest.mark.parametrize("origin, allowed", ORIGINS)
def test_only_pages_from_loopback_and_configured_origins_may_call(origin: str, allowed: bool) -> None:
    assert guard.is_origin_allowed(origin, frozenset({"https://ui.example"})) is allowed


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize("path", ["/api/workflows", "/healthz", "/nothing/here", "/api/workers/a/b/logs/stream"])
def test_a_foreign_host_is_refused_on_every_path_and_method_before_routing(
    client: FlaskClient, method: str, path: str
) -> None:
    answer = client.open(path, method=method, headers={"Host": "evil.example"})
    assert answer.status_code == 403
    if method != "HEAD":
        assert answer.json["error"]["code"] == "HOST_NOT_ALLOWED"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_a_foreign_origin_is_refused_and_gets_no_cors_headers(client: FlaskClient, method: str) -> None:
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = client.open("/api/workflows", method=method, headers=asked)
    assert (answer.status_code, answer.json["error"]["code"]) == (403, "ORIGIN_NOT_ALLOWED")
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_an_empty_origin_is_an_origin(client: FlaskClient) -> None:
    assert client.get("/api/workflows", headers={"Origin": ""}).status_code == 403


def test_a_refused_create_stores_nothing(client: FlaskClient, service: Service) -> None:
    headers = {"Origin": "null", "Content-Type": "application/json"}
    assert client.post("/api/workflows", data=as_bytes(HELLO_WORLD), headers=headers).status_code == 403
    assert not service.names()


@pytest.mark.parametrize(
    "site, origin, status",
    [
        ("cross-site", None, 403),
        ("cross-site", "http://localhost:3000", 200),
        ("same-origin", None, 200),
        ("same-site", None, 200),
        ("none", None, 200),
        (None, None, 200),
    ],
)
def test_a_cross_site_fetch_needs_an_allowed_origin(
    client: FlaskClient, site: str | None, origin: str | None, status: int
) -> None:
    headers = {name: value for name, value in {"Sec-Fetch-Site": site, "Origin": origin}.items() if value}
    assert client.get("/api/workflows", headers=headers).status_code == status


def test_cors_echoes_an_allowed_origin_and_exposes_what_pages_read(client: FlaskClient) -> None:
    answer = client.get("/api/workflows", headers={"Origin": "http://localhost:5173"})
    assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:5173"
    assert answer.headers["Access-Control-Expose-Headers"] == "x-total-count, content-range, location, retry-after"
    assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_errors_can_be_read_by_an_allowed_page(client: FlaskClient) -> None:
    answer = client.get("/api/workflows/none", headers={"Origin": "http://[::1]:5173"})
    assert answer.status_code == 404
    assert answer.headers["Access-Control-Allow-Origin"] == "http://[::1]:5173"


def test_without_an_origin_there_are_no_cors_headers_but_vary(client: FlaskClient) -> None:
    answer = client.get("/api/workflows")
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Origin" in answer.headers["Vary"]


def test_a_preflight_from_loopback_is_granted(client: FlaskClient) -> None:
    asked = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": "DELETE",
        "Access-Control-Request-Headers": "content-type, idempotency-key",
    }
    answer = client.options("/api/workers/a/b", headers=asked)
    assert (answer.status_code, answer.data) == (204, b"")
    assert "DELETE" in answer.headers["Access-Control-Allow-Methods"]
    assert "Content-Type" in answer.headers["Access-Control-Allow-Headers"]
    assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"


def test_configured_hosts_and_origins_are_admitted(service: Service) -> None:
    told = config(allow_hosts=("Build.Example:9240",), allow_origins=("https://UI.example/",))
    client = create_app(service.reading, service.changing, told, Pump()).test_client()
    headers = {"Host": "build.example", "Origin": "https://ui.example"}
    assert client.get("/api/workflows", headers=headers).status_code == 200


BODY = as_bytes(HELLO_WORLD)
TYPES = [
    ("application/json", BODY, 201),
    ("application/json; charset=utf-8", BODY, 201),
    ('Application/JSON; charset="UTF-8"', BODY, 201),
    ("application/json; charset=latin-1", BODY, 415),
    ("text/plain", BODY, 415),
    ("text/plain; application/json", BODY, 415),
    ("application/x-www-form-urlencoded", BODY, 415),
    ("multipart/form-data; boundary=x", BODY, 415),
    ("application/jsonp", BODY, 415),
    ("", BODY, 415),
    (None, BODY, 415),
    (None, b"", 400),
    ("application/json", b"", 400),
    ("text/plain", b"", 400),
    ("application/json", b"  ", 400),
]


@pytest.mark.parametrize("content_type, body, status", TYPES)
def test_a_body_must_be_json_and_a_create_needs_one(
    client: FlaskClient, service: Service, content_type: str | None, body: bytes, status: int
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert client.post("/api/workflows", data=body, headers=headers).status_code == status
    assert bool(service.names()) is (status == 201)


def test_a_form_cannot_start_or_stop_anything(client: FlaskClient) -> None:
    for path in ("/api/workflows/x/start", "/api/workers/x/y/stop", "/api/down"):
        answer = client.post(path, data={"a": "b"})
        assert (answer.status_code, answer.json["error"]["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    "path, length, status",
    [
        ("/api/workflows", guard.DEFINITION_BYTES + 1, 413),
        ("/api/v1/workflows", guard.DEFINITION_BYTES + 1, 413),
        ("/api/workflows/x/start", guard.BODY_BYTES + 1, 413),
        ("/api/down", guard.BODY_BYTES + 1, 413),
        ("/nothing", guard.BODY_BYTES + 1, 413),
    ],
)
def test_a_body_over_its_limit_is_413_before_it_is_read(
    client: FlaskClient, path: str, length: int, status: int
) -> None:
    announced = {"CONTENT_LENGTH": str(length), "CONTENT_TYPE": "application/json"}
    answer = client.post(path, environ_overrides=announced)
    assert (answer.status_code, answer.json["error"]["code"]) == (status, "BODY_TOO_LARGE")


def test_a_definition_may_be_larger_than_other_bodies(client: FlaskClient) -> None:
    padded = as_bytes(HELLO_WORLD) + b" " * (guard.BODY_BYTES + 1)
    assert client.post("/api/workflows", data=padded, content_type="application/json").status_code == 201
    put = client.put("/api/workflows/hello-world", data=padded, content_type="application/json")
    assert put.status_code == 200


def test_an_answer_is_not_kept_by_caches_nor_sniffed(client: FlaskClient) -> None:
    answer = client.get("/api/workflows")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
