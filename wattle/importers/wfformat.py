"""A WfCommons instance becomes a definition whose run replays it: same graph, same waiting, files of the same size.

The edges are exactly the recorded parents and children. A file that a parent makes is an input from it; a
parent without such a file is a `depends_on`; a file that no parent makes is neither declared nor needed.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from wattle.definition.names import why_not_port, why_not_worker, why_not_workflow
from wattle.definition.problems import Problems, Stage, shown
from wattle.definition.workers import why_not_template
from wattle.importers.instance import TASKS, Instance, Task, read_instance
from wattle.importers.names import Paths, legal_names, shortened
from wattle.importers.replay import MOST_ARGUMENT_BYTES, File, output_argument_bytes, replay
from wattle.importers.report import Count, Imported, Report

DEFAULT_MAX_BYTES = 64 * 1024
LONGEST_SECONDS = 315_360_000.0  # ten years
FILES_DIRECTORY = "files"


@dataclass(frozen=True, slots=True)
class Options:
    """`scale` multiplies runtimes; `max_bytes` caps the size of each file; `name` and `working_dir` as given."""

    scale: float = 1.0
    max_bytes: int = DEFAULT_MAX_BYTES
    name: str | None = None
    working_dir: str | None = None


def import_wfformat(data: bytes, options: Options = Options()) -> Imported:
    """The definition for the instance in `data`; raises as `read_instance` does."""
    problems = Problems()
    importer = _Importer(read_instance(data), options)
    importer.check(problems)
    problems.raise_any(data.decode())
    return importer.imported()


class _Written(NamedTuple):
    """One output of one worker."""

    worker: str
    port: str
    file: File


class _Importer:
    """One instance on its way, and what is counted on it."""

    def __init__(self, instance: Instance, options: Options) -> None:
        self._instance, self._options = instance, options
        tasks = instance.tasks
        self._workers = legal_names((task.id for task in tasks), why_not_worker)
        self._ports = legal_names((file for task in tasks for file in task.outputs), why_not_port)
        self._paths = Paths(_files_directory(self._workers.values()))
        self._counts: dict[str, int] = defaultdict(int)
        self._written: dict[str, dict[str, _Written]] = {task.id: {} for task in tasks}  # {task: {file: …}}
        self._makers: dict[str, set[str]] = defaultdict(set)  # {file: tasks}
        for task in tasks:
            for file_id in task.outputs:
                self._written[task.id][file_id] = self._output(task, file_id)

    def check(self, problems: Problems) -> None:
        """A problem for each task that writes more files than one command can name."""
        for position, task in enumerate(self._instance.tasks):
            files = [written.file for written in self._written[task.id].values()]
            if (length := output_argument_bytes(files)) > MOST_ARGUMENT_BYTES:
                message = (
                    f"task '{shown(task.id)}' writes {len(files)} files, whose paths take {length} bytes; "
                    f"one command has room for {MOST_ARGUMENT_BYTES}"
                )
                problems.add(Stage.VALUE, (*TASKS, position, "outputFiles"), message)

    def imported(self) -> Imported:
        instance, options = self._instance, self._options
        (name,) = legal_names([instance.name], _why_not_name).values()
        document: dict[str, Any] = {"name": options.name or name}
        if instance.description:
            document["description"] = instance.description
        if options.working_dir is not None:
            document["working_dir"] = options.working_dir
        document["workers"] = [self._worker(task) for task in instance.tasks]
        return Imported(document, self._report(is_renamed=options.name is None and name != instance.name))

    def _output(self, task: Task, file_id: str) -> _Written:
        """Two workers cannot write one path: a second maker of a file gets a path of its own."""
        makers = self._makers[file_id]
        path = self._paths.path_of(file_id, owner=task.id if makers else None)
        makers.add(task.id)
        size = self._instance.sizes.get(file_id)
        self._counts["unsized"] += size is None
        self._counts["capped"] += (size or 0) > self._options.max_bytes
        file = File(path, min(size or 0, self._options.max_bytes))
        return _Written(self._workers[task.id], self._ports[file_id], file)

    def _worker(self, task: Task) -> dict[str, Any]:
        read, without_file = self._inputs(task)
        outputs = self._written[task.id].values()
        doing = replay([each.file for each in read.values()], [each.file for each in outputs], self._seconds(task))
        worker: dict[str, Any] = {"name": self._workers[task.id], "command": doing.command}
        if doing.args:
            worker["args"] = doing.args
        if read:
            worker["inputs"] = {name: f"{each.worker}/{each.port}" for name, each in read.items()}
        if outputs:
            worker["outputs"] = {each.port: each.file.path for each in outputs}
        if without_file:
            worker["depends_on"] = [self._workers[parent] for parent in without_file]
        self._counts["unread"] += doing.unread
        self._counts["inputs"] += len(read)
        self._counts["outputs"] += len(outputs)
        self._counts["depends_on"] += len(without_file)
        self._counts["edges"] += len(task.parents)
        return worker

    def _inputs(self, task: Task) -> tuple[Mapping[str, _Written], Sequence[str]]:
        """What it reads, by input name; and the parents that it reads nothing from."""
        read: dict[str, _Written] = {}
        without_file = dict.fromkeys(task.parents)
        for file_id in task.inputs:
            makers = self._makers.get(file_id, set())
            parents = [parent for parent in task.parents if parent in makers] if makers else []
            for parent in parents:
                written = self._written[parent][file_id]
                name = written.port if written.port not in read else shortened(file_id, read, f"{parent}/{file_id}")
                read[name] = written
                without_file.pop(parent, None)
            if not parents:
                self._counts["strange" if makers else "unmade"] += 1
        return read, list(without_file)

    def _seconds(self, task: Task) -> float:
        if task.runtime_seconds is None:
            self._counts["unknown"] += 1
            return 0.0
        seconds = task.runtime_seconds * self._options.scale
        bounded = min(max(0.0, seconds), LONGEST_SECONDS)  # of 0.0 and -0.0 max takes the first
        self._counts["bounded"] += bounded != seconds
        return bounded

    def _report(self, *, is_renamed: bool) -> Report:
        counts, renamed = self._counts, sum(before != after for before, after in self._workers.items())
        ports = sum(before != after for before, after in self._ports.items())
        cap, scale = f"cut to {self._options.max_bytes} bytes", f"× {self._options.scale:g}"
        known = len(self._instance.tasks) - counts["unknown"] if self._options.scale != 1 else 0
        return Report(
            kept=_there(
                Count(len(self._instance.tasks), "worker", "workers"),
                Count(counts["edges"], "edge", "edges"),
                Count(counts["outputs"], "output", "outputs"),
                Count(counts["inputs"], "input", "inputs"),
                Count(counts["depends_on"], "depends_on without a file", "depends_on without a file"),
            ),
            changed=_there(
                Count(int(is_renamed), "name of the workflow", ""),
                Count(renamed, "name of a worker", "names of workers"),
                Count(ports, "name of an output", "names of outputs"),
                Count(self._paths.changed, "path of a file", "paths of files"),
                Count(counts["capped"], f"file {cap}", f"files {cap}"),
                Count(counts["unsized"], "file of unknown size, made empty", "files of unknown size, made empty"),
                Count(known, f"runtime {scale}", f"runtimes {scale}"),
                Count(counts["unknown"], "unknown runtime, taken as 0", "unknown runtimes, taken as 0"),
                Count(counts["bounded"], "runtime put between 0 and ten years", "runtimes put between 0 and ten years"),
            ),
            left_out=_there(
                Count(counts["unmade"], "input that no task makes", "inputs that no task makes"),
                Count(counts["strange"], "input that no parent makes", "inputs that no parent makes"),
                Count(counts["unread"], "input waited for but not read", "inputs waited for but not read"),
                Count(self._instance.strangers, "runtime of an unknown task", "runtimes of unknown tasks"),
            ),
        )


def _why_not_name(name: str) -> str | None:
    """It names the default directory, too."""
    return why_not_workflow(name) or why_not_template(name)


def _there(*counts: Count) -> tuple[Count, ...]:
    return tuple(count for count in counts if count.number)


def _files_directory(workers: Iterable[str]) -> str:
    """Apart from `<working dir>/<worker>/`, where Wattle shows a worker's logs."""
    taken, directory = set(workers), FILES_DIRECTORY
    while directory in taken:
        directory += "~"
    return directory
