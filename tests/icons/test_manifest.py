import hashlib
import json

import pytest

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import library, manifest, select
from bioicons_kit.preset import Bucket


@pytest.fixture
def rows(tmp_path):
    for relative, text in (
        ("cc-0/Animals/EwaOz/avocet.svg", "<svg>1</svg>"),
        ("cc-by-4.0/Animals/Jo_[x](y)/gut_bacteria_.svg", "<svg>2</svg>"),
        ("mit/Animals/Jo/cat.svg", "<svg>3</svg>"),
    ):
        path = tmp_path / relative
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (tmp_path / "authors.json").write_text(json.dumps({"EwaOz": "https://example.org/ewa"}))
    return select.rows(library.scan(str(tmp_path)), [Bucket(repeats=2)])


def test_records_say_what_each_picture_rests_on(rows, tmp_path):
    first, second, _ = manifest.records(rows, ["an avocet", "gut", "a cat"], tmp_path)
    assert first == {
        "file_name": "cc-0/Animals/EwaOz/avocet.png",
        "text": "an avocet",
        "title": "avocet",
        "author": "EwaOz",
        "author_url": "https://example.org/ewa",
        "license": "CC0-1.0",
        "source": "cc-0/Animals/EwaOz/avocet.svg",
        "sha256": hashlib.sha256(b"<svg>1</svg>").hexdigest(),
        "bucket": 0,
        "repeats": 2,
    }
    assert second["license"] == "CC-BY-4.0"


def test_metadata_is_json_lines_that_read_back_and_the_digest_follows_it(rows, tmp_path):
    records = manifest.records(rows, ["ä", "b", "c"], tmp_path)
    text = manifest.metadata_jsonl(records)
    assert [json.loads(line) for line in text.splitlines()] == records
    assert '"text": "ä"' in text
    assert str(tmp_path) not in text
    assert manifest.digest(records) == hashlib.sha256(text.encode()).hexdigest()
    other = manifest.records(rows, ["a", "b", "c"], tmp_path)
    assert manifest.digest(other) != manifest.digest(records)


def test_attribution_names_title_author_source_license_and_changes(rows, tmp_path):
    text = manifest.attribution_md(manifest.records(rows, ["a", "b", "c"], tmp_path))
    assert (
        '- "avocet" by [EwaOz](<https://example.org/ewa>), source `cc-0/Animals/EwaOz/avocet.svg`, '
        "[CC0-1.0](https://creativecommons.org/publicdomain/zero/1.0/); "
        "rasterized on a flat background, resized" in text
    )
    assert r"by Jo \[x\](y), source" in text
    assert text.index("(CC0-1.0)") < text.index("(MIT)") < text.index("(CC-BY-4.0)")
    assert "name the author, the title and the source" in text
    assert "pass on the copyright notice" in text
    assert "CC-BY-SA" not in text


def test_icon_that_has_gone_is_named(rows, tmp_path):
    rows[0].icon.path.unlink()
    with pytest.raises(LibraryError, match=r"avocet.svg: cannot be read any more"):
        manifest.records(rows, ["a", "b", "c"], tmp_path)
