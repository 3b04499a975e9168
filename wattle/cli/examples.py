"""Examples for the help of every verb. A test parses each, so that none shows what is not there."""

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "serve": (
        ("wattle serve", "on localhost:9240"),
        ("wattle serve --listen 127.0.0.1:8000 --data-dir ./state", "elsewhere, with a data directory of its own"),
    ),
    "run": (
        ("wattle run report.json", "to its end; the exit status is the workflow's"),
        ("wattle run report.json --from clean", "clean and what descends from it; files of the others must be there"),
        ("wattle run report.json --dry-run", "what would run"),
        ("wattle run report.yaml --param month=2026-11", "with a value for a param"),
        ("wattle run report.json --detach", "in the background"),
    ),
    "import": (
        ("wattle import procfile Procfile -o shop.json", "a Procfile as services"),
        ("wattle import dagu etl.yaml | wattle validate -", "a DAG of Dagu, checked"),
    ),
    "init": (
        ("wattle init first.yaml", "then `wattle run first.yaml`"),
        ("wattle init -", "to look at it"),
    ),
    "validate": (
        ("wattle validate *.json", "every problem of every file, with its line"),
        ("wattle validate --json report.yaml", "for an editor"),
        ("wattle import dagu etl.yaml | wattle validate -", "what another command prints"),
    ),
    "create": (("wattle create report.json", "store it; `wattle start report` runs it"),),
    "apply": (("wattle apply report.json", "store it, or a new version of it"),),
    "list": (
        ("wattle list", "a table"),
        ("wattle list -q", "names alone, one a line"),
        ("wattle list --jsonl | jq -r .status", "a line of JSON for each"),
    ),
    "show": (
        ("wattle show report", "its definition and state"),
        ("wattle show report/fetch", "of one worker"),
    ),
    "delete": (
        ("wattle delete report", "a workflow that does not run"),
        ("wattle delete report/mail --force", "a worker, stopped first where it runs"),
    ),
    "start": (
        ("wattle start report --param month=2026-11", "a workflow"),
        ("wattle start report/fetch", "one worker alone"),
    ),
    "stop": (
        ("wattle stop report", "a workflow, with everything it started"),
        ("wattle stop report/fetch", "one worker"),
    ),
    "restart": (("wattle restart report/fetch", "one worker, in the run that is active"),),
    "kill": (
        ("wattle kill -s HUP shop/nginx", "a service reloads, as it does on that signal"),
        ("wattle kill etl/load", "SIGKILL: it has failed, and is retried as its definition says"),
        ("wattle kill -s USR1 --leader 'etl/*'", "the first process of each that runs"),
    ),
    "status": (
        ("wattle status", "all workflows"),
        ("wattle status report", "one, with its workers"),
        ("wattle status report/fetch", "one worker, with its last lines"),
    ),
    "logs": (
        ("wattle logs report", "of all its workers"),
        ("wattle logs report/fetch -n 20 -f", "the last lines of one, and those to come"),
    ),
    "wait": (
        ("wattle wait report", "for the end of its run; the exit status is the run's"),
        ("wattle wait 12 --timeout 600", "for run 12, ten minutes at most: then 124"),
    ),
    "top": (("wattle top report --sort memory", "the one that holds most first"),),
    "events": (
        ("wattle events report -f", "what happens, as it happens"),
        ("wattle events --jsonl --after 120", "for a script that has seen 120"),
    ),
    "history": (("wattle history report -n 5", "its last five runs, worker by worker"),),
    "diff": (("wattle diff report.json", "what `wattle apply report.json` would change"),),
    "export": (("wattle export report --yaml > report.yaml", "as a file that `apply` takes again"),),
    "runs": (
        ("wattle runs report -n 5", "the newest five"),
        ("wattle runs report -q", "their numbers alone"),
    ),
    "why": (
        ("wattle why report/mail", "why it waits, failed or was cancelled"),
        ("wattle why report", "every worker that did not complete"),
    ),
    "graph": (
        ("wattle graph report.json", "of a file"),
        ("wattle graph report --mermaid", "of a stored workflow, as text for Mermaid"),
    ),
    "schema": (
        ("wattle schema > wattle.schema.json", "of definitions, for an editor"),
        ("wattle schema --of list", "of what `wattle list --json` prints"),
        ("wattle schema --of error", "of what stands on stderr where a verb with --json could not do its work"),
    ),
    "completion": (
        ('eval "$(wattle completion bash)"', "for this shell"),
        ("wattle completion fish > ~/.config/fish/completions/wattle.fish", "for good"),
    ),
    "doctor": (("wattle doctor", "before you rely on a machine"),),
    "fsck": (("wattle fsck --data-dir ./state", "of another data directory"),),
    "down": (("wattle down", "nothing resumes"),),
    "import procfile": (("wattle import procfile Procfile --port 8000 -o shop.json", "with other ports"),),
    "import supervisord": (
        ("wattle import supervisord supervisord.conf --all", "programs with autostart=false as well"),
    ),
    "import process-compose": (
        ("wattle import process-compose process-compose.yaml -o project.json", "then `wattle run project.json`"),
    ),
    "import dagu": (("wattle import dagu etl.yaml --name etl", "under another name"),),
    "import wfformat": (
        ("wattle import wfformat recorded.json --scale 0.01", "a hundred times as fast as it was"),
    ),
}


def epilog_of(verb: str) -> str | None:
    """As click shows it: lines as they are, below the options."""
    examples = EXAMPLES.get(verb)
    if not examples:
        return None
    lines = [line for command, what in examples for line in (f"  {command}", f"      {what}")]
    return "\b\nExamples:\n" + "\n".join(lines)
