"""`wattle serve`: the daemon in the foreground, and starting one in the background for `run --detach`."""

import faulthandler
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import click

import wattle
from wattle.cli.exits import Exit
from wattle.cli.output import count_of
from wattle.cli.server import find, wait_for_server
from wattle.cli.session import Session, pass_session, setting, shared_options
from wattle.client import Client
from wattle.config import Config
from wattle.errors import Refused

if TYPE_CHECKING:
    from wattle.daemon import Daemon

LOG_NAME = "daemon.log"
PATIENCE_SECONDS = 30.0
AGAIN_SECONDS = 0.05


@click.command("serve")
@setting("--listen", "listen", multiple=True, metavar="HOST:PORT", help="Where to listen [localhost:9240]; repeatable.")
@setting("--allow-host", "allow_hosts", multiple=True, metavar="NAME", help="Host name to answer to; repeatable.")
@setting("--allow-origin", "allow_origins", multiple=True, metavar="URL", help="Origin that may call; repeatable.")
@setting("--max-processes", "max_processes", metavar="N", help="Processes at a time, in all [256].")
@setting("--max-streams", "max_streams", metavar="N", help="Streams at a time, in all [4096].")
@setting("--max-streams-per-address", "max_streams_per_address", metavar="N", help="Streams of one address [all].")
@setting("--ballast-bytes", "ballast_bytes", metavar="N", help="Kept for the moment when the disk is full [1 MiB].")
@setting("--keep-runs", "keep_runs", metavar="N", help="Runs of a workflow to keep at least [200].")
@setting("--keep-days", "keep_days", metavar="N", help="Days to keep runs at least [90].")
@setting("--keep-logs", "keep_logs", metavar="SIZE", help="Room for logs of what has ended, in all [10G].")
@setting("--live-logs", "live_logs", metavar="SIZE", help="Room for logs of running workers, in all [no bound].")
@setting("--insecure", "insecure", is_flag=True, help="Let other machines run commands here.")
@setting("--stop-workers", "stop_workers", is_flag=True, help="On SIGTERM end the workers too.")
@shared_options
@pass_session
def serve_verb(session: Session) -> int:
    """Run the server, in the foreground, until SIGTERM or Ctrl-C; workers go on without it."""
    config = session.config
    from wattle.daemon import Daemon

    with suppress(RuntimeError, OSError):  # where there is no stderr
        faulthandler.enable()  # a crash of the interpreter itself says where
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    daemon = Daemon(config, listen=True)
    daemon.start()
    with suppress(OSError):  # the disk that its words go to may be the one that is full
        session.note(f"listening on {', '.join([*daemon.addresses, config.socket_path])}")
        session.note(f"data directory {config.data_dir}; Ctrl-C ends the server and leaves workers running")
    ended_by = daemon.run()
    with suppress(OSError):
        session.note(farewell(daemon))
    return Exit.INTERRUPTED if ended_by == signal.SIGINT else Exit.DONE


def farewell(daemon: "Daemon") -> str:
    """The last words of a daemon that has ended."""
    runs, workers = daemon.active_summary()
    if not runs and not workers:
        return "ended; nothing is running"
    return f"ended; {going_on(runs, workers, 'run')}"


def going_on(runs: int, workers: int, noun: str) -> str:
    """What goes on without a server, and how to go on with it or stop it."""
    return (
        f"{count_of(workers, 'worker')} of {count_of(runs, noun)} {'goes' if workers == 1 else 'go'} on. "
        "`wattle serve` continues, `wattle down` stops them"
    )


def start_in_background(config: Config) -> Client:
    """A `wattle serve` in a session of its own, its words in `daemon.log`; Refused where it does not come up.

    Another server that holds the directory without answering is about to answer or about to end: it is waited for.
    """
    from wattle.diagnosis.holders import daemon_of

    os.makedirs(config.data_dir, mode=0o700, exist_ok=True)
    log_path = os.path.join(config.data_dir, LOG_NAME)
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        while (client := find(config)) is None and daemon_of(config.data_dir) and time.monotonic() < until:
            time.sleep(AGAIN_SECONDS)
        if client is not None:
            return client
        process, before = _spawn(config, log_path)
        client = wait_for_server(config, PATIENCE_SECONDS, partial(_has_ended, process)) or find(config)
        if client is not None:
            return client
        if daemon_of(config.data_dir) is None or time.monotonic() > until:
            raise Refused("SERVER_NOT_STARTED", f"the server did not start: {_last_line(log_path, before)}")


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is not None


def _spawn(config: Config, log_path: str) -> tuple[subprocess.Popen[bytes], int]:
    """The server's process, and where its words begin in the log."""
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        before = os.fstat(log).st_size
        process = subprocess.Popen(
            [*_own_command(), "--data-dir", config.data_dir, "--lang", config.lang, "serve"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)
    return process, before


def _own_command() -> list[str]:
    """How this very Wattle is started again, wherever it is installed or not.

    Not `-m wattle.cli`: that would put the user's directory first on the module path.
    """
    if os.path.basename(sys.argv[0]) == "wattle" and os.access(sys.argv[0], os.X_OK):
        return [sys.executable, os.path.abspath(sys.argv[0])]
    root = os.path.dirname(os.path.dirname(os.path.abspath(wattle.__file__)))
    return [
        sys.executable,
        "-P",
        "-c",
        f"import sys; sys.path.insert(0, {root!r}); from wattle.cli import main; main()",
    ]


def _last_line(path: str, offset: int) -> str:
    with open(path, "rb") as file:
        file.seek(offset)
        lines = file.read(1 << 20).decode("utf-8", "replace").strip().splitlines()
    return f"{lines[-1].removeprefix('wattle: ') if lines else 'it said nothing'} ({path})"
