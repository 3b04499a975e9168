"""The command line against a real server."""

import json
from pathlib import Path

from tests.whole.server import Server


def test_every_state_change_has_its_line_however_short_the_run(server: Server, tmp_path: Path) -> None:
    workers = [{"name": "a", "command": "exit 3"}, {"name": "b", "command": "true", "depends_on": ["a"]}]
    (tmp_path / "short.json").write_text(json.dumps({"name": "short", "workers": workers}))
    for _ in range(12):
        answer = server.wattle("run", "short.json")
        assert answer.returncode == 1
        words = [line.split()[2:5] for line in answer.stderr.splitlines()[1:4]]
        assert [word[1:3] for word in words] == [["running", "a"], ["failed", "a"], ["cancelled", "b"]], answer.stderr
