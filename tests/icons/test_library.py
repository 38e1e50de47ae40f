import json
import os
import unicodedata
from pathlib import Path

import pytest

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import library

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><rect width="1" height="1"/></svg>'


def plant(root: Path, *relatives: str) -> Path:
    for relative in relatives:
        path = root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SVG, encoding="utf-8")
    return root


def test_folders_become_license_category_author_and_title(tmp_path):
    plant(tmp_path, "cc-by-4.0/Cell_types/Simon_Dürr/B-cell_cluster.svg")
    (tmp_path / "authors.json").write_text(
        json.dumps({"Simon D\u00fcrr": "https://example.org/simon"}), encoding="utf-8"
    )
    (icon,) = library.scan(str(tmp_path)).icons
    assert icon == library.Icon(
        path=tmp_path / "cc-by-4.0/Cell_types/Simon_Dürr/B-cell_cluster.svg",
        relative="cc-by-4.0/Cell_types/Simon_Dürr/B-cell_cluster.svg",
        category="Cell types",
        license="CC-BY-4.0",
        author="Simon Dürr",
        title="B-cell cluster",
        author_url="https://example.org/simon",
    )


def test_icons_are_in_the_order_of_their_ids_and_other_files_are_ignored(tmp_path):
    plant(tmp_path, "mit/Z/a/b.svg", "cc-0/A/b/a.svg", "cc-0/A/a/z.SVG", "cc-0/A/a/.hidden.svg")
    plant(tmp_path, ".git/A/a/x.svg", "mit/Z/a/notes.txt")
    found = library.scan(str(tmp_path))
    assert [icon.relative for icon in found.icons] == [
        "cc-0/A/a/z.SVG",
        "cc-0/A/b/a.svg",
        "mit/Z/a/b.svg",
    ]
    assert found.skipped == ()


def test_icon_directly_under_its_category_has_an_unknown_author(tmp_path):
    (icon,) = library.scan(str(plant(tmp_path, "cc-0/Animals/stray.svg"))).icons
    assert (icon.author, icon.author_url, icon.category) == ("unknown", None, "Animals")


def test_misplaced_and_unlicensed_icons_are_skipped_with_a_reason(tmp_path):
    plant(tmp_path, "cc-0/A/a/good.svg", "cc-0/A/a/deep/x.svg", "top.svg", "gpl/A/a/x.svg")
    reasons = {entry.path: entry.reason for entry in library.scan(str(tmp_path)).skipped}
    assert "layout is license/category/author/name.svg" in reasons["cc-0/A/a/deep/x.svg"]
    assert "layout is" in reasons["top.svg"]
    assert "unknown license 'gpl'" in reasons["gpl/A/a/x.svg"]
    assert len(reasons) == 3


def test_links_out_of_the_library_and_to_folders_are_refused(tmp_path):
    root = plant(tmp_path / "root", "cc-0/A/a/good.svg")
    secret = plant(tmp_path, "secret.svg") / "secret.svg"
    (root / "cc-0/A/a/out.svg").symlink_to(secret)
    (root / "cc-0/A/a/inside.svg").symlink_to(root / "cc-0/A/a/good.svg")
    (root / "cc-0/A/a/broken.svg").symlink_to(root / "cc-0/A/a/nothing.svg")
    (root / "cc-0/loop").symlink_to(root)
    found = library.scan(str(root))
    assert [icon.path.name for icon in found.icons] == ["good.svg", "inside.svg"]
    assert {entry.path: entry.reason for entry in found.skipped} == {
        "cc-0/A/a/broken.svg": "not a file",
        "cc-0/A/a/out.svg": "a link that leads out of the library",
        "cc-0/loop": "a link to a folder, which is not followed",
    }


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_that_cannot_be_written_down_are_skipped(tmp_path):
    plant(tmp_path, "cc-0/A/a/good.svg", "cc-0/A/a/two\nlines.svg")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/cc-0/A/a/\xff.svg")).write_text(SVG)
        expected = 2
    except OSError:
        expected = 1
    skipped = library.scan(str(tmp_path)).skipped
    assert len(skipped) == expected
    assert all(entry.path.isprintable() and entry.path.encode() for entry in skipped)


def test_ids_are_composed_unicode_whatever_the_file_system_gives(tmp_path):
    decomposed = unicodedata.normalize("NFD", "cc-0/A/Frédéric/é.svg")
    (icon,) = library.scan(str(plant(tmp_path, decomposed))).icons
    assert icon.relative == "cc-0/A/Frédéric/é.svg"
    assert icon.path.read_text(encoding="utf-8") == SVG


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("https://a.org/~x", "https://a.org/~x"),
        ("twitter.com/lhinderling", "https://twitter.com/lhinderling"),
        ("usadellab.org", "https://usadellab.org"),
        ("gringene@genomic.social", None),
        ("javascript:alert(1)", None),
        ("https://a.org/<b> c", None),
        ("", None),
        (None, None),
    ],
)
def test_author_urls_are_web_addresses_or_nothing(tmp_path, written, url):
    plant(tmp_path, "cc-0/A/Jo-Doe/x.svg")
    (tmp_path / "authors.json").write_text(json.dumps({"jo doe": written}), encoding="utf-8")
    (icon,) = library.scan(str(tmp_path)).icons
    assert (icon.author, icon.author_url) == ("jo doe", url)


def test_missing_root_says_how_to_get_the_icons(tmp_path):
    with pytest.raises(LibraryError, match=r"git clone --depth 1 .*bioicons.*'shipped'") as caught:
        library.scan(str(tmp_path / "nowhere"))
    assert str(tmp_path / "nowhere") in str(caught.value)


def test_root_without_icons_says_what_to_do(tmp_path):
    with pytest.raises(LibraryError, match=r"no SVG there; get the icons"):
        library.scan(str(tmp_path))
    plant(tmp_path, "static/icons/cc-0/A/a/x.svg")
    with pytest.raises(LibraryError, match=r"set dataset.root to .*static.icons"):
        library.scan(str(tmp_path))
    with pytest.raises(LibraryError, match=r"none of its 1 SVGs .*unknown license 'A'"):
        library.scan(str(tmp_path / "static/icons/cc-0"))


@pytest.mark.parametrize("text", ["{", "[]", '{"a": "\udcff"}'])
def test_damaged_authors_file_is_named(tmp_path, text):
    plant(tmp_path, "cc-0/A/a/x.svg")
    (tmp_path / "authors.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(LibraryError, match=r"authors.json"):
        library.scan(str(tmp_path))


def test_shipped_is_a_library():
    found = library.scan("shipped")
    assert found.root == library.SHIPPED
    assert found.icons
    assert found.skipped == ()
