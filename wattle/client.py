"""The Python client of Wattle's HTTP API; the command line is built on it.

    from wattle.client import Client

    with Client() as wattle:                       # http://localhost:9240
        wattle.create_workflow({"name": "demo", "workers": [{"name": "hello", "command": "echo hello"}]})
        run_id = wattle.start_workflow("demo").run_id
        for event in wattle.events(workflow="demo"):
            print(event["subject"], event["kind"])

Methods give the plain `data` of the answer (dicts, lists, texts; instants are `YYYY-MM-DDTHH:MM:SS.mmmZ`, durations
seconds, sizes bytes; what is not known is None, its key there). Each says what is in it; docs/http.md shows every
answer and lists every code, docs/python.md the methods beside the routes.

All raise `ClientError` where the server refuses (its `code` is what to look at: `WORKFLOW_NOT_FOUND`, …; a name that is
not there is refused by every method that takes one, so methods name only what is theirs) and `NoServer` where none
answers; both are `wattle.errors.WattleError`. A client may be used by several threads at once. It holds no state of
workflows, reads no environment and no configuration.
"""

import json
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypedDict, Unpack
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
    """No Wattle answers there: start one with `wattle serve`. `code` is `NO_SERVER`."""

    def __init__(self, message: str) -> None:
        super().__init__("NO_SERVER", message)


class ClientError(WattleError):
    """The server refused. `code` says why and never changes its meaning, `message` is for people, `status` is the HTTP
    status. `details` are the single problems of a definition, each with `code`, `message`, `pointer`, `line`, `column`,
    `suggestion`; empty for all other refusals. Where something else than Wattle answers, `code` is `NOT_WATTLE`."""

    def __init__(self, code: str, message: str, status: int, details: Sequence[Problem] = ()) -> None:
        super().__init__(code, message, details=details)
        self.status = status


class Started(NamedTuple):
    """The server's sentence, and the run it started (None where the server does not say). `repeated`: a start with the
    same idempotency key had started that run before, and nothing was started now."""

    text: str
    run_id: int | None
    repeated: bool = False


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


_From = TypedDict("_From", {"from": int | str}, total=False)  # no name for a keyword


class Stored(NamedTuple):
    """The server's sentence, whether anything changed, and what it thinks is odd."""

    text: str
    changed: bool
    warnings: tuple[str, ...]


class Stopped(NamedTuple):
    """The server's sentence, whether SIGKILL was needed, and whom it told to end, when and how: `stop` is
    `{"signalled", "signals", "escalated", "survivors", "unattributed"}`, empty where the server does not say."""

    text: str
    escalated: bool
    stop: dict[str, Json]


class Listing(TypedDict, total=False):
    """Which rows of a list, and in which order. `page` counts from 1."""

    status: str  # one, or several with commas
    sort_by: str  # a key of the rows
    order: Literal["asc", "desc"]
    page: int
    page_size: int


class LogQuery(_From, total=False):
    """Which part of a log, as in docs/http.md. `from` is an offset of one stream, or `"<stdout>:<stderr>"` of both;
    `limit` bytes of each; `since` and `until` instants (ISO 8601, or seconds since 1970); `grep` a regular expression
    of Python's, with `context` lines around; `tail` the last lines, and nothing of the others with it; `times` with
    it."""

    limit: int
    since: str | float
    until: str | float
    grep: str
    context: int
    stream: str
    attempt: int
    tail: int
    times: bool


class Client:
    """One server: by URL, by the path of its Unix socket, or by any httpx transport.

    `lang` "zh" asks for the documented Chinese messages. `timeout_seconds` is how long a server may take to
    answer; calls that wait for workers to end wait as long as that takes. It connects when it is first used; a
    connection that was lost is made again by the next call.
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
        """Give back its connections. It is closed at the end of a `with` too."""
        self._http.close()
        if self._directory_fd is not None:
            os.close(self._directory_fd)
            self._directory_fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- workflows

    def list_workflows(self, **listing: Unpack[Listing]) -> list[dict[str, Json]]:
        """`{"name", "working_dir", "status", "phase", "reason", "created_at", "started_at", "completed_at",
        "deleted_at"}` of each. `status` is `created running completed failed cancelled`, that of the latest run of the
        whole workflow; `phase` says what it leaves out, `reason` is a sentence. `INVALID_PARAMETER` for a `listing`
        that cannot be."""
        return self._get("/api/workflows", **listing)

    def get_workflow(self, name: str, *, with_workers: bool = False) -> dict[str, Json]:
        """The same of one; `with_workers` has its `workers` as `list_worker_summaries` gives them."""
        return self._get(_path("workflows", name), include="workers" if with_workers else None)

    def definition(self, name: str) -> dict[str, Json]:
        """The workflow's definition as it is stored: directories and output paths absolute."""
        return self._get(_path("workflows", name), include="definition")["definition"]

    def workflow_schema(self) -> dict[str, Json]:
        """The JSON Schema (2020-12) of a definition."""
        return self._call("GET", "/api/schema/workflow")

    def create_workflow(self, document: Mapping[str, Json] | bytes) -> Stored:
        """`document` as JSON text goes out byte for byte. `WORKFLOW_ALREADY_EXISTS` where the name is taken; where the
        definition has problems `VALIDATION_ERROR`, `INVALID_COMMAND`, `DEPENDENCY_VALIDATION_FAILED`,
        `CIRCULAR_DEPENDENCY` or `INVALID_JSON`, with all of them in `details`."""
        return _stored(self._call("POST", "/api/workflows", body=document), changed=True)

    def put_workflow(self, name: str, document: Mapping[str, Json] | bytes) -> Stored:
        """Store a new version of the workflow where it differs, or create it. An active run keeps the version that it
        began with. Problems of the definition are refused as by `create_workflow`."""
        try:
            return _stored(self._call("PUT", _path("workflows", name), body=document))
        except ClientError as error:
            if error.status != 404:
                raise
            return self.create_workflow(document)

    def delete_workflow(self, name: str, *, force: bool = False) -> str:
        """With `force` it is stopped first, else one that runs is `WORKFLOW_RUNNING`. Answers with the server's
        sentence when nothing of it is left."""
        return self._patiently("DELETE", _path("workflows", name), force=force)["data"]

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
        must exist (`INPUT_NOT_READY`), unless by `force`.

        `params` are the values of those that the definition declares (`INVALID_PARAMS`). `idempotency_key`: a second
        start with the same key starts nothing and gives the first one's run. Answers as soon as the run is written
        down. `WORKFLOW_ALREADY_RUNNING`, `WORKER_RUNNING` (one runs alone), `WORKFLOW_EMPTY`, `ENV_FILE_UNREADABLE`;
        what a definition refers to and is there no longer is refused as by `create_workflow`."""
        headers = {"idempotency-key": idempotency_key} if idempotency_key else {}
        given = {"params": params, "only": list(only), "from": list(starts)}
        body = {field: value for field, value in given.items() if value} or None
        path, query = _path("workflows", name, "start"), {"force": force}
        return _started(self._call("POST", path, query=query, body=body, headers=headers))

    def stop_workflow(self, name: str) -> Stopped:
        """Answers when every process of it is gone; one that does not run is stopped already. `STOP_INCOMPLETE` where
        processes survive SIGKILL for 5 s: the message has their pids, and the stop goes on."""
        return _stopped(self._patiently("POST", _path("workflows", name, "stop")))

    def restart_workflow(self, name: str, *, params: Mapping[str, Json] | None = None) -> Started:
        """Stop it, wait until nothing of it is left, start a new run of all workers; refused as both are. Without
        `params` the new run has those of the one that it ends."""
        body = {"params": params} if params else None
        return _started(self._call("POST", _path("workflows", name, "restart"), body=body, patient=True))

    def list_workers(self, workflow: str, **listing: Unpack[Listing]) -> list[dict[str, Json]]:
        """The workers in definition order: `{"workflow_name", "name", "command", "args", "working_dir", "env_vars",
        "inputs", "outputs", "status", "phase", "reason", "error_message", "created_at", "started_at", "completed_at",
        "deleted_at"}`. `args`, `env_vars`, `inputs`, `outputs` are decoded, not JSON text; None where there are
        none."""
        workers: list[dict[str, Json]] = self._get(_path("workflows", workflow, "workers"), **listing)
        return [worker | {field: _decoded(worker.get(field)) for field in _JSON_TEXTS} for worker in workers]

    def dag(self, workflow: str) -> dict[str, Json]:
        """`{"nodes": […], "edges": […], "levels": [[name, …], …]}`. A node is a worker's name, state and newest attempt
        as in `why`; an edge `{"from", "to", "output", "input", "path"}`, the last three None where it is a
        `depends_on`."""
        return self._get(_path("workflows", workflow, "dag"))

    def list_runs(self, workflow: str, *, limit: int = 100, offset: int = 0) -> list[dict[str, Json]]:
        """Newest first: `{"id", "uuid", "workflow_name", "kind", "worker", "status", "reason", "reason_code",
        "trigger", "queued_at", "started_at", "completed_at", "duration_seconds", "version", "counts"}`. `kind` is
        `workflow`, or `worker` for a run of that one alone; `counts` are workers by status."""
        return self._get(_path("workflows", workflow, "runs"), limit=limit, offset=offset)

    def get_run(self, run: int | str) -> dict[str, Json]:
        """One run, by id or UUID (`RUN_NOT_FOUND`): as in `list_runs`, with `workers` (state and newest attempt of
        each, as in `why`) and `attempts`: `{"uuid", "worker", "number", "status", "pid", "exit_code", "signal",
        "reason", "reason_code", "started_at", "completed_at", "duration_seconds", "user_seconds", "system_seconds",
        "max_rss_bytes", "stdout", "stderr"}`, the last two paths, None once retention has removed them."""
        return self._get(_path("runs", str(run)))

    # --- workers

    def list_worker_summaries(self, workflow: str, **listing: Unpack[Listing]) -> list[dict[str, Json]]:
        """`{"name", "workflow_name", "status", "phase", "reason", "command", "created_at", "started_at",
        "completed_at"}` of each, in definition order."""
        return self._get(_path("workers", workflow), **listing)

    def get_worker(self, workflow: str, worker: str) -> dict[str, Json]:
        """`{"name", "workflow_name", "command", "args", "working_dir", "env_vars", "status", "phase", "reason"}`."""
        return self._get(_path("workers", workflow, worker))

    def worker_schema(self, workflow: str, worker: str) -> dict[str, Json]:
        """`{"schema": …}`, the JSON Schema of a worker's fields."""
        return self._get(_path("workers", workflow, worker, "schema"))

    def why(self, workflow: str, worker: str) -> dict[str, Json]:
        """Why it is in its state: `{"workflow_name", "name", "run_id", "status", "phase", "reason", "reason_code",
        "started_at", "completed_at", "attempt", "exit_code", "signal", "pid", "due_at", "notices"}`. The reason is a
        sentence, `attempt` a number (0: none yet), `due_at` when a retry is due."""
        return self._get(_path("workers", workflow, worker, "why"))

    def start_worker(
        self, workflow: str, worker: str, *, force: bool = False, params: Mapping[str, Json] | None = None
    ) -> Started:
        """In the active run, else in a run of its own. With `force` regardless of its inputs (else `INPUT_NOT_READY`,
        or `WORKER_QUEUED` where it will start by itself). `params` only where no run of the workflow is active
        (`INVALID_PARAMS`). `WORKER_ALREADY_RUNNING`, `WORKFLOW_STOPPING`."""
        path, body = _path("workers", workflow, worker, "start"), {"params": params} if params else None
        return _started(self._call("POST", path, query={"force": force}, body=body))

    def stop_worker(self, workflow: str, worker: str) -> Stopped:
        """Answers when every process of it is gone; what descends from it is cancelled. `STOP_INCOMPLETE` as of a
        workflow."""
        return _stopped(self._patiently("POST", _path("workers", workflow, worker, "stop")))

    def signal_worker(
        self, workflow: str, worker: str, signal: str | int, *, leader_only: bool = False
    ) -> Signalled:
        """Send it to every process of a running worker, or to its first alone. It is no stop: whoever ends by it has
        failed, whoever does not goes on. `signal` is a name (`HUP`) or a number (`UNKNOWN_SIGNAL`).
        `WORKER_NOT_RUNNING`, `SIGNAL_NOT_PERMITTED`, `KEEPER_AWAY`, `KEEPER_TOO_OLD`."""
        body = {"signal": signal} | ({"scope": "leader"} if leader_only else {})
        answer = self._call("POST", _path("workers", workflow, worker, "signal"), body=body)
        sent = answer["signal"]
        return Signalled(answer["data"], tuple(sent["pids"]), tuple(sent["refused"]), sent)

    def restart_worker(
        self, workflow: str, worker: str, *, force: bool = False, params: Mapping[str, Json] | None = None
    ) -> Started:
        """End its attempt without cancelling what descends from it, and start the next; refused as a start is."""
        path, body = _path("workers", workflow, worker, "restart"), {"params": params} if params else None
        return _started(self._call("POST", path, query={"force": force}, body=body, patient=True))

    def apply_worker(self, workflow: str, worker: str) -> Applied:
        """Give a service of an active run the definition that is stored: it is restarted where that is another one.

        ClientError `NEEDS_NEW_RUN` where the run has to go on with the one it has.
        """
        answer = self._call("POST", _path("workers", workflow, worker, "apply"), patient=True)
        return Applied(answer["data"], answer["run_id"], answer["effect"])

    def delete_worker(self, workflow: str, worker: str, *, force: bool = False) -> str:
        """Take it out of the stored definition. With `force` it is stopped first, else one that runs is
        `WORKER_RUNNING`. Answers with the server's sentence."""
        return self._patiently("DELETE", _path("workers", workflow, worker), force=force)["data"]

    def metrics(
        self, workflow: str, worker: str, *, attempt: int | None = None, pss: bool = False
    ) -> dict[str, Json]:
        """What the process tree of its newest attempt uses, or of one of the same run (`ATTEMPT_NOT_FOUND`):
        `{"cpu_percent", "memory_bytes", "runtime_seconds", "pid", "num_processes", "num_threads", "cpu_seconds",
        "peak_memory_bytes", …}`; docs/metrics.md says what each is. `pss` adds `pss_bytes`, which is dear."""
        return self._get(_path("workers", workflow, worker, "metrics"), attempt=attempt, pss=pss)["metrics"]

    def metrics_history(
        self, workflow: str, worker: str, *, attempt: int | None = None, since: str | float | None = None
    ) -> dict[str, Json]:
        """The same over time: `{"attempt", "run_id", "live", "points": [{"at", "cpu_percent", "memory_bytes",
        "num_processes", "num_threads", "read_bytes", "written_bytes"}, …]}`, at most 240 points; those after the
        instant `since` (ISO 8601, or seconds since 1970)."""
        path = _path("workers", workflow, worker, "metrics", "history")
        return self._get(path, attempt=attempt, since=since)["history"]

    # --- logs and events

    def log_paths(self, workflow: str, worker: str, *, attempt: int | None = None) -> list[str]:
        """`["stdout: PATH", "stderr: PATH"]`, of the newest attempt or of one of the same run (`ATTEMPT_NOT_FOUND`)."""
        return self._get(_path("workers", workflow, worker, "logs"), attempt=attempt)

    def log_tail(
        self, workflow: str, worker: str, lines: int, *, attempt: int | None = None
    ) -> list[dict[str, Json]]:
        """The last lines of each stream of the newest attempt, or of one of the same run (`ATTEMPT_NOT_FOUND`), in
        their order: `[{"type": "stdout"|"stderr", "content": …}]`. Where a part of the log is gone, entries of the type
        `gap` or `truncated`, which have no `content`, stand first. At most 1 MiB of each stream."""
        query = {"tail": lines} | ({"attempt": attempt} if attempt is not None else {})
        return self._get(_path("workers", workflow, worker, "logs"), **query)

    def log_page(self, workflow: str, worker: str, **asked: Unpack[LogQuery]) -> dict[str, Json]:
        """`{"data": entries, "next", "complete"}` of the log. Give `next` as `from` (by `**{"from": …}`) to go on. With
        `tail` (and `times`) it is the end of the log, and `complete` may be missing.

        An entry is a line, `{"type": "stdout"|"stderr", "content", "time", "offset", …}`, or a `gap` or `truncated`.
        `ATTEMPT_NOT_FOUND`, `INVALID_PARAMETER`, `GREP_TOO_SLOW`, `SEARCH_BUSY` (try again)."""
        start: dict[str, Json]
        start = {} if "tail" in asked else {"from": 0 if "stream" in asked else "0:0"}
        return self._call("GET", _path("workers", workflow, worker, "logs"), query=start | asked)

    def download_log(
        self, workflow: str, worker: str, stream: str = "stdout", attempt: int | None = None
    ) -> Iterator[bytes]:
        """The bytes of a log as it is now, in pieces. `LOG_NOT_FOUND`, `ATTEMPT_NOT_FOUND`. NoServer where the
        connection is lost: what came before is the log's beginning."""
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
        self,
        run: int | str,
        *,
        patience_seconds: float = 60.0,
        tail: int | None = None,
        stream: str | None = None,
        was_there: bool = False,
    ) -> Iterator[dict[str, Json]]:
        """The same of one run, by id or UUID, from its start to its end (`RUN_NOT_FOUND`)."""
        path, query = _path("runs", str(run), "logs", "stream"), {"tail": tail, "stream": stream}
        return self._follow(path, query, "", patience_seconds, was_there)

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
        """Events with an id over `after`, oldest first, at most 1,000; `wait` up to so many seconds (60 at most) for
        the first. Each is `{"id", "at", "subject", "kind", "run_id", "payload", "actor"}`: `subject` a workflow or
        `workflow/worker`, `kind` `run.started`, `worker.failed`, …"""
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

    def stream_events(
        self, after: int | None = None, *, workflow: str | None = None, patience_seconds: float = 60.0
    ) -> Iterator[dict[str, Json]]:
        """Every event with an id over `after`, or from now on, as they come, for ever, over one connection. One that is
        lost is made again, without an event lost or twice; NoServer after `patience_seconds` without a server."""
        last_id = "" if after is None else str(after)
        for event in self._follow("/api/events/stream", {"workflow": workflow}, last_id, patience_seconds, False):
            if event["type"] == "change":
                yield {name: value for name, value in event.items() if name != "type"}

    # --- the server

    def health(self) -> dict[str, Json]:
        """The whole answer of a server whose process answers, whatever else it can: `{"success": True, "data": …}`."""
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

    def prometheus(self) -> str:
        """What Prometheus reads: counters and gauges of everything, in its text format."""
        import httpx

        try:
            answer = self._http.get("/metrics")
        except httpx.TransportError as error:
            raise self._no_server(error) from error
        if not answer.is_success:
            self._checked(answer)
        if not answer.headers.get("content-type", "").startswith(("text/plain", "application/openmetrics-text")):
            raise self._not_wattle(answer)
        return answer.text

    def down(self) -> Stopped:
        """Cancel all active runs and end the server; answers when every worker is gone."""
        return _stopped(self._patiently("POST", "/api/down"))

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

    def _patiently(self, method: str, path: str, force: bool = False) -> dict[str, Json]:
        return self._call(method, path, query={"force": force}, patient=True)

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
    return Started(answer["data"], answer.get("run_id"), bool(answer.get("repeated")))


def _stopped(answer: Mapping[str, Json]) -> Stopped:
    stop = dict(answer.get("stop") or {})
    return Stopped(answer["data"], bool(stop.get("escalated")), stop)


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
