import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons.library import Icon
from bioicons_kit.icons.words import curated
from bioicons_kit.icons.words.curated import Entry, Writer

WRITER = Writer("a-model", "2025-01", "0" * 64)


def write(path: Path, *records: object) -> Path:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), "utf-8")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "captions.jsonl"


def test_what_a_person_types_is_enough(path):
    path.write_text('\n{"file": "a/mouse.svg", "captions": ["  a  mouse "]}\r\n\n', "utf-8")
    (entry,) = curated.read(path).entries.values()
    assert entry == Entry("a/mouse.svg", ("a mouse",), "person")
    assert entry.is_a_persons


def test_a_missing_file_says_what_to_run(path):
    with pytest.raises(LibraryError, match=r"tools/caption\.py PRESET"):
        curated.read(path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[1]", "must be one object"),
        ('{"captions": ["x"]}', "must say which icon"),
        ('{"file": "a\\u202e", "captions": ["x"]}', "must say which icon"),
        ('{"file": "a", "captions": []}', "captions must be a list"),
        ('{"file": "a", "captions": "x"}', "captions must be a list"),
        ('{"file": "a", "captions": ["x", 1]}', "captions must be a list"),
        ('{"file": "a", "captions": ["\\u0000"]}', "captions must be a list"),
        ('{"file": "a", "captions": ["%s"]}' % ("x" * 2001), "captions must be a list"),
        ('{"file": "a", "caption": ["x"]}', "did you mean captions"),
        ('{"file": "a", "captions": ["x"], "by": "nobody"}', "by must be"),
        ('{"file": "a", "captions": ["x"], "by": {"model": "x"}}', "by must be"),
        ('{"file": "a", "captions": ["x"], "image_sha256": "0"}', "image_sha256 must be"),
        ('{"file": "first", "captions": ["x"]}', "a second line of first"),
    ],
)
def test_errors_name_file_and_line(path, line, said):
    path.write_text('{"file": "first", "captions": ["x"]}\n' + line + "\n", "utf-8")
    with pytest.raises(LibraryError, match=said) as refusal:
        curated.read(path)
    assert str(refusal.value).startswith(f"{path}, line 2: ")
    assert "\n" not in str(refusal.value)


def test_lines_of_no_icon_are_told(path, capsys):
    write(path, {"file": "gone.svg", "captions": ["x"]}, {"file": "here.svg", "captions": ["y"]})
    here = Icon(Path("here.svg"), "here.svg", "", "MIT", "", "here")
    assert curated.load(str(path), [here]).captions("here.svg") == ("y",)
    told = capsys.readouterr().err
    assert "1 of its 2 lines are of no icon that is here, the first of gone.svg" in told
    assert curated.load(None, [here]).entries == {}


class TestUpdate:
    def test_keeps_what_is_a_persons_or_was_edited(self, path):
        models = [Entry(name, ("written",), WRITER).signed() for name in ("a", "b")]
        curated.update(path, [*models, Entry("c", ("typed",))])
        text = path.read_text("utf-8").replace(
            '"b", "captions": ["written"]', '"b", "captions": ["edited"]'
        )
        path.write_text(text, "utf-8")

        again = [Entry(name, ("anew",), WRITER).signed() for name in ("a", "b", "c", "d")]
        kept = curated.update(path, again)
        assert [kept.captions(name) for name in "abcd"] == [
            ("anew",),
            ("edited",),
            ("typed",),
            ("anew",),
        ]
        assert curated.read(path) == kept
        assert [json.loads(line)["file"] for line in path.read_text("utf-8").splitlines()] == [
            *"abcd"
        ]
        assert [kept.entries[name].is_a_persons for name in "abcd"] == [False, True, True, False]

    def test_writes_nothing_where_nothing_changes(self, path):
        entry = Entry("a", ("x",), "template").signed()
        curated.update(path, [entry])
        before = path.stat().st_mtime_ns
        curated.update(path, [entry])
        assert path.stat().st_mtime_ns == before

    def test_a_file_that_cannot_be_read_is_not_written_over(self, path):
        path.write_text("mine\n", "utf-8")
        with pytest.raises(LibraryError, match="line 1"):
            curated.update(path, [Entry("a", ("x",))])
        assert path.read_text("utf-8") == "mine\n"


texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)


@given(st.dictionaries(texts, st.lists(texts, min_size=1, max_size=3), max_size=4))
def test_what_is_written_is_read_again_and_is_not_taken_for_edited(tmp_path_factory, texts_of):
    path = tmp_path_factory.mktemp("captions") / "captions.jsonl"

    def composed(text):
        return unicodedata.normalize("NFC", text)

    entries = {
        composed(file): Entry(composed(file), tuple(map(composed, said)), WRITER).signed()
        for file, said in texts_of.items()
    }
    curated.update(path, entries.values())
    again = curated.read(path).entries
    assert again == entries
    assert not any(entry.is_a_persons for entry in again.values())


def test_names_that_lead_nowhere_are_one_line(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / ("a" * 5000), tmp_path / "loop"):
        with pytest.raises(LibraryError):
            curated.read(path)
