"""The `wattle` group: which verb is in which file, and how whatever happens becomes an exit code.

It must stay cheap: `wattle --version` loads click and this, no verb.
"""

import os
import sys
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

import click

from wattle import __version__
from wattle.cli.exits import Exit, exit_of
from wattle.cli.session import Session, shared_options
from wattle.errors import WattleError


class Verb(NamedTuple):
    module: str
    summary: str


VERBS = {
    "serve": Verb("serving", "Run the server, in the foreground."),
    "run": Verb("running", "Run a definition file to its end."),
    "import": Verb("importing", "Turn a file of another tool into a definition."),
    "validate": Verb("validating", "Say everything that is wrong with definition files."),
    "create": Verb("changing", "Store a workflow."),
    "apply": Verb("applying", "Store a workflow, or a new version of it."),
    "diff": Verb("applying", "What `apply` would change."),
    "export": Verb("applying", "Print a stored workflow as a definition."),
    "list": Verb("listing", "List the workflows."),
    "show": Verb("showing", "Show a workflow or worker: definition and state."),
    "delete": Verb("changing", "Delete a workflow or worker."),
    "start": Verb("changing", "Start a workflow or worker."),
    "stop": Verb("changing", "Stop a workflow or worker, with everything it started."),
    "restart": Verb("changing", "Stop and start a workflow or worker."),
    "kill": Verb("killing", "Send a signal to the processes of running workers."),
    "wait": Verb("waiting", "Wait for a run to end."),
    "status": Verb("status", "What runs, and how far it is."),
    "logs": Verb("logs", "What workers printed."),
    "top": Verb("top", "What running workers use."),
    "events": Verb("events", "What happened, line by line."),
    "history": Verb("events", "The last runs of a workflow, side by side."),
    "runs": Verb("listing", "List the runs of a workflow."),
    "why": Verb("showing", "Why a worker is in the state it is in."),
    "graph": Verb("graphing", "Draw what needs what."),
    "schema": Verb("schema", "Print the JSON Schema of a definition file, or of an answer."),
    "completion": Verb("completing", "Print the completion of bash, zsh or fish."),
    "doctor": Verb("doctor", "What kernel and file systems offer, and what is done without."),
    "fsck": Verb("fsck", "Check the data directory, and repair nothing."),
    "down": Verb("ending", "Stop everything, server included."),
}


class LazyGroup(click.Group):
    """Verbs are imported when they are used; the overview needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = getattr(import_module(f"wattle.cli.{VERBS[cmd_name].module}"), f"{cmd_name}_verb")
        assert isinstance(command, click.Command)
        from wattle.cli.examples import epilog_of

        command.epilog = epilog_of(cmd_name)
        for param in command.params:
            if isinstance(param, click.Argument) and (param.metavar or "").startswith("FILE"):
                param.type = click.Path(allow_dash=True)  # shells complete it as such
        for name, inner in getattr(command, "commands", {}).items():
            inner.epilog = epilog_of(f"{cmd_name} {name}")
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> Any:
        from click.shell_completion import CompletionItem

        verbs = [CompletionItem(name, help=v.summary) for name, v in VERBS.items() if name.startswith(incomplete)]
        return verbs if verbs or not incomplete.startswith("-") else click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.summary) for name, verb in VERBS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            import difflib

            close = difflib.get_close_matches(args[0], VERBS, 1)
            hint = f"Did you mean '{close[0]}'?" if close else f"There are {', '.join(VERBS)}."
            raise click.UsageError(f"'{args[0]}' is not a command. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        # click itself would end with 1 on both.
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return Exit.DONE
        except KeyboardInterrupt:
            return Exit.INTERRUPTED


EPILOG = """\b
Exit status:
  0 done    1 the workflow failed or was cancelled    2 usage    3 invalid definition
  4 no server    5 refused    124 the wait was too long    130 Ctrl-C

\b
Environment:
  WATTLE_URL        the server (--server), else that of the data directory
  WATTLE_DATA_DIR   the data directory (--data-dir)
  NO_COLOR, FORCE_COLOR, TERM=dumb   as everywhere; --color wins over them"""


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=EPILOG
)
@click.version_option(__version__, prog_name="wattle", message="%(prog)s %(version)s")
@shared_options
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Wattle runs workflows of processes: in dependency order, supervised, with every state explained.

    \b
    wattle run FILE       run a definition to its end
    wattle serve          be the server of HTTP API and page
    wattle status         what runs, and how far it is
    wattle logs WF -f     what its workers print

    FILE is a definition, JSON or YAML ("-": standard input); WF a workflow, WF/WORKER one of its workers.
    `wattle VERB --help` has examples. Data goes to standard output, everything else to standard error.
    """
    ctx.ensure_object(Session)


def run() -> NoReturn:
    """Parse the command line, do it, and end the process."""
    _open_output()
    # httpx imports a command line of its own, and with it all of rich, wherever rich is installed: 80 ms of each call.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]
    code = _outcome()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        _abandon_output()
    except OSError:  # a full disk
        _abandon_output()
        code = code or Exit.REFUSED
    sys.exit(code)


def _open_output() -> None:
    """Two streams that take any text, also where the shell has closed one."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
        getattr(sys, name).reconfigure(errors="backslashreplace")


def _outcome() -> int:
    session = Session()
    if "_WATTLE_COMPLETE" in os.environ:
        from wattle.cli.completing import register

        register()
    try:
        result = cli.main(prog_name="wattle", standalone_mode=False, obj=session)
        return int(result) if isinstance(result, int) else Exit.DONE
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        _say(_usage(error))
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        return Exit.DONE
    except WattleError as error:
        for problem in error.details[1:] and error.details or (error,):
            _say(f"wattle: {problem.message}{_next(session, error)}")
        return exit_of(error)
    except OSError as error:  # a full disk, a directory that has gone
        if os.environ.get("WATTLE_DEBUG") == "1":
            raise
        _say(f"wattle: {error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        return Exit.REFUSED
    except Exception as error:  # a defect of ours: say so in a line, never a traceback by surprise
        if os.environ.get("WATTLE_DEBUG") == "1":
            raise
        _say(f"wattle: internal error: {type(error).__name__}: {error}. WATTLE_DEBUG=1 shows where; please report it")
        return Exit.REFUSED


def _next(session: Session, error: WattleError) -> str:
    """What to try where a name does not exist."""
    if error.code not in ("WORKFLOW_NOT_FOUND", "WORKER_NOT_FOUND"):
        return ""
    target = next((target for target in session.targets if f"'{target[0]}" in error.message), None)
    if target is None:
        return ""
    from wattle.cli.names import did_you_mean

    hint = did_you_mean(session.config, error.code, *target)
    return f". {hint[0].upper()}{hint[1:]}" if hint else ""


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "wattle"
    what = error.format_message().rstrip(".")
    return f"wattle: {what}{'' if what.endswith('?') else '.'} Try `{command} --help`"


def _say(text: str) -> None:
    try:
        click.echo(text, err=True)
    except OSError:
        _abandon_output()


def _abandon_output() -> None:
    """Nobody reads any more: the interpreter must not complain when it flushes at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
