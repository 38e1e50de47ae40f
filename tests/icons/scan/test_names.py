import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioicons_kit.icons.scan import names

# Text with all that files and JSON can hold, halves of characters included.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)


@given(ANY_TEXT)
def test_what_is_shown_can_be_written_on_one_line(text):
    for shown in (names.plain(text), names.printable(text)):
        assert names.is_writable(shown)
        assert shown.encode("utf-8").decode("utf-8") == shown
        assert len(shown.splitlines()) <= 1
    assert names.plain(names.plain(text)) == names.plain(text)


@pytest.mark.parametrize("mark", ["\n", "\x00", "\x85", "\u2028", "\u202e", "\u2066", "\ud800"])
def test_marks_that_make_a_line_lie_are_not_writable(mark):
    assert not names.is_writable(f"a{mark}b")
    assert names.plain(f"a {mark}b") == "a b"
    assert mark not in names.printable(f"a{mark}b")


@pytest.mark.parametrize(
    "text", ["Дмитрий", "\u0645\u06cc\u200c\u0631", "a\u00a0b", "e\u0301", "👩\u200d🔬"]
)
def test_names_of_all_scripts_are_writable(text):
    assert names.is_writable(text)


@given(ANY_TEXT)
def test_keys_do_not_depend_on_composition(text):
    for key in (names.name_key, names.person_key):
        assert key(unicodedata.normalize("NFD", text)) == key(unicodedata.normalize("NFC", text))


def test_keys_of_people_are_coarser_than_those_of_folders():
    assert (
        names.name_key("Cell_types") == names.name_key("cell-TYPES") != names.name_key("Celltypes")
    )
    assert names.person_key("Ewa-Oz") == names.person_key("EwaOz")
