"""docs/architecture.md where it repeats the code."""

import re

from tests.docs.documents import DOCS, section, table
from tests.docs.state_table import rendered
from wattle.engine.states import Event
from wattle.supervisor import recovery

PAGE = DOCS / "architecture.md"


def test_the_table_of_states_is_that_of_the_code() -> None:
    """`python -m tests.docs.state_table` prints what belongs there."""
    shown = re.search(r"<!-- states -->\n(.*?)\n<!-- /states -->", PAGE.read_text(), re.DOTALL)
    assert shown is not None
    assert shown[1] == rendered()


def test_every_event_is_explained() -> None:
    after = section(PAGE, "The table of states").split("<!-- /states -->")[1]
    explained = [event for row in table(after) for event in row[0].split(", ")]
    assert sorted(explained) == sorted(Event)


def test_the_table_of_crashes_has_a_row_for_each_row_of_recovery() -> None:
    """The words differ, the cases do not."""
    of_code = [row for row in table(recovery.__doc__ or "") if row[0]]
    of_page = table(section(PAGE, "What a crash leaves, and what is done"))
    assert len(of_page) == len(of_code)
    for ours, theirs in zip(of_page, of_code):
        assert _words(theirs[0]) <= _words(ours[0]), (ours[0], theirs[0])


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))
