"""WF and WF/WORKER."""

import pytest

from wattle.cli.target import parse_target


@pytest.mark.parametrize(
    "text, wanted", [("w", ("w", None)), ("w/a", ("w", "a")), ("数据/a b", ("数据", "a b")), ("w.1/-", ("w.1", "-"))]
)
def test_targets_are_read(text, wanted):
    assert tuple(parse_target(text)) == wanted
    assert str(parse_target(text)) == text


@pytest.mark.parametrize("text", ["", "/", "w/", "/a", "w/a/b"])
def test_targets_that_mean_nothing_are_not(text):
    with pytest.raises(ValueError, match="neither WORKFLOW nor WORKFLOW/WORKER"):
        parse_target(text)
