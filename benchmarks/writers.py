"""What it costs a writer that its logs are watched: the watch itself on a real file, without a server around it."""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import peers
from wattle.logs.files import attempt_files, index_file
from wattle.logs.watch import LogWatch

SOURCE = Path(__file__).with_name("writer.c")
ADOPTED_SECONDS = 10.0


@dataclass(slots=True)
class Writing:
    """One way to write, in rounds with and without a watch. Seconds; `watch_cpu` is what the watch's thread used."""

    size: int
    count: int
    capped: bool = False
    alone: list[float] = field(default_factory=list)
    watched: list[float] = field(default_factory=list)
    watch_cpu: list[float] = field(default_factory=list)


def compile_writer(directory: Path) -> Path:
    return peers.compile_program(SOURCE, directory / "writer")


def measure(program: Path, directory: Path, writing: Writing, rounds: int) -> Writing:
    """Rounds of both in turn, either being the first in every other round."""
    for number in range(rounds):
        for is_watched in (number % 2 == 0, number % 2 != 0):
            place = directory / f"logs-{writing.size}-{number}-{is_watched}"
            try:
                if is_watched:
                    seconds, cpu = _watched(program, place, writing)
                    writing.watched.append(seconds)
                    writing.watch_cpu.append(cpu)
                else:
                    place.mkdir()
                    writing.alone.append(_write(program, str(place / "log"), writing))
            finally:
                shutil.rmtree(place, ignore_errors=True)
    return writing


def _watched(program: Path, place: Path, writing: Writing) -> tuple[float, float]:
    key = (1, 0, 1)
    files = attempt_files(str(place), *key)
    os.makedirs(os.path.dirname(files.stdout))
    for path in files:
        open(path, "w").close()
    watch = LogWatch(str(place), lambda _: {0: 16 << 20} if writing.capped else {})
    watch.start()
    try:
        watch.started(key, 1)
        until = time.monotonic() + ADOPTED_SECONDS
        while not os.path.exists(index_file(files)):
            if time.monotonic() > until:
                raise OSError("the watch did not begin")
            time.sleep(0.01)
        before = time.process_time()
        seconds = _write(program, files.stdout, writing)
        return seconds, time.process_time() - before
    finally:
        watch.close()


def _write(program: Path, path: str, writing: Writing) -> float:
    command = [str(program), path, str(writing.size), str(writing.count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return int(done.stdout) / 1e9
