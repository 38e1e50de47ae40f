"""The loss on rows held out: at fixed noise levels, with fixed noise, so that it can be compared.

A training loss says little of one step to the next: its noise level varies it tenfold. Here
every held-out row is measured at every level of `validation.levels`, each time with the same
noise, by the plain squared error of the velocity. What is measured is what the run would
give if it ended now: the average of the adapter where one is kept, without dropout. The
training stream is not touched.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

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
from bioicons_kit.families.base import Batch
from bioicons_kit.files import storage_errors
from bioicons_kit.preset import Train
from bioicons_kit.train.aside import aside
from bioicons_kit.train.run_folder import RunFolder
from bioicons_kit.train.state import Best, State

# What is measured, whatever is trained: comparable between runs.
_PLAIN = {
    **{"loss": "l2", "loss_delta": None, "weighting": "none", "latents": "mode"},
    **{"preservation": "none", "preservation_class": None, "preservation_weight": None},
    **{"caption_dropout": 0.0, "trigger_only": 0.0},
}


class Validator:
    """Measures a run's held-out rows; where there are none, it is never due.

    Args:
        work: the preset, the family, the cache, the processes.
        denoiser: not wrapped.
        encoded: the rows.
        folder: gets `validation.jsonl`.
    """

    def __init__(self, work: Job, denoiser: nn.Module, encoded: Encoded, folder: RunFolder) -> None:
        self._work, self._denoiser, self._folder = work, denoiser, folder
        self._settings: Train = work.preset.train.model_copy(update=_PLAIN)
        self._mend = Mender(encoded.plan, work)
        rows = zip(encoded.rows, encoded.items, strict=True)
        held = tuple(item for row, item in rows if row.role == "validation")
        background = encoded.content(work.preset).background
        self._content = Content(held, encoded.texts[""], background=background)

    def is_due(self, step: int) -> bool:
        """Tell whether the rows are measured after `step`: before the first, then regularly."""
        preset = self._work.preset
        regular = step % preset.validation.every == 0 or step == preset.train.steps
        return regular and bool(self._content.items)

    def measure(self, state: State) -> dict[str, float]:
        """Measure, write it down, and note in `state` whether it is the best so far.

        Every process has to call it; each measures its share, and all get the same numbers.

        Returns:
            the numbers for the trackers: `validation/mean`, and one for each level.

        Raises:
            StorageError: no room for `validation.jsonl`.
        """
        with aside(self._denoiser, state, self._work.device):
            by_level = self.losses()
        mean = sum(by_level.values()) / len(by_level)
        if state.best is None or mean < state.best.mean:
            state.best = Best(state.step, mean)
        if self._work.accelerator.is_main_process:
            self._write(state.step, mean, by_level)
        told = f"{mean:.4f} on {len(self._content.items)} held-out rows"
        best = "the best so far" if state.best.step == state.step else f"best at {state.best.step}"
        console.say("validation", f"step {state.step}: {told}, {best}")
        return {"validation/mean": mean, **{f"validation/{k}": v for k, v in by_level.items()}}

    def losses(self) -> dict[str, float]:
        """Return the mean loss of all rows at each level, named as `0.100`."""
        found = dict(gather_object(list(self._measured())))
        levels = self._work.preset.validation.levels
        sums: dict[str, list[float]] = {f"{level:.3f}": [] for level in levels}
        for number in sorted(found):  # the same sum in the same order, however it was shared
            level, losses = found[number]
            sums[level] += losses
        return {level: sum(losses) / len(losses) for level, losses in sums.items()}

    def _measured(self) -> Iterator[tuple[int, tuple[str, list[float]]]]:
        """Yield this process's share: each measurement's number, its level, and the losses."""
        accelerator, number = self._work.accelerator, 0
        for batch in self._batches():
            for level in self._work.preset.validation.levels:
                if number % accelerator.num_processes == accelerator.process_index:
                    at = torch.full((len(batch.seeds),), level, dtype=torch.float32)
                    given = replace(batch, levels=at).to(self._work.device)
                    losses = self._work.family.loss(self._denoiser, given, self._settings)
                    yield number, (f"{level:.3f}", losses.double().tolist())
                number += 1

    def _batches(self) -> Iterator[Batch]:
        """Yield the rows in batches of one size, each row with noise of its own."""
        items = self._content.items
        by_size: dict[object, list[Showing]] = {}
        for index, item in enumerate(items):
            view = item.views[0][index % len(item.views[0])]
            seed = derived(0, f"validation/{view.entries[0].key}")
            by_size.setdefault(view.size, []).append(Showing(index, 0, 0, seed))
        size = self._settings.batch_size
        for showings in by_size.values():
            for start in range(0, len(showings), size):
                chosen = showings[start : start + size]
                yield batches.collate(
                    self._work.cache, self._content, self._settings, chosen, self._mend
                )

    def _write(self, step: int, mean: float, by_level: Mapping[str, float]) -> None:
        """Add a line to `validation.jsonl`."""
        line = json.dumps({"step": step, "mean": mean, "levels": by_level})
        with storage_errors(self._folder.validation), self._folder.validation.open("a") as file:
            file.write(line + "\n")
