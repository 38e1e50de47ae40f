"""What moves the adapter: the optimizers, and which parameter gets which learning rate.

Parameters are given by name, "MODULE.down", "MODULE.up" or "MODULE.magnitude", and fall
into groups of one learning rate: `learning_rate` of the step, times the group's `factor`,
which comes from `[[lora.parts]]` and from LoRA+ (Hayou et al. 2024, arXiv:2402.12354: up
matrices learn `lora.plus` times as fast). Parameters and moments are float32 (the moments of
adamw8bit are 8 bits).

    adamw          Loshchilov & Hutter 2019, arXiv:1711.05101; torch's, fused on CUDA
    adamw8bit      Dettmers et al. 2022, arXiv:2110.02861; bitsandbytes', CUDA only
    adafactor      Shazeer & Stern 2018, arXiv:1804.04235; torch's: the step is at most
                   `learning_rate` times the size of the weights, so it takes larger rates
    prodigy        Mishchenko & Defazio 2023, arXiv:2306.06101; prodigyopt's, with its
                   bias correction and its safeguard in the warm-up
    schedule_free  Defazio et al. 2024, arXiv:2405.15682; schedulefree's. What it trains at
                   is not what it found: see `evaluation_mode`.

Everything an optimizer knows is in its `state_dict`: put into a new one, it goes on to the
bit. (torch's `step` of a parameter is a tensor; Prodigy's and schedule-free's scalars are
Python numbers in the groups.)
"""

import contextlib
import importlib.util
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from bioicons_kit.errors import TrainingError
from bioicons_kit.preset import Lora, Train
from bioicons_kit.train.schedules import learning_rate

__all__ = [
    "build",
    "evaluation_mode",
    "factors",
    "learning_rate",
    "require",
    "set_learning_rate",
    "training_mode",
]

_BETAS = (0.9, 0.999)


def require(settings: Train, device: torch.device) -> None:
    """Refuse an optimizer that this machine does not have, before any work is done.

    Raises:
        TrainingError: one that needs CUDA, or a package.
    """
    if settings.optimizer != "adamw8bit":
        return
    if device.type != "cuda":
        raise TrainingError(
            f"train.optimizer = 'adamw8bit' needs an NVIDIA GPU, and this runs on {device.type}; "
            "set train.optimizer = 'adamw'"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise TrainingError(
            "train.optimizer = 'adamw8bit' needs bitsandbytes: pip install -c constraints.txt "
            "-e '.[bnb]'"
        )


def build(
    parameters: Mapping[str, nn.Parameter], settings: Train, lora: Lora
) -> torch.optim.Optimizer:
    """Return the preset's optimizer, in training mode.

    Args:
        parameters: the adapter's, by name, in the model's order.
        settings: which optimizer, its learning rate, betas and weight decay.
        lora: has the learning rates of parts, and LoRA+'s ratio.

    Raises:
        TrainingError: this machine does not have it.
    """
    device = next(iter(parameters.values())).device
    require(settings, device)
    factor = factors(parameters, settings, lora)
    groups: list[dict[str, Any]] = [
        {
            "params": [parameters[name] for name in parameters if factor[name] == each],
            "factor": each,
        }
        for each in dict.fromkeys(factor.values())
    ]
    optimizer: torch.optim.Optimizer = _made(groups, settings, device)
    set_learning_rate(optimizer, learning_rate(0, settings))
    training_mode(optimizer)
    return optimizer


def factors(names: Iterable[str], settings: Train, lora: Lora) -> dict[str, float]:
    """Return what each parameter's learning rate is multiplied by.

    Args:
        names: of the parameters.
        settings: has the learning rate of those that have none of their own.
        lora: `parts`, of which the first whose pattern matches a module counts, and `plus`.
    """
    found = {}
    for name in names:
        module, _, kind = name.rpartition(".")
        part = next((p for p in lora.parts if re.fullmatch(p.modules, module)), None)
        own = None if part is None else part.learning_rate
        plus = lora.plus if kind == "up" else None
        found[name] = (1.0 if own is None else own / settings.learning_rate) * (plus or 1.0)
    return found


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group of `optimizer` the learning rate `rate`, times its factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)


def training_mode(optimizer: torch.optim.Optimizer) -> None:
    """Make the parameters those that gradients are taken at; most know no others."""
    if hasattr(optimizer, "train"):
        optimizer.train()


@contextlib.contextmanager
def evaluation_mode(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Make the parameters those that the optimizer found, for the length of a `with` block.

    Schedule-free AdamW takes gradients at a point between its average, which is the result,
    and its fast iterate. Afterwards the parameters are what they were, to the bit: the
    package computes them back, which rounds, so they are kept aside.
    """
    if not hasattr(optimizer, "eval"):
        yield
        return
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    kept = [p.detach().clone() for p in parameters]
    optimizer.eval()
    try:
        yield
    finally:
        training_mode(optimizer)
        with torch.no_grad():
            for parameter, value in zip(parameters, kept, strict=True):
                parameter.copy_(value)


def _made(groups: list[dict[str, Any]], settings: Train, device: torch.device) -> Any:
    """Return the optimizer over parameter groups."""
    rate, decay = settings.learning_rate, settings.weight_decay
    betas = (
        _BETAS[0] if settings.beta1 is None else settings.beta1,
        _BETAS[1] if settings.beta2 is None else settings.beta2,
    )
    if settings.optimizer == "adamw8bit":
        from bitsandbytes.optim import AdamW8bit

        return AdamW8bit(groups, lr=rate, betas=betas, weight_decay=decay)
    if settings.optimizer == "adafactor":
        return torch.optim.Adafactor(groups, lr=rate, weight_decay=decay)
    if settings.optimizer == "prodigy":
        from prodigyopt import Prodigy

        with contextlib.redirect_stdout(io.StringIO()):  # it prints how it decays
            return Prodigy(
                groups,
                lr=rate,
                betas=betas,
                weight_decay=decay,
                use_bias_correction=True,
                safeguard_warmup=settings.warmup > 0,
            )
    if settings.optimizer == "schedule_free":
        from schedulefree import AdamWScheduleFree

        return AdamWScheduleFree(groups, lr=rate, betas=betas, weight_decay=decay)
    assert settings.optimizer == "adamw", settings.optimizer
    fused = True if device.type == "cuda" else None
    return torch.optim.AdamW(groups, lr=rate, betas=betas, weight_decay=decay, fused=fused)
