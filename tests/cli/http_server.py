"""A small real HTTP server that answers as it is told: what a client makes of an answer, whatever the API does."""

import json
from dataclasses import dataclass, field
from urllib.parse import parse_qs


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Api:
    """A WSGI application: `answers[("GET", "/path")]` is data, or a function of what was asked.

    A function gives data or (status, content type, iterable of bytes). Everything asked is kept in `asked`.
    """

    answers: dict = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def __call__(self, environ, start_response):
        headers = {key[5:].lower().replace("_", "-"): value for key, value in environ.items() if key[:5] == "HTTP_"}
        headers["content-type"] = environ.get("CONTENT_TYPE", "")
        asked = Asked(
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"].encode("latin-1").decode(),
            {key: values[-1] for key, values in parse_qs(environ["QUERY_STRING"], keep_blank_values=True).items()},
            headers,
            environ["wsgi.input"].read(),
        )
        self.asked.append(asked)
        answer = self.answers.get((asked.method, asked.path), refusal(404, "WORKFLOW_NOT_FOUND", "There is no such"))
        answer = answer(asked) if callable(answer) else answer
        if not isinstance(answer, tuple):
            answer = success(answer)
        status, kind, body = answer
        start_response(f"{status} Whatever", [("Content-Type", kind)])
        return body


def success(data, **siblings):
    body = {"success": True, "data": data, "message": "Operation succeeded", "timestamp": "…", **siblings}
    return 200, "application/json", [json.dumps(body).encode()]


def refusal(status, code, message, details=()):
    error = {"code": code, "message": message} | ({"details": list(details)} if details else {})
    return status, "application/json", [json.dumps({"success": False, "error": error, "timestamp": "…"}).encode()]
