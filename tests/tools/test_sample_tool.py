"""The sampling tool: a run's folder or a LoRA file in, pictures out, or one line why not."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageChops

from bioicons_kit.lora.formats import Layer, write_diffusers
from bioicons_kit.svg import tree

PROMPTS = ("00-bioicon-style-a-mouse", "01-bioicon-style-a-jellyfish")


@pytest.fixture
def main(tool: Any) -> Any:
    """The tool's `main`."""
    return tool("sample")


def test_a_runs_folder_gives_trainings_own_samples_again(
    command: Any, main: Any, finished_run: Path, tmp_path: Path
) -> None:
    done = command(main, finished_run, "--compare", "--out", tmp_path)
    assert done.status == 0, done.err
    assert "2 prompt(s) drawn" in done.out
    names = {f"{prompt}.{kind}.png" for prompt in PROMPTS for kind in ("base", "lora")}
    assert {path.name for path in tmp_path.iterdir()} == {*names, "comparison.png"}
    for name in names:
        assert (tmp_path / name).read_bytes() == (finished_run / "samples" / name).read_bytes()
    width, height = Image.open(tmp_path / "comparison.png").size
    assert width >= 2 * 256
    assert height >= 2 * 256


def test_a_lora_file_takes_its_preset_prompt_and_seed_from_the_command_line(
    command: Any, main: Any, finished_run: Path, tmp_path: Path
) -> None:
    lora = Path(shutil.copy(finished_run / "lora.safetensors", tmp_path / "mine.safetensors"))
    preset = ("--preset", finished_run / "preset.toml")
    prompt = ("--prompt", "bioicon style, a mouse")

    def draw(*options: object) -> Image.Image:
        done = command(main, lora, *preset, *options)
        assert done.status == 0, done.err
        return Image.open(tmp_path / "samples" / f"{PROMPTS[0]}.lora.png").copy()

    same = draw(*prompt, "--seed", 0)
    assert [path.name for path in (tmp_path / "samples").iterdir()] == [f"{PROMPTS[0]}.lora.png"]
    trained = Image.open(finished_run / "samples" / f"{PROMPTS[0]}.lora.png")
    assert ImageChops.difference(same, trained).getbbox() is None
    other = draw(*prompt, "--seed", 1)
    assert ImageChops.difference(other, same).getbbox() is not None
    wide = draw(*prompt, "--set", "sample.width=96", "--set", "sample.steps=1")
    assert wide.size == (96, 64)


def test_several_prompts_are_drawn_from_seeds_that_follow_each_other(
    command: Any, main: Any, finished_run: Path, tmp_path: Path
) -> None:
    prompts = ("--prompt", "a fern", "--prompt", "bioicon style, a mouse")
    assert command(main, finished_run, *prompts, "--seed", 7, "--out", tmp_path / "a").status == 0
    alone = ("--prompt", "bioicon style, a mouse", "--seed", 8)
    assert command(main, finished_run, *alone, "--out", tmp_path / "b").status == 0
    second = tmp_path / "a" / "01-bioicon-style-a-mouse.lora.png"
    assert second.read_bytes() == (tmp_path / "b" / f"{PROMPTS[0]}.lora.png").read_bytes()
    assert (tmp_path / "a" / "00-a-fern.lora.png").is_file()


def test_a_lora_that_is_not_there(command: Any, main: Any, tmp_path: Path) -> None:
    gone = tmp_path / "gone.safetensors"
    assert command(main, gone).error.startswith(f"{gone}: no such LoRA; give a run's folder")
    assert "lora.safetensors: no such LoRA" in command(main, tmp_path).error  # an empty folder


def test_a_lora_with_no_preset_beside_it(
    command: Any, main: Any, finished_run: Path, tmp_path: Path
) -> None:
    lora = shutil.copy(finished_run / "lora.safetensors", tmp_path)
    line = command(main, lora).error
    assert "no preset.toml beside it; name the model with --preset PRESET" in line
    assert "no such preset" in command(main, lora, "--preset", tmp_path / "gone.toml").error


@pytest.mark.parametrize(
    ("module", "inside", "said"),
    [
        ("transformer_blocks.18.attn.to_q", 3072, "is not in this model"),
        ("transformer_blocks.0.attn.to_q", 3072, "it was made for another model"),
    ],
)
def test_a_lora_of_another_model(
    command: Any,
    main: Any,
    finished_run: Path,
    tmp_path: Path,
    module: str,
    inside: int,
    said: str,
) -> None:
    update = Layer(torch.ones(4, inside), torch.ones(inside, 4), 4.0)
    lora = write_diffusers(tmp_path / "big.safetensors", {module: update}, "transformer", {})
    line = command(main, lora, "--preset", finished_run / "preset.toml").error
    assert line.startswith(f"{lora}: ")
    assert module in line
    assert said in line
    assert [path.name for path in tmp_path.iterdir()] == ["big.safetensors"]


def test_a_file_that_is_no_lora(
    command: Any, main: Any, finished_run: Path, starter_folder: Path, tmp_path: Path
) -> None:
    preset = ("--preset", finished_run / "preset.toml")
    (tmp_path / "x.safetensors").write_bytes(b"not safetensors")
    assert (
        "not a readable safetensors file"
        in command(main, tmp_path / "x.safetensors", *preset).error
    )
    (weights,) = (starter_folder / "vae").glob("*.safetensors")
    assert "not a LoRA: its first key is" in command(main, weights, *preset).error


def test_nothing_to_draw(command: Any, main: Any, finished_run: Path) -> None:
    line = command(main, finished_run, "--set=sample.prompts=[]").error
    assert line.endswith("sample.prompts is empty; give --prompt TEXT")


def test_a_seed_that_is_none(command: Any, main: Any, finished_run: Path) -> None:
    assert "--set sample.seed=-1" in command(main, finished_run, "--seed=-1").error
    assert "--seed: invalid int value" in command(main, finished_run, "--seed=x").error


def test_pictures_come_as_icons_too_where_asked(tool, finished_run, tmp_path):
    arguments = [str(finished_run), "--svg", "--compare", "--out", str(tmp_path)]
    tool("sample")([*arguments, "--prompt", "bioicon style, a fern"])
    root = tree.parse((tmp_path / "00-bioicon-style-a-fern.lora.svg").read_bytes())
    assert [element.text for element in root[:2]] == ["a fern", "bioicon style, a fern"]
    picture = Image.open(tmp_path / "00-bioicon-style-a-fern.lora.png")
    assert picture.info["prompt"] == "bioicon style, a fern"
    with_icons = Image.open(tmp_path / "comparison.png").width
    tool("sample")([str(finished_run), "--compare", "--out", str(tmp_path / "two")])
    assert with_icons > Image.open(tmp_path / "two" / "comparison.png").width
