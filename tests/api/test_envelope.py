"""The documented envelopes, and every error in them (W-03, W-04, W-05 to W-07)."""

import logging
import re

import pytest
from api.examples import EXAMPLE_WORKFLOW, as_bytes, config, workflow
from api.service import Service
from flask.testing import FlaskClient

from wattle import errors
from wattle.api import envelope
from wattle.api.app import create_app
from wattle.api.errors import STATUSES, status_of
from wattle.api.pump import Pump

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.mark.parametrize(
    "microseconds, text",
    [
        (None, None),
        (0, "1970-01-01T00:00:00.000Z"),
        (1_725_021_296_789_000, "2024-08-30T12:34:56.789Z"),
        (1_725_021_296_789_999, "2024-08-30T12:34:56.789Z"),
        (1_725_021_296_000_001, "2024-08-30T12:34:56.000Z"),
    ],
)
def test_instants_have_three_digits_and_a_z(microseconds: int | None, text: str | None) -> None:
    """A24."""
    assert envelope.instant(microseconds) == text


def test_success_has_exactly_the_four_documented_keys_in_order(client: FlaskClient) -> None:
    """W-02, W-03, A25."""
    answer = client.get("/api/workflows")
    assert list(answer.json) == ["success", "data", "message", "timestamp"]
    assert answer.json["success"] is True
    assert INSTANT.fullmatch(answer.json["timestamp"])
    assert answer.content_type == "application/json"


def test_an_error_has_neither_data_nor_a_message_of_its_own(client: FlaskClient) -> None:
    """W-04, W-40."""
    answer = client.get("/api/workflows/non-existent")
    assert answer.status_code == 404
    assert list(answer.json) == ["success", "error", "timestamp"]
    assert answer.json["success"] is False
    assert answer.json["error"] == {
        "code": "WORKFLOW_NOT_FOUND",
        "message": "Workflow 'non-existent' does not exist",
    }
    assert INSTANT.fullmatch(answer.json["timestamp"])


@pytest.mark.parametrize(
    "asked, preset, message",
    [
        (None, "en", "Operation succeeded"),
        (None, "zh", "操作成功"),
        ("zh", "en", "操作成功"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "en", "操作成功"),
        ("en-US,en;q=0.9", "zh", "Operation succeeded"),
        ("fr", "en", "Operation succeeded"),
        ("fr", "zh", "操作成功"),
        ("*", "en", "Operation succeeded"),
        (";;;q=", "en", "Operation succeeded"),
    ],
)
def test_the_language_is_the_callers_then_the_servers(
    service: Service, asked: str | None, preset: str, message: str
) -> None:
    """A26."""
    client = create_app(service.reading, service.changing, config(lang=preset), Pump()).test_client()
    headers = {"Accept-Language": asked} if asked is not None else {}
    assert client.get("/api/workflows", headers=headers).json["message"] == message


def test_documented_errors_are_said_in_the_documented_chinese(client: FlaskClient) -> None:
    """W-40, W-41, W-42, W-43."""
    chinese = {"Accept-Language": "zh", "Content-Type": "application/json"}

    def told(body: object) -> tuple[str, str]:
        error = client.post("/api/workflows", data=as_bytes(body), headers=chinese).json["error"]
        return error["code"], error["message"]

    absent = client.get("/api/workflows/non-existent", headers=chinese).json["error"]
    assert absent["message"] == "工作流 'non-existent' 不存在"
    client.post("/api/workflows", data=as_bytes(EXAMPLE_WORKFLOW), headers=chinese)
    assert told(EXAMPLE_WORKFLOW) == ("WORKFLOW_ALREADY_EXISTS", "工作流 'example-workflow' 已存在")
    lacking = workflow("w", "fetcher")
    lacking["workers"].append({"name": "processor", "command": "true", "inputs": {"x": "fetcher/output"}})
    assert told(lacking) == (
        "DEPENDENCY_VALIDATION_FAILED",
        "依赖验证失败: worker 'processor' 依赖 'fetcher/output' 但该输出不存在",
    )
    circular = workflow("w")
    for name, needs in (("a", "b"), ("b", "a")):
        circular["workers"].append(
            {"name": name, "command": "true", "inputs": {"x": f"{needs}/o"}, "outputs": {"o": f"/tmp/w/{name}"}}
        )
    assert told(circular) == ("CIRCULAR_DEPENDENCY", "检测到循环依赖，无法执行工作流")


def test_details_tell_all_problems_with_their_places(client: FlaskClient) -> None:
    body = b'{"name": "w",\n "workers": [{"name": "a", "command": "true", "comand": 1}, {"name": "b"}]}'
    answer = client.post("/api/workflows", data=body, content_type="application/json")
    assert answer.status_code == 400
    details = answer.json["error"]["details"]
    assert len(details) == 2
    for detail in details:
        assert list(detail) == ["code", "message", "pointer", "line", "column", "suggestion"]
        assert detail["line"] == 2


@pytest.mark.parametrize("kind, status", STATUSES.items())
def test_every_kind_of_error_has_one_status(service: Service, kind: type[errors.WattleError], status: int) -> None:
    """W-06, W-07."""

    def fail() -> None:
        raise kind("SOME_CODE", "some words")

    app = create_app(service.reading, service.changing, config(), Pump())
    app.add_url_rule("/api/fails", view_func=fail)
    answer = app.test_client().get("/api/fails")
    assert answer.status_code == status
    assert answer.json["error"] == {"code": "SOME_CODE", "message": "some words"}
    assert ("Retry-After" in answer.headers) is (status in (503, 507))


def test_no_class_of_errors_is_without_a_status() -> None:
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__base__ is errors.WattleError]
    assert len(classes) >= 9
    assert all(status_of(kind("C", "m")) != 500 for kind in classes)


@pytest.mark.parametrize(
    "path", ["/nothing", "/api/nothing", "/api/workflows/a/nothing", "//api/workflows", "/api//workflows"]
)
def test_an_unknown_path_is_404_in_the_envelope(client: FlaskClient, path: str) -> None:
    answer = client.open(base_url="http://localhost", path=path)
    assert answer.status_code == 404
    assert answer.json["error"]["code"] == "NOT_FOUND"


def test_a_wrong_method_is_405_and_names_the_right_ones(client: FlaskClient) -> None:
    answer = client.patch("/api/workflows")
    assert answer.status_code == 405
    assert answer.json["error"]["code"] == "METHOD_NOT_ALLOWED"
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST", "OPTIONS"}


def test_a_bug_is_500_in_the_envelope_and_its_traceback_only_in_the_log(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """W-07."""

    def fail() -> None:
        raise RuntimeError("secret of the house")

    app = create_app(service.reading, service.changing, config(), Pump())
    app.add_url_rule("/api/fails", view_func=fail)
    app.testing = True
    with caplog.at_level(logging.ERROR):
        answer = app.test_client().get("/api/fails")
    assert answer.status_code == 500
    assert answer.json["error"]["code"] == "INTERNAL_ERROR"
    assert "secret" not in answer.text
    assert "secret of the house" in caplog.text


def test_the_debugger_stays_off_whatever_the_environment_says(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    assert create_app(service.reading, service.changing, config(), Pump()).debug is False


def test_a_name_that_is_no_unicode_does_not_break_the_answer() -> None:
    assert envelope.encode({"path": "/tmp/\udcff"}) == b'{"path": "/tmp/?"}\n'


def test_text_is_not_escaped(client: FlaskClient) -> None:
    answer = client.get("/api/workflows/größe-数据")
    assert "größe-数据".encode() in answer.data
