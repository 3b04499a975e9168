"""The Python client of Wattle's HTTP API; the command line is built on it.

    from wattle.client import Client

    with Client() as wattle:                       # http://localhost:9240
        wattle.create_workflow({"name": "demo", "workers": [{"name": "hello", "command": "echo hello"}]})
        run_id = wattle.start_workflow("demo").run_id
        for event in wattle.events(workflow="demo"):
            print(event["subject"], event["kind"])

Methods give the plain `data` of the answer (dicts, lists, texts; instants are `YYYY-MM-DDTHH:MM:SS.mmmZ`).
They raise `ClientError` where the server refuses and `NoServer` where none answers. A client may be used by
several threads at once. It holds no state of workflows, reads no environment and no configuration.
"""

import json
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import quote

from wattle.errors import Problem, WattleError

if TYPE_CHECKING:
    import httpx

DEFAULT_URL = "http://localhost:9240"
_CONNECT_SECONDS = 5.0
_RETRY_SECONDS = 0.1
_SILENCE_SECONDS = 45.0  # a stream sends a comment every 15 s
_SOCKET_PATH_BYTES = 107  # what fits into sockaddr_un, without its NUL

Json = Any


class NoServer(WattleError):
    """No Wattle answers there: start one with `wattle serve`."""

    def __init__(self, message: str) -> None:
        super().__init__("NO_SERVER", message)


class ClientError(WattleError):
    """The server refused. `status` is the HTTP status, `details` are the single problems of a definition."""

    def __init__(self, code: str, message: str, status: int, details: Sequence[Problem] = ()) -> None:
        super().__init__(code, message, details=details)
        self.status = status


class Started(NamedTuple):
    """The server's sentence, and the run it started (None where the server does not say)."""

    text: str
    run_id: int | None


class Signalled(NamedTuple):
    """The server's sentence, whom the signal reached, and who of the worker's tree may not be signalled by Wattle."""

    text: str
    pids: tuple[int, ...]
    refused: tuple[int, ...]
    signal: dict[str, Json]  # all that the server says of it


class Applied(NamedTuple):
    """The server's sentence, the run that it is about, and `effect`: "restarted", "to_come" (it has not started yet),
    "ended" (it is not started again), "unchanged" or "none" (no active run has it)."""

    text: str
    run_id: int | None
    effect: str


class Stored(NamedTuple):
    """The server's sentence, whether anything changed, and what it thinks is odd."""

    text: str
    changed: bool
    warnings: tuple[str, ...]


class Client:
    """One server: by URL, by the path of its Unix socket, or by any httpx transport.

    `lang` "zh" asks for the documented Chinese messages. `timeout_seconds` is how long a server may take to
    answer; calls that wait for workers to end wait as long as that takes.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        socket_path: str | None = None,
        transport: "httpx.BaseTransport | None" = None,
        lang: str = "en",
        timeout_seconds: float = 60.0,
    ) -> None:
        import httpx

        self.place = socket_path or base_url or DEFAULT_URL
        self._timeout_seconds = timeout_seconds
        self._directory_fd: int | None = None
        if socket_path is not None and transport is None:
            transport = httpx.HTTPTransport(uds=self._short(socket_path), verify=False, limits=_limits())
        self._http = httpx.Client(
            base_url=base_url or DEFAULT_URL,
            transport=transport,
            # Building a TLS context takes longer than most calls.
            verify=(base_url or "").startswith("https:"),
            timeout=httpx.Timeout(timeout_seconds, connect=_CONNECT_SECONDS, pool=None),
            limits=_limits(),
            headers={"accept-language": lang} if lang != "en" else {},
            trust_env=False,
        )

    def close(self) -> None:
        self._http.close()
        if self._directory_fd is not None:
            os.close(self._directory_fd)
            self._directory_fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- workflows

    def list_workflows(self) -> list[dict[str, Json]]:
        return self._get("/api/workflows")

    def get_workflow(self, name: str) -> dict[str, Json]:
        return self._get(_path("workflows", name))

    def definition(self, name: str) -> dict[str, Json]:
        """The workflow's definition as it is stored: directories and output paths absolute."""
        return self._get(_path("workflows", name), include="definition")["definition"]

    def create_workflow(self, document: Mapping[str, Json] | bytes) -> Stored:
        """`document` as JSON text goes out byte for byte."""
        return _stored(self._call("POST", "/api/workflows", body=document), changed=True)

    def put_workflow(self, name: str, document: Mapping[str, Json] | bytes) -> Stored:
        """Store a new version of the workflow where it differs, or create it."""
        try:
            return _stored(self._call("PUT", _path("workflows", name), body=document))
        except ClientError as error:
            if error.status != 404:
                raise
            return self.create_workflow(document)

    def delete_workflow(self, name: str, *, force: bool = False) -> str:
        """With `force` it is stopped first. Answers when nothing of it is left."""
        return self._patiently("DELETE", _path("workflows", name), force=force)

    def start_workflow(
        self,
        name: str,
        *,
        params: Mapping[str, Json] | None = None,
        idempotency_key: str | None = None,
        only: Sequence[str] = (),
        starts: Sequence[str] = (),
        force: bool = False,
    ) -> Started:
        """`only` these workers, or `starts` and what descends from them: the others count as completed. Their files
        must exist, unless by `force`."""
        headers = {"idempotency-key": idempotency_key} if idempotency_key else {}
        given = {"params": params, "only": list(only), "from": list(starts)}
        body = {field: value for field, value in given.items() if value} or None
        path, query = _path("workflows", name, "start"), {"force": force}
        return _started(self._call("POST", path, query=query, body=body, headers=headers))

    def stop_workflow(self, name: str) -> str:
        """Answers when every process of it is gone."""
        return self._patiently("POST", _path("workflows", name, "stop"))

    def restart_workflow(self, name: str, *, params: Mapping[str, Json] | None = None) -> Started:
        """Without `params` the new run has those of the one that it ends."""
        body = {"params": params} if params else None
        return _started(self._call("POST", _path("workflows", name, "restart"), body=body, patient=True))

    def list_workers(self, workflow: str) -> list[dict[str, Json]]:
        """The workers in definition order; `args`, `env_vars`, `inputs`, `outputs` are decoded, not JSON text."""
        workers: list[dict[str, Json]] = self._get(_path("workflows", workflow, "workers"))
        return [worker | {field: _decoded(worker.get(field)) for field in _JSON_TEXTS} for worker in workers]

    def dag(self, workflow: str) -> dict[str, Json]:
        """`{"nodes": […], "edges": […], "levels": [[…]]}`."""
        return self._get(_path("workflows", workflow, "dag"))

    def list_runs(self, workflow: str, *, limit: int = 100, offset: int = 0) -> list[dict[str, Json]]:
        """Newest first."""
        return self._get(_path("workflows", workflow, "runs"), limit=limit, offset=offset)

    def get_run(self, run: int | str) -> dict[str, Json]:
        """One run with its workers and attempts, by id or UUID."""
        return self._get(_path("runs", str(run)))

    # --- workers

    def list_worker_summaries(self, workflow: str) -> list[dict[str, Json]]:
        return self._get(_path("workers", workflow))

    def get_worker(self, workflow: str, worker: str) -> dict[str, Json]:
        return self._get(_path("workers", workflow, worker))

    def worker_schema(self, workflow: str, worker: str) -> dict[str, Json]:
        return self._get(_path("workers", workflow, worker, "schema"))

    def why(self, workflow: str, worker: str) -> dict[str, Json]:
        """`{"name", "status", "phase", "reason", "reason_code"}`; the reason is a sentence."""
        return self._get(_path("workers", workflow, worker, "why"))

    def start_worker(
        self, workflow: str, worker: str, *, force: bool = False, params: Mapping[str, Json] | None = None
    ) -> Started:
        """With `force` regardless of its inputs. `params` only where no run of the workflow is active."""
        path, body = _path("workers", workflow, worker, "start"), {"params": params} if params else None
        return _started(self._call("POST", path, query={"force": force}, body=body))

    def stop_worker(self, workflow: str, worker: str) -> str:
        """Answers when every process of it is gone."""
        return self._patiently("POST", _path("workers", workflow, worker, "stop"))

    def signal_worker(
        self, workflow: str, worker: str, signal: str | int, *, leader_only: bool = False
    ) -> Signalled:
        """Send it to every process of a running worker, or to its first alone. It is no stop: whoever ends by it has
        failed, whoever does not goes on."""
        body = {"signal": signal} | ({"scope": "leader"} if leader_only else {})
        answer = self._call("POST", _path("workers", workflow, worker, "signal"), body=body)
        sent = answer["signal"]
        return Signalled(answer["data"], tuple(sent["pids"]), tuple(sent["refused"]), sent)

    def restart_worker(
        self, workflow: str, worker: str, *, force: bool = False, params: Mapping[str, Json] | None = None
    ) -> Started:
        path, body = _path("workers", workflow, worker, "restart"), {"params": params} if params else None
        return _started(self._call("POST", path, query={"force": force}, body=body, patient=True))

    def apply_worker(self, workflow: str, worker: str) -> Applied:
        """Give a service of an active run the definition that is stored: it is restarted where that is another one.

        ClientError `NEEDS_NEW_RUN` where the run has to go on with the one it has.
        """
        answer = self._call("POST", _path("workers", workflow, worker, "apply"), patient=True)
        return Applied(answer["data"], answer["run_id"], answer["effect"])

    def delete_worker(self, workflow: str, worker: str, *, force: bool = False) -> str:
        return self._patiently("DELETE", _path("workers", workflow, worker), force=force)

    def metrics(self, workflow: str, worker: str) -> dict[str, Json]:
        return self._get(_path("workers", workflow, worker, "metrics"))["metrics"]

    # --- logs and events

    def log_paths(self, workflow: str, worker: str) -> list[str]:
        """`["stdout: PATH", "stderr: PATH"]`."""
        return self._get(_path("workers", workflow, worker, "logs"))

    def log_tail(
        self, workflow: str, worker: str, lines: int, *, attempt: int | None = None
    ) -> list[dict[str, Json]]:
        """The last lines of the newest attempt, or of one: `[{"type": "stdout"|"stderr", "content": …}]`."""
        query = {"tail": lines} | ({"attempt": attempt} if attempt is not None else {})
        return self._get(_path("workers", workflow, worker, "logs"), **query)

    def log_page(self, workflow: str, worker: str, **asked: Json) -> dict[str, Json]:
        """`{"data": entries, "next", "complete"}` of the log, for `from` (give it as `{"from": …}`), `limit`, `since`,
        `until`, `grep`, `context`, `stream`, `attempt` as in docs/http.md. Give `next` as `from` to go on. With `tail`
        (and `times`) it is the end of the log, and `complete` may be missing."""
        start = {} if "tail" in asked else {"from": 0 if "stream" in asked else "0:0"}
        return self._call("GET", _path("workers", workflow, worker, "logs"), query=start | asked)

    def download_log(
        self, workflow: str, worker: str, stream: str = "stdout", attempt: int | None = None
    ) -> Iterator[bytes]:
        """The bytes of a log as it is now, in pieces."""
        import httpx

        path = _path("workers", workflow, worker, "logs", "download")
        query = {"stream": stream} | ({"attempt": attempt} if attempt is not None else {})
        try:
            with self._http.stream("GET", path, params=query) as answer:
                if answer.status_code != 200:
                    answer.read()
                    self._checked(answer)
                    raise self._not_wattle(answer)
                yield from answer.iter_raw()
        except httpx.TransportError as error:
            raise self._no_server(error) from error

    def stream_logs(
        self,
        workflow: str,
        worker: str,
        *,
        patience_seconds: float = 60.0,
        tail: int | None = None,
        stream: str | None = None,
        attempt: int | None = None,
        last_event_id: str = "",
        was_there: bool = False,
    ) -> Iterator[dict[str, Json]]:
        """Every line of the worker's log and then those to come, until its part in the run is over.

        Lines are `{"type": "stdout"|"stderr", "content", "time", …}`; all else is `{"type": "attempt" | "gap" |
        "truncated" | "end" | "error", …}`. A lost connection is made again where it was, without a line lost
        or twice; after `patience_seconds` without a server it is NoServer, at once where there never was one
        (`was_there` says that there was). `stream` is the only one wanted, `attempt` the only one of the newest run;
        `last_event_id`, which is `<attempt uid>:<stdout offset>:<stderr offset>`, is where to go on.
        """
        path = _path("workers", workflow, worker, "logs", "stream")
        query = {"tail": tail, "stream": stream, "attempt": attempt}
        return self._follow(path, query, last_event_id, patience_seconds, was_there)

    def stream_workflow_logs(
        self,
        workflow: str,
        *,
        patience_seconds: float = 60.0,
        tail: int | None = None,
        stream: str | None = None,
        was_there: bool = False,
    ) -> Iterator[dict[str, Json]]:
        """The same of all workers of a workflow, from the start of its latest run until no run of it is active.

        All but `end` and `error` have the name of their `worker`. A workflow that has never run is waited for.
        """
        path, query = _path("workflows", workflow, "logs", "stream"), {"tail": tail, "stream": stream}
        return self._follow(path, query, "", patience_seconds, was_there)

    def stream_run_logs(
        self, run: int | str, *, patience_seconds: float = 60.0, was_there: bool = False
    ) -> Iterator[dict[str, Json]]:
        """The same of all workers of one run, until it has ended."""
        return self._follow(_path("runs", str(run), "logs", "stream"), {}, "", patience_seconds, was_there)

    def _follow(
        self, path: str, query: Mapping[str, Json], last_id: str, patience_seconds: float, was_there: bool
    ) -> Iterator[dict[str, Json]]:
        lost_at = None
        retry = delay = _RETRY_SECONDS
        while True:
            try:
                for event in self._events_of(path, last_id, query):
                    was_there, lost_at = True, None
                    last_id = event.id or last_id
                    retry = delay = event.retry_seconds or retry
                    if event.data is not None:
                        yield event.data
                        if event.data["type"] == "end":
                            return
            except _StreamOver:
                return
            except NoServer:
                lost_at = lost_at or time.monotonic()
                if not was_there or time.monotonic() - lost_at > patience_seconds:
                    raise
            time.sleep(delay)
            delay = max(retry, min(delay * 2, 2.0))

    def read_events(self, *, after: int, wait: float = 0, workflow: str | None = None) -> list[dict[str, Json]]:
        """Events with an id over `after`, oldest first; `wait` up to so many seconds for the first."""
        return self._read_events(after, wait, workflow)["data"]

    def last_event_id(self) -> int:
        """The id of the newest event, 0 where there is none."""
        # "." is no workflow's name, so no event is sent along.
        return int(self._read_events(0, 0, ".")["last_event_id"])

    def events(self, after: int = 0, wait: float = 20.0, *, workflow: str | None = None) -> Iterator[dict[str, Json]]:
        """Every event with an id over `after`, as they come, for ever. Raises NoServer when the server goes away."""
        while True:
            for event in self.read_events(after=after, wait=wait, workflow=workflow):
                after = event["id"]
                yield event

    # --- the server

    def health(self) -> Json:
        return self._call("GET", "/healthz")

    def why_not_ready(self) -> str | None:
        """Why the server cannot run workflows now, None where it can."""
        try:
            self._call("GET", "/readyz")
        except WattleError as error:
            return error.message.removeprefix("Not ready: ") if error.code == "NOT_READY" else None
        return None

    def version(self) -> str:
        """The server's."""
        return str(self._get("/api")["version"])

    def down(self) -> str:
        """Cancel all active runs and end the server; answers when every worker is gone."""
        return self._patiently("POST", "/api/down")

    # --- how

    def _short(self, path: str) -> str:
        """A path to the socket that fits into a socket address; the descriptor lives as long as the client."""
        if len(os.fsencode(path)) <= _SOCKET_PATH_BYTES:
            return path
        try:
            self._directory_fd = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise NoServer(f"No Wattle answers at {path} ({error.strerror})") from None
        return f"/proc/self/fd/{self._directory_fd}/{os.path.basename(path)}"

    def _get(self, path: str, **query: Json) -> Json:
        return self._call("GET", path, query=query)["data"]

    def _read_events(self, after: int, wait: float, workflow: str | None) -> dict[str, Json]:
        query: dict[str, Json] = {"after": after} | ({"wait": round(wait, 3)} if wait else {})
        query |= {"workflow": workflow} if workflow else {}
        return self._call("GET", "/api/events", query=query, extra_seconds=wait)

    def _patiently(self, method: str, path: str, force: bool = False) -> str:
        return self._call(method, path, query={"force": force}, patient=True)["data"]

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Json] | None = None,
        body: Mapping[str, Json] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        patient: bool = False,
        extra_seconds: float = 0,
    ) -> Json:
        """The whole answer. A `patient` call waits without end: a worker may take its time to stop."""
        import httpx

        content = json.dumps(body).encode() if isinstance(body, Mapping) else body
        sent = dict(headers or {}) | ({"content-type": "application/json"} if content is not None else {})
        seconds = self._timeout_seconds
        answer_in = None if patient else seconds + extra_seconds
        limits = httpx.Timeout(seconds, connect=_CONNECT_SECONDS, read=answer_in, pool=None)
        try:
            answer = self._http.request(
                method, path, params=_query(query or {}), content=content, headers=sent, timeout=limits
            )
        except httpx.TransportError as error:
            raise self._no_server(error) from error
        return self._checked(answer)

    def _events_of(self, path: str, last_id: str, query: Mapping[str, Json]) -> "Iterator[_ServerEvent]":
        """One connection of a stream, to its end or until it is lost."""
        import httpx

        headers = {"accept": "text/event-stream", "cache-control": "no-cache"}
        headers |= {"last-event-id": last_id} if last_id else {}
        query = {**query, "tail": None} if last_id else query
        limits = httpx.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS, pool=None)
        try:
            with self._http.stream("GET", path, params=_query(query), headers=headers, timeout=limits) as answer:
                if answer.status_code == 204:
                    raise _StreamOver
                if answer.status_code != 200 or not answer.headers.get("content-type", "").startswith("text/event-str"):
                    answer.read()
                    self._checked(answer)
                    raise self._not_wattle(answer)
                yield _ServerEvent(None, None, None)  # it is there
                yield from parse_events(answer.iter_raw())
        except httpx.TransportError as error:
            raise self._no_server(error) from error

    def _checked(self, answer: "httpx.Response") -> Json:
        """The body of a good answer; ClientError for any other."""
        try:
            body = answer.json()
        except ValueError:
            raise self._not_wattle(answer) from None
        if not isinstance(body, dict):
            raise self._not_wattle(answer)
        if answer.is_success and body.get("success", True):
            return body
        error = body.get("error")
        if not isinstance(error, dict):
            raise self._not_wattle(answer)
        details = [_problem(problem) for problem in error.get("details") or () if isinstance(problem, dict)]
        raise ClientError(str(error.get("code", "UNKNOWN")), str(error.get("message", "")), answer.status_code, details)

    def _no_server(self, error: Exception) -> NoServer:
        import httpx

        if isinstance(error, httpx.ReadTimeout):
            return NoServer(f"Wattle at {self.place} accepted the call and does not answer")
        return NoServer(f"No Wattle answers at {self.place} ({_cause(error)})")

    def _not_wattle(self, answer: "httpx.Response") -> ClientError:
        kind = answer.headers.get("content-type", "no content type")
        return ClientError(
            "NOT_WATTLE",
            f"{self.place} answered {answer.request.method} {answer.request.url.path} with {answer.status_code} "
            f"({kind}): that is not Wattle",
            answer.status_code,
        )


def answers(socket_path: str) -> bool:
    """Whether somebody accepts connections on that Unix socket."""
    try:
        directory = os.open(os.path.dirname(socket_path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_CONNECT_SECONDS)
            probe.connect(f"/proc/self/fd/{directory}/{os.path.basename(socket_path)}")
        return True
    except (TimeoutError, BlockingIOError):
        return True  # there is one, and its queue is full
    except OSError:
        return False
    finally:
        os.close(directory)


# --- Server-Sent Events (WHATWG HTML, section 9.2)


class _StreamOver(Exception):
    """The server says that nothing more will come."""


class _ServerEvent(NamedTuple):
    """`data` is None where the event only carries an id or a delay."""

    data: dict[str, Json] | None
    id: str | None
    retry_seconds: float | None


def parse_events(chunks: Iterable[bytes]) -> Iterator[_ServerEvent]:
    """The events in a stream of bytes. What is not ended by a blank line is dropped, as the standard says.

    Lines are split at LF and CRLF alone: httpx's own line reader also splits at U+2028 and form feeds, which
    stand in log lines.
    """
    data: list[str] = []
    name, event_id, retry = "message", None, None
    for line in _lines(chunks):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data or event_id is not None or retry is not None:
                yield _ServerEvent(_event_data(name, data), event_id, retry)
            name, event_id, retry, data = "message", None, None, []
        elif field == "data":
            data.append(value)
        elif field == "event":
            name = value
        elif field == "id" and "\0" not in value:
            event_id = value
        elif field == "retry" and value.isdecimal():
            retry = int(value) / 1000


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest: list[bytes] = []
    for chunk in chunks:
        if b"\n" not in chunk:
            rest.append(chunk)
            continue
        *lines, last = (b"".join(rest) + chunk).split(b"\n")
        rest = [last]
        for line in lines:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")


def _event_data(name: str, lines: list[str]) -> dict[str, Json] | None:
    """Named events without a `type` of their own get their name as one."""
    if not lines:
        return None
    try:
        value = json.loads("\n".join(lines))
    except ValueError:
        value = {"content": "\n".join(lines)}
    if not isinstance(value, dict):
        value = {"content": value}
    return value if name == "message" else {"type": name} | value


# --- small things

_JSON_TEXTS = ("args", "env_vars", "inputs", "outputs")


def _limits() -> "httpx.Limits":
    import httpx

    return httpx.Limits(max_connections=None, max_keepalive_connections=8)


def _path(*parts: str) -> str:
    return "/api/" + "/".join(quote(part, safe="") for part in parts)


def _query(query: Mapping[str, Json]) -> dict[str, str]:
    """False is left out: the server's default."""
    given = {name: value for name, value in query.items() if value is not None and value is not False}
    return {name: "true" if value is True else str(value) for name, value in given.items()}


def _started(answer: Mapping[str, Json]) -> Started:
    return Started(answer["data"], answer.get("run_id"))


def _stored(answer: Mapping[str, Json], *, changed: bool = False) -> Stored:
    return Stored(answer["data"], answer.get("changed", changed), tuple(answer.get("warnings") or ()))


def _decoded(value: Json) -> Json:
    return json.loads(value) if isinstance(value, str) else value


def _problem(given: Mapping[str, Json]) -> Problem:
    return Problem(
        code=str(given.get("code", "")),
        message=str(given.get("message", "")),
        pointer=str(given.get("pointer") or ""),
        suggestion=given.get("suggestion"),
        line=given.get("line"),
        column=given.get("column"),
    )


def _cause(error: BaseException) -> str:
    """The innermost error that says something: httpx wraps the system's own."""
    text = str(error)
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
        text = getattr(error, "strerror", None) or str(error) or text
    return text[:1].lower() + text[1:] if text else type(error).__name__
