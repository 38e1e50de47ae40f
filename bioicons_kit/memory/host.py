"""Tensors on the host: page-locked where a GPU is to copy them while it computes.

A copy from ordinary memory goes through a buffer of the driver's and waits for it; from
page-locked ("pinned") memory the GPU reads by itself, beside its work.
"""

import torch
from torch import Tensor, nn


def pinned(tensor: Tensor) -> Tensor:
    """Return a tensor's values on the host, page-locked where there is a GPU; no gradient."""
    values = tensor.detach().to("cpu")
    if torch.cuda.is_available() and not values.is_pinned():
        values = values.pin_memory()
    return nn.Parameter(values, requires_grad=False) if isinstance(tensor, nn.Parameter) else values


def empty(count: int) -> Tensor:
    """Return `count` bytes on the host, page-locked where there is a GPU."""
    return torch.empty(count, dtype=torch.uint8, pin_memory=torch.cuda.is_available())
