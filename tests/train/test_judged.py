"""The judge's word on a run's samples: right where it knows the subjects, else silence."""

import json
from pathlib import Path

import pytest
from PIL import Image

from bioicons_kit.drawings import generate
from bioicons_kit.icons import raster
from bioicons_kit.preset import Preset
from bioicons_kit.preset_file import load
from bioicons_kit.sample import Pair
from bioicons_kit.train import judged


def drawing(subject: str) -> Image.Image:
    svg = generate.drawing(4 * 10**9, subject, "outline").svg
    return raster.draw(svg.encode(), (96, 96), "resvg").image.convert("RGB")


def icon(name: str) -> Image.Image:
    root = Path(raster.__file__).parent / "shipped"
    (path,) = root.glob(f"**/{name}.svg")
    return raster.picture(path.read_bytes(), 96, "#ffffff", 0.04, raster.choose("resvg"))


@pytest.fixture
def preset(small_preset: Path) -> Preset:
    return load(small_preset)


def test_shares_before_and_after(preset: Preset):
    pairs = [
        Pair("bioicon style, a mouse", drawing("mouse"), icon("mouse")),
        Pair("bioicon style, a cactus", drawing("brain"), icon("cactus")),
        Pair("bioicon style, a zeppelin", drawing("mouse"), drawing("mouse")),
    ]
    said = judged.scores(pairs, preset)
    assert said is not None
    assert said["base"] == {"subject": 0.5, "style": 0.0}
    assert said["lora"] == {"subject": 1.0, "style": pytest.approx(2 / 3)}
    assert (said["of"], said["known"]) == (3, 2)


def test_of_another_model_nothing_is_said(preset: Preset):
    other = preset.model_copy(update={"model": preset.model.model_copy(update={"path": "owner/x"})})
    assert judged.scores([Pair("a mouse", drawing("mouse"), icon("mouse"))], other) is None
    assert judged.scores([], preset) is None


def test_a_run_notes_it(finished_run: Path):
    summary = json.loads((finished_run / "run.json").read_text())
    assert summary["judge"]["of"] == 2
    assert summary["judge"]["known"] == 2
    assert set(summary["judge"]["base"]) == {"subject", "style"}
