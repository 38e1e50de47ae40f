"""The preset's prompts, drawn again and again while training: how the style comes.

samples/steps/step-000100/NN-prompt.png   each prompt after a step; step-000000 is the base
samples/steps/strip-NN.png                one prompt over the steps

Same seeds each time, the prompts as they lie encoded in the cache. The training stream is
not touched.
"""

from pathlib import Path

from PIL import Image
from torch import nn

from bioicons_kit import sample, sheet
from bioicons_kit.data.encode import Encoded
from bioicons_kit.data.job import Job
from bioicons_kit.train.aside import aside
from bioicons_kit.train.run_folder import RunFolder
from bioicons_kit.train.state import State

_WIDEST = 10  # pictures in a strip; of more steps, as many evenly spread
_CELL = 192  # their side, in pixels


class Painter:
    """Draws a run's prompts every `sample.every` steps; not due without that or prompts.

    Args:
        work: the preset, the family, the cache, the processes.
        denoiser: not wrapped.
        encoded: has the prompts.
        folder: of the run.
    """

    def __init__(self, work: Job, denoiser: nn.Module, encoded: Encoded, folder: RunFolder) -> None:
        self._work, self._denoiser, self._folder = work, denoiser, folder
        self._texts, self._settings = encoded.texts, work.preset.sample

    def is_due(self, step: int) -> bool:
        """Tell whether pictures are drawn after `step`."""
        every = self._settings.every
        return every is not None and bool(self._settings.prompts) and step % every == 0

    def draw(self, state: State) -> None:
        """Draw all prompts with the adapter as it is; the main process draws, the others wait.

        Raises:
            StorageError: no room.
        """
        if self._work.accelerator.is_main_process:
            with aside(self._denoiser, state, self._work.device):
                drawn = sample.adapted(self._work, self._denoiser, self._texts)
            at = self._folder.step_pictures / f"step-{state.step:06d}"
            for number, (prompt, picture) in enumerate(
                zip(self._settings.prompts, drawn, strict=True)
            ):
                sheet.write_png(at / f"{sample.file_name(number, prompt)}.png", picture, prompt)
                self._write_strip(number, prompt)
        self._work.accelerator.wait_for_everyone()

    def _write_strip(self, number: int, prompt: str) -> None:
        """Write one prompt's pictures so far, side by side."""
        root = self._folder.step_pictures
        found = sorted(root.glob(f"step-*/{sample.file_name(number, prompt)}.png"))
        chosen = [found[place] for place in spread(len(found), _WIDEST)]
        steps = [f"step {_step_of(path.parent)}" for path in chosen]
        pictures = [Image.open(path).convert("RGB") for path in chosen]
        name = f"{self._work.preset.name}, step by step"
        grid = sheet.grid(name, steps, [(prompt, pictures)], _CELL)
        sheet.write_png(root / f"strip-{number:02d}.png", grid, prompt)


def spread(count: int, most: int) -> list[int]:
    """Return at most `most` of the numbers below `count`, the first, the last, and between."""
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / (most - 1)) for place in range(most)]


def _step_of(folder: Path) -> int:
    """Return the step whose pictures a folder holds."""
    return int(folder.name.removeprefix("step-"))
