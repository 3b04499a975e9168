"""The command line from outside, and a server to talk to."""

import threading
from contextlib import suppress

import pytest
from cli.shell import Shell
from cli.terminal import Terminal
from waitress.server import create_server


@pytest.fixture
def shell(tmp_path):
    shell = Shell(tmp_path)
    yield shell
    shell.close()


@pytest.fixture
def terminal(shell):
    """terminal(*arguments, columns=80, lines=24): a `wattle` in a terminal, ended with the test."""
    opened = []

    def open_terminal(*arguments, columns=80, lines=24, **environ):
        opened.append(Terminal(shell, arguments, columns, lines, **environ))
        return opened[-1]

    yield open_terminal
    for each in opened:
        each.close()


def until_closed(server):
    # The test's thread closes what this one polls.
    with suppress(OSError):
        server.run()


@pytest.fixture
def serving():
    """serving(app) or serving(app, unix_socket=path): a URL or the path, served until the test ends."""
    servers = []

    def serve(app, unix_socket=None):
        options = {"unix_socket": str(unix_socket)} if unix_socket else {"host": "127.0.0.1", "port": 0}
        server = create_server(app, threads=4, clear_untrusted_proxy_headers=True, **options)
        thread = threading.Thread(target=until_closed, args=(server,), daemon=True)
        thread.start()
        servers.append((server, thread))
        return str(unix_socket) if unix_socket else f"http://127.0.0.1:{server.effective_port}"

    yield serve
    for server, thread in servers:
        server.close()
        thread.join(timeout=5)
