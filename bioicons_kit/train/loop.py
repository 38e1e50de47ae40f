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
from bioicons_kit.families.base import Batch
from bioicons_kit.memory import peak
from bioicons_kit.preset import Preset
from bioicons_kit.train import guards, optim, signals
from bioicons_kit.train.keeping import Keeper
from bioicons_kit.train.pictures import Painter
from bioicons_kit.train.state import State, generators
from bioicons_kit.train.tracking import Tracker
from bioicons_kit.train.validate import Validator

_SMOOTHING = 20  # steps in the loss that is shown


class Step(NamedTuple):
    """What one optimizer step tells.

    Attributes:
        loss: mean over all processes; nan where the step was skipped.
        grad_norm, adapter_norm: of all parameters together.
        seconds: it took.
        bad: micro-steps whose loss was no number on this process.
    """

    loss: float
    grad_norm: float
    adapter_norm: float
    seconds: float
    bad: tuple[int, ...] = ()


def train(work: Job, denoiser: nn.Module, state: State, encoded: Encoded, keeper: Keeper) -> int:
    """Train the adapter to the end, or until a signal asks to stop; return that signal, or 0.

    Raises:
        TrainingError: loss or gradient is no finite number, step after step.
        StorageError: no room for the logs or a checkpoint.
        torch.OutOfMemoryError: the GPU is too small; the state is kept, if any step was taken.
    """
    settings, folder, said = work.preset.train, keeper.folder, hyperparameters(work.preset)
    guards.warn_of_rate(settings)
    guards.rehearse(work, denoiser, state, encoded)
    wrapped = work.accelerator.prepare(denoiser)
    wrapped.train()
    validator = Validator(work, denoiser, encoded, folder)
    painter = Painter(work, denoiser, encoded, folder)
    guard = guards.Guard(work, encoded)
    state.rng = state.rng or generators(work.device)
    with (
        signals.heeded() as request,
        feed(work, denoiser, encoded, state.step) as stream,
        Tracker(work.accelerator, folder.metrics, said, state.step) as tracker,
        console.bar("training", settings.steps, "step", done=state.step) as bar,
    ):
        if state.step == 0:  # the base, to compare with
            look(state, validator, painter, tracker)
        while state.step < settings.steps:
            rate = optim.learning_rate(state.step, settings)
            optim.set_learning_rate(state.optimizer, rate)
            with keeper.rescuing(state):
                step = one_step(work, wrapped, state, stream)
            state.losses.append(step.loss)
            state.rng = generators(work.device)
            guard.note(state, step.bad)
            tracker.log(state.step, numbers(step, rate, state, work))
            bar.set_postfix(loss=f"{smoothed(state.losses):.4f}", lr=f"{rate:.1e}", refresh=False)
            bar.update()

            is_best = look(state, validator, painter, tracker)
            stop, is_due = alike(work, request.signal, keeper.is_due(state.step))
            if stop or is_due or is_best or guard.gives_up:
                tracker.flush()
                keeper.keep(state)
            if guard.gives_up:
                raise guard.error(state)
            if stop:
                return stop
        keeper.keep_the_end(state)
    return 0


def look(state: State, validator: Validator, painter: Painter, tracker: Tracker) -> bool:
    """Measure and draw, if it is time to; tell whether the step is the best so far."""
    if painter.is_due(state.step):
        painter.draw(state)
    if not validator.is_due(state.step):
        return False
    tracker.show(state.step, validator.measure(state))
    return state.best is not None and state.best.step == state.step > 0


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
    """Take one optimizer step, or skip it where its loss or gradient is no number."""
    settings, accelerator = work.preset.train, work.accelerator
    started = time.monotonic()
    parameters = list(state.adapter.values())
    parts = []
    for _ in range(settings.accumulation):
        batch = next(stream).to(accelerator.device)
        with accelerator.accumulate(denoiser):
            loss = weighted(work.family.loss(denoiser, batch, settings), batch)
            accelerator.backward(loss)
        # told per sample: a batch that is smaller, or weighs less, has no smaller error
        parts.append(loss.detach() / batch.weights.mean())
    own = torch.stack(parts)
    mean = accelerator.reduce(own.mean(), reduction="mean").item()
    norm = accelerator.clip_grad_norm_(parameters, settings.max_grad_norm).item()
    is_sound = math.isfinite(mean) and math.isfinite(norm)  # the same on all processes
    if is_sound:
        state.move()
    state.optimizer.zero_grad()
    size = nn.utils.get_total_norm(parameters).item()
    bad = () if is_sound else tuple((~own.isfinite()).nonzero().flatten().tolist())
    return Step(mean if is_sound else math.nan, norm, size, time.monotonic() - started, bad)


def numbers(step: Step, rate: float, state: State, work: Job) -> dict[str, float]:
    """Return what is told of a step."""
    settings, held = work.preset.train, peak.on_device(work.device)
    pictures = settings.batch_size * settings.accumulation * work.accelerator.num_processes
    return {
        "loss": step.loss,
        "smoothed": smoothed(state.losses),
        "learning_rate": rate,
        "grad_norm": step.grad_norm,
        "adapter_norm": step.adapter_norm,
        "seconds": round(step.seconds, 4),
        "samples_per_second": round(pictures / step.seconds, 3),
        **({} if held is None else {"memory_gib": round(held / 2**30, 3)}),
    }


def alike(work: Job, *flags: int) -> list[int]:
    """Return the largest of each flag over all processes: they decide together."""
    if work.accelerator.num_processes == 1:
        return [int(flag) for flag in flags]
    mine = torch.tensor([list(map(int, flags))], device=work.device)
    together: list[int] = work.accelerator.gather(mine).amax(0).tolist()
    return together


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
