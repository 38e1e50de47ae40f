import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons.scan import authors, names
from bioicons_kit.icons.scan.authors import Author


def write(root: Path, entries: object) -> Path:
    (root / "authors.json").write_text(json.dumps(entries), encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("https://a.org/~x", "https://a.org/~x"),
        ("http://a.org:8080/#/x", "http://a.org:8080/#/x"),
        ("twitter.com/lhinderling", "https://twitter.com/lhinderling"),
        ("usadellab.org", "https://usadellab.org"),
        ("gringene@genomic.social", None),
        ("javascript:alert(1)", None),
        ("https://a.org/<b> c", None),
        ("https://a.org/>b", None),
        ("https://a.org/\u202ebad", None),
        ("https://a.org/\ud800", None),
        ("", None),
        (None, None),
    ],
)
def test_urls_are_web_addresses_or_nothing(tmp_path, written, url):
    known = authors.read(write(tmp_path, {"jo doe": written}))
    assert known.of_folder("Jo-Doe") == Author("jo doe", url)


@pytest.mark.parametrize(
    "folder", ["Simon_Dürr", "simon-d\u0075\u0308rr", "SimonDürr", "Simon  Dürr-"]
)
def test_folders_are_matched_however_they_are_spelled(tmp_path, folder):
    known = authors.read(write(tmp_path, {"Simon Dürr": "example.org"}))
    assert known.of_folder(folder) == Author("Simon Dürr", "https://example.org")


def test_spellings_of_one_person_are_one_and_keep_the_address(tmp_path):
    known = authors.read(write(tmp_path, {"Ewa-Oz": "", "EwaOz": "a.org", "ewa oz": "b.org"}))
    assert known.of_folder("Ewa_Oz") == Author("EwaOz", "https://a.org")


def test_who_is_not_listed_has_the_spelling_of_the_first_folder(tmp_path):
    known = authors.read(tmp_path)
    assert known.of_folder("fang_fang-yang") == Author("fang fang-yang")
    assert known.of_folder("Fang-fangyang") == Author("fang fang-yang")
    assert known.of_folder("_-") == known.of_folder("") == Author("unknown")


def test_names_are_shown_without_what_cannot_be_written_down(tmp_path):
    known = authors.read(write(tmp_path, {"Jo\u202e\n Doe\ud800": "", "\u202e": "a.org"}))
    assert known.of_folder("jo_doe") == Author("Jo Doe")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is no JSON"),
        (b"[]", "must be one object"),
        (b'{"a": "\xff"}', "is no UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b" " * (4 * 2**20 + 1), "more than 4 MiB"),
    ],
)
def test_damaged_file_is_named(tmp_path, content, message):
    (tmp_path / "authors.json").write_bytes(content)
    with pytest.raises(LibraryError, match=f"authors.json: .*{message}"):
        authors.read(tmp_path)


def test_file_of_windows_with_a_mark_is_read(tmp_path):
    (tmp_path / "authors.json").write_bytes('\ufeff{"Jo": "a.org"}'.encode())
    assert authors.read(tmp_path).of_folder("jo").url == "https://a.org"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes among files")
def test_what_is_no_file_of_the_library_is_refused(tmp_path):
    path = tmp_path / "library" / "authors.json"
    path.parent.mkdir()
    os.mkfifo(path)
    with pytest.raises(LibraryError, match="is no file"):
        authors.read(path.parent)
    path.unlink()
    path.symlink_to(write(tmp_path, {}) / "authors.json")
    with pytest.raises(LibraryError, match="leads out of the library"):
        authors.read(path.parent)
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(LibraryError, match=r"cannot be read|leads out"):
        authors.read(path.parent)


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=30) | st.integers(), max_size=5))
def test_any_names_and_addresses_can_be_written_down(tmp_path_factory, entries):
    known = authors.read(write(tmp_path_factory.mktemp("authors"), entries))
    for name in entries:
        found = known.of_folder(name)
        shown = f"{found.name} {found.url}"
        assert shown.encode("utf-8").decode("utf-8") == shown
        assert names.is_writable(shown)
