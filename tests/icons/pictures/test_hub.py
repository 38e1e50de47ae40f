"""Hub datasets, in the hub's own formats, written here and read from their folders."""

import io
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from bioicons_kit.errors import DocumentError, KitError, LibraryError
from bioicons_kit.icons.pictures import hub, hub_stream, images
from bioicons_kit.preset import Bucket, Dataset, Hub, Policy, Quality

datasets = pytest.importorskip("datasets")

GENRES = ["cityscape", "landscape", "portrait", "still_life"]
STYLES = ["Cubism", "Impressionism"]
ARTISTS = ["claude-monet", "berthe-morisot"]
PAINTINGS = Hub(
    license="CC0-1.0", category="genre", author="artist", where=("style=impressionism",)
)


def jpeg(seed: int, width: int = 48, height: int = 48) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG")
    return data.getvalue()


def paintings(count: int) -> Iterator[dict[str, Any]]:
    """Yield rows as those of the hub's WikiArt: an image and three class labels."""
    for number in range(count):
        yield {
            "image": {"bytes": jpeg(number), "path": f"{number}.jpg"},
            "artist": number % 2,
            "genre": number % 4,
            "style": (number // 4) % 2,
        }


def write_parquet(folder: Path, rows: list[dict[str, Any]], shards: int = 2) -> Path:
    """Write a dataset as the hub's parquet files."""
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "artist": datasets.ClassLabel(names=ARTISTS),
            "genre": datasets.ClassLabel(names=GENRES),
            "style": datasets.ClassLabel(names=STYLES),
        }
    )
    whole = datasets.Dataset.from_list(rows, features=features)
    (folder / "data").mkdir(parents=True)
    for index in range(shards):
        name = f"train-{index:05d}-of-{shards:05d}.parquet"
        part = whole.shard(shards, index, contiguous=True)
        part.to_parquet(folder / "data" / name, batch_size=10)
    return folder


@pytest.fixture(autouse=True)
def hub_cache(tmp_path: Path, monkeypatch) -> None:
    """Keep the library's own cache, and its progress bars, out of the way."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(datasets.config, "STREAMING_READ_MAX_RETRIES", 0)
    datasets.disable_progress_bars()


@pytest.fixture(scope="module")
def wikiart(tmp_path_factory) -> Path:
    """Return a folder of 160 paintings in four genres, half of them impressionist."""
    return write_parquet(tmp_path_factory.mktemp("hub") / "wikiart", list(paintings(160)))


def preset(root: Path | str, *buckets: Bucket, like: Hub = PAINTINGS, **settings: Any) -> Dataset:
    return Dataset(
        source="hub",
        root=str(root),
        hub=like,
        quality=settings.pop("quality", Quality(min_side=32)),
        caption="{category}",
        buckets=buckets,
        **settings,
    )


def genre(name: str, quota: int) -> Bucket:
    return Bucket(category=name, quota=quota)


def metadata(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines()
    ]


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_quotas_are_filled_and_reading_stops(wikiart: Path, tmp_path: Path, capsys):
    dataset = preset(wikiart, genre("landscape", 3), genre("still life", 2))
    folder = hub.fetch(dataset, str(wikiart), tmp_path)
    rows = metadata(folder)
    assert sorted(row["category"] for row in rows) == ["landscape"] * 3 + ["still life"] * 2
    # rows 5, 13, 21 are impressionist landscapes, 7 and 15 still lifes
    assert sorted(row["row"] for row in rows) == [5, 7, 13, 15, 21]
    assert json.loads((folder / hub.PROGRESS).read_text())["read"] == 22  # of 160
    assert "bucket 0: 3 of 3, bucket 1: 2 of 2" in capsys.readouterr().out
    first = rows[0]
    assert (folder / first["file_name"]).read_bytes() == jpeg(5)
    assert first["file_name"] == "landscape/0000005.jpg"
    assert (first["author"], first["license"]) == ("berthe-morisot", "CC0-1.0")
    assert (first["width"], first["height"], first["title"]) == (48, 48, "row 5")


def test_the_folder_is_a_folder_of_images(wikiart: Path, tmp_path: Path):
    dataset = preset(wikiart, genre("portrait", 4))
    folder = hub.fetch(dataset, str(wikiart), tmp_path)
    found = images.scan(folder, dataset.quality)
    assert [icon.relative for icon in found.icons] == [
        f"portrait/{row:07d}.jpg" for row in (6, 14, 22, 30)
    ]
    assert {(icon.category, icon.license, icon.kind) for icon in found.icons} == {
        ("portrait", "CC0-1.0", "image")
    }
    loaded = datasets.load_dataset("imagefolder", data_dir=str(folder), split="train")
    assert sorted(loaded["category"]) == ["portrait"] * 4


def test_a_finished_folder_needs_nothing_more(wikiart: Path, tmp_path: Path, monkeypatch):
    dataset = preset(wikiart, genre("landscape", 2))
    folder = hub.fetch(dataset, str(wikiart), tmp_path)
    monkeypatch.setattr(hub_stream, "opened", None)
    monkeypatch.setattr(hub_stream, "commit", None)
    assert hub.fetch(dataset, str(wikiart), tmp_path) == folder
    other = preset(wikiart, genre("landscape", 3))
    with pytest.raises(TypeError):  # another choice is another folder, and has to be read
        hub.fetch(other, str(wikiart), tmp_path)


@pytest.mark.parametrize("stop_at", [1, 6, 11])
@pytest.mark.parametrize("other_version", [False, True])
def test_a_killed_reading_goes_on_to_the_same_bytes(
    wikiart: Path, tmp_path: Path, monkeypatch, stop_at: int, other_version: bool
):
    dataset = preset(wikiart, genre("landscape", 8), genre("portrait", 7))
    whole = content(hub.fetch(dataset, str(wikiart), tmp_path / "whole"))
    monkeypatch.setattr(hub, "_SAVE_EVERY_KEPT", 4)
    write, written = hub.write_bytes, []

    def write_until_killed(path: Path, data: bytes) -> Path:
        if len(written) == stop_at:
            raise KeyboardInterrupt
        written.append(path)
        return write(path, data)

    monkeypatch.setattr(hub, "write_bytes", write_until_killed)
    with pytest.raises(KeyboardInterrupt):
        hub.fetch(dataset, str(wikiart), tmp_path / "killed")
    monkeypatch.setattr(
        hub, "write_bytes", lambda path, data: written.append(path) or write(path, data)
    )
    if other_version:  # positions of another version of `datasets` are not to be trusted
        for path in (tmp_path / "killed").rglob(hub.PROGRESS):
            path.write_text(path.read_text("utf-8").replace(datasets.__version__, "1.2.3"), "utf-8")
    for path in (tmp_path / "killed").iterdir():
        if path.is_dir():  # what a kill -9 leaves of an atomic write
            (path / ".0000005.jpg.x.tmp").write_bytes(b"half")
    again = content(hub.fetch(dataset, str(wikiart), tmp_path / "killed"))
    assert again == whole
    assert len(written) == 15 + stop_at % 4  # only what came after the last save is read again


def test_a_damaged_or_robbed_folder_is_read_again(wikiart: Path, tmp_path: Path):
    dataset = preset(wikiart, genre("landscape", 3))
    folder = hub.fetch(dataset, str(wikiart), tmp_path)
    whole = content(folder)
    (folder / "landscape" / "0000005.jpg").unlink()
    assert content(hub.fetch(dataset, str(wikiart), tmp_path)) == whole
    (folder / hub.PROGRESS).write_text("{")
    assert content(hub.fetch(dataset, str(wikiart), tmp_path)) == whole


def test_a_changed_dataset_folder_is_another_dataset(tmp_path: Path):
    root = write_parquet(tmp_path / "hub", list(paintings(40)))
    dataset = preset(root, genre("landscape", 2))
    before = hub.fetch(dataset, str(root), tmp_path / "cache")
    write_parquet(tmp_path / "new", list(paintings(80)))
    for path in (tmp_path / "new" / "data").iterdir():
        path.replace(root / "data" / path.name)
    assert hub.fetch(dataset, str(root), tmp_path / "cache") != before


def test_image_folders_are_read_too(tmp_path: Path):
    for number in range(6):
        path = tmp_path / "hub" / "train" / ("cats" if number % 2 else "dogs") / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number))
    dataset = preset(
        tmp_path / "hub",
        Bucket(category="cats", limit=2),
        like=Hub(license="LicenseRef-own-work", category="label"),
    )
    folder = hub.fetch(dataset, dataset.root, tmp_path / "cache")
    found = images.scan(folder, dataset.quality).icons
    assert [icon.category for icon in found] == ["cats", "cats"]
    assert {icon.path.read_bytes() for icon in found} == {jpeg(1), jpeg(3)}


def test_captions_and_titles_have_columns(tmp_path: Path):
    rows = [
        {
            "image": {"bytes": jpeg(number), "path": None},
            "title": ["Water Lilies", "../../etc/passwd", None, ""][number],
            "said": [["a pond", "lilies\non water"], [], ["a night"], [" "]][number],
        }
        for number in range(4)
    ]
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "title": datasets.Value("string"),
            "said": datasets.List(datasets.Value("string")),
        }
    )
    (tmp_path / "hub").mkdir()
    table = datasets.Dataset.from_list(rows, features=features)
    table.to_parquet(tmp_path / "hub" / "train.parquet")
    dataset = preset(
        tmp_path / "hub",
        Bucket(limit=9, exclude="*passwd*"),
        like=Hub(license="MIT", caption="said", title="title"),
    )
    folder = hub.fetch(dataset, dataset.root, tmp_path / "cache")
    found = images.scan(folder, dataset.quality).icons
    assert [(icon.relative, icon.title, icon.text) for icon in found] == [
        ("unsorted/0000002.jpg", "row 2", "a night"),
        ("unsorted/Water_Lilies_0000000.jpg", "Water Lilies", "a pond\nlilies on water"),
    ]
    (skipped,) = hub.skipped(folder)
    assert skipped.reason == "the row has neither caption nor title"


def test_bad_pictures_are_passed_over_and_listed(tmp_path: Path):
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(jpeg(77))
    rows = list(paintings(64))
    fits = [row for row in rows if row["style"] == 1 and row["genre"] == 1]
    good = {"bytes": jpeg(900), "path": None}
    for row, image in zip(
        fits,
        [
            {"bytes": None, "path": str(secret)},
            {"bytes": b"GIF89a no picture", "path": None},
            {"bytes": jpeg(1, 20, 48), "path": None},
            None,
            good,
            good,
            {"bytes": jpeg(2, 48, 300), "path": None},
            {"bytes": jpeg(901), "path": None},
        ],
        strict=True,
    ):
        row["image"] = image
    root = write_parquet(tmp_path / "hub", rows)
    dataset = preset(root, genre("landscape", 2))
    folder = hub.fetch(dataset, str(root), tmp_path / "cache")
    assert len(metadata(folder)) == 2
    reasons = [each.reason for each in hub.skipped(folder)]
    for reason, part in zip(
        reasons,
        [
            "outside the dataset",
            "not a picture",
            "min_side",
            "no picture",
            "the same",
            "max_aspect",
        ],
        strict=True,
    ):
        assert part in reason
    assert jpeg(77) not in content(folder).values()


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "file:///etc/passwd",
        "https://example.org/a.jpg",
        "hf://datasets/other/one@main/a.jpg",
        "hf://datasets/owner/name-too@main/a.jpg",
        "zip://a.jpg::https://example.org/a.zip",
        "zip://a.jpg::zip://b.zip::hf://datasets/owner/name@main/c.zip",
    ],
)
def test_a_row_cannot_refer_to_what_is_not_the_datasets(path: str, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    opened = []
    monkeypatch.setattr(fsspec, "open", lambda path, mode: opened.append(path) or io.BytesIO(b"x"))
    stream = hub_stream.Stream("owner/name", datasets.Dataset.from_list([{"a": 1}]))
    with pytest.raises(DocumentError, match="outside the dataset"):
        stream.content({"bytes": None, "path": path})
    assert opened == []
    own = "hf://datasets/owner/name@main/train/a.jpg"
    assert stream.content({"bytes": None, "path": own}) == b"x"
    assert stream.content({"bytes": None, "path": f"zip://b.jpg::{own}"}) == b"x"


def test_a_folders_archives_are_read_and_no_others(tmp_path: Path, monkeypatch):
    root, other = tmp_path / "own", tmp_path / "other"
    for folder in (root, other):
        folder.mkdir()
        with zipfile.ZipFile(folder / "train.zip", "w") as archive:
            archive.writestr("a/1.jpg", jpeg(1))
            archive.writestr("a/2.jpg", jpeg(2))
    folder = hub.fetch(
        preset(root, Bucket(limit=2), like=Hub(license="MIT")), str(root), tmp_path / "cache"
    )
    assert {path.read_bytes() for path in folder.rglob("*.jpg")} == {jpeg(1), jpeg(2)}
    monkeypatch.chdir(root)  # where an address would be a path below the root
    stream = hub_stream.Stream(str(root), datasets.Dataset.from_list([{"a": 1}]))
    for place in (other / "train.zip", "https://example.org/a.zip", "train.zip"):
        with pytest.raises(DocumentError, match="outside the dataset"):
            stream.content({"bytes": None, "path": f"zip://a/1.jpg::{place}"})


def test_a_dataset_that_has_too_few_says_so(wikiart: Path, tmp_path: Path, capsys):
    dataset = preset(wikiart, genre("landscape", 50))
    folder = hub.fetch(dataset, str(wikiart), tmp_path)
    assert len(metadata(folder)) == 20
    assert "bucket 0: 20 of 50" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("like", "bucket", "problem"),
    [
        ({"split": "test"}, {}, r"Bad split: test. Available splits: \['train'\]"),
        ({"config": "large"}, {}, "'large' not found. Available"),
        ({"image": "picture"}, {}, "hub.image names the column 'picture'; its columns are image"),
        ({"title": "name"}, {}, "hub.title names the column 'name'"),
        ({"image": "genre"}, {}, r"the column 'genre' holds no pictures.*image \(Image\)"),
        ({"where": "year=1900"}, {}, "hub.where names the column 'year'"),
        ({"where": "style=Impresionism"}, {}, "did you mean 'Impressionism'"),
        ({}, {"category": "landscapes"}, "bucket 0: category.*did you mean 'landscape'"),
        ({}, {"author": "nobody"}, "bucket 0: author.*names: claude-monet, berthe-morisot"),
        ({"category": None}, {"category": "x"}, "bucket 0 chooses by category: set hub.category"),
        ({"revision": "main"}, {}, "is a folder, so hub.revision cannot apply"),
        ({"license": "CC-BY-SA-4.0"}, {}, "its license, CC-BY-SA-4.0, is refused: share-alike"),
        ({"license": "unheard of"}, {}, "unknown license 'unheard of'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(
    wikiart: Path, tmp_path: Path, like: dict[str, Any], bucket: dict[str, Any], problem: str
):
    asked = Hub(**{**PAINTINGS.model_dump(), **like})
    dataset = preset(wikiart, Bucket(limit=2, **bucket), like=asked)
    with pytest.raises(LibraryError, match=problem):
        hub.fetch(dataset, str(wikiart), tmp_path)
    assert list(tmp_path.rglob("*.jpg")) == []


def test_a_denied_license_and_an_allowed_one(wikiart: Path, tmp_path: Path):
    denied = preset(wikiart, genre("landscape", 1), licenses=Policy(deny="CC0-1.0"))
    with pytest.raises(LibraryError, match=r"refused: dataset.licenses.deny"):
        hub.fetch(denied, str(wikiart), tmp_path)
    asked = Hub(**{**PAINTINGS.model_dump(), "license": "CC-BY-SA-4.0"})
    allowed = preset(
        wikiart, genre("landscape", 1), like=asked, licenses=Policy(allow="CC-BY-SA-4.0")
    )
    assert metadata(hub.fetch(allowed, str(wikiart), tmp_path))[0]["license"] == "CC-BY-SA-4.0"


def test_where_nothing_fits_the_reason_is_given(wikiart: Path, tmp_path: Path):
    large = preset(wikiart, genre("landscape", 2), quality=Quality(min_side=512))
    with pytest.raises(LibraryError, match=r"none of its 160 rows .*0000005 \(48 x 48 pixels;"):
        hub.fetch(large, str(wikiart), tmp_path)
    both = PAINTINGS.model_copy(update={"where": ("genre=portrait",)})
    strict = preset(wikiart, genre("landscape", 2), like=both)
    with pytest.raises(LibraryError, match=r"none meets hub.where and fits a bucket"):
        hub.fetch(strict, str(wikiart), tmp_path)


def test_a_hub_that_cannot_be_reached_is_one_line(tmp_path: Path):
    dataset = preset("owner/name", genre("landscape", 2))
    with pytest.raises(LibraryError, match=r"owner/name: the hub cannot be reached.*as root"):
        hub.fetch(dataset, "owner/name", tmp_path)
    with pytest.raises(LibraryError, match=r'no such folder, and no hub dataset.s id \("owner'):
        hub.fetch(preset("/no/where", genre("portrait", 1)), "/no/where", tmp_path)


def test_files_that_are_no_dataset_are_one_line(tmp_path: Path):
    (tmp_path / "hub").mkdir()
    dataset = preset(tmp_path / "hub", genre("landscape", 2))
    with pytest.raises(LibraryError, match="doesn't contain any data files"):
        hub.fetch(dataset, dataset.root, tmp_path / "cache")
    (tmp_path / "hub" / "train.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(LibraryError, match=r"cannot be read: Parquet magic bytes"):
        hub.fetch(dataset, dataset.root, tmp_path / "cache")


def test_a_missing_package_is_one_line(wikiart: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(KitError, match=r"pip install 'bioicons_kit\[hub\]'"):
        hub.fetch(preset(wikiart, genre("landscape", 2)), str(wikiart), tmp_path)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"buckets": (Bucket(),)}, "bucket 0 does not say how many pictures to take"),
        ({"buckets": (Bucket(share=0.5),)}, "bucket 0 does not say how many pictures to take"),
        ({"root": "not a hub id"}, 'must be a hub dataset, "owner/name", or the folder of one'),
        ({"caption": "{name}"}, "caption uses {name}, which the hub dataset's rows do not have"),
        ({"hub": None}, r"the table \[dataset.hub\] is missing"),
    ],
)
def test_presets_that_a_hub_dataset_cannot_serve(settings: dict[str, Any], problem: str):
    good = {
        "source": "hub",
        "root": "owner/name",
        "hub": PAINTINGS,
        "caption": "{category}",
        "buckets": (Bucket(limit=2),),
    }
    assert Dataset(**good).root == "owner/name"
    with pytest.raises(ValidationError, match=problem):
        Dataset(**{**good, **settings})
