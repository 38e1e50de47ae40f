"""What goes wrong with training, found early and told by its cause.

Before the first step: a learning rate far from what the optimizer is used with; and one step
at the largest picture size, so that a GPU that is too small is told before the real work.
While training: losses and gradients that are no numbers. Such a step is skipped, all
processes alike, with the adapter as it was; after a few in a row the run stops.
"""

import math
import time
from collections.abc import Sequence

import torch
from accelerate.utils import gather_object
from torch import nn

from bioicons_kit import console
from bioicons_kit.data import batches
from bioicons_kit.data.batches import Content
from bioicons_kit.data.encode import Encoded
from bioicons_kit.data.job import Job
from bioicons_kit.data.mend import Mender
from bioicons_kit.data.order import Showing, derived
from bioicons_kit.errors import TrainingError
from bioicons_kit.preset import Train
from bioicons_kit.train.planning import MOMENTS
from bioicons_kit.train.state import State, generators, set_generators

# Learning rates that LoRAs are trained with, with a wide margin. Prodigy's is a factor of the
# rate that it finds itself.
_USUAL = {
    "adamw": (1e-6, 1e-2),
    "adamw8bit": (1e-6, 1e-2),
    "adafactor": (1e-6, 1e-1),
    "prodigy": (0.1, 1.0),
    "schedule_free": (1e-6, 1e-1),
}
_IN_A_ROW = 3  # steps without a number, after which there is no use in going on
_SHOWN = 6  # rows


def warn_of_rate(settings: Train) -> None:
    """Say so where the learning rate is far from what the optimizer is used with."""
    least, most = _USUAL[settings.optimizer]
    rate = settings.learning_rate
    if not least <= rate <= most:
        effect = "nothing may be learned" if rate < least else "the adapter may be ruined"
        console.warn(
            f"train.learning_rate = {rate:g}: {settings.optimizer} is used with {least:g} to "
            f"{most:g}; {effect}"
        )


def rehearse(work: Job, denoiser: nn.Module, state: State, encoded: Encoded) -> None:
    """Take a step at the largest picture size, all but the move, to see whether it fits.

    Gradients and the optimizer's moments are there, as they will be in the second step.
    Nothing changes: parameters, optimizer and torch's generators are as before.

    Raises:
        torch.OutOfMemoryError: it does not fit.
    """
    settings, device = work.preset.train, work.device
    content, before, started = encoded.content(work.preset), generators(device), time.monotonic()
    showings = largest(content, settings)
    mend = Mender(encoded.plan, work)
    batch = batches.collate(work.cache, content, settings, showings, mend).to(device)
    parameters = list(state.adapter.values())
    copies = 0 if state.optimizer.state else MOMENTS[settings.optimizer]
    size = round(copies * sum(p.nbytes for p in parameters))
    moments = torch.empty(size, dtype=torch.uint8, device=device)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    denoiser.train()
    torch.autograd.backward(work.family.loss(denoiser, batch, settings).mean())
    for parameter in parameters:
        parameter.grad = None
    del moments
    set_generators(before, device)
    height, width = (8 * side for side in batch.tensors["latents.mean"].shape[2:])
    count, seconds = len(showings), time.monotonic() - started
    console.say("rehearsal", f"{count} picture(s) of {width} x {height}: {seconds:.1f} s")


def largest(content: Content, settings: Train) -> tuple[Showing, ...]:
    """Return a full batch of the largest size there is."""
    pixels = {
        (index, place): view.size.width * view.size.height
        for index, item in enumerate(content.items)
        for place, view in enumerate(item.views[0])
    }
    index, place = max(pixels, key=lambda each: pixels[each])
    views = len(content.items[index].views[0])
    # the epoch in which its first showing takes that view
    epoch = (place - index) % views
    seeds = (derived(settings.seed, f"rehearsal/{each}") for each in range(settings.batch_size))
    return tuple(Showing(index, 0, epoch, seed) for seed in seeds)


class Guard:
    """Counts the steps that are skipped, and knows the rows they were about.

    Args:
        work: the preset and the processes.
        encoded: the rows.
    """

    def __init__(self, work: Job, encoded: Encoded) -> None:
        self._settings, self._accelerator = work.preset.train, work.accelerator
        self._order = batches.order(encoded.content(work.preset), self._settings)
        self._names = [row.icon.relative for row in encoded.rows if row.role != "validation"]
        self._rows: list[str] = []
        self._in_a_row = 0

    def note(self, state: State, bad: Sequence[int]) -> None:
        """Take note of the step that was just taken or skipped.

        Every process has to call it.

        Args:
            state: with that step's loss.
            bad: micro-steps whose loss was no number on this process.
        """
        if math.isfinite(state.losses[-1]):
            self._in_a_row, self._rows = 0, []
            return
        self._in_a_row += 1
        self._rows += self._about(state.step, bad)
        console.warn(
            f"step {state.step}: skipped, loss or gradient is no number; pictures: "
            f"{_listed(self._rows)}"
        )

    @property
    def gives_up(self) -> bool:
        """Whether so many steps in a row were skipped that there is no use in going on."""
        return self._in_a_row >= _IN_A_ROW

    def error(self, state: State) -> TrainingError:
        """Return why the run stops, and what to look at."""
        first, rows = state.step - self._in_a_row + 1, _listed(self._rows)
        said = f"steps {first} to {state.step}: loss or gradient is no number"
        if state.skipped == state.step:
            return TrainingError(
                f"{said}, before anything was learned: that is not the learning rate, but the "
                f"pictures ({rows}), their entries in the cache, or the model; look at these "
                "pictures, and try memory.dtype = 'fp32'"
            )
        return TrainingError(
            f"{said} (pictures: {rows}); the adapter is kept as it was before them. Lower "
            f"train.learning_rate (now {self._settings.learning_rate:g}) and start anew, or look "
            "at these pictures"
        )

    def _about(self, step: int, bad: Sequence[int]) -> list[str]:
        """Return the rows of a step's micro-steps that were bad; of all, if none was alone."""
        world, accumulation = self._accelerator.num_processes, self._settings.accumulation
        rank, first = self._accelerator.process_index, (step - 1) * accumulation
        mine = [(first + micro) * world + rank for micro in bad]
        numbers = gather_object(mine) or range(first * world, (first + accumulation) * world)
        items = {
            each.item: None for number in sorted(numbers) for each in self._order.batch(number)
        }
        return [self._names[item] for item in items]


def _listed(names: Sequence[str]) -> str:
    """Return a few names."""
    distinct = list(dict.fromkeys(names))
    more = f" and {len(distinct) - _SHOWN} more" if len(distinct) > _SHOWN else ""
    return ", ".join(distinct[:_SHOWN]) + more
