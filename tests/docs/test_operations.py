"""docs/operations.md: its commands are typed, its unit and its compose file are read by what reads such files, and
what it says of signals is tried."""

import configparser
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.documents import DOCS, ROOT, blocks, examples, screen_shape, section, table
from tests.docs.shells import Reader
from tests.whole.server import Server, eventually
from wattle.config import SETTINGS, Config
from wattle.diagnosis import files, fsck, processes, rows
from wattle.diagnosis.probe import Level

PAGE = DOCS / "operations.md"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    yield reader
    reader.types("wattle down; wattle --data-dir ~/kept down")


def test_the_commands_print_what_is_shown(reader: Reader) -> None:
    for block, answer in examples(PAGE):
        assert answer is not None, f"{block}: what does it print?"
        screen = reader.types(block.text)
        if block.text.startswith("wattle doctor"):
            assert subjects(screen) == subjects(answer.text)
        else:
            assert screen_shape(screen) == screen_shape(answer.text), f"{block}: {block.text}\n{screen}"


def subjects(screen: str) -> list[str]:
    """What each finding is about: what was found differs from machine to machine."""
    return [line[10:24].strip() for line in screen.splitlines() if line.startswith(("ok ", "degraded ", "broken "))]


def test_every_level_and_every_check_is_explained() -> None:
    assert [row[0].strip("`") for row in table(section(PAGE, "Doctor"))] == list(Level)
    sources = [Path(str(module.__file__)).read_text() for module in (files, fsck, processes, rows)]
    checks = {name for text in sources for name in re.findall(r'(?:Defect|note|finding)\(\s*"(\w+)"', text)}
    assert len(checks) > 8
    assert {row[0].strip("`") for row in table(section(PAGE, "Fsck"))} == checks


def test_the_limits_of_retention_are_those_of_the_code() -> None:
    kept = {setting.name: setting for setting in SETTINGS if setting.name.startswith(("keep_", "live_"))}
    said = {row[0].strip("`"): row for row in table(section(PAGE, "Retention"))}
    assert said.keys() == kept.keys()
    config: Any = Config("/", "/", "/")
    for name, row in said.items():
        assert row[1].strip("`").split()[0] == kept[name].flag
        default = None if row[2] == "no bound" else kept[name].read(row[2])
        assert default == getattr(config, name)


# --- systemd


def unit(tmp_path: Path, **changes: str) -> Path:
    (text,) = [block.text for block in blocks(PAGE) if block.language == "ini"]
    text = text.replace("/home/ada/wattle/scripts/wattle", str(ROOT / "scripts/wattle"))
    text = text.replace("User=ada", "User=root")
    for old, new in changes.items():
        text = text.replace(f"{old}=", f"{new}=")
    path = tmp_path / "wattle.service"
    path.write_text(text)
    return path


def test_the_unit_is_one_and_each_unusual_line_is_explained(tmp_path: Path) -> None:
    parsed = configparser.ConfigParser(strict=True)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read(unit(tmp_path))
    assert parsed.sections() == ["Unit", "Service", "Install"]
    assert parsed["Service"]["KillMode"] == "process"
    lines = {f"{name}={value}" for name, value in parsed["Service"].items()}
    assert {row[0].strip("`") for row in table(section(PAGE, "systemd"))} <= lines


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd to ask")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    assert verified(unit(tmp_path)) == (0, "")
    assert "Unknown key" in verified(unit(tmp_path, KillMode="KilMode"))[1], "positive control"


def verified(path: Path) -> tuple[int, str]:
    done = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False)
    return done.returncode, "".join(line for line in done.stderr.splitlines() if "wattle.service" in line)


def test_what_the_unit_does_at_a_restart_leaves_workers_running(tmp_path: Path) -> None:
    """`KillMode=process`: SIGTERM to the main process alone; then the same command again."""
    server = Server(tmp_path).start()
    try:
        server.run("night", [{"name": "sleep", "command": "sleep 600"}])
        worker = eventually(lambda: server.get("/api/workers/night/sleep/why")["pid"])
        assert server.end() == 0
        server.start()
        assert server.get("/api/workers/night/sleep/why")["pid"] == worker
        assert server.status("night") == "running"
    finally:
        server.down()


# --- containers


def test_the_compose_file_keeps_workers_when_the_server_ends_and_ends_all_when_it_is_stopped(reader: Reader) -> None:
    """Its command, started as the init of the container does; what a container adds cannot be tried without one."""
    (text,) = [block.text for block in blocks(PAGE) if block.language == "yaml"]
    service = yaml.safe_load(text)["services"]["wattle"]
    assert service["init"] is True
    data_dir = reader.home / "volume"
    environ = {"PATH": f"{reader.home}/bin:/usr/bin:/bin", "HOME": str(reader.home), "LANG": "C.UTF-8"}
    environ |= service["environment"] | {"WATTLE_DATA_DIR": str(data_dir), "WATTLE_LISTEN": "127.0.0.1:0"}
    command = [word.replace("$$", "$") for word in service["command"]]
    said = reader.home / "container.log"
    with open(said, "w") as log:
        loop = subprocess.Popen(command, env=environ, cwd=reader.home, stdout=log, stderr=log)
    try:
        shell = f"export WATTLE_DATA_DIR={data_dir}; "
        holder = data_dir / "daemon.lock"
        first = eventually(lambda: said.read_text().count("listening on") == 1 and holder.read_text())
        (reader.checkout / "night.json").write_text(
            json.dumps({"name": "night", "workers": [{"name": "sleep", "command": "sleep 600"}]})
        )
        eventually(lambda: "started successfully" in reader.types(f"{shell}wattle run --detach night.json"))
        worker = eventually(lambda: pid_of(reader, shell))
        restart = re.search(r"sh -c '(kill [^']*)'", section(PAGE, "Containers"))
        assert restart is not None
        reader.types(restart[1].replace("/var/lib/wattle", str(data_dir)))
        eventually(lambda: said.read_text().count("listening on") == 2 and holder.read_text() != first)
        assert pid_of(reader, shell) == worker
        loop.send_signal(signal.SIGTERM)
        assert loop.wait(30) == 0
        assert not os.path.exists(f"/proc/{worker}")
    finally:
        loop.kill()
        loop.wait()
        reader.types(f"WATTLE_DATA_DIR={data_dir} wattle down")


def pid_of(reader: Reader, shell: str) -> int | None:
    shown = reader.types(f"{shell}wattle why night/sleep --json")
    pid: int | None = json.loads(shown).get("pid") if shown.startswith("{") else None
    return pid


# --- signals


def test_signals_do_what_the_table_says(tmp_path: Path) -> None:
    """F11, F69."""
    said = {(row[0], name) for row in table(section(PAGE, "Signals")) for name in re.findall(r"\b[A-Z1]{3,}\b", row[1])}
    nothing = {"server": ("HUP", "PIPE", "USR1"), "keeper": ("HUP", "INT", "QUIT", "PIPE", "XFSZ")}
    server = Server(tmp_path).start()
    try:
        server.run("night", [{"name": "sleep", "command": "sleep 600"}])
        worker = eventually(lambda: server.get("/api/workers/night/sleep/why")["pid"])
        (keeper,) = server.keeper_pids()
        for who, pid in (("server", server.pid), ("keeper", keeper)):
            for name in nothing[who]:
                assert (who, name) in said
                os.kill(pid, signal.Signals[f"SIG{name}"])
        os.kill(keeper, signal.SIGTERM)
        assert server.get("/api/workers/night/sleep/why")["pid"] == worker
        assert server.keeper_pids() == [keeper], "it waits for its workers"
        assert server.process is not None
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 130
        server.process = None
        assert os.path.exists(f"/proc/{worker}")
    finally:
        server.down()
