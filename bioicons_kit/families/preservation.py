"""Differential output preservation: what the base model predicts for a class stays as it was.

DreamBooth keeps what a model knew by showing it pictures of the class that it drew itself
(Ruiz et al. 2023, arXiv:2208.12242, section 3.3). The same is had without pictures: on the
very noisy latents that are trained on, but with the class's caption (no trigger in it), the
target is what the model predicts with the adapter off,

    loss + weight * error(v(x_s, s, class), v_base(x_s, s, class))

so that the adapter's change hangs on the trigger. Captions and class go through the denoiser
as one batch of twice the size (one forward a backward, as DDP wants it), the base model's
prediction is one forward without gradient before it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from bioicons_kit.families.base import Batch, Tensors

PREFIX = "preserved."  # of the class text's tensors in a batch


def texts(tensors: Tensors) -> dict[str, Tensor]:
    """Return the class text's tensors of a batch, under their own names."""
    start = len(PREFIX)
    return {name[start:]: value for name, value in tensors.items() if name.startswith(PREFIX)}


def both(tensors: Tensors) -> dict[str, Tensor]:
    """Return the captions' tensors with the class text's after them, `[2 batch, ...]`."""
    kept = texts(tensors)
    return {name: torch.cat([tensors[name], value]) for name, value in kept.items()}


def planned(batch: Batch) -> Batch:
    """Return a batch with a class text of the captions' shapes, for a plan."""
    captions = {
        f"{PREFIX}{name}": value
        for name, value in batch.tensors.items()
        if not name.startswith(("latents.", "mask."))
    }
    return replace(batch, tensors={**batch.tensors, **captions})


@contextmanager
def adapter_off(denoiser: nn.Module) -> Iterator[None]:
    """Let a denoiser, wrapped or not, compute as the base model, without gradient."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in denoiser.modules() if isinstance(module, BaseTunerLayer)]
    assert layers, "preservation needs an adapter"
    for layer in layers:
        layer.enable_adapters(False)
    try:
        with torch.no_grad():
            yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
