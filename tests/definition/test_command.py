import shutil
import subprocess
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wattle.definition.command import plan_command
from wattle.errors import Invalid

SHELLS = [["/bin/sh"]]
if bash := shutil.which("bash"):
    SHELLS.append([bash, "--posix"])


def words_of_sh(shell: Sequence[str], command: str) -> list[str]:
    """What the shell makes of `command` as arguments."""
    result = subprocess.run([*shell, "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True)
    return result.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize(
    "command, argv",
    [
        ("python fetch_data.py", ("python", "fetch_data.py")),
        ("  ./run\t--n=3  a,b \n", ("./run", "--n=3", "a,b")),
        ("python3 -c 'print(1); x = \"$HOME\" # no'", ("python3", "-c", 'print(1); x = "$HOME" # no')),
        (r'say "a \"b\" \$c \d \\"', ("say", r'a "b" $c \d ' + "\\")),
        ('say "one\\\ntwo"', ("say", "onetwo")),
        (r"say a\ b \'x ''", ("say", "a b", "'x", "")),
        ("échо ünï 日本", ("échо", "ünï", "日本")),
        ("true", ("true",)),
    ],
)
def test_a_command_that_uses_nothing_of_the_shell_is_executed_directly(command: str, argv: tuple[str, ...]) -> None:
    """A3."""
    plan = plan_command(command)
    assert (plan.argv, plan.direct) == (argv, True)


@pytest.mark.parametrize(
    "command",
    [
        "echo Hello, Wattle Scheduler!", "a | b", "a && b", "a; b", "a > f", "a < f", "a &", "(a)", "a $X", 'a "$X"',
        "a `b`", 'a "`b`"', "ls *", "ls ?", "ls [ab]", "ls ~", "ls ~/x", "a # c", "X=1 a", "X=1", "a\nb", "a {1,2}",
        "if x", "! a", "time a", "cd /tmp", "exec a", ". ./x", "'cd' x", "\\cd x", "c'd' x", "true x", "printf x",
        "test -e x", "[ -e x ]", "pwd", "''", "-x", "a\\\nb", "a \\", "%1", "a\rb", "a\x01", "a\u00a0b", 'a "b\\\n$X"',
    ],
)  # fmt: skip
def test_everything_else_goes_to_sh_unchanged(command: str) -> None:
    plan = plan_command(command, [])
    assert (plan.argv, plan.direct) == (("/bin/sh", "-c", command), False)


@pytest.mark.skipif(not bash, reason="dash cannot list its builtins")
def test_no_builtin_or_keyword_of_bash_is_executed_directly() -> None:
    listed = subprocess.check_output([str(bash), "-c", "compgen -b; compgen -k"], text=True).split()
    assert len(listed) > 60
    assert [word for word in listed if word not in ("true", "false") and plan_command(word).direct] == []


def test_arguments_are_appended_literally() -> None:
    assert plan_command("python 'a b'", ["$X", "c d"]).argv == ("python", "a b", "$X", "c d")
    plan = plan_command("echo a >&2;echo", ["$X", "c d"])
    assert plan.argv == ("/bin/sh", "-c", 'echo a >&2;echo "$@"', "sh", "$X", "c d")
    assert subprocess.check_output(plan.argv, stderr=subprocess.DEVNULL) == b"$X c d\n"


def test_a_newline_at_the_end_does_not_cut_the_arguments_off() -> None:
    assert subprocess.check_output(plan_command("echo $0\n\n", ["a"]).argv) == b"sh a\n"


def test_true_with_arguments_is_left_to_sh() -> None:
    # /bin/true --help prints, the builtin does not
    assert not plan_command("true", ["--help"]).direct


@pytest.mark.parametrize("command", ["", "  ", " \n", "echo 'x", 'echo "x', "a \"b'", "echo 'a' 'b", 'say "it\\"'])
def test_an_empty_command_and_an_open_quote_are_invalid(command: str) -> None:
    """A3."""
    with pytest.raises(Invalid) as caught:
        plan_command(command)
    assert caught.value.code == "INVALID_COMMAND"


@pytest.mark.parametrize(
    "command",
    ["cat <<E\nit's\nE", "x # it's", "# it's", 'echo "$(echo \'"\')"', "echo it\\'s", "x `# it's`"],
)  # fmt: skip
def test_where_quotes_may_not_count_sh_is_the_judge(command: str) -> None:
    assert plan_command(command).argv == ("/bin/sh", "-c", command)


_PIECES = st.sampled_from(
    list("'\"\\ \t\nab1$`*?#~=!{}[]<>|&;()^%-,:")
    + ["'a b'", '"c d"', "\\'", '\\"', "é", "\u3000", "<<", "$'", "$(", "${"]
)
_COMMANDS = st.lists(_PIECES, max_size=12).map("".join)
_TAME = st.lists(
    st.sampled_from(["'", '"', "\\", " ", "a", "b=", "\t", "\n", "\\\\", "'x y'", '"x\\', "é", "$", "^", "!"]),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(_TAME.map("".join))
@example('"\\\n"')
@example("a^b !x")
def test_the_words_of_a_direct_command_are_those_of_sh(command: str) -> None:
    try:
        plan = plan_command("prog " + command)
    except Invalid:
        return
    if plan.direct:
        for shell in SHELLS:
            assert words_of_sh(shell, command) == (list(plan.argv[1:]) or [""])


@settings(max_examples=300, deadline=None)
@given(_COMMANDS)
def test_what_is_refused_sh_would_refuse_too(command: str) -> None:
    try:
        plan_command(command)
    except Invalid as error:
        if "empty" not in error.message:
            for shell in SHELLS:
                assert subprocess.run([*shell, "-n", "-c", command], capture_output=True).returncode != 0
