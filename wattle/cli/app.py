"""The `wattle` group: which verb is in which file, and how whatever happens becomes an exit code.

It must stay cheap: `wattle --version` loads click and this, no verb.
"""

import os
import sys
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

import click

from wattle import __version__
from wattle.cli import interrupts_are_exceptions
from wattle.cli.exits import Exit
from wattle.cli.failing import abandon_output, tell_defect, tell_error, tell_system_error, tell_usage
from wattle.cli.session import Session, shared_options
from wattle.errors import WattleError


class Verb(NamedTuple):
    module: str
    summary: str


VERBS = {
    "serve": Verb("serving", "Run the server, in the foreground."),
    "run": Verb("running", "Run a definition file to its end."),
    "import": Verb("importing", "Turn a file of another tool into a definition."),
    "init": Verb("beginning", "Write a first definition, to be changed."),
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

SECTIONS = {
    "Write a definition": ("init", "validate", "graph", "schema", "import"),
    "Run it": ("run", "wait"),
    "Look": ("status", "why", "logs", "top", "history", "runs", "events", "list", "show"),
    "Steer what runs": ("start", "stop", "restart", "kill"),
    "Change what is stored": ("create", "apply", "diff", "export", "delete"),
    "Server and machine": ("serve", "down", "doctor", "fsck", "completion"),
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
        interrupts_are_exceptions()
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> Any:
        from click.shell_completion import CompletionItem

        verbs = [CompletionItem(name, help=v.summary) for name, v in VERBS.items() if name.startswith(incomplete)]
        return verbs if verbs or not incomplete.startswith("-") else click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        listed = {name for names in SECTIONS.values() for name in names}
        wide = max(map(len, VERBS))
        for title, names in {**SECTIONS, "More": [name for name in VERBS if name not in listed]}.items():
            rows = [(name.ljust(wide), VERBS[name].summary) for name in names if name in VERBS]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args[:1] == ["help"]:  # `wattle help run`, as of git and docker
            args = [*args[1:2], "--help"]
            if len(args) == 1:
                click.echo(ctx.get_help())
                ctx.exit()
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            import difflib

            from wattle.cli.hints import ELSEWHERE

            meant = ELSEWHERE.get(args[0]) or next(iter(difflib.get_close_matches(args[0], VERBS, 1)), None)
            hint = f"Did you mean '{meant}'?" if meant else f"There are {', '.join(VERBS)}."
            raise click.UsageError(f"'{args[0]}' is not a command. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        # --help and --version are said here; click itself would end with 1.
        try:
            return super().make_context(*arguments, **more)
        except BrokenPipeError:
            raise click.exceptions.Exit(Exit.DONE) from None

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
    wattle init first.yaml               write a small definition, to be changed
    wattle run first.yaml                run it to its end, and watch it
    wattle why first                     why workers failed or wait; `status`: all
    wattle run first.yaml --from WORKER  mended: that one again, and what needs it
    wattle serve                         be a server: `start`, `stop`, HTTP API

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
        abandon_output()
    except OSError:  # a full disk
        abandon_output()
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
        return tell_usage(session, error)
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        return Exit.DONE
    except WattleError as error:
        return tell_error(session, error)
    except Exception as error:
        if os.environ.get("WATTLE_DEBUG") == "1":
            raise
        return tell_system_error(session, error) if isinstance(error, OSError) else tell_defect(session, error)
