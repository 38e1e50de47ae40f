"""Icons, photographs and hub datasets through the same rows, to pictures and credits."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import captions, manifest, picture, select, sources
from bioicons_kit.icons.augment import Version
from bioicons_kit.icons.pictures import images
from bioicons_kit.preset import Bucket, Dataset, Hub, Policy, Quality
from bioicons_kit.preset_file import load

SMALL = Quality(min_side=32)


def photo(seed: int, side: int = 48) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def photos(folder: Path, numbers: range) -> Path:
    (folder / "frogs").mkdir(parents=True)
    for number in numbers:
        (folder / "frogs" / f"frog_{number}.png").write_bytes(photo(number))
    (folder / "licenses.toml").write_text('license = "LicenseRef-own-work"\nauthor = "Jane Doe"\n')
    return folder


@pytest.fixture
def hub_folder(tmp_path: Path, monkeypatch) -> Path:
    """Return the folder of a hub dataset in parquet: six paintings, one of them too small."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    datasets.disable_progress_bars()
    rows = [
        {"image": {"bytes": photo(100 + n, 20 if n == 2 else 48), "path": None}, "genre": n % 2}
        for n in range(6)
    ]
    features = datasets.Features(
        {"image": datasets.Image(), "genre": datasets.ClassLabel(names=["still_life", "portrait"])}
    )
    (tmp_path / "hub").mkdir()
    table = datasets.Dataset.from_list(rows, features=features)
    table.to_parquet(tmp_path / "hub" / "train.parquet")
    return tmp_path / "hub"


def mixed(tmp_path: Path, hub_folder: Path) -> Dataset:
    """Return a dataset of one bucket from each kind of source."""
    return Dataset(
        root="shipped",
        trigger="in style",
        quality=SMALL,
        resolution=64,
        hub=Hub(license="CC0-1.0", category="genre"),
        buckets=(
            Bucket(category="Animals", license="CC0-1.0", limit=2),
            Bucket(source="images", root=str(photos(tmp_path / "photos", range(3)))),
            Bucket(
                source="hub",
                root=str(hub_folder),
                category="still life",
                quota=2,
                caption="{trigger}, a {category}",
            ),
        ),
    )


def test_every_source_gives_rows_pictures_captions_and_credits(tmp_path: Path, hub_folder: Path):
    dataset = mixed(tmp_path, hub_folder)
    found = sources.libraries(dataset, tmp_path / "cache")
    assert [source for source, _ in found] == ["icons", "images", "hub"]
    rows = select.rows(found, dataset)
    assert [row.bucket for row in rows] == [0, 0, 1, 1, 1, 2, 2]
    assert {row.icon.kind for row in rows if row.bucket} == {"image"}
    recipe = picture.recipe(dataset, Version())
    for row in rows:
        content = picture.read(row.icon.path, row.icon.kind)
        made = picture.make(content, row.icon.kind, recipe)
        assert made.image.size == (64, 64)
        assert np.asarray(made.image).std() > 1
    texts = [captions.captions(row, dataset) for row in rows]
    assert texts[-1] == ("in style, a still life",)
    assert texts[2][0].startswith("in style, a frog")
    records = manifest.records(rows, texts, dataset)
    assert {record["license"] for record in records} == {"CC0-1.0", "LicenseRef-own-work"}
    assert {record["author"] for record in records} >= {"Jane Doe"}


def test_what_a_hub_dataset_leaves_out_is_listed(tmp_path: Path, hub_folder: Path):
    dataset = mixed(tmp_path, hub_folder)
    found = sources.libraries(dataset, tmp_path / "cache")["hub", str(hub_folder)]
    (skipped,) = found.skipped
    assert "min_side" in skipped.reason
    assert sources.libraries(dataset, tmp_path / "cache")["hub", str(hub_folder)] == found


def test_a_source_is_opened_once_and_only_if_a_bucket_asks(tmp_path: Path, monkeypatch):
    photos(tmp_path / "one", range(2))
    photos(tmp_path / "two", range(5, 7))
    looked: list[Path] = []
    scan = images.scan
    monkeypatch.setattr(
        images, "scan", lambda root, *rest: looked.append(root) or scan(root, *rest)
    )
    bucket = {"source": "images", "caption": "a {name}"}
    dataset = Dataset(
        root=str(tmp_path / "not there"),
        caption="{name}",
        quality=SMALL,
        buckets=(
            Bucket(root=str(tmp_path / "one"), name="*1", **bucket),
            Bucket(root=str(tmp_path / "two"), **bucket),
            Bucket(root=str(tmp_path / "one"), name="*0", **bucket),
        ),
    )
    found = sources.libraries(dataset, tmp_path / "cache")
    assert [root for _, root in found] == [str(tmp_path / "one"), str(tmp_path / "two")]
    assert looked == [tmp_path / "one", tmp_path / "two"]
    assert len(select.rows(found, dataset)) == 4
    assert len(list((tmp_path / "cache" / "images").iterdir())) == 2


def test_a_text_beside_a_picture_is_its_caption(tmp_path: Path):
    folder = photos(tmp_path / "photos", range(2))
    (folder / "frogs" / "frog_1.txt").write_text("a very green frog\n", "utf-8")
    dataset = Dataset(
        source="images", root=str(folder), trigger="in style", quality=SMALL, buckets=(Bucket(),)
    )
    rows = select.rows(sources.libraries(dataset, tmp_path / "cache"), dataset)
    assert [captions.captions(row, dataset) for row in rows] == [
        ("in style, a frog",),
        ("in style, a very green frog",),
    ]


def test_a_prepared_folder_is_a_source_again(tmp_path: Path):
    own = Dataset(
        source="images",
        root=str(photos(tmp_path / "photos", range(2))),
        trigger="in style",
        quality=SMALL,
        buckets=(Bucket(),),
    )
    rows = select.rows(sources.libraries(own, tmp_path / "cache"), own)
    texts = [("in style, one", "in style, two"), ("in style, three",)]
    records = manifest.records(rows, texts, own)
    prepared = tmp_path / "prepared" / "train"
    prepared.mkdir(parents=True)
    for row, record in zip(rows, records, strict=True):
        path = prepared / record["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(row.icon.path.read_bytes())
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (prepared / "metadata.jsonl").write_text(lines, "utf-8")
    again = images.scan(tmp_path / "prepared", SMALL)
    assert [icon.text for icon in again.icons] == ["\n".join(each) for each in texts]
    for icon, row in zip(again.icons, rows, strict=True):
        assert (icon.author, icon.license, icon.category) == (
            row.icon.author,
            row.icon.license,
            row.icon.category,
        )
    dataset = own.model_copy(update={"root": str(tmp_path / "prepared")})
    rows = select.rows(sources.libraries(dataset, tmp_path / "cache"), dataset)
    assert [captions.captions(row, dataset) for row in rows] == texts


def test_presets_name_hub_datasets_and_folders_of_them(tmp_path: Path):
    text = """
[model]
path = "starter"
[dataset]
source = "hub"
root = "{root}"
caption = "{{category}}"
[dataset.hub]
license = "MIT"
category = "genre"
[[dataset.buckets]]
limit = 3
[[dataset.buckets]]
root = "{other}"
limit = 3
[lora]
[memory]
[train]
[sample]
prompts = ["a"]
"""
    preset = tmp_path / "preset.toml"
    preset.write_text(text.format(root="owner/name", other="other/one"), "utf-8")
    dataset = load(preset).dataset
    assert (dataset.root, dataset.buckets[1].root) == ("owner/name", "other/one")
    (tmp_path / "owner" / "name").mkdir(parents=True)
    preset.write_text(text.format(root="owner/name", other="./elsewhere"), "utf-8")
    dataset = load(preset).dataset
    assert dataset.root == str(tmp_path / "owner" / "name")
    assert dataset.buckets[1].root == str(tmp_path / "elsewhere")
    pytest.importorskip("datasets")
    with pytest.raises(LibraryError, match="doesn't contain any data files"):
        sources.libraries(dataset, tmp_path / "cache")


def test_what_is_at_hand_is_checked_before_the_hub_is_read(
    tmp_path: Path, hub_folder: Path, monkeypatch
):
    monkeypatch.setattr(sources.hub, "fetch", lambda *_: pytest.fail("the hub was read"))
    wanted = mixed(tmp_path, hub_folder)
    hub_first = (wanted.buckets[2], wanted.buckets[0].model_copy(update={"category": ("Anmals",)}))
    with pytest.raises(LibraryError, match=r"bucket 1: no icon matches category 'Anmals'"):
        sources.libraries(wanted.model_copy(update={"buckets": hub_first}), tmp_path / "cache")
    denied = wanted.model_copy(update={"licenses": Policy(deny=("CC0-1.0",)), "hub": None})
    with pytest.raises(LibraryError, match=r"bucket 0 selects .* dataset.licenses.deny refuses"):
        sources.libraries(denied, tmp_path / "cache")


def test_a_root_too_long_for_any_folder_is_one_line(tmp_path: Path):
    for source in ("icons", "images"):
        far = Dataset(source=source, root="/" + "a" * 5000, caption="{name}", buckets=(Bucket(),))
        with pytest.raises(LibraryError, match="no such"):
            sources.libraries(far, tmp_path)
