"""Finding the server: `--server`, else the socket in the data directory, else (to read) the directory itself."""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from wattle.client import Client, NoServer, answers
from wattle.config import Config
from wattle.errors import WattleError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def connect(config: Config) -> Client:
    """The running server; NoServer says how to start one."""
    client = find(config)
    if client is None:
        raise NoServer(f"no server runs for {config.data_dir}. Start one with `wattle serve`")
    return client


def connect_or_read(config: Config) -> Client:
    """The running server, else one that only reads, made of the data directory."""
    return find(config) or read_only(config)


def find(config: Config) -> Client | None:
    """The server named by a URL, unasked, or the one that accepts connections in the data directory."""
    if config.server_url is not None:
        return Client(config.server_url, lang=config.lang)
    if answers(config.socket_path):
        return Client(socket_path=config.socket_path, lang=config.lang)
    return None


def read_only(config: Config) -> Client:
    """Answers from the data directory, with no server, and changes nothing there."""
    import httpx

    from wattle.daemon import open_reading_app

    return Client(transport=httpx.WSGITransport(app=_with_wsgi_paths(open_reading_app(config))), lang=config.lang)


def wait_for_server(config: Config, seconds: float, given_up: Callable[[], bool] = lambda: False) -> Client | None:
    """The server of the data directory as soon as it answers; None after `seconds`, or when `given_up` says so."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not given_up():
        client = Client(socket_path=config.socket_path, lang=config.lang) if answers(config.socket_path) else None
        if client is not None:
            try:
                client.health()
                return client
            except WattleError:  # it has just gone, or is not ready to say anything
                client.close()
        time.sleep(0.02)
    return None


def _with_wsgi_paths(app: "WSGIApplication") -> "WSGIApplication":
    """httpx hands paths over as text; WSGI wants the bytes of UTF-8, each as one character (PEP 3333)."""

    def wrapped(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path: Any = environ["PATH_INFO"]
        return app({**environ, "PATH_INFO": path.encode().decode("latin-1")}, start_response)

    return wrapped
