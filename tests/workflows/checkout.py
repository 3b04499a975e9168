"""A copy of workflows/ whose definitions are run by the real command line, so that no test writes in the repository."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.whole.server import Server

WORKFLOWS = Path(__file__).parents[2] / "workflows"


class Checkout:
    """The copy, a data directory beside it, and what ran once already. The workers' `python` is that of the tests."""

    def __init__(self, directory: Path) -> None:
        self.workflows = directory / "workflows"
        shutil.copytree(WORKFLOWS, self.workflows, ignore=shutil.ignore_patterns("output", "__pycache__"))
        self.server = Server(directory)
        self._ran: dict[str, Path] = {}

    def run(self, name: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        """`wattle run` it, with further environment variables for Wattle and so for its workers."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        settings = {"HOME": str(self.server.directory), "PYTHONPATH": str(WORKFLOWS.parent), "PATH": path}
        inherited = {key: text for key, text in os.environ.items() if not key.startswith("WATTLE_")}
        definition = self.workflows / f"{name}.json"
        return self.server.wattle("run", str(definition), env={**inherited, **settings, **environ}, timeout=110)

    def completed(self, name: str) -> Path:
        """Its output directory, after it has run to `completed`; it is run once for all who ask."""
        if name not in self._ran:
            process = self.run(name)
            assert process.returncode == 0, process.stderr
            self._ran[name] = self.output(name)
        return self._ran[name]

    def definition(self, name: str) -> dict:
        return json.loads((self.workflows / f"{name}.json").read_text())

    def output(self, name: str) -> Path:
        return self.workflows / self.definition(name)["working_dir"]

    def outputs(self, name: str) -> dict[str, Path]:
        """`worker/output` → its file, of all that are there."""
        found = {}
        for worker in self.definition(name)["workers"]:
            for output, entry in worker.get("outputs", {}).items():
                path = self.output(name) / (entry if isinstance(entry, str) else entry["path"])
                if path.exists():
                    found[f"{worker['name']}/{output}"] = path
        return found

    def run_script(self, name: str, worker: str, **files: Path) -> "subprocess.CompletedProcess[str]":
        """One worker's command without Wattle; `files` (`archive=…`) take the place of its own inputs and outputs."""
        entry = next(each for each in self.definition(name)["workers"] if each["name"] == worker)
        made = self.outputs(name)
        environ = {**os.environ, **self.definition(name).get("env_vars", {})}
        environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
        for each, reference in entry.get("inputs", {}).items():
            environ[f"WATTLE_INPUT_{each.upper()}"] = str(files.get(each, made[reference]))
        for each in entry["outputs"]:
            environ[f"WATTLE_OUTPUT_{each.upper()}"] = str(files[each])
        command = ["sh", "-c", entry["command"]]
        return subprocess.run(
            command, cwd=self.output(name), env=environ, capture_output=True, text=True, timeout=60, check=False
        )

    def down(self) -> None:
        self.server.down()
