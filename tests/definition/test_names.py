import unicodedata

import pytest
from definition.documents import read, refusal, worker, workflow
from hypothesis import given
from hypothesis import strategies as st

from wattle.definition.names import (
    RESERVED_WORKFLOW_NAMES,
    nfc,
    why_not_port,
    why_not_variable,
    why_not_worker,
    why_not_workflow,
)
from wattle.errors import Malformed

DECOMPOSED, COMPOSED = "cafe\u0301", "caf\u00e9"


@pytest.mark.parametrize(
    "name", ["a", "data_fetcher", "a.b-c", "a b", "日本", COMPOSED, "1a", "x" * 128, "é" * 100, "🚀"]
)
def test_good_names(name: str) -> None:
    assert why_not_workflow(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", ".hidden", "-x", "42", "٤٢", "a/b", "a\nb", "a\x7f", "a\x85", "a\u200bb", "a\u202eb", "\ufeffa",
        "a\u2066", "x" * 129, "é" * 101, "\ud800",
    ],
)  # fmt: skip
def test_bad_names_of_workers(name: str) -> None:
    assert why_not_worker(name)
    error = refusal(worker(name=name))
    assert isinstance(error, Malformed)
    assert error.details[0].pointer == "/workers/0/name"


@pytest.mark.parametrize("name", sorted(RESERVED_WORKFLOW_NAMES))
def test_words_of_urls_are_no_workflow_names_but_good_worker_names(name: str) -> None:
    assert "reserved" in str(why_not_workflow(name))
    assert why_not_worker(name) is None


@pytest.mark.parametrize(
    "name, good", [("1", True), ("-x y", True), ("x" * 129, False), ("", False), ("a/b", False), ("\t", False)]
)
def test_names_of_inputs_and_outputs(name: str, good: bool) -> None:
    assert (why_not_port(name) is None) is good


@pytest.mark.parametrize("name, good", [("PATH", True), ("a b", True), ("", False), ("A=B", False), ("A\0", False)])
def test_names_of_variables(name: str, good: bool) -> None:
    assert (why_not_variable(name) is None) is good


def test_names_are_stored_and_compared_composed() -> None:
    result = read(
        workflow(
            {"name": DECOMPOSED, "outputs": {DECOMPOSED: "out"}, "stdout": COMPOSED},
            {
                "name": "b",
                "workflow_name": DECOMPOSED,
                "inputs": {DECOMPOSED: f"{COMPOSED}/{DECOMPOSED}"},
                "depends_on": [DECOMPOSED],
            },
            name=COMPOSED,
        )
    )
    first, second = result.workers
    assert (result.name, first.name, *first.outputs, first.stdout) == (COMPOSED,) * 4
    assert (*second.inputs, *second.depends_on) == (COMPOSED,) * 2
    assert (second.inputs[COMPOSED].producer, second.inputs[COMPOSED].output) == (COMPOSED, COMPOSED)
    assert DECOMPOSED not in str(result.document)


@pytest.mark.parametrize("field", ["inputs", "outputs"])
def test_two_spellings_of_one_name_are_a_duplicate(field: str) -> None:
    error = refusal(worker(**{field: {COMPOSED: "a/o", DECOMPOSED: "a/o"}}))
    assert error.details[0].pointer == f"/workers/0/{field}/{DECOMPOSED}"
    assert "stands twice" in error.message


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_stored_form_of_a_good_name_is_good(name: str) -> None:
    if why_not_worker(name) is None:
        assert why_not_worker(nfc(name)) is None
        assert unicodedata.is_normalized("NFC", nfc(name))
