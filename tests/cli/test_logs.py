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


def merged(*said):
    lines = [dict(zip(("worker", "content"), each.split(" ")), type="stdout") for each in said]
    events = [f"data: {json.dumps(line)}\n\n" for line in lines]
    return 200, "text/event-stream", [each.encode() for each in (*events, "event: end\ndata: {}\n\n")]


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
                ("GET", "/api/workflows/w/runs"): [{"id": 1}],
                ("GET", "/api/workflows/w/logs/stream"): lambda _: merged("a 1", "longer 3", "a 2"),
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
    assert followed.stdout.splitlines() == ["a      | 1", "longer | 3", "a      | 2"], "one stream, in its order"
    assert (followed.returncode, followed.stderr) == (0, "")
    apart = shell.run("logs", "-f", "w", "--json", "--server", server)
    ends = [json.loads(line)["worker"] for line in apart.stdout.splitlines() if '"end"' in line]
    assert sorted(ends) == ["a", "longer"], "which the one stream does not tell"


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
    assert done.stdout == "aaabbb\nccc\nddd\n[a part of the log is missing: it was dropped, 5 B]\n"


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


def paged(**answers):
    """Pages by the `from` that asks for them, each (entries, next)."""
    pages = {place.replace("_", ":").removeprefix("at:"): page for place, page in answers.items()}
    last = list(pages)[-1]

    def answer(asked):
        if "tail" in asked.query:
            return success([{"type": "stdout", "content": "x", "offset": 999}])
        entries, following = pages[asked.query["from"]]
        return success(entries, next=following, complete=asked.query["from"] == last)

    return answer


def entries(*said):
    return [{"type": kind, "content": content, "offset": 0, "match": True} for kind, content in said]


def test_what_is_wanted_is_asked_of_the_server_page_by_page(shell, serving):
    first = entries(("stdout", "x1"), ("stderr", "x2"), ("stdout", "x3"))
    pages = paged(at_0_0=(first, "30:10"), at_30_10=(entries(("stdout", "x4"), ("stdout", "not asked again")), "60:10"))
    api = Api({("GET", "/api/workers/w/a"): {}, ("GET", "/api/workers/w/a/logs"): pages})
    url = serving(api)
    done = shell.run("logs", "w/a", "--grep", "x[0-9]", "--since", "2026-01-01T00:00:00Z", "-n", "2", "--server", url)
    assert done.stdout == "x2\nx4\nnot asked again\n", "the last two of each stream; the server has chosen them"
    asked = [each.query for each in api.asked if each.path.endswith("logs") and "tail" not in each.query]
    assert [query["from"] for query in asked] == ["0:0", "30:10"]
    for query in asked:
        assert (query["grep"], query["since"]) == ("x[0-9]", "2026-01-01T00:00:00+00:00")


def test_one_stream_and_times_are_asked_of_the_server_too(shell, serving):
    timed = [{"type": "stderr", "content": "e", "time": "2026-01-01T00:00:00.000Z", "offset": 0}]
    api = Api({("GET", "/api/workers/w/a"): {}, ("GET", "/api/workers/w/a/logs"): timed})
    done = shell.run("logs", "w/a", "--stderr", "-t", "-n", "7", "--attempt", "2", "--server", serving(api), TZ="UTC")
    assert done.stdout == "2026-01-01 00:00:00.000 e\n"
    (query,) = [each.query for each in api.asked if each.path.endswith("logs")]
    assert query == {"tail": "7", "stream": "stderr", "times": "true", "attempt": "2"}


def test_a_server_that_searches_for_others_is_asked_again(shell, serving):
    found = success(entries(("stdout", "x")), next=1, complete=True)
    answers = iter([refusal(503, "SEARCH_BUSY", "two searches"), found])
    api = Api({("GET", "/api/workers/w/a"): {}, ("GET", "/api/workers/w/a/logs"): lambda _: next(answers)})
    assert shell.run("logs", "w/a", "--grep", "x", "--stdout", "--server", serving(api)).stdout == "x\n"


def test_a_log_that_grows_faster_than_it_is_searched_is_read_as_it_was(shell, serving):
    """Each page ends further on and none is the last one; the end was at 999 when it began."""

    def answer(asked):
        if "tail" in asked.query:
            return success([{"type": "stdout", "content": "x", "offset": 999}])
        place = int(asked.query["from"]) + 400
        return success(entries(("stdout", str(place))), next=place, complete=False)

    api = Api({("GET", "/api/workers/w/a"): {}, ("GET", "/api/workers/w/a/logs"): answer})
    done = shell.run("logs", "w/a", "--grep", "x", "--stdout", "--server", serving(api))
    assert done.stdout == "400\n800\n1200\n"


def test_what_the_server_cut_short_is_said(shell, serving):
    answer = success(lines(("stdout", "x")), complete=False)
    api = Api({("GET", "/api/workers/w/a"): {}, ("GET", "/api/workers/w/a/logs"): lambda _: answer})
    done = shell.run("logs", "w/a", "-n", "5", "--server", serving(api))
    assert done.stdout == "x\n" and "these are the last 1 MiB of each stream of 'a'" in done.stderr


def test_of_several_those_are_shown_that_have_the_attempt(shell, serving):
    gone = refusal(404, "ATTEMPT_NOT_FOUND", "Worker 'w/b' has no attempt 2 in its newest run")
    api = Api({
        ("GET", "/api/workers/w"): [{"name": "a", **SUMMARY}, {"name": "b", **SUMMARY}],
        ("GET", "/api/workers/w/b"): {}, ("GET", "/api/workers/w/a/logs"): lines(("stdout", "second")),
        ("GET", "/api/workers/w/b/logs"): gone,
    })  # fmt: skip
    url = serving(api)
    assert shell.run("logs", "w", "--attempt", "2", "--server", url).stdout == "a | second\n"
    none = shell.run("logs", "w/b", "--attempt", "2", "--server", url)
    assert (none.returncode, none.stdout) == (5, "") and "has no attempt 2" in none.stderr
