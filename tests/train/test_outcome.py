"""What comes out of a run besides the LoRA in diffusers' layout."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bioicons_kit.lora import formats
from bioicons_kit.lora.formats import read_diffusers
from bioicons_kit.tensor_stream import Source
from bioicons_kit.train.__main__ import main
from bioicons_kit.train.run_folder import RunFolder


@pytest.fixture
def train(small_preset: Path, tmp_path: Path) -> Callable[..., RunFolder]:
    """A function that trains the small preset without samples, with overrides."""

    def run(*overrides: str) -> RunFolder:
        root = tmp_path / "run"
        chosen = ["sample.prompts=[]", *overrides]
        main([str(small_preset), *(f"--set={each}" for each in chosen), "--out", str(root)])
        return RunFolder(root)

    return run


def test_kohya_and_the_average_hold_what_they_should(train: Callable[..., RunFolder]):
    folder = train("output.formats=['diffusers','kohya']", "lora.ema=0.9", "lora.alpha=2")
    layers, header = read_diffusers(folder.lora, "transformer")
    other = formats.read(folder.lora_kohya)
    assert other.layouts == ("kohya",)
    for name, layer in other.of("transformer").items():
        torch.testing.assert_close(layer.delta(), layers[name].delta(), rtol=1e-5, atol=1e-7)
    averaged, said = read_diffusers(folder.lora_ema, "transformer")
    assert averaged.keys() == layers.keys()
    same = [n for n in layers if torch.equal(averaged[n].delta(), layers[n].delta())]
    assert not same
    assert said["bioicons_kit.ema"] == "0.9"
    assert said["bioicons_kit.manifest_sha256"] == header["bioicons_kit.manifest_sha256"]


def test_a_reader_that_knows_no_header_gets_the_strength_it_was_trained_with(
    train: Callable[..., RunFolder],
):
    folder = train("lora.alpha=2")  # of rank 4
    layers, header = read_diffusers(folder.lora, "transformer")
    assert header["bioicons_kit.trained_alpha"] == "2.0"
    source = Source(folder.lora)
    name = next(iter(layers))
    down, up = (
        source.read(f"transformer.{name}.lora_{part}.weight").float() for part in ("A", "B")
    )
    torch.testing.assert_close(up @ down, layers[name].delta())
    assert "lora_adapter_metadata" not in header  # nothing that a reader could miss
