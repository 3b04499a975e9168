"""`wattle kill`: a signal to the processes of running workers, which is no stop. It needs a server."""

import click

from wattle.cli.exits import Exit
from wattle.cli.failing import tell_error
from wattle.cli.matching import expand, is_pattern, target_arguments
from wattle.cli.server import connect
from wattle.cli.session import Session, json_option, pass_session, shared_options
from wattle.cli.target import Target
from wattle.client import Client, ClientError, NoServer, Signalled
from wattle.errors import WattleError


class SignalType(click.ParamType):
    """`HUP`, `SIGHUP`, `hup` and 1 are one."""

    name = "signal"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from wattle.definition.signals import parse_signal

        try:
            return parse_signal(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[click.shell_completion.CompletionItem[str]]":
        from click.shell_completion import CompletionItem

        from wattle.definition.signals import NUMBERS

        prefix = "SIG" if incomplete.upper().startswith("SIG") else ""  # shells offer what begins as typed
        names = [name for name in NUMBERS if name.startswith(incomplete.upper().removeprefix("SIG"))]
        return [CompletionItem(incomplete + f"{prefix}{name}"[len(incomplete) :]) for name in names]


@click.command("kill")
@target_arguments
@click.option("-s", "--signal", type=SignalType(), default="KILL", metavar="SIGNAL", help="Name or number [KILL].")
@click.option("--leader", "leader_only", is_flag=True, help="To the first process alone, not to its whole tree.")
@json_option
@shared_options
@pass_session
def kill_verb(
    session: Session, targets: tuple[Target, ...], signal: int, leader_only: bool, as_json: bool
) -> int:
    """Send a signal to every process of running workers.

    It is no stop: a worker that ends by it has failed, and is retried or restarted as its definition says; one that
    does not goes on, so that `-s HUP` makes a service reload. WF and patterns mean those workers that run.
    `wattle stop` is for ending them.
    """
    sent: list[dict[str, object]] = []
    with connect(session.config) as client:
        wanted, code = _running(session, client, targets)
        for target, is_named in wanted.items():
            try:
                answer = client.signal_worker(target.workflow, str(target.worker), signal, leader_only=leader_only)
            except NoServer:
                raise
            except WattleError as error:
                if error.code == "WORKER_NOT_RUNNING" and not is_named:
                    continue  # it has ended since it was listed
                if len(wanted) == 1 and code is Exit.DONE:
                    raise
                told = tell_error(session, error)
                code = code or told
                continue
            sent.append({"worker": str(target), **answer.signal})
            if not as_json:
                session.out.say(_told(answer))
            if answer.refused:
                session.note(f"of '{target}' these may not be signalled: {', '.join(map(str, answer.refused))}")
    if as_json:
        session.out.json(sent)
    return code


def _running(session: Session, client: Client, targets: tuple[Target, ...]) -> tuple[dict[Target, bool], Exit]:
    """{worker: was it named itself}. Of whole workflows and of patterns those that run. One of which none does is told
    and keeps no other from it, and the exit code is the first one's; where it is the only one it is a ClientError.
    """
    found: dict[Target, bool] = {}
    code = Exit.DONE
    for target in targets:
        if target.worker is not None and not is_pattern(target.workflow) and not is_pattern(target.worker):
            found[target] = True
            continue
        try:
            for one in _running_of(client, target):
                found.setdefault(one, False)
        except ClientError as error:
            if len(targets) == 1:
                raise
            told = tell_error(session, error)
            code = code or told
    return found, code


def _running_of(client: Client, target: Target) -> list[Target]:
    found: list[Target] = []
    for each in expand(client, [target]):
        found += [
            Target(each.workflow, summary["name"])
            for summary in client.list_worker_summaries(each.workflow)
            if summary["status"] == "running" and each.worker in (None, summary["name"])
        ]
    if not found:
        message = f"of '{target}' nothing is running, so there is nobody to signal; see `wattle status`"
        raise ClientError("WORKER_NOT_RUNNING", message, 409)
    return found


def _told(answer: Signalled) -> str:
    return f"{answer.text} ({len(answer.pids)} {'process' if len(answer.pids) == 1 else 'processes'})"
