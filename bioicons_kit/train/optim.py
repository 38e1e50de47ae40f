"""What moves the adapter: the optimizer, and the learning rate as a function of the step."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from bioicons_kit.preset import Train


def build(parameters: Iterable[nn.Parameter], settings: Train) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) over `parameters`."""
    return torch.optim.AdamW(
        parameters, lr=learning_rate(0, settings), weight_decay=settings.weight_decay
    )


def learning_rate(step: int, settings: Train) -> float:
    """Return the learning rate of optimizer step `step`, counted from 0.

    During the warm-up it rises linearly, reaching `learning_rate` with the last warm-up
    step. After it, with p in [0, 1) the share of the remaining steps that is done:
    constant: 1; linear: 1 - p; cosine: (1 + cos(pi p)) / 2, each times `learning_rate`.
    """
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / (settings.steps - settings.warmup_steps)
    factor = {
        "constant": 1.0,
        "linear": 1.0 - done,
        "cosine": (1.0 + math.cos(math.pi * done)) / 2.0,
    }[settings.schedule]
    return settings.learning_rate * factor


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group of `optimizer` the learning rate `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate
