import hashlib
import json
from dataclasses import replace

import pytest

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import library, manifest, select
from bioicons_kit.icons.manifest import Drawn
from bioicons_kit.preset import Augment, Bucket, Dataset

TEXTS = (("an avocet",), ("gut", "a gut"), ("a cat",))


@pytest.fixture
def dataset(tmp_path):
    for relative, text in (
        ("cc-0/Animals/EwaOz/avocet.svg", "<svg>1</svg>"),
        ("cc-by-4.0/Animals/Jo/gut_bacteria_.svg", "<svg>2</svg>"),
        ("mit/Animals/Jo/cat.svg", "<svg>3</svg>"),
    ):
        path = tmp_path / relative
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (tmp_path / "authors.json").write_text(json.dumps({"EwaOz": "https://example.org/ewa"}))
    return Dataset(root=str(tmp_path), caption="{name}", buckets=(Bucket(repeats=2),))


@pytest.fixture
def rows(dataset):
    return select.rows(library.scan(dataset.root), dataset)


def test_records_say_what_each_picture_rests_on(rows, dataset):
    drawn = [Drawn(512, 768, "cairosvg 2.9.0")] * 3
    first, second, _ = manifest.records(rows, TEXTS, dataset, drawn)
    assert first == {
        "file_name": "cc-0/Animals/EwaOz/avocet.png",
        "text": "an avocet",
        "title": "avocet",
        "author": "EwaOz",
        "author_url": "https://example.org/ewa",
        "category": "Animals",
        "license": "CC0-1.0",
        "source": "cc-0/Animals/EwaOz/avocet.svg",
        "source_url": None,
        "changes": "rasterized on a flat background, resized to 1024 pixels",
        "sha256": hashlib.sha256(b"<svg>1</svg>").hexdigest(),
        "width": 512,
        "height": 768,
        "renderer": "cairosvg 2.9.0",
        "bucket": 0,
        "role": "train",
        "repeats": 2,
    }
    assert second["license"] == "CC-BY-4.0"
    assert (second["text"], second["texts"]) == ("gut", ["gut", "a gut"])


def test_metadata_is_json_lines_that_read_back_and_the_digest_follows_it(rows, dataset, tmp_path):
    records = manifest.records(rows, [("ä",), ("b",), ("c",)], dataset)
    text = manifest.metadata_jsonl(records)
    assert [json.loads(line) for line in text.splitlines()] == records
    assert '"text": "ä"' in text
    assert str(tmp_path) not in text
    assert (records[0]["width"], records[0]["height"]) == (1024, 1024)
    assert manifest.digest(records) == hashlib.sha256(text.encode()).hexdigest()
    assert manifest.digest(manifest.records(rows, TEXTS, dataset)) != manifest.digest(records)


def test_a_dataset_folder_is_a_library_again(rows, dataset, tmp_path):
    records = manifest.records(rows, TEXTS, dataset)
    folder = tmp_path / "prepared"
    for row, record in zip(rows, records, strict=True):
        record["file_name"] = f"{record['title']}.svg"
        path = folder / record["file_name"]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(row.icon.path.read_bytes())
    (folder / "metadata.jsonl").write_text(manifest.metadata_jsonl(records), encoding="utf-8")
    again = {icon.title: icon for icon in library.scan(str(folder)).icons}
    for row, texts in zip(rows, TEXTS, strict=True):
        back = again[row.icon.title]
        assert back.text == "\n".join(texts)
        for field in ("category", "license", "author", "author_url", "source_url"):
            assert getattr(back, field) == getattr(row.icon, field)


def test_changes_say_what_is_done_to_a_picture(rows, dataset):
    augment = Augment(flip=True, rotation=3, color=0.1, backgrounds=("#ffffff", "#000000"))
    varied = dataset.model_copy(update={"buckets": (Bucket(augment=augment),), "resolution": 512})
    assert manifest.changes(rows[0], varied) == (
        "rasterized on a flat background, resized to 512 pixels, mirrored in part, turned, "
        "colors varied, backgrounds varied"
    )
    measured = replace(rows[0], role="validation")
    assert manifest.changes(measured, varied).endswith("resized to 512 pixels")
    photograph = replace(rows[0], icon=replace(rows[0].icon, kind="image"))
    assert manifest.changes(photograph, dataset).startswith("scaled and cropped to about 1024")


def test_icon_that_has_gone_is_named(rows, dataset):
    rows[0].icon.path.unlink()
    with pytest.raises(LibraryError, match=r"avocet.svg: cannot be read any more"):
        manifest.records(rows, TEXTS, dataset)
