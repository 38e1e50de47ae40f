"""Images: aspect buckets, crops, sizes they can fill, and masks from files."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from bioicons_kit import preset_file
from bioicons_kit.data import batches, encode, job, selection
from bioicons_kit.data.encode import Encoded
from bioicons_kit.data.job import Job
from bioicons_kit.icons import picture

SIZES = {"wide": (400, 130), "tall": (130, 400), "square": (200, 200), "small": (150, 100)}
Run = Callable[..., tuple[Encoded, Job]]


def paint(path: Path, size: tuple[int, int], seed: int = 0) -> None:
    """Write noise, which is anything but uniform, its left half dark."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(100, 256, (size[1], size[0], 3), dtype=np.uint8)
    pixels[:, : size[0] // 2] //= 8
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four photographs of four shapes."""
    root = tmp_path / "photos"
    for seed, (name, size) in enumerate(SIZES.items()):
        paint(root / "things" / f"{name}.png", size, seed)
    (root / "licenses.toml").write_text('license = "CC0-1.0"\n')
    return root


@pytest.fixture
def run(small_preset: Path, fresh_cache: Path, folder: Path) -> Run:
    """A function that encodes the photographs, with overrides."""

    def encode_all(*overrides: str) -> tuple[Encoded, Job]:
        preset = preset_file.load(
            small_preset,
            [
                f"cache.root={fresh_cache}",
                f"dataset.root={folder}",
                "dataset.source=images",
                "dataset.resolution=128",
                "dataset.quality={min_side=16, max_aspect=9.0}",
                "dataset.buckets=[{}]",
                *overrides,
            ],
        )
        rows, work = selection.rows(preset, lambda: job.start(preset, Accelerator()))
        return encode.dataset(rows, work), work

    return encode_all


def sizes(encoded: Encoded) -> dict[str, tuple[int, ...]]:
    """Width and height of each row's pictures."""
    return {
        row.icon.path.stem: tuple(side for view in item.views[0] for side in view.size)
        for row, item in zip(encoded.rows, encoded.items, strict=True)
    }


def test_squares_are_cut_and_small_pictures_stay_small(run: Run) -> None:
    encoded, _ = run()
    assert sizes(encoded) == {
        "small": (64, 64),
        "square": (128, 128),
        "tall": (128, 128),
        "wide": (128, 128),
    }
    encoded, _ = run("dataset.sizes.upscale=true")
    assert set(sizes(encoded).values()) == {(128, 128)}


def test_buckets_follow_the_shape_and_are_told_in_a_table(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    encoded, work = run("dataset.sizes.aspects=buckets", "train.batch_size=3")
    assert sizes(encoded) == {
        "small": (128, 64),
        "square": (128, 128),
        "tall": (64, 256),
        "wide": (256, 64),
    }
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("sizes")]
    assert len(table) == 1 + len(set(sizes(encoded).values()))
    content, train = encoded.content(work.preset), work.preset.train
    order = batches.order(content, train)
    seen: Counter[int] = Counter()
    for number in range(order.epoch_batches(0)):
        showings = order.batch(number)
        batch = batches.collate(work.cache, content, train, showings)
        width, height = content.items[showings[0].item].views[0][0].size
        shape = (len(showings), 16, height // 8, width // 8)
        assert batch.tensors["latents.mean"].shape == shape
        seen.update(showing.item for showing in showings)
    assert seen == dict.fromkeys(range(4), 1)


def test_a_picture_shows_what_its_crop_says(run: Run) -> None:
    """The left half is dark: how bright a picture is shows where it was cut."""

    def brightness(encoded: Encoded) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for source in encoded.plan.pictures.values():
            task = source.input
            assert not isinstance(task, str)
            made = picture.make(task.path.read_bytes(), task.kind, task.recipe).image
            found.setdefault(task.path.stem, []).append(float(np.asarray(made.convert("L")).mean()))
        return found

    center = brightness(run()[0])
    assert {name: len(each) for name, each in center.items()} == dict.fromkeys(SIZES, 1)
    random = brightness(run("dataset.sizes.crop=random", "dataset.buckets.0.repeats=4")[0])
    assert {name: len(each) for name, each in random.items()} == dict.fromkeys(SIZES, 4)
    assert max(random["wide"]) - min(random["wide"]) > 20
    again = brightness(run("dataset.sizes.crop=random", "dataset.buckets.0.repeats=4")[0])
    assert again == random
    whole = run("dataset.sizes.crop=none")[0]
    for source in whole.plan.pictures.values():
        task = source.input
        assert not isinstance(task, str)
        made = picture.make(task.path.read_bytes(), task.kind, task.recipe)
        assert made.image.getpixel((0, 0)) == (255, 255, 255) or task.path.stem == "square"
        shown = np.asarray(made.alpha).mean() / 255
        width, height = SIZES[task.path.stem]
        assert shown == pytest.approx(min(width, height) / max(width, height), abs=0.02)


def test_masks_from_files_go_through_the_geometry_of_their_pictures(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    masks = tmp_path / "masks"
    for name, size in SIZES.items():
        mask = Image.new("L", size, 0)
        mask.paste(255, (0, 0, size[0] // 2, size[1]))  # the left half counts
        (masks / "things").mkdir(parents=True, exist_ok=True)
        mask.save(masks / "things" / f"{name}.png")
    encoded, work = run(f"dataset.mask={{source='files', folder='{masks}'}}")
    for item in encoded.items:
        _, entry = item.views[0][0].entries
        coverage = work.cache.get(entry)["coverage"]
        half = coverage.shape[1] // 2
        assert torch.allclose(coverage[:, : half - 1], torch.ones(()))
        assert torch.allclose(coverage[:, half + 1 :], torch.zeros(()))

    touched = masks / "things" / "wide.png"
    Image.new("L", SIZES["wide"], 255).save(touched)
    again, _ = run(f"dataset.mask={{source='files', folder='{masks}'}}")
    changed = [
        old.views[0][0].entries != new.views[0][0].entries
        for old, new in zip(encoded.items, again.items, strict=True)
    ]
    assert changed.count(True) == 1
    assert [item.views[0][0].entries[0] for item in again.items] == [
        item.views[0][0].entries[0] for item in encoded.items
    ]


def test_a_picture_without_its_mask_is_left_out_and_named(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = tmp_path / "masks" / "things"
    masks.mkdir(parents=True)
    for name, size in SIZES.items():
        if name != "tall":
            Image.new("L", size, 255).save(masks / f"{name}.png")
    encoded, _ = run(f"dataset.mask={{source='files', folder='{masks.parent}'}}")
    assert len(encoded.rows) == 3
    told = capsys.readouterr().err
    assert f"things/tall.png: skipped, its mask {masks / 'tall.png'} cannot be read" in told


def test_a_picture_too_small_for_any_size_is_left_out_and_told_why(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paint(folder / "things" / "tiny.png", (60, 90), 9)
    encoded, _ = run()
    assert "tiny" not in sizes(encoded)
    assert "60 x 90 pixels are too few; dataset.sizes.upscale = true" in capsys.readouterr().err
