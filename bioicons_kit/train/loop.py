"""The training loop. What is predicted and how it is weighed is the family's loss.

Everything random in a step comes from the samples' own seeds (noise, timesteps) or torch's
global generator (dropout), so the same preset gives the same losses.
"""

import math
from collections.abc import Iterator
from contextlib import closing

import torch
from torch import Tensor, nn

from bioicons_kit import console
from bioicons_kit.data import batches
from bioicons_kit.data.encode import Encoded
from bioicons_kit.data.job import Job
from bioicons_kit.data.mend import Mender
from bioicons_kit.errors import TrainingError
from bioicons_kit.families.base import Batch
from bioicons_kit.lora import adapter
from bioicons_kit.preset import Preset
from bioicons_kit.train import optim
from bioicons_kit.train.run_folder import RunFolder
from bioicons_kit.train.tracking import Tracker

_SMOOTHING = 20  # steps in the loss that is shown


def train(
    work: Job,
    denoiser: nn.Module,
    parameters: list[nn.Parameter],
    encoded: Encoded,
    folder: RunFolder,
) -> list[float]:
    """Train the adapter; return the loss of every step.

    Raises:
        TrainingError: loss or gradient is no finite number any more.
        StorageError: no room for the logs.
    """
    settings, accelerator = work.preset.train, work.accelerator
    optimizer = optim.build(adapter.named(denoiser), settings, work.preset.lora)
    wrapped, optimizer = accelerator.prepare(denoiser, optimizer)
    share = batches.Share(accelerator.process_index, accelerator.num_processes)
    content, mend = encoded.content(work.preset), Mender(encoded.plan, work)
    endless = batches.endless(work.cache, content, settings, share, mend=mend)
    to_come = settings.steps * settings.accumulation
    losses: list[float] = []
    wrapped.train()
    with (
        closing(endless) as source,
        closing(work.family.prepared(denoiser, source, settings, to_come)) as stream,
        Tracker(accelerator, folder.metrics, hyperparameters(work.preset)) as tracker,
        console.bar("training", settings.steps, "step") as bar,
    ):
        for step in range(settings.steps):
            rate = optim.learning_rate(step, settings)
            optim.set_learning_rate(optimizer, rate)
            loss, norm = one_step(work, wrapped, parameters, optimizer, stream, step=step)
            _require_finite(step, "loss", loss, settings.learning_rate)
            losses.append(loss)
            tracker.log(step + 1, {"loss": loss, "learning_rate": rate, "grad_norm": norm})
            bar.set_postfix(loss=f"{smoothed(losses):.4f}", lr=f"{rate:.1e}", refresh=False)
            bar.update()
    return losses


def one_step(
    work: Job,
    denoiser: nn.Module,
    parameters: list[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    stream: Iterator[Batch],
    *,
    step: int,
) -> tuple[float, float]:
    """Take optimizer step `step`; return its mean loss over all processes and gradient norm.

    Raises:
        TrainingError: the gradient is no finite number; the adapter stays as it was.
    """
    settings, accelerator = work.preset.train, work.accelerator
    total = torch.zeros((), device=accelerator.device)
    norm = torch.zeros((), device=accelerator.device)
    for _ in range(settings.accumulation):
        batch = next(stream).to(accelerator.device)
        with accelerator.accumulate(denoiser):
            loss = weighted(work.family.loss(denoiser, batch, settings), batch)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                norm = accelerator.clip_grad_norm_(parameters, settings.max_grad_norm)
                _require_finite(step, "gradient norm", norm.item(), settings.learning_rate)
            optimizer.step()
            optimizer.zero_grad()
        # told per sample: a batch that is smaller, or weighs less, has no smaller error
        total += loss.detach() / batch.weights.mean() / settings.accumulation
    mean = accelerator.reduce(total, reduction="mean")
    return mean.item(), norm.item()


def _require_finite(step: int, what: str, value: float, rate: float) -> None:
    """Refuse to go on from a loss or gradient that is no finite number."""
    if not math.isfinite(value):
        raise TrainingError(
            f"step {step + 1}: the {what} is {value}; lower train.learning_rate (now {rate}) "
            "and run again"
        )


def weighted(losses: Tensor, batch: Batch) -> Tensor:
    """Return the mean of the samples' losses, each times its row's weight."""
    return (losses * batch.weights).mean()


def smoothed(losses: list[float], window: int = _SMOOTHING) -> float:
    """Return the mean of the last losses: a single one says little, its timestep most."""
    recent = losses[-window:]
    return sum(recent) / len(recent)


def hyperparameters(preset: Preset) -> dict[str, str | int | float]:
    """Return the settings TensorBoard lists beside the curves."""
    tables = {"lora": preset.lora, "memory": preset.memory, "train": preset.train}
    return {
        f"{table}.{key}": value if isinstance(value, int | float) else str(value)
        for table, settings in tables.items()
        for key, value in settings.model_dump().items()
    }
