"""Ids that Wattle takes stay; others become legal, distinct, and the same each time."""

import hashlib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattle.definition.names import why_not_port, why_not_worker
from wattle.importers.names import Paths, legal_names, shortened

ODD_TEXT = st.text(st.one_of(st.characters(), st.sampled_from("/.-~$\u200b\u0301e\n9")), min_size=1, max_size=300)


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@pytest.mark.parametrize("legal", ["a", "BWA.INDEX_1", "x" * 128, "with blanks", "ünï", "a#b:c"])
def test_a_legal_id_stays_as_it_is(legal):
    assert legal_names([legal], why_not_worker) == {legal: legal}


@pytest.mark.parametrize(
    "odd, head",
    [
        ("x" * 129, "x" * 100),
        ("/3e/92/a.tsv", "_3e_92_a.tsv"),
        ("42", "42"),
        ("-dash", "_dash"),
        ("..", "_."),
        ("a\u200bb\nc", "a_b_c"),
    ],
)
def test_another_becomes_its_beginning_and_a_hash(odd, head):
    assert legal_names([odd], why_not_worker) == {odd: f"{head}~{hash_of(odd)}"}


def test_long_ids_with_one_beginning_stay_apart():
    names = legal_names(["x" * 150 + "1", "x" * 150 + "2"], why_not_worker)
    assert len(set(names.values())) == 2


def test_an_id_that_looks_like_anothers_short_form_keeps_its_name():
    """The illegal one takes more digits, whichever of the two comes first."""
    short = f"{'x' * 100}~{hash_of('x' * 150)}"
    for ids in (["x" * 150, short], [short, "x" * 150]):
        names = legal_names(ids, why_not_worker)
        assert names[short] == short
        assert names["x" * 150].startswith(short) and len(names["x" * 150]) == 117


def test_ids_that_unicode_takes_for_the_same_stay_apart():
    names = legal_names(["é", "e\u0301"], why_not_worker)
    assert names == {"é": "é", "e\u0301": f"é~{hash_of('e' + chr(0x301))}"}


@given(st.lists(ODD_TEXT, max_size=8))
def test_names_are_legal_and_distinct(ids):
    for why_not in (why_not_worker, why_not_port):
        names = legal_names(ids, why_not)
        assert names.keys() == set(ids)
        assert [why_not(name) for name in names.values() if why_not(name)] == []
        assert len({unicodedata.normalize("NFC", name) for name in names.values()}) == len(names)


@pytest.mark.parametrize(
    "file_id, path",
    [
        ("a.txt", "d/a.txt"),
        ("/3e/92/a.tsv", "d/3e/92/a.tsv"),
        ("./a//b", "d/a/b"),
        ("-", "d/-"),
        ("~", "d/~"),
        ("../a", f"d/_._a~{hash_of('../a')}"),
        ("/", f"d/_~{hash_of('/')}"),
        ("..", f"d/_.~{hash_of('..')}"),
        ("${{ x }}", f"d/___ x __~{hash_of('${{ x }}')}"),
        ("y" * 300, f"d/{'y' * 100}~{hash_of('y' * 300)}"),
    ],
)
def test_paths_are_below_the_directory(file_id, path):
    assert Paths("d").path_of(file_id) == path


def test_a_file_is_not_where_another_has_its_directory():
    for ids in (["out", "out/x", "out/x/y"], ["out/x/y", "out/x", "out"], ["/out", "out", "./out"]):
        paths = Paths("d")
        made = [paths.path_of(each) for each in ids]
        assert len(set(made)) == 3 and paths.changed in (1, 2)
        assert not any(one != other and other.startswith(f"{one}/") for one in made for other in made)


@given(st.lists(ODD_TEXT, max_size=8, unique=True))
def test_no_path_leaves_the_directory_or_is_in_anothers_way(ids):
    paths = Paths("d")
    made = [paths.path_of(each) for each in ids]
    for path in made:
        parts = path.split("/")
        assert parts[0] == "d" and len(parts) > 1 and not {"", ".", ".."} & set(parts)
        assert "${{" not in path and "\n" not in path and "\0" not in path
        assert max(len(part.encode()) for part in parts) <= 255
    assert len(set(made)) == len(made)
    assert not any(one != other and other.startswith(f"{one}/") for one in made for other in made)


def test_a_second_maker_of_a_file_has_a_path_of_its_own():
    paths = Paths("d")
    made = [paths.path_of("f"), paths.path_of("f", owner="b"), paths.path_of("f", owner="c")]
    assert made[0] == "d/f" and len(set(made)) == 3


def test_shortened_text_is_cut_by_bytes_too():
    assert len(shortened("\U00020000" * 100, ()).encode()) <= 170
