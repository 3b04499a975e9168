"""The end of `wattle run`: what completed, what failed and why, where the outputs are, what to do next."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from wattle.cli.board import LEFT_OUT
from wattle.cli.output import counts_text, cut, duration, elapsed_seconds, pad, plain, reason_of, size, width
from wattle.cli.session import Session
from wattle.cli.showing import output_path
from wattle.client import Client
from wattle.logs.escapes import for_screen, last_written

TAIL_LINES = 10
MOST_STARTS = 4  # workers named in the command that begins again; with more it is the whole run
MOST_SHOWN = {"completed": 20, "failed": 20, "cancelled": 10}


class Summary:
    """`say` writes a line to stderr; `again` is the command that ran this (`wattle run FILE`), if it is known."""

    def __init__(self, session: Session, say: Callable[[str], None], again: str = "") -> None:
        self._session, self._talk, self._say, self._again = session, session.talk, say, again

    def tell(self, client: Client, run: dict[str, Any], *, with_workers: bool) -> None:
        """`with_workers`: nothing has been told of them before."""
        workers = [worker for worker in run["workers"] if worker.get("reason_code") != LEFT_OUT]
        if with_workers:
            for word in ("completed", "cancelled", "failed"):  # what matters most is read last
                self._list(client, run["workflow_name"], word, [w for w in workers if w["status"] == word])
        counts: dict[str, int] = {}
        for worker in workers:
            counts[worker["status"]] = counts.get(worker["status"], 0) + 1
        left_out = len(run["workers"]) - len(workers)
        counted = counts_text(counts) + (f", {left_out} not part of this run" if left_out else "")
        reason = reason_of(run) if run["status"] != "completed" else ""
        name, took = run["workflow_name"], duration(run.get("duration_seconds"))
        head = f"{self._talk.state(run['status'])}: run {run['id']} of '{name}' after {took}: {counted}"
        self._say(head + (f" ({plain(reason)})" if reason else ""))
        self._list_outputs(client, run)
        self._say_next(run, workers)

    def _list(self, client: Client, workflow: str, word: str, workers: list[dict[str, Any]]) -> None:
        most = MOST_SHOWN[word]
        wide = max((width(worker["name"]) for worker in workers[:most]), default=0)
        for worker in workers[:most]:
            took = elapsed_seconds(worker)
            said = [duration(took) if took is not None else "", reason_of(worker) if word != "completed" else ""]
            line = f"{self._talk.state(word, 12)} {pad(plain(worker['name']), wide)}"
            said_text = plain(", ".join(part for part in said if part))
            if self._talk.columns is not None and word != "failed":
                said_text = cut(said_text, max(10, self._talk.columns - 16 - wide))
            self._say(f"{line}  {self._talk.dim(said_text)}".rstrip())
            for notice in worker.get("notices") or ():
                self._say(" " * 13 + self._talk.dim(f"note: {plain(notice)}"))
            if word == "failed":
                for text in log_tail(client, workflow, worker["name"]):
                    self._say(" " * 13 + self._talk.dim(f"| {text}"))
        if len(workers) > most:
            self._say(self._talk.dim(f"and {len(workers) - most} more {word}"))

    def _list_outputs(self, client: Client, run: dict[str, Any]) -> None:
        """The declared outputs of the workers that completed: what, how big, where."""
        workflow = run["workflow_name"]
        completed = {
            worker["name"]
            for worker in run["workers"]
            if worker["status"] == "completed" and worker.get("reason_code") != LEFT_OUT
        }
        rows = []
        for worker in client.list_workers(workflow):
            for name, declared in (worker["outputs"] or {}).items() if worker["name"] in completed else ():
                path = output_path(declared)
                if os.path.exists(path):
                    rows.append((f"{worker['name']}/{name}", size(os.path.getsize(path)), path))
                elif self._session.config.server_url is not None:
                    rows.append((f"{worker['name']}/{name}", "-", path))
        wide, wide_size = (max((width(row[column]) for row in rows), default=0) for column in (0, 1))
        directory = client.get_workflow(workflow)["working_dir"]
        self._say(f"{'outputs' if rows else 'no outputs; working directory'}: {directory}")
        try:
            for name, count, path in rows:
                self._session.out.say(f"{pad(name, wide)}  {count:>{wide_size}}  {path}")
        except BrokenPipeError:
            return  # the run's result is still this command's exit status

    def _say_next(self, run: Mapping[str, Any], workers: list[dict[str, Any]]) -> None:
        """The next command to try, where something went wrong."""
        failed = [worker["name"] for worker in workers if worker["status"] == "failed"]
        if not failed:
            if run["status"] == "cancelled" and self._again:
                self._say(f"next: `{self._again}` runs it again")
            return
        import shlex

        target = shlex.quote(f"{run['workflow_name']}/{failed[0]}")
        tips = f"`wattle logs {target}` shows what it printed"
        if len(failed) > 1:
            tips += f", `wattle why {shlex.quote(run['workflow_name'])}` why each failed"
        if self._again:
            # All that failed: one that is left out counts as completed.
            starts = "".join(f" --from {shlex.quote(name)}" for name in failed) if len(failed) <= MOST_STARTS else ""
            tips += f", `{self._again}{starts}` begins again" + (" there" if starts else "")
        self._say(f"next: {tips}")


def log_tail(client: Client, workflow: str, worker: str) -> list[str]:
    """The last lines of stderr, or of stdout where it left none."""
    entries = client.log_tail(workflow, worker, 10 * TAIL_LINES)
    lines = [entry for entry in entries if "content" in entry]  # what was lost is said by `logs`
    errors = [line for line in lines if line["type"] == "stderr"]
    return [plain(for_screen(last_written(line["content"]), colours=False)) for line in (errors or lines)[-TAIL_LINES:]]
