"""`/api/events`: the history, at once or by long poll."""

from api.examples import lasting
from api.service import Service
from flask.testing import FlaskClient


def fill(service: Service) -> int:
    """Two workflows that are created and started and whose worker runs: six events, after that of this id."""
    newest = service.reading.last_event_id()
    for name in ("a", "b"):
        service.create(lasting(name, "w"))
        service.changing.start_workflow(name)
        service.until("running", name, "w")
    return newest


def test_events_after_an_id_come_in_order_and_say_where_to_go_on(client: FlaskClient, service: Service) -> None:
    before = fill(service)
    answer = client.get(f"/api/events?after={before + 1}&limit=2").json
    assert [event["id"] for event in answer["data"]] == [before + 2, before + 3]
    assert list(answer["data"][0]) == ["id", "at", "subject", "kind", "run_id", "payload", "actor"]
    assert answer["data"][0]["kind"] == "run.started"
    assert answer["last_event_id"] == before + 3
    assert client.get("/api/events").json["last_event_id"] == before + 6


def test_events_of_one_workflow_skip_the_others(client: FlaskClient, service: Service) -> None:
    before = fill(service)
    answer = client.get(f"/api/events?after={before}&workflow=a").json
    assert [event["id"] for event in answer["data"]] == [before + 1, before + 2, before + 3]
    assert answer["last_event_id"] == before + 6


def test_a_wait_that_sees_nothing_answers_with_an_empty_list(client: FlaskClient, service: Service) -> None:
    newest = fill(service) + 6
    answer = client.get(f"/api/events?after={newest}&wait=0.05")
    assert (answer.status_code, answer.json["data"], answer.json["last_event_id"]) == (200, [], newest)
    assert list(answer.json)[:4] == ["success", "data", "message", "timestamp"]


def test_a_wait_answers_at_once_where_there_is_something(client: FlaskClient, service: Service) -> None:
    newest = fill(service) + 6
    answer = client.get(f"/api/events?after={newest - 1}&wait=60")
    assert [event["id"] for event in answer.json["data"]] == [newest]


def test_a_head_does_not_wait(client: FlaskClient, service: Service) -> None:
    assert client.head("/api/events?wait=60").status_code == 200


def test_an_id_from_the_future_is_answered_with_the_newest_one(client: FlaskClient) -> None:
    """Whoever goes on with the answer misses nothing."""
    newest = client.get("/api/events?after=0").json["last_event_id"]
    assert client.get(f"/api/events?after={newest + 1000}").json["last_event_id"] == newest
