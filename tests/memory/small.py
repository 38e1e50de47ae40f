"""A FLUX of some blocks with random weights, batches for it, and a few steps of training."""

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from bioicons_kit.families import flux, flux_memory, starter
from bioicons_kit.families.base import Batch
from bioicons_kit.lora import adapter
from bioicons_kit.memory import quantize
from bioicons_kit.memory.levels import LEVELS
from bioicons_kit.memory.linear import QuantizedLinear
from bioicons_kit.preset import Memory, Train

CPU = torch.device("cpu")

# `.ci/run` installs its library at the end and runs these: every process would import it.
NF4 = pytest.param(
    "nf4",
    marks=pytest.mark.skipif(
        importlib.util.find_spec("bitsandbytes") is None, reason="needs bitsandbytes"
    ),
)
SCALING = flux.VaeScaling(0.1159, 0.3611)
CONFIG: dict[str, Any] = {
    **starter.TRANSFORMER,
    "num_layers": 3,
    "num_single_layers": 5,
    "num_attention_heads": 2,
}
TARGETS = ("attention",)


def batch(number: int, count: int = 2, side: int = 8) -> Batch:
    """Return the `number`-th batch of random entries, latents `side` wide."""
    generator = torch.Generator().manual_seed(number)

    def entry(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator)

    tensors = {
        "latents.mean": entry(16, side, side),
        "latents.logvar": entry(16, side, side),
        "clip.pooled": entry(128),
        "t5.states": entry(12, 128),
    }
    first = number * count
    return Batch(tensors, tuple(range(first, first + count)), torch.ones(count))


def stream(count: int = 2) -> Iterator[Batch]:
    """Yield batches for ever."""
    number = 0
    while True:
        yield batch(number, count)
        number += 1


def denoiser(
    memory: Memory,
    config: dict[str, Any] | None = None,
    seed: int = 0,
    device: torch.device = CPU,
) -> Any:
    """Return a frozen denoiser with random weights, arranged as `memory` says."""
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(seed)
    made: Any = FluxTransformer2DModel(**(config or CONFIG))
    weights = {name: p.detach() for name, p in made.named_parameters()}
    for name in quantize.swap_linears(made, memory.quantization, flux.KEEP, torch.float32):
        layer = made.get_submodule(name)
        assert isinstance(layer, QuantizedLinear)
        layer.fill(LEVELS[layer.level].encode(weights[f"{name}.weight"]))
    made.requires_grad_(False)
    made.to(device)
    flux.keep_timesteps_float32(made)
    flux_memory.arrange(made, memory, device)
    return made


def adapted(
    model: Any, rank: int = 4, dropout: float = 0.0, targets: Sequence[str] = TARGETS
) -> list[torch.nn.Parameter]:
    """Attach a LoRA; return its parameters."""
    names = adapter.target_modules(model, targets, flux.Flux.target_sets)
    torch.manual_seed(1)
    return adapter.attach(model, names, rank, None, dropout)


@dataclass(frozen=True)
class Trained:
    """What a few steps gave: each step's loss and gradients, and a loss without gradients."""

    losses: list[float]
    gradients: list[Tensor]
    after: Tensor

    def equals(self, other: "Trained") -> bool:
        """Whether every bit is the same."""
        return (
            self.losses == other.losses
            and all(map(torch.equal, self.gradients, other.gradients))
            and torch.equal(self.after, other.after)
        )


def train(
    memory: Memory,
    steps: int = 3,
    *,
    config: dict[str, Any] | None = None,
    device: torch.device = CPU,
) -> Trained:
    """Train a few steps, with dropout, which draws from torch's generator."""
    model = denoiser(memory, config, device=device)
    parameters = adapted(model, dropout=0.1)
    settings = Train(batch_size=2, steps=steps)
    optimizer = torch.optim.AdamW(parameters, lr=1e-2)
    losses, gradients = [], []
    torch.manual_seed(2)
    for each in flux_memory.prepared(model, stream(), settings, steps):
        loss = flux.loss(model, each.to(device), settings, SCALING).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.item())
        gradients.append(torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]))
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        after = flux.loss(model, batch(99).to(device), settings, SCALING)
    return Trained(losses, gradients, after)
