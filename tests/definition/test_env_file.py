"""The text of an env_file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattle.definition.env_file import parse_env


def test_lines_quotes_and_comments_mean_what_docker_compose_means() -> None:
    text = """\ufeff# first
A=1
 export B = two words # comment
C='as $it is # here'   # comment
D="x\\ty \\"q\\" \\\\ \\$1 \\z"
E=
F=a#b
I=#aabbcc # comment
J=\t# comment
G="two
lines"

H='it
too'
A=2"""
    assert parse_env(text.replace("\nH", "\r\nH")) == {
        "A": "2", "B": "two words", "C": "as $it is # here", "D": 'x\ty "q" \\ $1 \\z', "E": "", "F": "a#b",
        "I": "#aabbcc", "J": "",
        "G": "two\nlines", "H": "it\ntoo",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text, says",
    [
        ("A=1\nB\n", "line 2 is not NAME=value"),
        ("A='x\n", "line 1 has a ' that is not closed"),
        ('A="x" y\n', "line 1 has something behind"),
        ("=x", "line 1 is not NAME=value"),
        ("\n\nWATTLE_RUN_ID=1", "line 3 sets WATTLE_RUN_ID, which Wattle sets"),
        ("A=\0", "line 1 holds NUL"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_env(text)


NAMES = st.from_regex(r"V[A-Z_]{0,5}", fullmatch=True)


@given(st.dictionaries(NAMES, st.text(st.characters(exclude_characters="\0\r"))))
def test_any_value_can_be_written_in_double_quotes(variables: dict[str, str]) -> None:
    escaped = {name: value.replace("\\", "\\\\").replace('"', '\\"') for name, value in variables.items()}
    assert parse_env("".join(f'{name}="{value}"\n' for name, value in escaped.items())) == variables


@given(st.text(st.sampled_from("A='\"\\# \nx")))
def test_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    try:
        parse_env(text)
    except ValueError as error:
        assert str(error).startswith("line ")
