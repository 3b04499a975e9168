from typing import Any

import pytest
from definition.documents import read, refusal, workflow

from wattle.errors import Invalid

FETCH = {"name": "fetch", "outputs": {"raw_data": "r", "metadata": "m"}}


def test_a_missing_output_is_told_in_the_documented_words() -> None:
    """W-42"""
    error = refusal(workflow({"name": "fetcher"}, {"name": "processor", "inputs": {"x": "fetcher/output"}}))
    assert isinstance(error, Invalid)
    assert error.code == "DEPENDENCY_VALIDATION_FAILED"
    assert error.message == (
        "Dependency validation failed: worker 'processor' depends on 'fetcher/output' but that output does not exist"
    )
    assert error.zh == "依赖验证失败: worker 'processor' 依赖 'fetcher/output' 但该输出不存在"
    assert error.details[0].pointer == "/workers/1/inputs/x"


def test_a_reference_without_a_slash_to_the_worker_itself_is_both_problems() -> None:
    """A7"""
    error = refusal(workflow({"name": "a", "outputs": {"o": "a"}, "inputs": {"i": "a"}}))
    assert [problem.code for problem in error.details] == ["DEPENDENCY_VALIDATION_FAILED", "CIRCULAR_DEPENDENCY"]


def test_a_circle_is_told_in_the_documented_words_with_its_path() -> None:
    """W-43"""
    error = refusal(
        workflow(
            {"name": "a", "outputs": {"o": "a"}, "inputs": {"i": "b/o"}},
            {"name": "b", "outputs": {"o": "b"}, "inputs": {"i": "a/o"}},
        )
    )
    assert isinstance(error, Invalid)
    assert error.code == "CIRCULAR_DEPENDENCY"
    assert error.message == "Circular dependency detected, the workflow cannot be executed"
    assert error.zh == "检测到循环依赖，无法执行工作流"
    [problem] = error.details
    assert problem.message.endswith(": a → b → a")
    assert problem.pointer == "/workers/0/inputs/i"
    assert problem.suggestion == "remove input `i` of worker `a`, or another step of the circle"


@pytest.mark.parametrize(
    "ref, hint",
    [
        ("fetch/raw_dat", "did you mean `fetch/raw_data`?"),
        ("fetch/zzz", "worker `fetch` declares `fetch/metadata`, `fetch/raw_data`"),
        ("fetch", "worker `fetch` declares `fetch/metadata`, `fetch/raw_data`"),
        ("fetch/", "worker `fetch` declares `fetch/metadata`, `fetch/raw_data`"),
        ("fetch/raw_data/x", "did you mean `fetch/raw_data`?"),
        ("fetcher/raw_data", "there is no worker `fetcher`; did you mean `fetch`?"),
        ("fetcher", "an input is written `worker/output`; there is no worker `fetcher`; did you mean `fetch`?"),
        ("", "an input is written `worker/output`; there is no worker ``"),
        ("one/x", "did you mean `one/only`?"),
        ("none/x", "worker `none` declares no outputs; declare one, or use `depends_on`"),
    ],
)
def test_a_reference_that_leads_nowhere_has_a_suggestion(ref: str, hint: str) -> None:
    """W-35, A7: also where it has no slash."""
    others: list[dict[str, Any]] = [{"name": "one", "outputs": {"only": "x"}}, {"name": "none"}]
    [problem] = refusal(workflow(FETCH, *others, {"name": "end", "inputs": {"i": ref}})).details
    assert (problem.code, problem.suggestion) == ("DEPENDENCY_VALIDATION_FAILED", hint)


@pytest.mark.parametrize(
    "name, hint",
    [
        ("fetcher", "did you mean `fetch`?"),
        ("fetch/raw_data", "`depends_on` names workers only: did you mean `fetch`?"),
        ("zzz", None),
    ],
)
def test_depends_on_names_workers(name: str, hint: str | None) -> None:
    [problem] = refusal(workflow(FETCH, {"name": "end", "depends_on": ["fetch", name]})).details
    assert (problem.code, problem.pointer) == ("DEPENDENCY_VALIDATION_FAILED", "/workers/1/depends_on/1")
    assert problem.suggestion == hint


@pytest.mark.parametrize("needs", [{"inputs": {"i": "a/o"}}, {"inputs": {"i": "a/no such"}}, {"depends_on": ["a"]}])
def test_a_reference_to_the_worker_itself_is_a_circle(needs: dict[str, Any]) -> None:
    """A7"""
    [problem] = refusal(workflow({"name": "a", "outputs": {"o": "f"}, **needs})).details
    assert problem.code == "CIRCULAR_DEPENDENCY"
    assert problem.message.endswith(": a → a")


def test_each_knot_is_one_problem() -> None:
    chain = [
        {"name": name, "depends_on": needs}
        for name, needs in {"a": ["b"], "b": ["c"], "c": ["a", "b"], "d": ["a"], "e": ["f"], "f": ["e"]}.items()
    ]
    error = refusal(workflow(*chain))
    assert [problem.message.partition(": ")[2] for problem in error.details] == ["a → c → b → a", "e → f → e"]


def test_an_output_name_may_stand_for_two_inputs() -> None:
    result = read(workflow(FETCH, {"name": "end", "inputs": {"i": "fetch/raw_data", "j": "fetch/raw_data"}}))
    assert result.workers[1].inputs["i"] == result.workers[1].inputs["j"]


def test_a_circle_of_ten_thousand_is_one_concrete_path() -> None:
    count = 10_000
    ring = [{"name": f"w{n}", "depends_on": [f"w{(n + 1) % count}"]} for n in range(count)]
    [problem] = refusal(workflow(*ring)).details
    names = problem.message.partition(": ")[2].split(" → ")
    assert (names[0], names[-1], len(names)) == ("w0", "w0", count + 1)
