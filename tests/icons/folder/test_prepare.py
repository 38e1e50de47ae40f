"""The dataset folder: right, loadable, never drawn twice, and nobody else's files touched."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard
from lxml import html
from PIL import Image

from bioicons_kit.errors import LibraryError, StorageError
from bioicons_kit.icons.folder import draw, journal, prepare, stamp
from bioicons_kit.icons.folder.prepare import Prepared
from bioicons_kit.preset import Preset

Load = Callable[..., Preset]


def content_of(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def run(preset: Preset, folder: Path) -> Prepared:
    return prepare.prepare(preset, folder, workers=1)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    return tmp_path / "fresh"


def test_the_folder_holds_what_it_says(preset: Load, fresh: Path):
    prepared = run(preset(), fresh)
    train, validation = (lines(fresh / name / "metadata.jsonl") for name in ("train", "validation"))
    prior = lines(fresh / "prior" / "metadata.jsonl")
    # five animals three times an epoch: the arm-left in one version, the others in several
    assert sum(record["repeats"] for record in train) == 15
    assert [r["repeats"] for r in train if r["title"] == "arm-left"] == [1, 1, 1]
    assert [record["text"] for record in prior] == ["burner", "flask"]
    assert {record["role"] for record in validation} == {"validation"}
    assert prepared.drawn == len(train) + len(validation) + len(prior)
    for split, records in (("train", train), ("validation", validation), ("prior", prior)):
        for record in records:
            path = fresh / split / record["file_name"]
            with Image.open(path) as image:
                assert image.mode == "RGB"
                assert image.size == (record["width"], record["height"]) == (64, 64)
            found = stamp.read(path)
            assert found is not None
            assert found.renderer == record["renderer"] != ""
    pictures = list(fresh.rglob("*.png"))
    assert len(pictures) == prepared.drawn
    texts = {name for name in content_of(fresh) if "/" not in name}
    assert texts == {
        *("ATTRIBUTION.md", "README.md", "report.html", "removed.jsonl", "skipped.jsonl"),
        journal.NAME,
    }
    assert (fresh / "LICENSES" / "MIT.txt").read_text("utf-8").startswith("Copyright (c) Cy")
    assert {path.name for path in (fresh / "contact").iterdir()} == {
        *("bucket-0-train.jpg", "bucket-1-validation.jpg", "bucket-2-prior.jpg")
    }


def test_what_was_left_out_and_taken_out_is_told(preset: Load, out: Path):
    (skipped,) = lines(out / "skipped.jsonl")
    assert skipped["path"] == "mit/Lab dev/Cy/broken.svg"
    assert skipped["stage"] == "draw"
    removed = {entry["path"]: entry["removed"] for entry in lines(out / "removed.jsonl")}
    assert removed.keys() == {"cc-by-4.0/Animals/Bo/arm.svg", "cc-by-4.0/test/Bo/tube.svg"}
    assert any("script" in each for each in removed["cc-by-4.0/Animals/Bo/arm.svg"])


def test_the_report_tells_and_escapes(preset: Load, out: Path):
    text = (out / "report.html").read_text("utf-8")
    tree = html.document_fromstring(text)
    shown = " ".join(tree.text_content().split())
    for wanted in ("Ann Lee", "Bo", "Cy", "CC-BY-4.0", "Animals", "broken.svg", "<script>"):
        assert wanted in shown
    assert not tree.xpath("//script|//link|//iframe|//object")
    assert all(src.startswith("data:") for src in tree.xpath("//@src"))
    assert "<b>" not in text.split("<body>")[1].replace('<div class="tile"><b>', "")
    assert set(re.findall(r'href="(https?://[^"/]+)', text)) <= {
        *("https://example.org", "https://creativecommons.org", "https://spdx.org"),
        "https://github.com",
    }
    assert tree.xpath("//section[@id='train-0']//figure")
    assert str(out) not in text


def test_the_card_says_the_licenses_and_the_splits(preset: Load, out: Path):
    card = DatasetCard.load(out / "README.md")
    assert card.data.license == "other"
    assert card.data.license_name == "CC-BY-4.0 AND CC0-1.0 AND MIT"
    (config,) = card.data.configs
    assert [each["split"] for each in config["data_files"]] == ["train", "validation", "prior"]
    assert "name the author" in card.text


def test_one_license_is_named_in_the_card(preset: Load, fresh: Path):
    one = ("dataset.buckets=[{license='cc-0'}]",)
    run(preset(*one), fresh)
    assert DatasetCard.load(fresh / "README.md").data.license == "cc0-1.0"
    assert not (fresh / "LICENSES").exists()


def test_it_loads_with_datasets_and_keeps_captions_and_licenses(preset: Load, out: Path):
    datasets = pytest.importorskip("datasets")
    cache = str(out.parent / "cache")
    loaded = datasets.load_dataset("imagefolder", data_dir=str(out), cache_dir=cache)
    assert set(loaded) == {"train", "validation"}, "no folder reads like a split"
    whole = datasets.load_dataset(str(out), cache_dir=cache)
    assert set(whole) == {"train", "validation", "prior"}
    for split in whole:
        written = lines(out / split / "metadata.jsonl")
        assert len(whole[split]) == len(written), "and no contact sheet is a row"
        for row, record in zip(whole[split], written, strict=True):
            told = {key: value for key, value in record.items() if key != "file_name"}
            assert {key: row[key] for key in told} == told
            with Image.open(out / split / record["file_name"]) as image:
                assert row["image"].tobytes() == image.tobytes()
    assert [dict(row, image=0) for row in loaded["train"]] == [
        dict(row, image=0) for row in whole["train"]
    ]


def test_several_captions_round_trip(preset: Load, fresh: Path, library: Path):
    datasets = pytest.importorskip("datasets")
    (library / "cc-0/Animals/Ann_Lee/FruitFly.txt").write_text("a red fly\na fly at rest\n")
    run(preset("dataset.trigger=", "dataset.caption={name}"), fresh)
    cache = str(fresh.parent / "cache")
    train = datasets.load_dataset("imagefolder", data_dir=str(fresh), cache_dir=cache)["train"]
    texts = {row["title"]: row["texts"] for row in train}
    assert texts["FruitFly"] == ["a red fly", "a fly at rest"]
    assert texts["arm"] == ["arm"]


def test_nothing_is_drawn_twice(
    preset: Load, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    first = content_of(out)
    times = {name: (out / name).stat().st_mtime_ns for name in first}
    capsys.readouterr()
    monkeypatch.setattr(draw, "Painters", None)  # what would draw is not there any more
    assert run(preset(), out).drawn == 0
    assert ", 0 to draw" in capsys.readouterr().out
    assert content_of(out) == first
    kept = [name for name in first if name != journal.NAME]
    assert [(out / name).stat().st_mtime_ns for name in kept] == [times[name] for name in kept]


def test_only_what_changed_is_drawn(preset: Load, out: Path, library: Path):
    icon = library / "mit/Lab dev/Cy/flask.svg"
    icon.write_text(icon.read_text().replace("#333", "#999"))
    assert run(preset(), out).drawn == 1
    assert run(preset("dataset.caption={name}"), out).drawn == 0, "a caption shapes no pixel"
    assert lines(out / "train/metadata.jsonl")[0]["text"] == "fruit fly"
    assert run(preset("dataset.caption={name}", "dataset.margin=0.1"), out).drawn > 10


def test_a_mended_icon_is_drawn_and_a_broken_one_goes(preset: Load, out: Path, library: Path):
    broken, flask = (library / "mit/Lab dev/Cy" / name for name in ("broken.svg", "flask.svg"))
    broken.write_text(flask.read_text().replace("#333", "#777"))
    flask.write_text("<svg")
    run(preset(), out)
    assert (out / "prior/mit/Lab dev~/Cy/broken.png").is_file()
    assert not (out / "prior/mit/Lab dev~/Cy/flask.png").exists()
    assert [each["path"] for each in lines(out / "skipped.jsonl")] == ["mit/Lab dev/Cy/flask.svg"]


def test_what_met_a_limit_is_tried_again(preset: Load, out: Path):
    path = out / "skipped.jsonl"
    (entry,) = lines(path)
    for reason, drawn in (("took longer than 30 s to draw", 1), (entry["reason"], 0)):
        path.write_text(json.dumps({**entry, "reason": reason}) + "\n")
        assert len(prepare._known_failures(path)) == 1 - drawn


def test_damaged_pictures_are_drawn_anew(preset: Load, out: Path):
    first = content_of(out)
    pictures = sorted(out.rglob("*.png"))
    pictures[0].write_bytes(pictures[0].read_bytes()[:-30])
    pictures[1].write_bytes(b"")
    pictures[2].unlink()
    assert run(preset(), out).drawn == 3
    assert content_of(out) == first


def test_what_is_no_longer_wanted_goes_and_what_is_not_ours_stays(preset: Load, out: Path):
    mine = {"notes.txt": "mine", "train/cc-0/mine.png": "my picture", "contact/mine.jpg": "x"}
    for name, text in mine.items():
        (out / name).write_text(text)
    run(preset("dataset.buckets=[{license='cc-0', limit=1}]"), out)
    assert len([*out.rglob("*.png")]) == 1 + 1
    assert not (out / "prior").exists()
    assert not (out / "LICENSES").exists()
    for name, text in mine.items():
        assert (out / name).read_text() == text


def test_a_file_in_the_way_is_refused_before_anything_is_written(preset: Load, fresh: Path):
    run(preset("dataset.buckets=[{license='cc-0', limit=1}]"), fresh)
    path = fresh / "prior/mit/Lab dev~/Cy/flask.png"
    path.parent.mkdir(parents=True)
    path.write_text("somebody's")
    before = content_of(fresh)
    with pytest.raises(StorageError, match=r"flask\.png: is in the way"):
        run(preset(), fresh)
    assert content_of(fresh) == before


def test_somebody_elses_folder_is_refused(preset: Load, fresh: Path):
    fresh.mkdir()
    (fresh / "thesis.doc").write_text("years")
    with pytest.raises(StorageError, match="choose another folder with --out"):
        run(preset(), fresh)
    assert [path.name for path in fresh.iterdir()] == ["thesis.doc"]


def test_edited_captions_are_not_written_over(preset: Load, out: Path):
    path = out / "train" / "metadata.jsonl"
    path.write_text(path.read_text().replace("arm", "strong arm"))
    with pytest.raises(StorageError, match="has been edited since it was written"):
        run(preset(), out)


def test_nothing_that_can_be_drawn(preset: Load, fresh: Path):
    with pytest.raises(LibraryError, match="none of the 1 pictures can be drawn"):
        run(preset("dataset.buckets=[{name='broken'}]"), fresh)


def test_two_buckets_may_share_an_icon(preset: Load, fresh: Path):
    both = "dataset.buckets=[{name='arm'}, {name='arm', caption='{name}', repeats=2}]"
    run(preset(both, "dataset.overlap=each"), fresh)
    records = lines(fresh / "train" / "metadata.jsonl")
    assert [record["file_name"][-9:] for record in records] == ["o/arm.png", "arm~2.png"]
    assert [record["repeats"] for record in records] == [1, 2]


def test_a_prepared_folder_is_a_source_of_images(preset: Load, out: Path):
    from bioicons_kit.icons.pictures import images
    from bioicons_kit.preset import Quality

    scanned = images.scan(out / "prior", Quality(min_side=64, min_deviation=0))
    assert [icon.license for icon in scanned.icons] == ["MIT", "MIT"]
    assert sorted(icon.text or "" for icon in scanned.icons) == ["burner", "flask"]
