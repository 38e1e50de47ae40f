"""A model by its sizes alone: the same tensors as the real thing, before it is there."""

from pathlib import Path

import pytest
import torch

from bioicons_kit import families
from bioicons_kit.families import flux_blueprint
from bioicons_kit.memory.measure import frozen_bytes
from bioicons_kit.preset import Memory, Model

CPU = torch.device("cpu")


@pytest.mark.parametrize("level", ["none", "qfloat8"])
@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_the_starters_bytes_are_those_of_the_loaded_starter(models: Path, level: str, dtype: str):
    model, memory = Model(path="starter"), Memory.model_validate(
        {"quantization": level, "dtype": dtype}
    )  # fmt: skip
    family = families.load(model, models)
    _, coverage = family.load_denoiser(memory, CPU, lambda _: None)
    made = families.blueprint(model, models).subject(memory)
    assert frozen_bytes([made.denoiser]) == coverage.bytes
    assert all(p.is_meta for p in made.denoiser.parameters())


def test_of_a_model_that_is_not_here_nothing_is_fetched(tmp_path: Path):
    made = families.blueprint(Model(path="black-forest-labs/FLUX.1-dev"), tmp_path)
    assert (made.title, made.known) == ("FLUX.1-dev", False)
    other = families.blueprint(Model(path="someone/else"), tmp_path)
    assert other.title == "someone/else, taken for FLUX.1-dev"


def test_flux_dev_has_its_makers_numbers(tmp_path: Path):
    made = families.blueprint(Model(path="black-forest-labs/FLUX.1-dev"), tmp_path)
    memory = Memory(quantization="none")
    denoiser = made.subject(memory).denoiser
    assert sum(p.numel() for p in denoiser.parameters()) == 11_901_408_320
    clip, t5 = made.text_stages(memory, 1)
    assert sum(p.numel() for p in clip.module.parameters()) == 123_060_480
    assert sum(p.numel() for p in t5.module.parameters()) == 4_762_310_656
    vae = made.decode_stage((1024, 1024), memory)
    assert sum(p.numel() for p in vae.module.parameters()) == 83_819_683


def test_the_constants_are_diffusers_defaults_where_it_has_them():
    from diffusers import FluxTransformer2DModel

    defaults = FluxTransformer2DModel.load_config  # the class's own signature holds them
    assert callable(defaults)
    import inspect

    own = inspect.signature(FluxTransformer2DModel.__init__).parameters
    for key, value in flux_blueprint.TRANSFORMER.items():
        if key != "guidance_embeds":
            assert own[key].default == value, key
