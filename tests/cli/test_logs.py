"""`wattle logs` over what a server answers."""

import json

import pytest
from cli.http_server import Api, refusal, success

SUMMARY = {"status": "completed", "started_at": "2026-01-01T00:00:00.000Z"}


def lines(*said):
    return [{"type": kind, "content": content} for kind, content in said]


def stream(*said):
    events = [f"data: {json.dumps(line)}\n\n" for line in lines(*said)]
    end = 'event: end\ndata: {"type": "end", "status": "completed", "exit_code": 0}\n\n'
    return 200, "text/event-stream", [event.encode() for event in [*events, end]]


@pytest.fixture
def server(serving):
    workers = [{"name": "a", **SUMMARY}, {"name": "longer", **SUMMARY}]
    return serving(
        Api(
            {
                ("GET", "/api/workers/w"): workers,
                ("GET", "/api/workers/w/a"): workers[0],
                ("GET", "/api/workflows/w"): {"name": "w", "status": "completed"},
                ("GET", "/api/events"): success([], last_event_id=9),
                ("GET", "/api/workers/w/a/logs"): lines(("stdout", "1 é"), ("stderr", "2")),
                ("GET", "/api/workers/w/longer/logs"): lines(("stdout", "3")),
                ("GET", "/api/workers/w/a/logs/stream"): lambda _: stream(("stdout", "1"), ("stderr", "2")),
                ("GET", "/api/workers/w/longer/logs/stream"): lambda _: stream(("stdout", "3")),
                ("GET", "/api/workers/w/none"): refusal(404, "WORKER_NOT_FOUND", "Worker 'w/none' does not exist"),
            }
        )
    )


def test_one_worker_is_printed_as_it_is_and_several_with_their_names(shell, server):
    assert shell.run("logs", "w/a", "--server", server).stdout == "1 é\n2\n"
    assert shell.run("logs", "w", "--server", server).stdout == "a      | 1 é\na      | 2\nlonger | 3\n"


def test_following_prints_until_the_end(shell, server):
    assert shell.run("logs", "-f", "w/a", "--server", server).stdout == "1\n2\n"
    followed = shell.run("logs", "-f", "w", "--server", server)
    assert sorted(followed.stdout.splitlines()) == ["a      | 1", "a      | 2", "longer | 3"]
    assert (followed.returncode, followed.stderr) == (0, "")


def test_json_is_one_document_and_one_line_each_while_following(shell, server):
    whole = json.loads(shell.run("logs", "w", "--json", "--server", server).stdout)
    assert whole[2] == {"worker": "longer", "type": "stdout", "content": "3"}
    followed = [
        json.loads(line)
        for line in shell.run("logs", "w/a", "-f", "--json", "--server", server).stdout.split("\n")[:-1]
    ]
    assert [line["type"] for line in followed] == ["stdout", "stderr", "end"]


def test_a_line_in_pieces_is_put_together_and_a_loss_is_told(shell, serving):
    events = [
        {"type": "stdout", "content": "aaa", "continued": True},
        {"type": "stdout", "content": "bbb"},
        {"type": "stdout", "content": "ccc", "continued": True},
        {"type": "stderr", "content": "ddd"},
    ]
    body = [f"data: {json.dumps(event)}\n\n".encode() for event in events]
    body += [b'event: gap\ndata: {"type": "gap", "dropped_bytes": 5}\n\n', b"event: end\ndata: {}\n\n"]
    answers = {
        ("GET", "/api/workers/w/a"): {},
        ("GET", "/api/workers/w/a/logs/stream"): (200, "text/event-stream", body),
    }
    done = shell.run("logs", "-f", "w/a", "--server", serving(Api(answers)))
    assert done.stdout == "aaabbb\nccc\nddd\n[a part of the log was dropped]\n"


def test_the_number_of_lines_is_asked_for(shell, serving):
    many = lines(*[("stdout", str(number)) for number in range(1000)])
    api = Api({("GET", "/api/workers/w/a"): {}, ("GET", "/api/workers/w/a/logs"): many})
    url = serving(api)
    done = shell.run("logs", "w/a", "--server", url)
    assert "the last 1000 lines" in done.stderr and done.stdout.count("\n") == 1000
    shell.run("logs", "w/a", "-n", "5", "--server", url)
    assert [asked.query for asked in api.asked if asked.path.endswith("logs")] == [{"tail": "1000"}, {"tail": "5"}]
    assert shell.run("logs", "w/a", "-n", "0", "--server", url).stdout == ""


def test_a_worker_that_is_not_there_is_refused(shell, server):
    done = shell.run("logs", "w/none", "-f", "--server", server)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == "wattle: Worker 'w/none' does not exist. `wattle status w` names all\n"
