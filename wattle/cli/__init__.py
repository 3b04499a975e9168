"""The command line: one file a verb, or a group of verbs that differ in a word.

    app.py         the `wattle` group, options of every verb, and how an error ends the process
    exits.py       exit codes, and which error has which
    session.py     what a verb gets: the Config, the screen
    server.py      finding the server, or reading the data directory without one
    target.py      WF and WF/WORKER
    definition.py  a definition FILE: read, checked, made ready to be sent
    output.py      tables, states, durations, colour
    listing.py     list, runs
    showing.py     show, why
    status.py      status
    logs.py        logs; following.py several at once, printing.py how lines look
    top.py         top
    waiting.py     wait
    events.py      events, history
    changing.py    create, delete, start, stop, restart
    applying.py    apply, diff, export
    matching.py    several targets, and patterns of them
    validating.py  validate
    excerpts.py    the line that a problem is about, with carets
    importing.py   import
    completing.py  completion; names.py knows what there is now
    examples.py    examples in the help of every verb
    answers.py     the JSON Schemas of what verbs print
    serving.py     serve
    ending.py      down
    running.py     run: being the daemon, or joining it
    progress.py    what `run` tells while it follows; board.py and live.py are its table, summary.py its end
    plan.py        run --dry-run

Verbs are imported when they are used: `wattle --version` loads click and nothing else. stdout is for data,
stderr for talk. The command line is the only importer of wattle.daemon.
"""

import os
import signal
import sys

TYPE_CHECKING = False  # loading typing for the one name takes longer than all else here
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> "NoReturn":
    """The `wattle` command. Ctrl-C ends it quietly from the first moment on."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end_at_once)
    try:
        speak_utf8()
        from wattle.cli.app import run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


def _end_at_once(*_: object) -> None:
    """While modules are loaded, and nothing was done or said: an exception would be lost or told in callbacks there."""
    os._exit(130)


def interrupts_are_exceptions() -> None:
    """From now on, as Python has it: a verb is about to begin."""
    if signal.getsignal(signal.SIGINT) is _end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def speak_utf8() -> None:
    """Names and paths are UTF-8 whatever the locale says (LC_ALL=C with PYTHONUTF8=0): where Python takes them for
    something else it is executed again, as the same process, and told so. Workers see nothing of it.
    """
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode and sys.executable:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
