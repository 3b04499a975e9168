"""Bad input gets a clear error and stores nothing: 2,000 generated bodies against a real server (F53)."""

import json
import random
import string
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.whole.server import Server

Document = dict[str, Any]


def good(chance: random.Random) -> Document:
    workers = [
        {
            "name": f"w{i}",
            "command": chance.choice(["true", "echo hello", "sort < x | uniq"]),
            "args": chance.choice([[], ["a"], None]),
            "env_vars": {"A": "1"},
            "inputs": {"in": f"w{i - 1}/out"} if i else None,
            "outputs": {"out": f"out-{i}.txt"},
        }
        for i in range(chance.randint(2, 6))
    ]
    return {"name": f"wf{chance.randrange(10**6)}", "workers": workers}


def noise(chance: random.Random) -> str:
    return "".join(chance.choice(string.printable + "é漢\u202e\u200b") for _ in range(chance.randint(1, 300)))


WRONG: list[Any] = [5, -1.5, True, [], [1], {"a": 1}, 10**30]


def any_worker(document: Document, chance: random.Random) -> Document:
    worker: Document = chance.choice(document["workers"])
    return worker


def put(field: str, *values: Any) -> Callable[[Document, random.Random], None]:
    def change(document: Document, chance: random.Random) -> None:
        any_worker(document, chance)[field] = chance.choice(values)

    return change


def rename(*names: str) -> Callable[[Document, random.Random], None]:
    def change(document: Document, chance: random.Random) -> None:
        chance.choice([document, any_worker(document, chance)])["name"] = chance.choice(names)

    return change


def duplicate(document: Document, chance: random.Random) -> None:
    document["workers"].append(dict(chance.choice(document["workers"])))


def cycle(document: Document, chance: random.Random) -> None:
    first, last = document["workers"][0], document["workers"][-1]
    first["inputs"] = {"back": f"{last['name']}/out"}


def drop(document: Document, chance: random.Random) -> None:
    holder, field = chance.choice([(document, "name"), (document, "workers"), (document["workers"][0], "command")])
    del holder[field]


CHANGES: list[Callable[[Document, random.Random], None]] = [
    put("command", "", "   ", 'echo "unbalanced', "it's", *WRONG, None),
    put("args", "text", [1], [None], {"a": "b"}, 7),
    put("inputs", {"x": "nobody/out"}, {"x": "w0"}, {"x": ""}, {"x": 5}, {"x": None}, ["w0/out"], "w0/out"),
    put("outputs", {"o": ""}, {"o": 5}, {"o": {}}, {"o": {"path": 5}}, {"a/b": "x"}, {"": "x"}, ["x"], "x"),
    put("env_vars", {"A=B": "x"}, {"": "x"}, {"A": {}}, {"A": None}, ["A=1"], {"WATTLE_ATTEMPT_UID": "mine"}),
    put("depends_on", ["nobody"], "w0", [5], [""], {"w0": 1}),
    put("timeout_seconds", -1, "soon", [], 0, True),
    put("retry", {"limit": -1}, {"limit": "many"}, {"delay": 1}, 3, {"jitter": 5}),
    put("success_exit_codes", [256], [-1], ["0"], 0, {}),
    put("stop", {"signal": "NOPE"}, {"signal": 99}, {"grace_seconds": -1}, {"scope": "world"}, "TERM"),
    put("priority", "high", 1.5, [], {}),
    put("stdout", "nothing", 5, [""]),
    put("capture_stdout", "maybe", 5, []),
    put("workflow_name", "another", 5, [], ""),
    put("comand", "true"),
    put("working_dir", "", 5, []),
    rename("", ".", "..", "a/b", "-x", ".x", "12345", "x" * 129, "a\u0007", "a\u200bb", "漢" * 70, "a\u202eb"),
    duplicate,
    cycle,
    drop,
]


def spoilt_text(chance: random.Random) -> bytes:
    """Not JSON, or JSON that means nothing safe."""
    document = good(chance)
    text = json.dumps(document)
    at = chance.randrange(1, len(text))
    return chance.choice(
        [
            text[:at].encode(),
            text.encode("utf-16"),
            b"\xef\xbb\xbf" + text.encode(),
            text.encode() + b"}",
            text.replace('"true"', "NaN").replace('"echo hello"', "Infinity").replace('"sort', '"\\ud800').encode(),
            ("[" * chance.choice([65, 1000, 100_000])).encode(),
            (text[:-1] + f', "name": "again{at}"}}').encode(),
            text.replace("w0", "w\\u0000").encode(),
            (text[:-1] + ', "max_parallel": 1e999}').encode(),
            (text[:-1] + f', "max_parallel": {"9" * chance.choice([20, 400, 5000])}}}').encode(),
            text.encode().replace(b"command", b"comm\xffand"),
            noise(chance).encode("utf-8", "replace"),
            b"",
            json.dumps(chance.choice(WRONG)).encode(),
            chance.randbytes(chance.randint(1, 200)),
        ]
    )


def test_2000_malformed_bodies_give_no_5xx_and_store_nothing(server: Server) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    answers: Counter[int] = Counter()
    codes: Counter[str] = Counter()
    for at in range(2000):
        if at % 2:
            body = spoilt_text(chance)
        else:
            document = good(chance)
            CHANGES[at // 2 % len(CHANGES)](document, chance)
            body = json.dumps(document).encode()
        answer = server.request("POST", "/api/workflows", body)
        assert answer.status in (400, 413, 415, 422), f"seed {seed}, body {at}: {answer.status} {body[:500]!r}"
        error = answer.body["error"]
        assert error["code"] and error["message"] and answer.body["success"] is False
        assert "Traceback" not in json.dumps(answer.body)
        answers[answer.status] += 1
        codes[error["code"]] += 1
    assert server.get("/api/workflows") == []
    assert {400, 422} <= set(answers)
    documented = {
        "VALIDATION_ERROR",
        "INVALID_JSON",
        "INVALID_COMMAND",
        "DEPENDENCY_VALIDATION_FAILED",
        "CIRCULAR_DEPENDENCY",
    }
    assert documented <= set(codes), f"every kind of problem was provoked: {codes}"
    assert server.request("POST", "/api/workflows", good(chance)).status == 201  # positive control


def test_problems_come_all_at_once_with_places_and_suggestions(server: Server) -> None:
    text = """{
  "name": "wf",
  "workers": [
    {"name": "fetch", "command": "true", "outputs": {"raw_data": "raw.txt"}},
    {"name": "load", "comand": "true", "command": "true", "inputs": {"x": "fetch/raw_dat"}}
  ]
}"""
    answer = server.request("POST", "/api/workflows", text.encode())
    assert answer.status == 400
    found = {problem["pointer"]: problem for problem in answer.body["error"]["details"]}
    assert found["/workers/1/comand"]["line"] == 5
    assert "command" in found["/workers/1/comand"]["suggestion"]
    assert found["/workers/1/inputs/x"]["code"] == "DEPENDENCY_VALIDATION_FAILED"
    assert "raw_data" in found["/workers/1/inputs/x"]["suggestion"]
    assert (found["/workers/1/inputs/x"]["line"], found["/workers/1/inputs/x"]["column"]) == (5, 75)
