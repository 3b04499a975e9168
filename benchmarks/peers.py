"""The C loop, GNU make and ninja: each runs a DAG in a directory of its own and says how many seconds it took.

Only the C loop is the reference. make and ninja keep no file per task; their time is that of the whole process,
reading their file included.
"""

import shutil
import subprocess
import time
from pathlib import Path

from benchmarks import shapes
from benchmarks.shapes import Shape

LONGEST_SECONDS = 300.0
LOOP_SOURCE = Path(__file__).with_name("loop.c")


class PeerFailed(Exception):
    """A contestant did not do what it was told; the message has what it said."""


def compile_loop(directory: Path) -> Path:
    """The C loop as a program. PeerFailed where there is no C compiler: without a reference nothing is measured."""
    return compile_program(LOOP_SOURCE, directory / "loop")


def compile_program(source: Path, program: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise PeerFailed(
            "the reference is a C program: install a C compiler (Debian, Ubuntu: apt install gcc libc6-dev)"
        )
    run([compiler, "-O2", "-Wall", "-o", str(program), str(source)], program.parent)
    return program


def present() -> list[str]:
    """Which of the others are installed here."""
    return [name for name in ("make", "ninja") if shutil.which(name)]


def loop(program: Path, directory: Path, shape: Shape, command: str, slots: int, files: int = 1) -> float:
    """Seconds from the first spawn to the last reap. `files` = 2: stderr in a file of its own, as Wattle has it."""
    directory.mkdir()
    dag = directory / "dag.txt"
    dag.write_text(shapes.loop_text(shape, command))
    output = directory / "output"
    output.mkdir()
    said = run([str(program), str(dag), str(slots), str(output), str(files)], directory)
    seconds, tasks = said.split()
    if int(tasks) != len(shape):
        raise PeerFailed(f"the C loop ran {tasks} of {len(shape)} tasks of {shape.name}")
    return float(seconds)


def make(directory: Path, shape: Shape, command: str, slots: int) -> float:
    directory.mkdir()
    (directory / "Makefile").write_text(shapes.makefile(shape, command))
    return _timed(["make", "-r", "-R", "-s", f"-j{slots}", "all"], directory)


def ninja(directory: Path, shape: Shape, command: str, slots: int) -> float:
    directory.mkdir()
    (directory / "build.ninja").write_text(shapes.ninja_file(shape, command))
    return _timed(["ninja", f"-j{slots}", "--quiet"], directory)


def run(command: list[str], directory: Path) -> str:
    """Its standard output; PeerFailed, with what it said, unless it exits 0 in time."""
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PeerFailed(f"{command[0]} did not end within {LONGEST_SECONDS:.0f} s") from None
    if done.returncode != 0:
        raise PeerFailed(f"{' '.join(command)} exited {done.returncode}: {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


def _timed(command: list[str], directory: Path) -> float:
    with open(directory / "output.txt", "wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            code = process.wait(LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise PeerFailed(f"{command[0]} did not end within {LONGEST_SECONDS:.0f} s") from None
        seconds = time.monotonic() - began
    if code != 0:
        raise PeerFailed(f"{command[0]} exited {code}: {(directory / 'output.txt').read_text()[-2000:]}")
    return seconds
