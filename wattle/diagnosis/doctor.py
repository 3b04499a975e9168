"""All that `wattle doctor` looks at, in the order in which it is shown. Keeps nothing of what it tries."""

import os
from collections.abc import Iterator

from wattle.config import DATABASE
from wattle.diagnosis.filesystem import filesystem_findings
from wattle.diagnosis.holders import Holder, daemon_of, keeper_of
from wattle.diagnosis.kernel import kernel_findings
from wattle.diagnosis.probe import Finding, broken, degraded, ok
from wattle.errors import WattleError
from wattle.store.inspection import Inspection


def examine(data_dir: str, version: str, daemon_version: str | None) -> Iterator[Finding]:
    """`version` is ours; `daemon_version` is what the daemon says of itself, None where none answers."""
    yield from kernel_findings()
    yield from filesystem_findings(data_dir)
    yield from _processes(data_dir, version, daemon_version)


def _processes(data_dir: str, version: str, daemon_version: str | None) -> Iterator[Finding]:
    daemon, keeper = daemon_of(data_dir), keeper_of(data_dir)
    yield _daemon(daemon, version, daemon_version)
    yield _keeper(keeper, version)
    finding = _held(data_dir, daemon, keeper)
    if finding is not None:
        yield finding


def _daemon(daemon: Holder | None, version: str, its_version: str | None) -> Finding:
    if daemon is None:
        return ok("server", "none runs")
    if its_version is None:
        instead = "`wattle serve` says where it listens when it starts; look into its log"
        return degraded("server", f"pid {daemon.pid} holds the data directory, but does not answer", instead)
    found = f"version {its_version}, {_of(daemon)}"
    if its_version != version:
        return degraded("server", f"{found}; this command is {version}", "restart the server: workers go on meanwhile")
    return ok("server", found)


def _keeper(keeper: Holder | None, version: str) -> Finding:
    if keeper is None:
        return ok("keeper", "none runs")
    found = f"version {keeper.version or 'unknown'}, {_of(keeper)}, {_count(keeper.children, 'child', 'children')}"
    if keeper.version is not None and keeper.version != version:
        instead = "it goes on until no worker and no server is left; `wattle down` ends it, and all workers, at once"
        return degraded("keeper", f"{found}; this command is {version}", instead)
    return ok("keeper", found)


def _of(holder: Holder) -> str:
    if holder.descriptors is None:
        return f"pid {holder.pid}"
    limit = "unlimited" if holder.open_files is None else holder.open_files
    return f"pid {holder.pid}, {holder.descriptors} of {limit} open files"


def _held(data_dir: str, daemon: Holder | None, keeper: Holder | None) -> Finding | None:
    """What the database says is going on."""
    inspection = Inspection(os.path.join(data_dir, DATABASE))
    try:
        if not inspection.is_there():
            return None
        runs, live = inspection.queries.active_runs(), inspection.queries.live_attempts()
    except WattleError as error:
        return broken("runs", error.message, "see docs/operations.md")
    finally:
        inspection.close()
    found = f"{_count(len(runs), 'active run', 'active runs')}, {_count(len(live), 'live worker', 'live workers')}"
    if runs and daemon is None:
        alive = "workers go on" if keeper is not None else "no keeper lives"
        return degraded("runs", f"{found}, no server", f"{alive}; `wattle serve` continues, `wattle down` stops them")
    return ok("runs", found)


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"
