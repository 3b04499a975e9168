"""WfCommons instances for tests, written after the documentation of schema 1.5; and those a tester has."""

import json
import os
from pathlib import Path
from typing import Any

LONG = "NFCORE_RNASEQ.RNASEQ.ALIGN_STAR.BAM_SORT_STATS_SAMTOOLS." + "x" * 80  # 136 characters
LEGAL_120 = ("stage.step-" * 11)[:120]
PROGRAM = 'check.py a.tsv\n\n    cat <<-END > versions.yml\n    "A:B":\n        python: $( python --version )\n    END'


def task(
    id: str, parents: str | list[str] = "", reads: list[str] | None = None, writes: list[str] | None = None
) -> dict[str, Any]:
    """A task as specified; `children` are filled in by `instance`. None leaves the field out."""
    parents = parents.split() if isinstance(parents, str) else parents
    files = {"inputFiles": reads, "outputFiles": writes}
    return {"name": id, "id": id, "parents": parents, "children": []} | {
        k: v for k, v in files.items() if v is not None
    }


def instance(
    *tasks: dict[str, Any], sizes: dict[str, int] | None = None, seconds: dict[str, float] | None = None, **head: Any
) -> dict[str, Any]:
    """An instance of these tasks; each took 0 s and each file has 10 bytes where nothing else is said."""
    by_id = {each["id"]: each for each in tasks}
    for each in tasks:
        for parent in each["parents"]:
            if parent:
                by_id[parent]["children"].append(each["id"])
    named = dict.fromkeys(f for each in tasks for key in ("inputFiles", "outputFiles") for f in each.get(key, ()))
    files = [{"id": each, "sizeInBytes": (sizes or {}).get(each, 10)} for each in named]
    executed = [
        {
            "id": each["id"],
            "runtimeInSeconds": (seconds or {}).get(each["id"], 0),
            "command": {"program": PROGRAM, "arguments": ["-v", "a b"]},
            "coreCount": 1,
            "machines": ["node-1"],
        }
        for each in tasks
    ]
    return {
        "name": "recorded",
        "createdAt": "2024-01-02T03:04:05+00:00",
        "schemaVersion": "1.5",
        "workflow": {
            "specification": {"tasks": list(tasks), "files": files},
            "execution": {
                "makespanInSeconds": 1.5,
                "executedAt": "2024-01-02T03:04:05+00:00",
                "tasks": executed,
                "machines": [{"nodeName": "node-1", "cpu": {"coreCount": 4}}],
            },
        },
    } | head


def odd() -> dict[str, Any]:
    """Everything that recorded instances have and that makes an import go wrong."""
    awkward = [
        "/3e/92a5/samplesheet.valid.tsv",
        "out",
        "out/x",
        "../../escape",
        "a b'c\"d$(e)`f`;*.txt",
        "-",
        "~",
        "//",
    ]
    return instance(
        task("split.it_ID000001", reads=["given.fasta"], writes=awkward),
        task(LEGAL_120, "split.it_ID000001", reads=awkward, writes=["log/run.txt"]),
        task(LONG + "1", LEGAL_120, reads=["log/run.txt", "/nobody/makes.this"], writes=["in.place"]),
        task(LONG + "2", LEGAL_120, reads=["log/run.txt"], writes=["in.place"]),
        task("both", [LONG + "1", LONG + "2"], reads=["in.place", "in.place"], writes=["in.place"]),
        task("42", "both"),
        task("-dash", "both 42", reads=["in.place", "stranger"], writes=[]),
        task("alone"),
        task("stranger's", reads=[], writes=["stranger", "empty", "large"]),
        task("a/b", ["stranger's", ""], reads=["empty", "large"]),
        task("files", ["a/b"], writes=["stdout.log", "files", "é"]),
        task("files/..", "files", reads=["stdout.log", "é"], writes=["e\u0301", "y" * 300, "z/" * 2000]),
        sizes={"empty": 0, "large": 10_000_000},
        seconds={"both": 0.5, "alone": -1.0, "42": 1e300},
    )


def wide(files: int = 1001) -> dict[str, Any]:
    """One task that reads what as many others write, under long names."""
    names = [f"/work/some.where/deep/{n:04d}/" + "part" * 15 + f".{n}" for n in range(files)]
    makers = [task(f"make_ID{n:06d}", writes=[name]) for n, name in enumerate(names)]
    return instance(*makers, task("join", [each["id"] for each in makers], reads=names, writes=["joined"]))


def fork_join() -> dict[str, Any]:
    middle = [task(f"work{n}", "fork", reads=["piece"], writes=[f"done{n}"]) for n in range(4)]
    end = task("join", "work0 work1 work2 work3", reads=[f"done{n}" for n in range(4)], writes=["result"])
    return instance(task("fork", reads=["given"], writes=["piece"]), *middle, end)


def encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


def testers_own() -> list[Path]:
    """The `*.json` of the directory that the environment variable WATTLE_WFINSTANCES names, if it is set."""
    directory = os.environ.get("WATTLE_WFINSTANCES")
    if not directory:
        return []
    found = sorted(Path(directory).glob("*.json"))
    assert found, f"WATTLE_WFINSTANCES: no instance in {directory}"
    return found


def every() -> dict[str, bytes]:
    """Ours, and the tester's own, by name."""
    ours = {"odd": odd(), "wide": wide(), "fork-join": fork_join(), "one task": instance(task("t"))}
    return {name: encoded(each) for name, each in ours.items()} | {f.name: f.read_bytes() for f in testers_own()}
