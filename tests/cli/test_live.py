"""The live views in a real pseudo-terminal: what stands on the screen while a run goes on, and afterwards."""

import signal
import termios

import pytest


def gated(name="gated", extra=()):
    """`gate` prints and waits for the file `go`; `bad` fails at once; `after` needs `gate`."""
    return {
        "name": name,
        "working_dir": name,
        "workers": [
            {"name": "gate", "command": "echo first; echo last words; until [ -e go ]; do sleep 0.02; done"},
            {"name": "bad", "command": "echo no route >&2; exit 7"},
            {"name": "after", "command": "echo good > good", "depends_on": ["gate"], "outputs": {"file": "good"}},
            *extra,
        ],
    }  # fmt: skip


def go(shell, name="gated"):
    (shell.directory / name / "go").touch()


@pytest.mark.parametrize("columns, lines", [(80, 24), (160, 50)])
def test_a_run_is_a_table_and_ends_in_a_summary(shell, terminal, columns, lines):
    shell.write("gated.json", gated())
    screen = terminal("run", "gated.json", columns=columns, lines=lines)
    shown = screen.shows("▶ running    gate", "last words", "✗ failed     bad", "○ waiting    after", "1/3")
    screen.until(lambda lines: any("gate  " in row and " s " in row and "%" in row and "B " in row for row in lines))
    assert "waits for gate" in next(line for line in shown if "after" in line)
    assert "exit code 7" in next(line for line in shown if "bad" in line)
    assert all(word in shown[1] for word in ("STATE", "WORKER", "TOOK", "CPU", "MEMORY"))
    go(shell)
    assert screen.ends() == 1
    ended = "\n".join(screen.past)
    assert "STATE" not in ended, "the table is taken away"
    assert "✓ completed  gate" in ended and "✓ completed  after" in ended
    assert "✗ failed     bad" in ended and "| no route" in ended and "exit code 7: no route" in ended
    assert "after/file  5 B" in ended
    assert "next: `wattle logs gated/bad` shows what it printed" in ended
    assert "wattle run gated.json --from bad" in ended.replace("\n", "")
    assert screen.cursor_is_shown


def test_what_is_more_than_the_screen_holds_is_counted(shell, terminal):
    """Busy ones first, then failed ones; nothing is wider or longer than the terminal."""
    many = [{"name": f"w{number:02}", "command": "true", "depends_on": ["gate"]} for number in range(30)]
    shell.write("gated.json", gated(extra=many))
    screen = terminal("run", "gated.json", columns=40, lines=10)
    shown = screen.shows("▶ running    gate", "✗ failed     bad", "1/33", "… and 27 waiting")
    rows = shown[1:]
    assert rows[1].startswith("▶ running    gate") and rows[2].startswith("✗ failed     bad")
    assert max(map(len, shown)) < 40 and len([line for line in shown if line]) <= 10
    go(shell)
    assert screen.ends() == 1
    ended = "\n".join(screen.past)
    assert "and 12 more completed" in ended


def test_a_run_without_colours_and_glyphs_has_words(shell, terminal):
    shell.write("gated.json", gated())
    screen = terminal("run", "gated.json", NO_COLOR="1", LC_ALL="C")
    screen.shows("> running    gate", "x failed     bad", ". waiting    after")
    assert screen.colour_of("x failed") == "default"
    go(shell)
    assert screen.ends() == 1


def test_colours_stand_beside_words(shell, terminal):
    shell.write("gated.json", gated())
    screen = terminal("run", "gated.json")
    screen.shows("✗ failed", "▶ running")
    assert (screen.colour_of("✗ failed"), screen.colour_of("▶ running")) == ("red", "blue")
    go(shell)
    screen.ends()


def test_a_dumb_terminal_gets_lines(shell, terminal):
    shell.write("gated.json", gated())
    screen = terminal("run", "gated.json", TERM="dumb")
    screen.shows("✗ failed     bad", "▶ running    gate")
    go(shell)
    assert screen.ends() == 1 and b"\x1b" not in screen.raw


def test_ctrl_c_gives_the_terminal_back_and_leaves_the_workers(shell, terminal):
    shell.write("gated.json", gated())
    screen = terminal("run", "gated.json")
    screen.shows("▶ running    gate", "✗ failed     bad")
    screen.types("\x03")
    assert screen.ends() == 130
    assert "run 1 of 'gated' goes on with 1 worker. `wattle serve` continues" in " ".join(screen.past)
    assert screen.cursor_is_shown and screen.settings == screen.before
    go(shell)


def test_the_table_goes_on_over_a_crash_of_the_server(shell, terminal):
    shell.write("gated.json", gated())
    server = shell.start("serve", "--listen", "127.0.0.1:0")
    server.says("listening")
    screen = terminal("run", "gated.json")
    screen.shows("▶ running    gate", "✗ failed     bad")
    server.signal(signal.SIGKILL)
    screen.shows("this command is the server now", "▶ running    gate")
    go(shell)
    assert screen.ends() == 1
    assert any("✓ completed  after" in line for line in screen.past)


def test_an_estimate_comes_from_the_run_before(shell, terminal):
    workflow = {
        "name": "slow",
        "working_dir": "slow",
        "workers": [
            {"name": "one", "command": "sleep 0.7; until [ -e go ]; do sleep 0.02; done"},
            {"name": "two", "command": "until [ -e go ]; do sleep 0.02; done", "depends_on": ["one"]},
        ],
    }
    shell.write("slow.json", workflow)
    (shell.directory / "slow").mkdir()
    go(shell, "slow")
    assert shell.run("run", "slow.json").returncode == 0
    (shell.directory / "slow/go").unlink()
    screen = terminal("run", "slow.json")
    screen.shows("0/2", "about", " left")
    go(shell, "slow")
    assert screen.ends() == 0


def test_top_sorts_by_a_key_and_gives_the_terminal_back(shell, terminal):
    workers = [
        {"name": "busy", "command": "while :; do :; done"},
        {"name": "alone", "command": "sleep 600"},
        {"name": "parent", "command": "sleep 600 & sleep 600 & wait"},
    ]
    shell.write("load.json", {"name": "load", "workers": workers})
    assert shell.run("run", "--detach", "load.json").returncode == 0
    screen = terminal("top", "load/*", columns=80, lines=10)

    def first(lines):
        return next((word for line in lines for word in line.split() if word.startswith("load/")), None)

    screen.until(lambda lines: first(lines) == "load/busy" and any("load/parent" in line for line in lines))
    screen.until(lambda lines: any("3 running" in line and "by cpu" in line for line in lines))
    screen.types("p")
    screen.until(lambda lines: first(lines) == "load/parent")
    screen.types("n")
    screen.until(lambda lines: first(lines) == "load/alone")
    screen.types("q")
    assert screen.ends() == 0
    assert screen.settings[3] & termios.ECHO and screen.cursor_is_shown
    once = shell.run("top", "--once", "--sort", "name")
    assert [line.split()[2] for line in once.stdout.splitlines()[2:]] == ["load/alone", "load/busy", "load/parent"]


def test_ctrl_c_ends_top_with_130_and_gives_the_terminal_back(shell, terminal):
    workers = [{"name": "w", "command": "sleep 600"}]
    shell.write("load.json", {"name": "load", "workers": workers})
    assert shell.run("run", "--detach", "load.json").returncode == 0
    screen = terminal("top", columns=40, lines=10)
    screen.shows("1 running", "load/w")
    assert max(map(len, screen.lines)) <= 40
    screen.types("\x03")
    assert screen.ends() == 130
    assert screen.settings == screen.before and screen.cursor_is_shown
