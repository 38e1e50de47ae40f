"""LoRA files as other tools write them, spelled out by hand: nothing of the kit's is used."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

Factors = dict[str, tuple[Tensor, Tensor]]  # diffusers' module -> down, up

HIDDEN, MLP = 3072, 12288  # FLUX.1's widths

DOUBLE = {  # BFL's name: (diffusers' names, columns, rows of each)
    "img_attn.qkv": (["attn.to_q", "attn.to_k", "attn.to_v"], HIDDEN, HIDDEN),
    "txt_attn.qkv": (["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"], HIDDEN, HIDDEN),
    "img_attn.proj": (["attn.to_out.0"], HIDDEN, HIDDEN),
    "txt_attn.proj": (["attn.to_add_out"], HIDDEN, HIDDEN),
    "img_mlp.0": (["ff.net.0.proj"], HIDDEN, MLP),
    "img_mlp.2": (["ff.net.2"], MLP, HIDDEN),
    "txt_mlp.0": (["ff_context.net.0.proj"], HIDDEN, MLP),
    "txt_mlp.2": (["ff_context.net.2"], MLP, HIDDEN),
    "img_mod.lin": (["norm1.linear"], HIDDEN, 6 * HIDDEN),
    "txt_mod.lin": (["norm1_context.linear"], HIDDEN, 6 * HIDDEN),
}
SINGLE_FUSED = ["attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"]
SINGLE_ROWS = [HIDDEN, HIDDEN, HIDDEN, MLP]
SINGLE = {
    "linear2": ("proj_out", HIDDEN + MLP, HIDDEN),
    "modulation.lin": ("norm.linear", HIDDEN, 3 * HIDDEN),
}


def factors(
    inside: int, outside: int, rank: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    down = torch.randn(rank, inside, generator=generator)
    return down, torch.randn(outside, rank, generator=generator)


def flux(blocks: tuple[int, ...], rank: int = 4, seed: int = 0) -> Factors:
    """Separate factors for every linear of these double and single blocks, at real width."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for number in blocks:
        for names, columns, rows in DOUBLE.values():
            for name in names:
                key = f"transformer_blocks.{number}.{name}"
                made[key] = factors(columns, rows, rank, generator)
        for name, rows in zip(SINGLE_FUSED, SINGLE_ROWS, strict=True):
            key = f"single_transformer_blocks.{number}.{name}"
            made[key] = factors(HIDDEN, rows, rank, generator)
        for name, columns, rows in SINGLE.values():
            key = f"single_transformer_blocks.{number}.{name}"
            made[key] = factors(columns, rows, rank, generator)
    return made


def block_diagonal(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Fuse factors as the original code's matrices hold them."""
    return torch.cat([down for down, _ in parts]), torch.block_diag(*[up for _, up in parts])


def bfl(made: Factors, blocks: tuple[int, ...]) -> Factors:
    """The same updates under the original names, fused where the original is."""
    fused = {}
    for number in blocks:
        for original, (names, _, _) in DOUBLE.items():
            parts = [made[f"transformer_blocks.{number}.{name}"] for name in names]
            fused[f"double_blocks.{number}.{original}"] = block_diagonal(parts)
        start = f"single_transformer_blocks.{number}."
        parts = [made[start + name] for name in SINGLE_FUSED]
        fused[f"single_blocks.{number}.linear1"] = block_diagonal(parts)
        for original, (name, _, _) in SINGLE.items():
            fused[f"single_blocks.{number}.{original}"] = made[start + name]
    return fused


def kohya_file(path: Path, fused: Factors, alpha: float | None, prefix: str = "lora_unet_") -> Path:
    content = {}
    for name, (down, up) in fused.items():
        stem = prefix + name.replace(".", "_")
        content[f"{stem}.lora_down.weight"] = down
        content[f"{stem}.lora_up.weight"] = up
        if alpha is not None:
            content[f"{stem}.alpha"] = torch.tensor(alpha)
    return save(path, content)


def peft_file(path: Path, made: Factors, prefix: str, alpha: float | None = None) -> Path:
    content = {}
    for name, (down, up) in made.items():
        content[f"{prefix}{name}.lora_A.weight"] = down
        content[f"{prefix}{name}.lora_B.weight"] = up
        if alpha is not None:
            content[f"{prefix}{name}.alpha"] = torch.tensor(alpha)
    return save(path, content)


def xlabs_file(path: Path, made: Factors, blocks: tuple[int, ...]) -> tuple[Path, Factors]:
    """XLabs trains one shared down for q, k, v: returned are the factors that the file means."""
    content, meant = {}, {}
    generator = torch.Generator().manual_seed(9)
    for number in blocks:
        double, single = f"transformer_blocks.{number}.", f"single_transformer_blocks.{number}."
        shared = {
            f"double_blocks.{number}.processor.qkv_lora1": [
                double + n for n in ("attn.to_q", "attn.to_k", "attn.to_v")
            ],
            f"double_blocks.{number}.processor.qkv_lora2": [
                double + n for n in ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")
            ],
            f"single_blocks.{number}.processor.qkv_lora": [single + n for n in SINGLE_FUSED[:3]],
        }
        for name, modules in shared.items():
            down, up = factors(HIDDEN, 3 * HIDDEN, 4, generator)
            content[f"{name}.down.weight"], content[f"{name}.up.weight"] = down, up
            for module, rows in zip(modules, up.chunk(3), strict=True):
                meant[module] = (down, rows)
        plain = {
            f"double_blocks.{number}.processor.proj_lora1": double + "attn.to_out.0",
            f"double_blocks.{number}.processor.proj_lora2": double + "attn.to_add_out",
            f"single_blocks.{number}.processor.proj_lora": single + "proj_out",
        }
        for name, module in plain.items():
            content[f"{name}.down.weight"], content[f"{name}.up.weight"] = made[module]
            meant[module] = made[module]
    return save(path, content), meant


def save(path: Path, content: dict[str, Tensor]) -> Path:
    save_file({key: tensor.contiguous() for key, tensor in content.items()}, path)
    return path
