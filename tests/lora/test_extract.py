"""The difference of two models as a LoRA."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bioicons_kit import names_flux
from bioicons_kit.errors import LoraError, ModelError
from bioicons_kit.lora import checkpoint, extract

KEY = "transformer_blocks.0.attn.to_q.weight"
MODULE = "transformer.transformer_blocks.0.attn.to_q"


def tuned(starter_folder: Path, root: Path, changes: dict[str, Tensor]) -> Path:
    """The starter in float32 with something added to some tensors."""
    shutil.copytree(starter_folder, root)
    path = root / "transformer" / "diffusion_pytorch_model.safetensors"
    content = {key: tensor.float() for key, tensor in load_file(path).items()}
    for key, change in changes.items():
        content[key] = content[key] + change
    save_file(content, path)
    return root


def low_rank(rank: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(192, rank, generator=generator) @ torch.randn(rank, 192, generator=generator)


def test_an_update_of_low_rank_is_found_again(starter_folder: Path, tmp_path: Path) -> None:
    change = low_rank(3)
    base = checkpoint.find(starter_folder)
    other = checkpoint.find(tuned(starter_folder, tmp_path / "t", {KEY: change}))
    found = extract.extract(base, other, 5, seed=0)
    assert found.keys() == {MODULE}
    assert torch.allclose(found[MODULE].layer.delta(), change, atol=1e-4)
    assert found[MODULE].error < 1e-5
    assert found[MODULE].effect == pytest.approx(float(change.norm()), rel=1e-5)
    cut = extract.extract(base, other, 2, seed=0)[MODULE]
    best = torch.linalg.svdvals(change.double())[2:].norm() / change.double().norm()
    assert cut.layer.rank == 2
    assert cut.error == pytest.approx(float(best), rel=1e-3)
    assert float((cut.layer.delta() - change).norm()) == pytest.approx(
        cut.error * cut.effect, rel=1e-3
    )


def test_models_in_different_layouts_are_compared(starter_folder: Path, tmp_path: Path) -> None:
    changes = {
        KEY: low_rank(2),
        "norm_out.linear.weight": torch.ones(384, 192) * torch.arange(384.0)[:, None],
    }
    root = tuned(starter_folder, tmp_path / "t", changes)
    content = load_file(root / "transformer" / "diffusion_pytorch_model.safetensors")
    single = {}
    for name, modules in names_flux.MODULES.items():
        if f"{modules[0]}.weight" in content:
            rows = torch.cat([content[f"{module}.weight"] for module in modules])
            swapped = name == "final_layer.adaLN_modulation.1"
            single[f"{name}.weight"] = torch.cat(rows.chunk(2)[::-1]) if swapped else rows
    save_file(single, tmp_path / "single.safetensors")
    base = checkpoint.find(starter_folder)
    one = extract.extract(base, checkpoint.find(root), 4, seed=0)
    two = extract.extract(base, checkpoint.find(tmp_path / "single.safetensors"), 4, seed=0)
    assert one.keys() == two.keys() == {MODULE, "transformer.norm_out.linear"}
    for name, each in one.items():
        assert torch.allclose(each.layer.delta(), two[name].layer.delta(), atol=1e-5)


def test_what_no_lora_can_hold_is_told(starter_folder: Path, tmp_path: Path) -> None:
    changes = {KEY: low_rank(1), "x_embedder.bias": torch.ones(192)}
    other = checkpoint.find(tuned(starter_folder, tmp_path / "t", changes))
    base = checkpoint.find(starter_folder)
    assert extract.beyond(base, other) == ("x_embedder.bias",)
    assert extract.beyond(base, base) == ()


def test_equal_and_different_models_are_refused(starter_folder: Path, tmp_path: Path) -> None:
    base = checkpoint.find(starter_folder)
    with pytest.raises(LoraError, match="no module differs"):
        extract.extract(base, base, 4, seed=0)
    one = tmp_path / "one.safetensors"
    save_file({"double_blocks.0.img_attn.proj.weight": torch.ones(8, 8)}, one)
    with pytest.raises(ModelError, match=r"different models; only one of them has"):
        extract.common(base, checkpoint.find(one))
    other = tmp_path / "other.safetensors"
    save_file({"double_blocks.0.img_attn.proj.weight": torch.ones(9, 8)}, other)
    with pytest.raises(ModelError, match=r"differ in width: 'transformer\.transformer_blocks\.0"):
        extract.common(checkpoint.find(one), checkpoint.find(other))
    nan = tmp_path / "nan.safetensors"
    save_file({"double_blocks.0.img_attn.proj.weight": torch.full((8, 8), float("nan"))}, nan)
    with pytest.raises(ModelError, match="no finite numbers"):
        extract.extract(checkpoint.find(one), checkpoint.find(nan), 4, seed=0)
    int8 = tmp_path / "int8.safetensors"
    save_file({"double_blocks.0.img_attn.proj.weight": torch.ones(8, 8, dtype=torch.int8)}, int8)
    with pytest.raises(ModelError, match="quantized"):
        extract.common(checkpoint.find(one), checkpoint.find(int8))
