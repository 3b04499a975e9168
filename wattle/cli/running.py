"""`wattle run`: store a definition, start it, and follow it to its end.

Where a server runs, it joins it. Where none does, this process *is* the server of the data directory while
its run lasts: the main thread runs the daemon's loop, a second thread does what a user of that server
would. When a server it had joined goes away, it takes over and goes on with the same run.
"""

import shlex
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from wattle.cli.definition import STDIN, Definition, checked
from wattle.cli.exits import Exit
from wattle.cli.output import count_of
from wattle.cli.params import param_option, values_by_types
from wattle.cli.progress import ENDED, Progress, View
from wattle.cli.server import find, read_only, wait_for_server
from wattle.cli.session import Session, pass_session, shared_options
from wattle.client import Client, ClientError, NoServer
from wattle.errors import Conflict, Refused, WattleError

if TYPE_CHECKING:
    from wattle.daemon import Daemon

LOCKED = "DATA_DIR_LOCKED"
START_SECONDS = 30.0
AGAIN_SECONDS = 0.2
MOST_FAILURES = 3  # calls in a row to a server that accepts them and then fails


@click.command("run")
@click.argument("file", metavar="FILE")
@click.option("-d", "--detach", is_flag=True, help="Start it in the background and come back at once.")
@click.option("--follow-logs", "follow_logs", is_flag=True, help="Show what the workers print, not a table.")
@click.option("--only", multiple=True, metavar="WORKER", help="Run this worker alone; may be given often.")
@click.option("--from", "starts", multiple=True, metavar="WORKER", help="Run it and what descends from it.")
@click.option("--force", is_flag=True, help="With --only and --from: whatever files of others are missing.")
@click.option("--dry-run", is_flag=True, help="Say what would run, in order, and why; start nothing.")
@param_option
@shared_options
@pass_session
def run_verb(
    session: Session,
    file: str,
    detach: bool,
    follow_logs: bool,
    only: tuple[str, ...],
    starts: tuple[str, ...],
    force: bool,
    dry_run: bool,
    params: tuple[str, ...],
) -> int:
    """Run a definition file to its end ("-": standard input).

    On a terminal the workers are a live table, elsewhere each change of state is a line. The exit status is the
    workflow's: 0 completed, 1 failed or cancelled. Ctrl-C leaves the workers running. Where no server runs, this
    command is the server as long as it lasts.
    """
    definition = checked(file, session.config, session.talk.say)
    values = values_by_types({name: param.type for name, param in definition.params.items()}, params)
    if values or definition.params:
        from wattle.definition.params import bind

        bind(definition.params, values)  # what is missing or unknown is said before anything is stored
    choice = Choice(only, starts, force)
    if only or starts or dry_run:
        from wattle.cli.plan import check_names, show_plan

        check_names(definition.workflow, only, starts)
        if dry_run:
            return show_plan(session, definition.workflow, values, choice.only, choice.starts, force=force)
    view = View.LOGS if follow_logs else View.TABLE if session.talk.is_terminal and not session.is_quiet else View.LINES
    again = "" if file == STDIN else f"wattle run {shlex.quote(file)}"
    errand = Errand(session, definition, values, choice, view=view, again=again)
    return _detached(session, errand) if detach else _to_the_end(session, errand)


class Choice(NamedTuple):
    """Which workers: all where both are empty."""

    only: Sequence[str] = ()
    starts: Sequence[str] = ()
    force: bool = False


class Errand:
    """Store, start, follow: resumed where it stood with whichever server there is."""

    def __init__(
        self,
        session: Session,
        definition: Definition,
        params: Mapping[str, Any],
        choice: Choice,
        *,
        view: View,
        again: str,
    ) -> None:
        self._session, self._definition, self._params, self._choice = session, definition, params, choice
        self._view, self._again = view, again
        self._key = str(uuid.uuid4())  # a start whose answer was lost is asked for again, not done again
        self._is_stored = False
        self.may_have_started = False
        self._after = 0
        self.progress: Progress | None = None

    @property
    def name(self) -> str:
        return self._definition.name

    def go_on(self, client: Client) -> Exit:
        """From where it stands to the end of the run. NoServer where the server goes away meanwhile."""
        return self.begin(client).follow(client)

    def begin(self, client: Client) -> Progress:
        """Store and start, unless that is done. Conflict where a run of the workflow is active already."""
        if self.progress is None:
            if not self._is_stored:
                self._store(client)
            self.may_have_started = True
            chosen = self._choice._asdict()
            started = client.start_workflow(self.name, params=self._params, idempotency_key=self._key, **chosen)
            run_id = started.run_id if started.run_id is not None else client.list_runs(self.name, limit=1)[0]["id"]
            self.progress = Progress(
                self._session, self.name, run_id, self._after, view=self._view, again=self._again
            )
        return self.progress

    def _store(self, client: Client) -> None:
        try:
            before = client.get_workflow(self.name)
        except ClientError as error:
            if error.status != 404:
                raise
            before = None
        if before is not None and before["status"] == "running":
            raise Conflict("WORKFLOW_ALREADY_RUNNING", self._already_running(client))
        self._after = client.last_event_id()
        stored = client.put_workflow(self.name, self._definition.content)
        self._is_stored = True
        for warning in stored.warnings:
            self._session.note(f"warning: {warning}")
        if before is not None and stored.changed:
            self._session.note(f"'{self.name}' was there with another definition: stored a new version of it")

    def _already_running(self, client: Client) -> str:
        runs = [run for run in client.list_runs(self.name, limit=20) if run["kind"] == "workflow"]
        which, typed = f" (run {runs[0]['id']})" if runs else "", shlex.quote(self.name)
        return (
            f"'{self.name}' is running already{which}. `wattle logs {typed} -f` follows it, `wattle serve` "
            f"continues it where no server runs, `wattle stop {typed}` or `wattle down` stops it"
        )


def _to_the_end(session: Session, errand: Errand) -> int:
    """With the server there is, and as the server where there is none, as often as it takes."""
    failures = 0
    while True:
        client = find(session.config)
        if client is None:
            outcome = _as_server(session, errand)
            if outcome is not None:
                return outcome
            continue
        try:
            with client:
                return errand.go_on(client)
        except NoServer:
            failures += 1
            if session.config.server_url is not None or failures > MOST_FAILURES:
                raise
        except KeyboardInterrupt:
            return _interrupted(session, errand, client_gone=False)


def _as_server(session: Session, errand: Errand) -> int | None:
    """Be the daemon until the errand is done; None where another process became it first."""
    from wattle.daemon import Daemon

    config = session.config
    until = time.monotonic() + START_SECONDS
    while True:
        daemon = Daemon(config, listen=False)
        try:
            daemon.start()
            break
        except Refused as refusal:
            if refusal.code != LOCKED or time.monotonic() > until:
                raise
        # Whoever holds the directory is about to answer, or about to end.
        other = wait_for_server(config, AGAIN_SECONDS)
        if other is not None:
            other.close()
            return None
    if errand.progress is not None:
        session.note("the server went away: this command is the server now")
    follower = _Follower(session, errand, daemon)
    follower.start()
    daemon.run()
    return follower.result() if follower.is_done() else _interrupted(session, errand, client_gone=True)


class _Follower(threading.Thread):
    """The errand, on a second thread, through the socket of the daemon on the first."""

    def __init__(self, session: Session, errand: Errand, daemon: "Daemon") -> None:
        super().__init__(name="follower", daemon=True)
        self._session, self._errand, self._host = session, errand, daemon
        self._outcome: Exit | BaseException | None = None

    def run(self) -> None:
        try:
            client = wait_for_server(self._session.config, START_SECONDS)
            if client is None:
                raise NoServer(f"the server in this process does not answer at {self._session.config.socket_path}")
            with client:
                self._outcome = self._errand.go_on(client)
        except BaseException as error:  # the main thread raises it
            self._outcome = error
        finally:
            self._host.request_end()

    def is_done(self) -> bool:
        """It came to a result, or to an error other than that the daemon ended under it."""
        self.join(timeout=5)
        return self._outcome is not None and not isinstance(self._outcome, NoServer)

    def result(self) -> Exit:
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        assert self._outcome is not None
        runs, workers = self._host.active_summary()
        if runs or workers:
            from wattle.cli.serving import going_on

            self._session.note(going_on(runs, workers, "other run"))
        return self._outcome


def _interrupted(session: Session, errand: Errand, *, client_gone: bool) -> int:
    """Ctrl-C, or the daemon was ended under us: what goes on, and how to stop it."""
    if errand.progress is None:
        unsure = f"perhaps '{errand.name}' was started: see `wattle status {shlex.quote(errand.name)}`"
        session.note(f"interrupted; {unsure if errand.may_have_started else 'nothing was started'}")
        return Exit.INTERRUPTED
    client = read_only(session.config) if client_gone else find(session.config)
    run_id, name, workers = errand.progress.run_id, errand.name, "its workers"
    if client is not None:
        try:
            with client:
                run = client.get_run(run_id)
                if run["status"] in ENDED:
                    return errand.progress.conclude(client, run)
                # One that has been ordered runs, or will in a moment: the keeper does not ask again.
                live = sum(worker["phase"] not in ("waiting", "ended") for worker in run["workers"])
                workers = count_of(live, "worker")
        except WattleError:
            pass
    if client_gone:
        then = "`wattle serve` continues the run, `wattle down` stops it"
    else:
        typed = shlex.quote(name)
        then = f"`wattle logs {typed} -f` follows it, `wattle stop {typed}` stops it"
    session.note(f"run {run_id} of '{name}' goes on with {workers}. {then}")
    return Exit.INTERRUPTED


def _detached(session: Session, errand: Errand) -> int:
    from wattle.cli.serving import start_in_background

    failures = 0
    while True:
        try:
            with find(session.config) or start_in_background(session.config) as client:
                run_id = errand.begin(client).run_id
            break
        except NoServer:  # it was about to end
            failures += 1
            if session.config.server_url is not None or failures > MOST_FAILURES:
                raise
    session.out.say(f"Workflow '{errand.name}' started successfully (run {run_id})")
    typed = shlex.quote(errand.name)
    session.note(
        f"`wattle status {typed}` shows how far it is, `wattle logs {typed} -f` what it prints, "
        f"`wattle stop {typed}` stops it, `wattle down` stops everything"
    )
    return Exit.DONE
