"""What `lora.targets = "style"` saves: the time of a step, side by side with all blocks.

    python benchmarks/style_targets.py [--steps 12] [--pixels 256] [--dtype fp32] [--hidden 512]

Two copies of one FLUX (4 + 8 blocks, random weights), with an adapter on all linears of
all blocks and on the late single blocks, take turns step by step: loss, backward, AdamW, with
every block checkpointed. Told are the medians, their ratio, and how many blocks ran again
in the backward pass. Runs on one thread (OMP_NUM_THREADS) unless told otherwise.
"""

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import nn

from bioicons_kit.families import flux, flux_memory
from bioicons_kit.families.base import DTYPES, Batch
from bioicons_kit.families.flux_config import VAE_FACTOR
from bioicons_kit.lora import adapter
from bioicons_kit.preset import Lora, Memory, Train
from bioicons_kit.train import optim

HEADS_WIDTH = 64
TEXT = {"clip.pooled": (128,), "t5.states": (512, 128)}  # tokens as FLUX.1-dev's captions have
SCALING = flux.VaeScaling(0.1159, 0.3611)
WARM_UP = 2  # steps that are not counted


class Runner(NamedTuple):
    """A model with an adapter, and what moves it."""

    targets: str
    denoiser: nn.Module
    optimizer: torch.optim.Optimizer
    again: list[int]  # runs of blocks beyond the first in each step


def main() -> None:
    """Take the steps and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--pixels", type=int, default=256)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--dtype", choices=tuple(DTYPES), default="fp32")
    parser.add_argument("--targets", nargs="+", default=["all", "style"])
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    runners = [runner(name, options, device) for name in options.targets]
    batch = batch_of(options.pixels).to(device)
    seconds: dict[str, list[float]] = {each.targets: [] for each in runners}
    for number in range(WARM_UP + options.steps):
        for each in runners:  # in turn: a busy machine slows all alike
            taken = step(each, batch, device)
            if number >= WARM_UP:
                seconds[each.targets].append(taken)
    tell(runners, seconds)


def runner(targets: str, options: argparse.Namespace, device: torch.device) -> Runner:
    """Return the model with an adapter on `targets`."""
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(0)
    made: Any = FluxTransformer2DModel(
        in_channels=64,
        num_layers=4,
        num_single_layers=8,
        attention_head_dim=HEADS_WIDTH,
        num_attention_heads=options.hidden // HEADS_WIDTH,
        joint_attention_dim=TEXT["t5.states"][1],
        pooled_projection_dim=TEXT["clip.pooled"][0],
        guidance_embeds=True,
        axes_dims_rope=(16, 24, 24),
    )
    memory = Memory(dtype=options.dtype, quantization="none", checkpointing="full")
    denoiser = made.to(device, DTYPES[options.dtype]).requires_grad_(False)
    flux.keep_timesteps_float32(denoiser)
    flux_memory.arrange(denoiser, memory, device)
    lora = Lora(targets=(targets,))
    adapter.create(
        denoiser, adapter.target_modules(denoiser, lora.targets, flux.Flux.target_sets), lora
    )
    again = [0]

    def count(_block: nn.Module, _args: Any) -> None:
        again[-1] += 1

    for name in flux_memory.blocks(denoiser):
        denoiser.get_submodule(name).register_forward_pre_hook(count)
    denoiser.train()
    return Runner(targets, denoiser, optim.build(adapter.named(denoiser), Train(), lora), again)


def batch_of(pixels: int) -> Batch:
    """Return one picture and its caption."""
    generator = torch.Generator().manual_seed(1)
    side = pixels // VAE_FACTOR
    shapes: dict[str, Sequence[int]] = {**TEXT, "latents.mean": (16, side, side)}
    tensors = {name: torch.randn(1, *shape, generator=generator) for name, shape in shapes.items()}
    tensors["latents.logvar"] = torch.full((1, 16, side, side), -4.0)
    return Batch(tensors, (1,), torch.ones(1))


def step(each: Runner, batch: Batch, device: torch.device) -> float:
    """Take one step; return its seconds."""
    each.again.append(0)
    started = time.perf_counter()
    loss = flux.loss(each.denoiser, batch, Train(), SCALING).mean()
    loss.backward()
    each.optimizer.step()
    each.optimizer.zero_grad()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def tell(runners: Sequence[Runner], seconds: dict[str, list[float]]) -> None:
    """Print the table."""
    total = sum(p.numel() for n, p in runners[0].denoiser.named_parameters() if "lora_" not in n)
    blocks = len(flux_memory.blocks(runners[0].denoiser))
    where = next(runners[0].denoiser.parameters()).device.type
    print(
        f"{total / 1e6:.1f} M parameters, {blocks} blocks, {where}, {torch.get_num_threads()} "
        f"thread(s), torch {torch.__version__}\n"
    )
    print("| targets | trained | blocks run again | median s | fastest s | times as fast |")
    print("|---|---|---|---|---|---|")
    slowest = statistics.median(seconds[runners[0].targets])
    for each in runners:
        trained = sum(p.numel() for p in adapter.named(each.denoiser).values())
        median, best = statistics.median(seconds[each.targets]), min(seconds[each.targets])
        print(
            f"| {each.targets} | {trained:,} | {each.again[-1] - blocks} | {median:.3f} "
            f"| {best:.3f} | {slowest / median:.2f} |"
        )


if __name__ == "__main__":
    main()
