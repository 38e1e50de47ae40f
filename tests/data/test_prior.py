"""Class pictures: as many as are missing, drawn once, by the model as it is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from accelerate import Accelerator
from PIL import Image

from bioicons_kit import preset_file
from bioicons_kit.data import encode, job, prior, selection
from bioicons_kit.data.job import Job
from bioicons_kit.errors import LibraryError

BUCKETS = (
    "dataset.buckets=[{{category='Animals', limit=3}}, {{role='prior', source='images', "
    "root='{root}', caption='{prompt}', generate={count}}}]"
)
Start = Callable[..., Job]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "class"


@pytest.fixture
def start(small_preset: Path, fresh_cache: Path, root: Path) -> Start:
    def make(*overrides: str, count: int = 3, prompt: str = "a drawing") -> Job:
        preset = preset_file.load(
            small_preset,
            [
                f"cache.root={fresh_cache}",
                BUCKETS.format(root=root, prompt=prompt, count=count),
                "dataset.quality={min_side=16, min_deviation=0.0}",
                "train.prior_share=0.5",
                "train.prior_weight=0.7",
                *overrides,
            ],
        )
        return job.start(preset, Accelerator())

    return make


def pictures(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(root.rglob("*.png"))}


def test_what_is_missing_is_drawn_once_and_goes_on_where_it_was(start: Start, root: Path) -> None:
    work = start()
    assert prior.ensure(work) == 3
    first = pictures(root)
    assert list(first) == ["00000.png", "00001.png", "00002.png"]
    assert len(set(first.values())) == 3
    assert prior.ensure(work) == 0

    next(root.rglob("00001.png")).unlink()  # as if stopped in between
    assert prior.ensure(work) == 1
    assert pictures(root) == first
    assert prior.ensure(start(count=4)) == 1
    assert {name: data for name, data in pictures(root).items() if name in first} == first
    with Image.open(next(root.rglob("00000.png"))) as picture:
        assert picture.size == (64, 64)


def test_pictures_of_ones_own_count(start: Start, root: Path) -> None:
    root.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / "own.jpg")
    (found,) = prior.wanted(start(count=2))
    assert len(found.missing) == 1
    assert prior.wanted(start(count=1))[0].missing == ()
    assert prior.ensure(start(count=1)) == 0
    assert [path.name for path in root.iterdir()] == ["own.jpg"]


def test_another_prompt_model_or_setting_makes_other_pictures(start: Start) -> None:
    folder = prior.wanted(start())[0].folder
    for changed in (
        start(prompt="a photograph"),
        start("sample.steps=3"),
        start("sample.guidance=2.0"),
        start("dataset.resolution=80"),
        start("dataset.seed=1"),
        start("memory.quantization=none"),
    ):
        assert prior.wanted(changed)[0].folder != folder
    assert prior.wanted(start("train.steps=9"))[0].folder == folder


def test_pictures_of_another_prompt_are_refused(start: Start, root: Path) -> None:
    (old,) = prior.wanted(start())
    old.folder.mkdir(parents=True)
    with pytest.raises(LibraryError, match=r"class pictures of another model, prompt or setting"):
        prior.ensure(start(prompt="a photograph"))


def test_training_has_them_made_and_mixes_them_in(
    start: Start, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = start()
    with pytest.raises(LibraryError, match=r"class pictures are missing; .*make_prior"):
        selection.rows(work.preset, lambda: work, generate=False)
    rows, _ = selection.rows(work.preset, lambda: work)
    assert "3 class pictures to draw with the starter FLUX" in capsys.readouterr().out
    made = [row for row in rows if row.role == "prior"]
    assert len(made) == 3
    assert {(row.icon.license, row.icon.author) for row in made} == {
        (prior.LICENSE, "the starter FLUX")
    }
    encoded = encode.dataset(rows, work)
    content = encoded.content(work.preset)
    assert [(item.is_prior, item.weight) for item in content.items] == (
        [(False, 1.0)] * 3 + [(True, 0.7)] * 3
    )
    assert [
        words
        for row, words in zip(encoded.rows, encoded.captions, strict=True)
        if row.role == "prior"
    ] == [("a drawing",)] * 3
