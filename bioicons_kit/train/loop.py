"""The training loop. What is predicted and how it is weighed is the family's loss.

Everything random in a step comes from the samples' own seeds (noise, timesteps) or torch's
global generator (dropout), so the same preset gives the same losses; and since all that
changes from step to step is in `State`, it gives them however often the run was stopped and
went on.
"""

import math
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bioicons_kit import console
from bioicons_kit.data import batches
from bioicons_kit.data.encode import Encoded
from bioicons_kit.data.job import Job
from bioicons_kit.data.mend import Mender
from bioicons_kit.errors import StorageError, TrainingError
from bioicons_kit.families.base import Batch
from bioicons_kit.preset import Preset
from bioicons_kit.train import optim, signals
from bioicons_kit.train.keeping import Keeper
from bioicons_kit.train.state import State, generators
from bioicons_kit.train.tracking import Tracker

_SMOOTHING = 20  # steps in the loss that is shown


class Step(NamedTuple):
    """What one optimizer step tells: mean loss over all processes, norms, seconds."""

    loss: float
    grad_norm: float
    adapter_norm: float
    seconds: float


def train(work: Job, denoiser: nn.Module, state: State, encoded: Encoded, keeper: Keeper) -> int:
    """Train the adapter to the end, or until a signal asks to stop; return that signal, or 0.

    Raises:
        TrainingError: loss or gradient is no finite number any more.
        StorageError: no room for the logs or a checkpoint.
    """
    settings, accelerator = work.preset.train, work.accelerator
    wrapped = accelerator.prepare(denoiser)
    wrapped.train()
    start, said = state.step, hyperparameters(work.preset)
    with (
        signals.heeded() as request,
        feed(work, denoiser, encoded, start) as stream,
        Tracker(accelerator, keeper.folder.metrics, said, start) as tracker,
        console.bar("training", settings.steps, "step", done=start) as bar,
    ):
        state.rng = state.rng or generators(work.device)
        while state.step < settings.steps:
            rate = optim.learning_rate(state.step, settings)
            optim.set_learning_rate(state.optimizer, rate)
            step = one_step(work, wrapped, state, stream)
            state.losses.append(step.loss)
            state.rng = generators(work.device)
            shown = {"learning_rate": rate, **numbers(step, work)}
            tracker.log(
                state.step, {"loss": step.loss, "smoothed": smoothed(state.losses), **shown}
            )
            bar.set_postfix(loss=f"{smoothed(state.losses):.4f}", lr=f"{rate:.1e}", refresh=False)
            bar.update()

            stop, is_due = alike(work, request.signal, keeper.is_due(state.step))
            if stop or is_due:
                tracker.flush()
                keeper.keep(state)
            if stop:
                return stop
        keep_the_end(keeper, state)
    return 0


@contextmanager
def feed(work: Job, denoiser: nn.Module, encoded: Encoded, start: int) -> Iterator[Iterator[Batch]]:
    """Open this process's stream of batches, at the first micro-step of step `start`."""
    settings, accelerator = work.preset.train, work.accelerator
    share = batches.Share(accelerator.process_index, accelerator.num_processes)
    content, mend = encoded.content(work.preset), Mender(encoded.plan, work)
    begin = start * settings.accumulation
    to_come = (settings.steps - start) * settings.accumulation
    endless = batches.endless(work.cache, content, settings, share, start=begin, mend=mend)
    with (
        closing(endless) as source,
        closing(work.family.prepared(denoiser, source, settings, to_come)) as stream,
    ):
        yield stream


def one_step(work: Job, denoiser: nn.Module, state: State, stream: Iterator[Batch]) -> Step:
    """Take one optimizer step.

    Raises:
        TrainingError: the gradient is no finite number; the adapter stays as it was.
    """
    settings, accelerator = work.preset.train, work.accelerator
    started = time.monotonic()
    parameters = list(state.adapter.values())
    total = torch.zeros((), device=accelerator.device)
    for _ in range(settings.accumulation):
        batch = next(stream).to(accelerator.device)
        with accelerator.accumulate(denoiser):
            losses = work.family.loss(denoiser, batch, settings)
            loss = weighted(losses, batch)
            accelerator.backward(loss)
        # told per sample: a batch that is smaller, or weighs less, has no smaller error
        total += loss.detach() / batch.weights.mean() / settings.accumulation
    mean = accelerator.reduce(total, reduction="mean").item()
    norm = accelerator.clip_grad_norm_(parameters, settings.max_grad_norm).item()
    _require_finite(state.step, "gradient norm", norm, settings.learning_rate)
    _require_finite(state.step, "loss", mean, settings.learning_rate)
    state.optimizer.step()
    state.optimizer.zero_grad()
    if state.average is not None:
        state.average.update(state.step)
    moved = nn.utils.get_total_norm(parameters).item()
    return Step(mean, norm, moved, time.monotonic() - started)


def numbers(step: Step, work: Job) -> dict[str, float]:
    """Return what is told of a step besides its loss and rate."""
    settings = work.preset.train
    pictures = settings.batch_size * settings.accumulation * work.accelerator.num_processes
    return {
        "grad_norm": step.grad_norm,
        "adapter_norm": step.adapter_norm,
        "seconds": round(step.seconds, 4),
        "samples_per_second": round(pictures / step.seconds, 3),
    }


def keep_the_end(keeper: Keeper, state: State) -> None:
    """Keep the last state, so that a run can be extended; not worth losing the LoRA for."""
    try:
        keeper.keep(state)
    except StorageError as error:
        console.warn(f"{error}; the last state is not kept, and the run cannot be extended")


def alike(work: Job, *flags: int) -> list[int]:
    """Return the largest of each flag over all processes: they decide together."""
    if work.accelerator.num_processes == 1:
        return [int(flag) for flag in flags]
    mine = torch.tensor([list(map(int, flags))], device=work.device)
    together: list[int] = work.accelerator.gather(mine).amax(0).tolist()
    return together


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
    recent = [loss for loss in losses[-window:] if math.isfinite(loss)]
    return sum(recent) / len(recent) if recent else math.nan


def hyperparameters(preset: Preset) -> dict[str, str | int | float]:
    """Return the settings TensorBoard lists beside the curves."""
    tables = {"lora": preset.lora, "memory": preset.memory, "train": preset.train}
    return {
        f"{table}.{key}": value if isinstance(value, int | float) else str(value)
        for table, settings in tables.items()
        for key, value in settings.model_dump().items()
    }
