"""Somebody who has never seen Wattle, in a terminal, with nothing but `--help`: write, run, watch, break, ask, mend."""

import re

from wattle.cli.exits import Exit


def test_the_first_hour(shell, terminal):
    """Each step is a command that the screen before has named."""
    shell.environ["HOME"] = str(shell.directory / "höme with blanks")  # nobody's home is /home/ada
    del shell.environ["WATTLE_DATA_DIR"]
    (shell.directory / "höme with blanks").mkdir()
    help_text = shell.run("--help").stdout
    for step in ("wattle init first.yaml", "wattle run first.yaml", "wattle why first", "--from WORKER"):
        assert step in help_text
    assert max(map(len, help_text.splitlines())) <= 100

    nothing = shell.run("list")
    assert (nothing.returncode, nothing.stdout) == (Exit.DONE, "") and "`wattle init FILE`" in nothing.stderr
    assert "there are none yet: `wattle run FILE`" in shell.run("status", "first").stderr.replace("There", "there")

    written = shell.run("init", "first.yaml")
    assert "`wattle run first.yaml` runs it" in written.stderr
    again = shell.run("init", "first.yaml")
    assert again.returncode == Exit.REFUSED and "is there already" in again.stderr
    assert shell.run("validate", "first.yaml").returncode == Exit.DONE

    seen, programs = shell.directory / "seen", shell.directory / "bin"
    programs.mkdir()
    (programs / "sleep").write_text(f"#!/bin/sh\nuntil [ -e '{seen}' ]; do /bin/sleep 0.02; done\n")
    (programs / "sleep").chmod(0o755)  # the first worker's second would be over before a busy machine draws anything
    watched = terminal("run", "first.yaml", columns=60, PATH=f"{programs}:{shell.environ['PATH']}")
    watched.shows("▶ running", "waits for count", "0/3")
    seen.touch()
    assert watched.ends() == Exit.DONE
    assert any("✓ completed: run 1 of 'first'" in line for line in watched.past)
    assert (shell.directory / "first-files/total.txt").read_text().strip() == "5"

    definition = shell.directory / "first.yaml"
    text = definition.read_text()
    definition.write_text(text.replace('wc -l < "$WATTLE_INPUT_ROWS"', "echo no: such table >&2; exit 4 #"))
    refused = shell.run("run", "first.yaml")
    assert refused.returncode == Exit.INVALID_DEFINITION and "first.yaml:12:" in refused.stderr
    assert "a text that holds `: ` stands in quotes" in refused.stderr
    definition.write_text(text.replace('wc -l < "$WATTLE_INPUT_ROWS"', "echo no such table >&2; exit 4 #"))

    broken = terminal("run", "first.yaml", columns=100)
    assert broken.ends() == Exit.FAILED
    screen = "\n".join(broken.past)
    assert "✗ failed     total" in screen and "| no such table" in screen and broken.colour_of("✗ failed:") == "red"
    mend = re.search(r"`(wattle run first.yaml --from \w+)` begins again", screen.replace("\n", ""))
    assert mend is not None and "`wattle logs first/total` shows" in screen

    for arguments, environ in (([], {"TERM": "dumb"}), ([], {"NO_COLOR": "1"}), ([], {"LC_ALL": "C"})):
        shown = terminal("why", "first", *arguments, columns=60, **environ)
        assert shown.ends() == 0 and b"\x1b[" not in shown.raw or "LC_ALL" in environ
        assert "failed: exit code 4: no such table" in shown.text.replace("\n", "")
        assert ("✗" in shown.text) is ("LC_ALL" not in environ)
    assert shell.run("why", "first").stdout.splitlines() == [
        "first/total: ✗ failed: exit code 4: no such table",
        "first/report: ⊘ cancelled: it needs total, which failed (exit code 4: no such table)",
    ]
    assert "| no such table" in shell.run("status", "first/total").stdout

    definition.write_text(text)
    mended = shell.run(*mend[1].split()[1:])
    assert mended.returncode == Exit.DONE and "2 completed, 1 not part of this run" in mended.stderr
    grid = [line.split() for line in shell.run("history", "first").stdout.splitlines()]
    assert grid[2] == ["total", "✓", "✗", "✓"]


def test_what_failed_side_by_side_begins_again_together(shell):
    """`--from` one of them alone would take the other for completed."""
    workers = [
        {"name": "a", "command": "exit 1"}, {"name": "b", "command": "exit 1"},
        {"name": "c", "command": "true", "depends_on": ["a", "b"]},
    ]  # fmt: skip
    shell.write("w.json", {"name": "w", "workers": workers})
    assert "`wattle run w.json --from a --from b` begins again there" in shell.run("run", "w.json").stderr


def test_a_first_definition_has_the_name_of_its_file(shell):
    for name, called in (("etl.yaml", "etl"), ("数据.yml", "数据"), ("true.yaml", "true"), ("-x.json", "first")):
        shell.run("init", "--", name)
        assert shell.run("validate", "--", name).returncode == 0, name
        plan = shell.run("run", "--dry-run", "--", name)
        assert plan.returncode == 0 and len(plan.stdout.splitlines()) == 3
        assert f'"name": "{called}"' in shell.run("diff", "--", name).stdout, name
    assert shell.run("init", "-").stdout.startswith("# A workflow")


def test_a_ready_service_and_a_run_of_one_worker_are_told_as_they_are(shell):
    service = {"name": "db", "kind": "service", "command": "exec sleep 600"}
    shell.write("app.json", {"name": "app", "workers": [service, {"name": "task", "command": "exit 3"}]})
    assert shell.run("run", "app.json", "--only", "task").returncode == Exit.FAILED
    assert shell.run("serve", "--help").returncode == 0
    shell.start("serve", "--listen", "127.0.0.1:0").says("listening")
    assert shell.run("start", "app/db").returncode == 0
    assert "its attempt 1 runs and is ready" in shell.run("why", "app/db").stdout
    assert "(run 1)" in shell.run("status", "app").stdout.splitlines()[0], "the run that its status is of"
    assert "(run 2)" in shell.run("status", "app/db").stdout.splitlines()[0]
    took = shell.run("history", "app").stdout.splitlines()[-3]
    assert "-" not in took, "what runs has taken some time already"
