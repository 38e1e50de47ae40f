import hashlib
import json
import os
import sys
import unicodedata
from pathlib import Path

import pytest

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import library

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><rect width="1" height="1"/></svg>'


def plant(root: Path, *relatives: str) -> Path:
    """Write files that differ in content but not in size."""
    for relative in relatives:
        path = root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        note = hashlib.sha256(relative.encode("utf-8", "surrogateescape")).hexdigest()
        path.write_text(f"{SVG}<!--{note}-->", encoding="utf-8")
    return root


def reasons(root: Path) -> dict[str, str]:
    return {entry.path: entry.reason for entry in library.scan(str(root)).skipped}


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
    found = reasons(tmp_path)
    assert "layout is license/category/author/name.svg" in found["cc-0/A/a/deep/x.svg"]
    assert "layout is" in found["top.svg"]
    assert "unknown license 'gpl'" in found["gpl/A/a/x.svg"]
    assert len(found) == 3


def test_links_out_of_the_library_and_to_folders_are_refused(tmp_path):
    root = plant(tmp_path / "root", "cc-0/A/a/good.svg")
    plant(root, ".objects/kept elsewhere")
    secret = plant(tmp_path, "secret.svg") / "secret.svg"
    (root / "cc-0/A/a/out.svg").symlink_to(secret)
    (root / "cc-0/A/a/inside.svg").symlink_to(root / ".objects/kept elsewhere")
    (root / "cc-0/A/a/broken.svg").symlink_to(root / "cc-0/A/a/nothing.svg")
    (root / "cc-0/A/a/myself.svg").symlink_to(root / "cc-0/A/a/myself.svg")
    (root / "cc-0/A/a/one.svg").symlink_to(root / "cc-0/A/a/other.svg")
    (root / "cc-0/A/a/other.svg").symlink_to(root / "cc-0/A/a/one.svg")
    (root / "cc-0/loop").symlink_to(root)
    found = library.scan(str(root))
    assert [icon.path.name for icon in found.icons] == ["good.svg", "inside.svg"]
    loop = "cannot be read (Too many levels of symbolic links)"
    assert {entry.path: entry.reason for entry in found.skipped} == {
        "cc-0/A/a/broken.svg": "cannot be read (No such file or directory)",
        "cc-0/A/a/myself.svg": loop,
        "cc-0/A/a/one.svg": loop,
        "cc-0/A/a/other.svg": loop,
        "cc-0/A/a/out.svg": "a link that leads out of the library",
        "cc-0/loop": "a link to a folder, which is not followed",
    }


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes among files")
def test_what_is_no_file_is_skipped_and_waits_for_nobody(tmp_path):
    plant(tmp_path, "cc-0/A/a/good.svg")
    os.mkfifo(tmp_path / "cc-0/A/a/pipe.svg")
    (tmp_path / "cc-0/A/a/empty.svg").touch()
    (tmp_path / "cc-0/A/a/folder.svg").mkdir()
    assert reasons(tmp_path) == {
        "cc-0/A/a/empty.svg": "an empty file",
        "cc-0/A/a/pipe.svg": "not a file",
    }


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="everything is readable")
def test_folder_that_cannot_be_read_is_told(tmp_path):
    plant(tmp_path, "cc-0/A/a/good.svg", "cc-0/B/b/secret.svg")
    (tmp_path / "cc-0/B").chmod(0)
    assert reasons(tmp_path) == {"cc-0/B": "a folder that cannot be read (Permission denied)"}
    (tmp_path / "cc-0/B").chmod(0o755)


def test_file_that_goes_during_the_scan_is_told(tmp_path, monkeypatch):
    plant(tmp_path, "cc-0/A/a/good.svg", "cc-0/A/a/gone.svg")
    seen = Path.stat

    def stat(path, **options):
        if path.name == "gone.svg":
            path.unlink(missing_ok=True)
        return seen(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    assert reasons(tmp_path) == {"cc-0/A/a/gone.svg": "cannot be read (No such file or directory)"}


def test_folders_in_folders_end_somewhere(tmp_path):
    plant(tmp_path, "cc-0/A/a/good.svg", "/".join(["d"] * 40) + "/x.svg")
    assert reasons(tmp_path) == {"/".join(["d"] * 33): "more than 32 folders deep"}


@pytest.mark.skipif(os.name == "nt", reason="Windows refuses them itself")
def test_path_longer_than_the_system_allows_is_told(tmp_path):
    plant(tmp_path, "cc-0/A/a/good.svg")
    here = os.open(tmp_path, os.O_RDONLY)
    try:  # 20 folders of 250 bytes each: no path can name the last, but a folder handle can
        for _ in range(20):
            os.mkdir("n" * 250, dir_fd=here)
            below = os.open("n" * 250, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)
    ((path, reason),) = reasons(tmp_path).items()
    assert path.startswith("nnn")
    assert reason == "a folder that cannot be read (File name too long)"
    with pytest.raises(LibraryError, match="no such icon library"):
        library.scan("x" * 300)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_that_cannot_be_written_down_are_skipped(tmp_path):
    plant(tmp_path, "cc-0/A/a/good.svg", "cc-0/A/a/two\nlines.svg", "cc-0/A/a/gvs.\u202eoof.svg")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/cc-0/A/a/\xff.svg")).write_text(SVG)
        expected = 3
    except OSError:
        expected = 2
    skipped = library.scan(str(tmp_path)).skipped
    assert len(skipped) == expected
    assert all(entry.path.isprintable() and entry.path.encode() for entry in skipped)
    assert all("cannot be written down" in entry.reason for entry in skipped)


def test_spaces_and_joiners_of_all_scripts_are_names(tmp_path):
    plant(
        tmp_path, "cc-0/A/a/\u0645\u06cc\u200c\u0631\u0648\u062f.svg", "cc-0/A/a/1\u202f\u00a02.svg"
    )
    assert [icon.title for icon in library.scan(str(tmp_path)).icons] == ["1 2", "می\u200cرود"]


def test_names_of_nothing_but_underscores(tmp_path):
    (icon,) = library.scan(str(plant(tmp_path, "cc-0/_/_/_.svg"))).icons
    assert (icon.category, icon.author, icon.title) == ("unsorted", "unknown", "untitled")


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS takes both names for one file")
def test_of_two_names_that_differ_in_composition_only_the_second_is_refused(tmp_path):
    composed, decomposed = (
        unicodedata.normalize(form, "cc-0/A/a/é.svg") for form in ("NFC", "NFD")
    )
    plant(tmp_path, composed, decomposed)
    found = library.scan(str(tmp_path))
    assert [icon.relative for icon in found.icons] == [composed]
    ((path, reason),) = reasons(tmp_path).items()
    assert path == composed
    assert "rename one" in reason


def test_ids_are_composed_unicode_whatever_the_file_system_gives(tmp_path):
    decomposed = unicodedata.normalize("NFD", "cc-0/A/Frédéric/é.svg")
    (icon,) = library.scan(str(plant(tmp_path, decomposed))).icons
    assert icon.relative == "cc-0/A/Frédéric/é.svg"
    assert icon.path.is_file()


def test_drawing_that_is_there_twice_is_kept_once(tmp_path):
    for relative in ("cc-0/A/a/z.svg", "cc-by-4.0/A/b/k.svg", "cc-by-4.0/A/b/x.svg"):
        (plant(tmp_path, relative) / relative).write_text(SVG)
    (tmp_path / "cc-by-4.0/A/b/a_link.svg").symlink_to(tmp_path / "cc-0/A/a/z.svg")
    plant(tmp_path, "cc-0/A/a/other.svg")
    found = library.scan(str(tmp_path))
    # of those under the license that asks more, the first that is no link
    kept = "cc-by-4.0/A/b/k.svg"
    assert [icon.relative for icon in found.icons] == ["cc-0/A/a/other.svg", kept]
    assert found.skipped == tuple(
        library.Skipped(path, f"the same drawing as {kept}{more}", kept)
        for path, more in (
            ("cc-0/A/a/z.svg", ", whose license asks more (CC-BY-4.0, not CC0-1.0)"),
            ("cc-by-4.0/A/b/a_link.svg", ""),
            ("cc-by-4.0/A/b/x.svg", ""),
        )
    )


def test_checkout_of_bioicons_gives_the_addresses_of_its_files(tmp_path):
    root = plant(tmp_path / "static/icons", "cc-0/A/Simon_Dürr/a b.svg")
    assert library.scan(str(root)).icons[0].source_url is None
    (root / "icons.json").write_text("[]")
    assert library.scan(str(root)).icons[0].source_url == (
        "https://github.com/duerrsimon/bioicons/blob/main/static/icons/"
        "cc-0/A/Simon_D%C3%BCrr/a%20b.svg"
    )


def test_folder_that_says_its_license_itself_needs_no_layout(tmp_path):
    plant(tmp_path, "top.svg", "Frogs/deep/er/green_frog.svg", "toad.svg")
    (tmp_path / "licenses.toml").write_text(
        'license = "CC-BY-4.0"\nauthor = "Jane Doe"\n[[files]]\nmatch = "toad*"\nlicense = "mit"'
    )
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "top.svg", "title": "The top"}')
    found = library.scan(str(tmp_path))
    assert found.skipped == ()
    assert [
        (icon.relative, icon.license, icon.author, icon.category, icon.title)
        for icon in found.icons
    ] == [
        ("Frogs/deep/er/green_frog.svg", "CC-BY-4.0", "Jane Doe", "Frogs", "green frog"),
        ("toad.svg", "MIT", "Jane Doe", "unsorted", "toad"),
        ("top.svg", "CC-BY-4.0", "Jane Doe", "unsorted", "The top"),
    ]


def test_sidecar_counts_more_than_folders_and_folders_where_it_is_silent(tmp_path):
    plant(tmp_path, "cc-0/A/Jo/a.svg", "cc-0/A/Jo/b.svg")
    (tmp_path / "cc-0/A/metadata.jsonl").write_text(
        '{"file_name": "Jo/b.svg", "license": "CC BY 4.0", "text": "two\\nlines", "category": 3}\n'
        '{"file_name": "Jo/gone.svg", "license": "none"}\n'
    )
    first, second = library.scan(str(tmp_path)).icons
    assert (first.license, first.text) == ("CC0-1.0", None)
    assert (second.license, second.author, second.category) == ("CC-BY-4.0", "Jo", "A")
    assert second.text == "two lines"


def test_unknown_license_of_a_sidecar_skips_the_file(tmp_path):
    plant(tmp_path, "a.svg", "cc-0/A/a/b.svg")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.svg", "license": "mine"}')
    assert "unknown license 'mine'" in reasons(tmp_path)["a.svg"]


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


def test_shipped_is_a_library():
    found = library.scan("shipped")
    assert found.root == library.SHIPPED
    assert found.icons
    assert found.skipped == ()


def test_a_file_that_only_ends_like_a_sidecar_is_neither_icon_nor_sidecar(tmp_path):
    plant(tmp_path, "cc-0/A/b/a.svg")
    (tmp_path / "cc-0/A/b/my-metadata.jsonl").write_text('{"file_name": "a.svg", "license": "MIT"}')
    (tmp_path / "cc-0/A/b/METADATA.JSONL").write_text("{}")
    found = library.scan(str(tmp_path))
    assert [(icon.relative, icon.license) for icon in found.icons] == [
        ("cc-0/A/b/a.svg", "CC0-1.0")
    ]
    assert found.skipped == ()


def test_a_sidecar_that_cannot_be_taken_ends_the_scan(tmp_path):
    plant(tmp_path / "in", "cc-0/A/b/a.svg")
    listing = tmp_path / "in/cc-0/metadata.jsonl"
    (tmp_path / "outside.jsonl").write_text('{"file_name": "A/b/a.svg", "license": "CC-BY-SA-4.0"}')
    listing.symlink_to(tmp_path / "outside.jsonl")
    with pytest.raises(LibraryError, match=r"metadata.jsonl: a link that leads out"):
        library.scan(str(tmp_path / "in"))
    listing.unlink()
    listing.touch()  # nothing is said, so nothing is missed
    assert [entry.reason for entry in library.scan(str(tmp_path / "in")).skipped] == [
        "an empty file"
    ]
