"""The journal: what is not the kit's is never written over, and a damaged one is refused."""

import json
from pathlib import Path

import pytest

from bioicons_kit.errors import StorageError
from bioicons_kit.files import sha256_bytes
from bioicons_kit.icons.folder import journal
from bioicons_kit.icons.folder.journal import Journal, Written

GIVEN = Journal(
    frozenset({"train/b.png", "train/a.png"}), {"README.md": Written("x", (sha256_bytes(b"hi"),))}
)


def test_it_is_read_as_it_was_written_and_always_the_same(tmp_path: Path):
    journal.write(tmp_path, GIVEN)
    assert journal.read(tmp_path) == GIVEN
    first = (tmp_path / journal.NAME).read_bytes()
    journal.write(tmp_path, Journal(frozenset(sorted(GIVEN.pictures)), dict(GIVEN.others)))
    assert (tmp_path / journal.NAME).read_bytes() == first


def test_new_and_empty_folders_have_an_empty_one(tmp_path: Path):
    assert journal.read(tmp_path) == Journal()
    assert journal.read(tmp_path / "new") == Journal()
    (tmp_path / f".{journal.NAME}.abcd1234.tmp").write_text("")  # a first write broken off
    assert journal.read(tmp_path) == Journal()


def test_somebody_elses_folder_is_refused(tmp_path: Path):
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(StorageError, match="holds files that are no dataset of this kit"):
        journal.read(tmp_path)
    with pytest.raises(StorageError, match="is a file"):
        journal.read(tmp_path / "thesis.doc")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        json.dumps({"format": 2, "pictures": [], "others": {}}),
        json.dumps({"format": 1, "pictures": ["../x.png"], "others": {}}),
        json.dumps({"format": 1, "pictures": ["/etc/x.png"], "others": {}}),
        json.dumps({"format": 1, "pictures": [], "others": {"../../x": {}}}),
        json.dumps(
            {"format": 1, "pictures": [], "others": {"../x": {"made_from": "", "contents": []}}}
        ),
    ],
)
def test_a_damaged_one_is_refused(tmp_path: Path, text: str):
    (tmp_path / journal.NAME).write_text(text)
    with pytest.raises(StorageError, match="damaged"):
        journal.read(tmp_path)


def test_files_in_the_way_are_refused(tmp_path: Path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.png").write_text("")
    (tmp_path / "train" / "c.png").symlink_to("nowhere")
    journal.refuse_strangers(tmp_path, GIVEN, ["train/a.png", "train/new.png"])
    with pytest.raises(StorageError, match=r"c\.png: is in the way"):
        journal.refuse_strangers(tmp_path, GIVEN, ["train/c.png"])


def test_edited_files_are_refused_and_removed_ones_are_not(tmp_path: Path):
    journal.refuse_edited(tmp_path, GIVEN)
    (tmp_path / "README.md").write_text("hi")
    journal.refuse_edited(tmp_path, GIVEN)
    (tmp_path / "README.md").write_text("hi!")
    with pytest.raises(StorageError, match=r"README\.md: has been edited"):
        journal.refuse_edited(tmp_path, GIVEN)


def test_strangers_and_scratch(tmp_path: Path):
    for name in ("train/a.png", "train/mine.txt", "train/.a.png.x1y2z3w4.tmp", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    journal.sweep(tmp_path)
    assert not (tmp_path / "train/.a.png.x1y2z3w4.tmp").exists()
    assert journal.strangers(tmp_path, GIVEN) == ["train/mine.txt"]
