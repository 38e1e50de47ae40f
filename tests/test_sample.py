"""Sampling: equal noise for base and fine-tuned, sizes, file names, what is shown beside."""

import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from bioicons_kit import preset_file, sample
from bioicons_kit.data import job
from bioicons_kit.errors import LoraError
from bioicons_kit.icons import library
from bioicons_kit.icons.library import Icon
from bioicons_kit.icons.row import Role, Row
from bioicons_kit.lora.formats import Layer, write, write_diffusers
from bioicons_kit.preset import Preset

MOUSE = library.SHIPPED / "cc-0/Animals/Petri_Press/mouse.svg"


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and ImageChops.difference(one, other).getbbox() is None


def draw(
    finished_run: Path, *overrides: str, lora: Path | None = None, compare: bool = False
) -> list[tuple[str, tuple[Image.Image, ...]]]:
    preset = preset_file.load(finished_run / "preset.toml", overrides)
    path = lora or finished_run / "lora.safetensors"
    return sample.with_lora(preset, path, compare, job.accelerator())


def test_base_and_fine_tuned_start_from_equal_noise(finished_run: Path, tmp_path: Path) -> None:
    """With a LoRA that changes nothing the two are the same picture, prompt by prompt."""
    nothing = {"transformer_blocks.0.attn.to_q": Layer(torch.ones(2, 192), torch.zeros(192, 2), 2)}
    lora = write_diffusers(tmp_path / "x", nothing, "transformer", {})
    pairs = draw(finished_run, lora=lora, compare=True)
    assert [prompt for prompt, _ in pairs] == [
        "bioicon style, a mouse",
        "bioicon style, a jellyfish",
    ]
    for _, (base, adapted) in pairs:
        assert same(base, adapted)
    assert not same(pairs[0][1][0], pairs[1][1][0])


def test_the_base_picture_is_the_bare_models_and_comparing_changes_nothing(
    finished_run: Path, tmp_path: Path
) -> None:
    nothing = {"transformer_blocks.0.attn.to_q": Layer(torch.ones(2, 192), torch.zeros(192, 2), 2)}
    bare = draw(finished_run, lora=write_diffusers(tmp_path / "x", nothing, "transformer", {}))
    compared = draw(finished_run, compare=True)
    plain = draw(finished_run)
    for (_, (base, adapted)), (_, (only,)), (_, (without,)) in zip(
        compared, plain, bare, strict=True
    ):
        assert same(adapted, only)
        assert same(base, without)
        assert not same(base, adapted)


def test_the_strength_of_the_lora_is_in_the_file(finished_run: Path, tmp_path: Path) -> None:
    """Alpha is folded into what is written: twice the alpha is another picture."""
    up = torch.randn(192, 2, generator=torch.Generator().manual_seed(0))
    pictures = []
    for alpha in (2.0, 4.0):
        layers = {"transformer_blocks.0.attn.to_v": Layer(torch.ones(2, 192), up, alpha)}
        lora = write_diffusers(tmp_path / f"{alpha}", layers, "transformer", {})
        pictures.append(draw(finished_run, "sample.prompts=a fern", lora=lora)[0][1][0])
    assert not same(*pictures)


@pytest.mark.parametrize("layout", ["kohya", "bfl"])
def test_a_lora_of_any_layout_draws_the_same_picture(
    finished_run: Path, tmp_path: Path, layout: str
) -> None:
    up = torch.randn(192, 2, generator=torch.Generator().manual_seed(0))
    layers = {"transformer.transformer_blocks.0.attn.to_v": Layer(torch.ones(2, 192), up, 1.0)}
    pictures = [
        draw(finished_run, "sample.prompts=a fern", lora=write(tmp_path / name, layers, name, {}))
        for name in ("diffusers", layout)
    ]
    assert same(*(drawn[0][1][0] for drawn in pictures))


def test_updates_for_the_text_encoder_are_told_and_a_lora_of_nothing_else_is_refused(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = {
        f"text_encoder.text_model.encoder.layers.0.mlp.fc{n}": Layer(
            torch.ones(2, 64), torch.ones(64, 2), 2.0
        )
        for n in (1, 2)
    }
    ours = {
        "transformer.transformer_blocks.0.attn.to_q": Layer(
            torch.ones(2, 192), torch.zeros(192, 2), 2.0
        )
    }
    draw(finished_run, "sample.steps=1", lora=write(tmp_path / "x", {**text, **ours}, "kohya", {}))
    assert "x: left out are its 2 modules for the text_encoder" in capsys.readouterr().err
    with pytest.raises(LoraError, match="holds nothing for the transformer, only for text_encoder"):
        draw(finished_run, lora=write(tmp_path / "y", text, "kohya", {}))


def test_a_prompt_that_stands_twice_is_drawn_twice(finished_run: Path) -> None:
    drawn = draw(finished_run, "sample.prompts=['a fern', 'a fern']", "sample.steps=1")
    (first, (one,)), (second, (other,)) = drawn
    assert first == second == "a fern"
    assert one.tobytes() != other.tobytes()  # each from its own seed


def test_the_lora_is_looked_at_before_anything_is_loaded(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(LoraError):
        draw(finished_run, lora=tmp_path / "gone.safetensors")
    assert "in the cache" not in capsys.readouterr().out


@pytest.fixture
def preset(small_preset: Path) -> Preset:
    return preset_file.load(small_preset)


def test_samples_are_as_large_as_the_training_pictures_unless_told(small_preset: Path) -> None:
    assert sample.size(preset_file.load(small_preset)) == (64, 64)
    assert sample.size(preset_file.load(small_preset, ["sample.width=128"])) == (128, 64)
    assert sample.size(preset_file.load(small_preset, ["sample.height=96"])) == (64, 96)


def test_file_names_by_example() -> None:
    assert sample.file_name(3, "bioicon style, a mouse") == "03-bioicon-style-a-mouse"
    assert sample.file_name(0, "../../etc/passwd") == "00-etc-passwd"
    assert sample.file_name(12, "Ein Äxölötl!") == "12-ein-x-l-tl"
    assert sample.file_name(1, "日本") == "01"


@given(number=st.integers(0, 99), prompt=st.text(max_size=200))
@settings(deadline=None)
def test_file_names_are_short_plain_and_numbered(number: int, prompt: str) -> None:
    name = sample.file_name(number, prompt)
    assert name.startswith(f"{number:02d}")
    assert len(name) <= 60
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not name.endswith("-")


def row(path: Path, role: Role = "train") -> Row:
    return Row(Icon(path, path.name, "Animals", "CC0-1.0", "someone", path.stem), 0, 1, role)


def test_a_few_training_pictures_spread_over_the_dataset(preset: Preset) -> None:
    icons = [row(path) for path in sorted((library.SHIPPED / "cc-0").rglob("*.svg"))]
    shown = sample.training_pictures(icons, preset.dataset)
    assert len(shown) == 8
    step = len(icons) // 8
    others = [row(icons[0].icon.path, "validation"), row(icons[0].icon.path, "prior")]
    last = sample.training_pictures([*others, icons[7 * step]], preset.dataset)
    assert len(last) == 1
    assert same(shown[7], last[0])
    assert all(picture.mode == "RGB" for picture in shown)


def test_an_icon_that_went_bad_since_is_left_out_of_the_strip(
    preset: Preset, tmp_path: Path
) -> None:
    good = Path(shutil.copy(MOUSE, tmp_path))
    (tmp_path / "bad.svg").write_text("<svg")
    icons = [row(tmp_path / "gone.svg"), row(tmp_path / "bad.svg"), row(good)]
    shown = sample.training_pictures(icons, preset.dataset)
    assert len(shown) == 1
    assert same(shown[0], sample.training_pictures([row(good)], preset.dataset)[0])
