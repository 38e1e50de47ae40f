"""Going on from an existing LoRA: any layout, other ranks, and what does not fit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bioicons_kit import families
from bioicons_kit.errors import LoraError
from bioicons_kit.families.base import Family
from bioicons_kit.lora import adapter, formats, start, svd
from bioicons_kit.lora.layer import Layer
from bioicons_kit.preset import Lora, Model

RANK = 4


@pytest.fixture(scope="module")
def family(models: Path) -> Family:
    return families.load(Model(path="starter", max_sequence_length=16), models)


@pytest.fixture(scope="module")
def skeleton(family: Family) -> nn.Module:
    return family.skeleton()


def lora(**values: Any) -> Lora:
    return Lora.model_validate({"rank": RANK, **values})


def begun(family: Family, skeleton: nn.Module, **values: Any) -> dict[str, Layer]:
    settings = lora(**values)
    names = adapter.target_modules(skeleton, settings.targets, family.target_sets)
    return start.layers(settings, adapter.sizes(names, settings), skeleton, family.lora_prefix)


def made(names: list[str], rank: int = RANK, alpha: float = 2.0) -> dict[str, Layer]:
    generator = torch.Generator().manual_seed(0)
    return {
        f"transformer.{name}": Layer(
            torch.randn(rank, 192, generator=generator),
            torch.randn(192, rank, generator=generator),
            alpha,
        )
        for name in names
    }


QKV = [f"transformer_blocks.0.attn.to_{kind}" for kind in "qkv"]


def test_without_a_file_nothing_is_begun(family: Family, skeleton: nn.Module) -> None:
    assert begun(family, skeleton) == {}


@pytest.mark.parametrize("layout", formats.LAYOUTS)
def test_any_layout_gives_back_its_updates(
    family: Family, skeleton: nn.Module, tmp_path: Path, layout: str
) -> None:
    layers = made(QKV)
    path = formats.write(tmp_path / "x.safetensors", layers, layout, {})
    more = {} if layout == "diffusers" else {"start_ranks": "resize"}  # fused ones are of 3 ranks
    found = begun(family, skeleton, start=str(path), **more)
    assert found.keys() == set(QKV)
    for name, layer in found.items():
        assert layer.rank <= RANK
        torch.testing.assert_close(
            layer.delta(), layers[f"transformer.{name}"].delta(), rtol=1e-4, atol=1e-4
        )


def test_a_file_of_a_higher_rank_is_cut_to_its_largest_parts(
    family: Family, skeleton: nn.Module, tmp_path: Path
) -> None:
    layers = made(QKV, rank=9)
    path = formats.write(tmp_path / "x.safetensors", layers, "diffusers", {})
    found = begun(family, skeleton, start=str(path), start_ranks="resize")
    for name, layer in found.items():
        whole = layers[f"transformer.{name}"]
        parts = svd.of_product(*whole.folded().matrices)
        lost = (layer.delta() - whole.delta()).norm() / whole.delta().norm()
        assert layer.rank == RANK
        assert lost.item() == pytest.approx(parts.error(RANK), rel=1e-4)


@pytest.mark.parametrize("rank", [2, 9])
def test_another_rank_is_refused_unless_asked_for(
    family: Family, skeleton: nn.Module, tmp_path: Path, rank: int
) -> None:
    path = formats.write(tmp_path / "x.safetensors", made(QKV, rank), "diffusers", {})
    with pytest.raises(LoraError, match=rf"is of rank {rank}, the preset's is of rank 4; set lora"):
        begun(family, skeleton, start=str(path))


def test_modules_that_are_no_targets_are_refused(
    family: Family, skeleton: nn.Module, tmp_path: Path
) -> None:
    path = formats.write(tmp_path / "x.safetensors", made(QKV), "diffusers", {})
    with pytest.raises(LoraError, match=r"3 of its 3 modules are not among lora\.targets"):
        begun(family, skeleton, start=str(path), targets=["style"])


def test_dora_and_its_absence_are_told_apart(
    family: Family, skeleton: nn.Module, tmp_path: Path
) -> None:
    path = formats.write(tmp_path / "x.safetensors", made(QKV), "diffusers", {})
    with pytest.raises(LoraError, match=r"has no DoRA scale; set lora\.dora = false"):
        begun(family, skeleton, start=str(path), dora=True)


def test_a_file_for_another_model_is_refused(
    family: Family, skeleton: nn.Module, tmp_path: Path
) -> None:
    name = QKV[0]
    layers = {f"transformer.{name}": Layer(torch.ones(RANK, 64), torch.ones(192, RANK), 4.0)}
    path = formats.write(tmp_path / "x.safetensors", layers, "diffusers", {})
    with pytest.raises(LoraError, match="64 -> 192 wide, this model's is 192 -> 192"):
        begun(family, skeleton, start=str(path))


def test_a_file_that_is_not_there_is_named(family: Family, skeleton: nn.Module) -> None:
    with pytest.raises(LoraError, match=r"lora\.start: .*none\.safetensors: no such LoRA file"):
        begun(family, skeleton, start="none.safetensors")
