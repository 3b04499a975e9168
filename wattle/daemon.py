"""The composition root: builds the rooms, owns the signals, runs the loop on the main thread and Waitress beside it.

A daemon that ends, however it ends, leaves workers and keeper running; the next one goes on with them.
"""

import fcntl
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from typing import Any

import wattle
from wattle.config import DAEMON_LOCK, DATABASE, Config, check_exposure
from wattle.definition.paths import Context
from wattle.diagnosis.holders import daemon_of
from wattle.errors import Malformed, OutOfSpace, Refused
from wattle.keeper import failpoints
from wattle.logs.watch import LogWatch
from wattle.metrics import usage
from wattle.metrics.figures import Figures
from wattle.metrics.log_bytes import LogBytes
from wattle.metrics.prometheus import Exposition, Sources
from wattle.metrics.sampler import Key, Sampler, key_of
from wattle.metrics.watching import Watching
from wattle.service.changing import Changing
from wattle.service.definitions import Definitions
from wattle.service.reading import Reading
from wattle.store.database import Reader, Writer, open_writer
from wattle.store.queries import Queries
from wattle.store.records import Records
from wattle.store.removal import Outdated, Removals
from wattle.store.rows import AttemptRow, RunRow
from wattle.supervisor.files import make_launcher
from wattle.supervisor.keeper_link import KeeperGone
from wattle.supervisor.keepers import LocalKeepers
from wattle.supervisor.loop import Supervisor
from wattle.supervisor.observer import Observer
from wattle.supervisor.ordering import Places
from wattle.supervisor.orders import base_environment
from wattle.supervisor.recovery import Recovery
from wattle.supervisor.retention import Limits
from wattle.supervisor.space import Space
from wattle.supervisor.witnesses import Identity, identity_of

logger = logging.getLogger(__name__)

HTTP_THREADS = 16
COMMAND_THREADS = 8  # of the socket that the command line uses: it answers whatever goes on over TCP
DRAIN_SECONDS = 1.0
HTTP_TICK_SECONDS = 30  # how often idle connections are looked at
CONNECTION_LIMIT = 4096
PR_SET_CHILD_SUBREAPER = 36
DEAD_HOLDER_SECONDS = 5.0
DEAD_HOLDER_STEP_SECONDS = 0.005
OPEN_FILES = 65_536  # more than connections, streams and their logs can need together


class _Observer(Watching, Observer):
    """The rooms below know nothing of each other."""

    def __init__(self, sampler: Sampler, figures: Figures, log_bytes: LogBytes, logs: LogWatch) -> None:
        super().__init__(sampler, figures, log_bytes)
        self._logs = logs

    def started(
        self, run: RunRow, attempt: AttemptRow, queued_at: int | None, defined_in: tuple[int, int] | None = None
    ) -> None:
        super().started(run, attempt, queued_at)
        self._logs.started(key_of(attempt), *(defined_in or (run.version_id, attempt.position)))

    def ended(self, attempt: AttemptRow) -> dict[str, Any] | None:
        self._logs.ended(key_of(attempt), attempt.ended_at)
        return super().ended(attempt)

    def run_ended(self, run: RunRow) -> None:
        super().run_ended(run)
        self._logs.run_ended(run.id)


class Daemon:
    """One daemon on one data directory. `start`, then `run` on the main thread; the rest is for any thread."""

    def __init__(self, config: Config, *, listen: bool = True) -> None:
        self._config = config
        self._listen = listen
        self._lock = -1
        self._servers: list[Any] = []
        self._channels: dict[int, Any] = {}  # one map, so that one thread serves both kinds of sockets
        self._sockets: list[socket.socket] = []
        self._down_at_end = config.stop_workers
        self._signalled: int | None = None
        self.addresses: list[str] = []

    def start(self) -> None:
        """Take the data directory, recover what is there, and listen. Refused says why it cannot."""
        config = self._config
        if failpoints.problem is not None:
            raise Malformed("INVALID_SETTING", failpoints.problem)
        if self._listen:
            check_exposure(config)
        umask = os.umask(0o022)
        os.umask(umask)
        open_files = raise_open_files()
        make_data_dir(config.data_dir)
        self._lock = lock(config.data_dir)
        failpoints.reach("daemon.boot.locked")
        try:
            self._build(umask, open_files)
            self._open_sockets()
            self._boot()
            self._serve()
        except BaseException:
            self._release()
            raise

    def _build(self, umask: int, open_files: tuple[int, int]) -> None:
        from wattle.api.pump import Pump, fitting
        from wattle.api.streaming import Changes

        config = self._config
        launcher_dir = os.path.join(config.data_dir, "bin")
        self._space = Space(config.data_dir, config.ballast_bytes)
        try:
            make_launcher(launcher_dir, sys.executable)
        except OSError as error:
            raise _unusable(config.data_dir, error) from error
        database = os.path.join(config.data_dir, DATABASE)
        self._writer = self._open_writer(database)
        self._reader = Reader(database)
        queries = Queries(self._reader)
        definitions = Definitions(queries)
        streams = fitting(config.max_streams)
        if streams < config.max_streams:
            logger.warning("%d streams at a time: the limit of open files allows no more", streams)
        self._pump = Pump(
            max_clients=streams,
            max_clients_per_address=config.max_streams_per_address,
            changes=lambda: self._changes(),
        )
        places = Places(config.data_dir, launcher_dir)
        self._figures, self._log_bytes = Figures(), LogBytes(config.data_dir)
        self._sampler = Sampler(on_keep=self._keep_usage, on_sweep=self._swept)
        self._logs = LogWatch(config.data_dir, lambda version: caps_of(definitions.document(version)), config.live_logs)
        self._supervisor = Supervisor(
            Records(self._writer),
            queries,
            places,
            space=self._space,
            on_commit=self._pump.notify,
            observer=_Observer(self._sampler, self._figures, self._log_bytes, self._logs),
        )
        environment = base_environment(os.environ, launcher_dir)
        self._recovery = Recovery(
            self._supervisor,
            queries,
            LocalKeepers(config.data_dir, open_files, wattle.__version__),
            config.data_dir,
            environment,
            umask,
            config.max_processes,
            definitions.load,
        )
        checks = {
            "store": lambda: self._store_answers(queries),
            "disk": self._space.check,
            "loop": self._supervisor.is_turning,
            "keeper": lambda: self._supervisor.link is not None,
        }
        self.reading = Reading(queries, definitions, config.data_dir, checks)
        self._changes = Changes(self.reading)
        self.changing = Changing(self._supervisor, queries, definitions, context(config), on_down=self._when_down)

    def _open_writer(self, database: str) -> Writer:
        """On a full disk with the room of the ballast: SQLite needs some even to open what is there."""
        self._space.make_room_to_open()
        try:
            return open_writer(database)
        except OutOfSpace:
            if not self._space.give_up_ballast():
                raise
            return open_writer(database)

    def _boot(self) -> None:
        become_subreaper()
        try:
            self._recovery.boot()
        except (KeeperGone, OSError) as error:
            log = os.path.join(self._config.data_dir, "keeper.log")
            raise Refused("KEEPER_UNAVAILABLE", f"The keeper cannot be started: {error}; see {log}") from error
        for run in self._supervisor.runs.active.values():
            for live in run.workers.values():
                if live.row is not None and live.row.ended_at is None:
                    self._sampler.watch(run.row.workflow_name, live.row, usage.kept(live.row.metrics))
                    self._logs.started(key_of(live.row), *live.defined_in(run))
        config = self._config
        limits = Limits(config.keep_runs, config.keep_days, config.keep_logs)
        self._supervisor.begin_retention(limits, Removals(self._writer), Outdated(self._reader))

    def _store_answers(self, queries: Queries) -> bool:
        self._space.require_store()
        self._writer.require_file()
        return queries.last_event_id() >= 0

    def _open_sockets(self) -> None:
        self._sockets.append(unix_socket(self._config.data_dir))
        if not self._listen:
            return
        for address in self._config.listen:
            for bind in address.binds:
                bound = tcp_socket(bind.host, bind.port, bind.required)
                if bound is not None:
                    self._sockets.append(bound)
                    host, port = bound.getsockname()[:2]
                    self.addresses.append(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")

    def _serve(self) -> None:
        from waitress.server import create_server

        from wattle.api.accepting import refuse_without_descriptors
        from wattle.api.app import create_app

        sources = Sources(
            wattle.__version__,
            self._figures,
            self._sampler,
            self._log_bytes,
            self.reading.census,
            lambda: len(self._supervisor.runs.active),
            lambda: self._pump.clients,
        )
        exposition = Exposition(sources)
        app = self.app = create_app(
            self.reading, self.changing, self._config, self._pump, sampler=self._sampler, exposition=exposition
        )
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        for kind, threads in ((socket.AF_UNIX, COMMAND_THREADS), (None, HTTP_THREADS)):
            mine = [bound for bound in self._sockets if (bound.family == socket.AF_UNIX) == (kind is not None)]
            if not mine:
                continue
            server = create_server(
                app,
                map=self._channels,
                sockets=mine,
                threads=threads,
                connection_limit=CONNECTION_LIMIT,
                asyncore_use_poll=True,
                asyncore_loop_timeout=HTTP_TICK_SECONDS,
                channel_timeout=60,
                max_request_body_size=65 * 1024 * 1024,
                ident="wattle",
                clear_untrusted_proxy_headers=True,
            )
            self._servers.append(server)
        refuse_without_descriptors(self._channels)
        self._pump.start()
        self._sampler.start()
        self._logs.start()
        threading.Thread(target=self._servers[0].run, name="http", daemon=True).start()

    def run(self) -> int:
        """The loop, until somebody wants it to end. Gives the signal that ended it, 0 for none."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: self._supervisor.post(self._reap_inherited))
        try:
            self._supervisor.run()
        finally:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._release()
        return self._signalled or 0

    def _reap_inherited(self) -> None:
        for identity, status in reap_inherited():
            self._supervisor.runs.reports.witnesses.inherited(identity, status)

    def _on_signal(self, number: int, _: Any) -> None:
        if self._signalled is None and self._down_at_end:
            self._signalled = number
            self.down()
            return
        self._signalled = self._signalled or number
        self.request_end()

    def _when_down(self) -> None:
        """Everything has ended on purpose: the keeper may go at once, and so may we."""
        self._supervisor.end(with_keeper=True)

    def down(self) -> "Future[Any]":
        """End all runs, then the loop; where they cannot be ended, the loop ends and leaves them."""
        future = self.changing.down()
        future.add_done_callback(self._end_without_down)
        return future

    def _end_without_down(self, future: "Future[Any]") -> None:
        if (error := future.exception()) is not None:
            logger.error("what runs could not be ended, and goes on: %s", error)
            self.request_end()

    def _drain(self) -> None:
        """Let answers that are being written arrive, for a second at most."""
        until = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < until:
            channels = [channel for channel in list(self._channels.values()) if hasattr(channel, "total_outbufs_len")]
            if not any(channel.requests or channel.total_outbufs_len for channel in channels):
                return
            time.sleep(0.01)

    def _keep_usage(self, found: Mapping[Key, Mapping[str, Any]]) -> None:
        """What living attempts have used so far is written down, for the daemon that comes next."""
        self._supervisor.post(lambda: self._supervisor.runs.reports.used(found))

    def _swept(self, seconds: float) -> None:
        self._figures.sweep_seconds.observe(seconds)
        self._log_bytes.fold()

    def request_end(self) -> None:
        """End the loop soon; workers go on. Any thread."""
        self._keep_usage(self._sampler.usages())
        self._supervisor.end()

    def active_summary(self) -> tuple[int, int]:
        """How many runs are active, and how many workers run."""
        return self.reading.active_summary()

    def _release(self) -> None:
        self._drain()
        for server in self._servers:
            server.close()
        for bound in self._sockets:
            with suppress(OSError):
                bound.close()
        if hasattr(self, "_pump"):
            self._pump.close()
        if hasattr(self, "_supervisor"):
            self._sampler.close()
            self._logs.close()
            self._supervisor.close()
        if hasattr(self, "_writer"):
            self._writer.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def caps_of(document: Mapping[str, Any]) -> dict[int, int]:
    """{position of a worker: its `log.max_bytes`} of the workers that have one."""
    asked = enumerate((worker.get("log") or {}).get("max_bytes") for worker in document["workers"])
    return {position: cap for position, cap in asked if cap is not None}


def open_reading_app(config: Config) -> Any:
    """The same HTTP application without a daemon: read-only, from the data directory."""
    from wattle.api.app import create_app
    from wattle.api.pump import Pump

    queries = Queries(Reader(os.path.join(config.data_dir, DATABASE)))
    reading = Reading(queries, Definitions(queries), config.data_dir)
    return create_app(reading, None, config, Pump())


def down_without_daemon(config: Config) -> str:
    """End what an ended daemon left: become the daemon for that long, without listening."""
    if not os.path.exists(os.path.join(config.data_dir, DATABASE)):
        return "nothing runs"
    daemon = Daemon(config, listen=False)
    daemon.start()
    runs, workers = daemon.active_summary()
    ended = daemon.down()
    daemon.run()
    ended.result(0)
    return f"stopped: {_count(runs, 'run')}, {_count(workers, 'live worker')}" if runs or workers else "nothing runs"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def context(config: Config) -> Context:
    """Where a definition's relative paths begin."""
    return Context(config.base_dir, config.home, os.path.join(config.data_dir, "work"), config.data_dir)


def make_data_dir(path: str) -> None:
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        for name in ("logs", "journal", "work"):
            os.makedirs(os.path.join(path, name), mode=0o700, exist_ok=True)
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: str, error: OSError) -> Refused:
    return Refused("DATA_DIR_UNUSABLE", f"The data directory {path} cannot be used: {error.strerror}")


def lock(data_dir: str) -> int:
    """The data directory's lock: one daemon at a time. It goes with this process, and with no other.

    Refused where another daemon lives. A child of one that was killed holds its lock until it executes: that passes.
    """
    path = os.path.join(data_dir, DAEMON_LOCK)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(data_dir, error) from error
    until = time.monotonic() + DEAD_HOLDER_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            holder = daemon_of(data_dir)
            if holder is not None or time.monotonic() > until:
                os.close(descriptor)
                pid = "unknown" if holder is None else holder.pid
                message = f"Another daemon (pid {pid}) holds the data directory {data_dir}; use it, or end it first"
                raise Refused("DATA_DIR_LOCKED", message) from None
        time.sleep(DEAD_HOLDER_STEP_SECONDS)
    mine = f"{os.getpid()}\n".encode()
    with suppress(OSError):  # for people; written over the last one's, which needs no room
        os.pwrite(descriptor, mine, 0)
        os.ftruncate(descriptor, len(mine))
    return descriptor


def unix_socket(data_dir: str) -> socket.socket:
    """`<data dir>/http.sock`, for this user only. Bound through the directory: paths may be long."""
    directory = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    name = os.path.join(data_dir, "http.sock")
    with suppress(FileNotFoundError):
        os.unlink(name)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        bound.bind(f"/proc/self/fd/{directory}/http.sock")
        bound.listen(1024)
    except OSError as error:
        raise Refused("SOCKET_UNUSABLE", f"{name} cannot be listened on: {error.strerror}") from error
    finally:
        os.umask(before)
        os.close(directory)
    bound.setblocking(False)
    return bound


def tcp_socket(host: str, port: int, required: bool) -> socket.socket | None:
    """A listening socket, None where the machine lacks an address that is not required."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        if not required:
            return None
        raise Refused("ADDRESS_UNUSABLE", f"{host}:{port} cannot be listened on: {error.strerror}") from error
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        bound.bind(address)
        bound.listen(1024)
    except OSError as error:
        bound.close()
        if not required:
            return None
        message = f"Port {port} on {host} cannot be listened on: {error.strerror}; choose another with --listen"
        raise Refused("PORT_UNUSABLE", message) from error
    bound.setblocking(False)
    return bound


@cache
def raise_open_files() -> tuple[int, int]:
    """Let this process open as many files as it may; gives (soft, hard) as it was started with: workers get those."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return soft, hard


def become_subreaper() -> None:
    """Workers of a keeper that dies become children of the daemon, not of init (prctl(2))."""
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap_inherited() -> Iterator[tuple[Identity, int]]:
    """Reap workers inherited from a dead keeper, and that keeper: each by its own pid, never by a wildcard.

    Gives (identity, raw wait status) of each. The identity is read before the pid is free again.
    """
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return
            identity = identity_of(ended.si_pid)
            _, status = os.waitpid(ended.si_pid, os.WNOHANG)
        except ChildProcessError:
            return
        yield identity, status
