"""A damaged entry, found while training: made again from its source, on the CPU.

The device is full of the denoiser then. It takes a while, and seldom happens: damage that
changes a file's size or time is found before (`ledger`).
"""

import threading
from typing import Any

import torch

from bioicons_kit.data import fill, masks
from bioicons_kit.data.cache import Entry
from bioicons_kit.data.encode import BATCH_TEXTS, batch_pictures
from bioicons_kit.data.job import Job
from bioicons_kit.data.plan import Plan, Source
from bioicons_kit.errors import DamagedFileError
from bioicons_kit.families.base import Encoder
from bioicons_kit.icons.picture import Picture
from bioicons_kit.icons.workers import Painters, Task

_CPU = torch.device("cpu")


class Mender:
    """Makes single entries of a plan again."""

    def __init__(self, plan: Plan, job: Job) -> None:
        self._sources, self._job = plan.sources(), job
        self._lock = threading.Lock()  # one encoder in memory at a time

    def __call__(self, damaged: Entry) -> None:
        """Write an entry anew.

        Raises:
            DamagedFileError: its source is not there any more, or not what it was.
            KitError: it cannot be encoded or written.
        """
        with self._lock:
            source = self._sources[damaged.kind][damaged]
            fill.write(self._job.cache, damaged, self._content(damaged, source), source)

    def _content(self, damaged: Entry, source: Source) -> fill.Content:
        """Return an entry's tensors."""
        made: Any = source.input
        if isinstance(source.input, Task):
            picture = _drawn(damaged, source.input)
            if damaged.kind == masks.KIND:
                mask = masks.reader(self._job.preset.dataset)(picture)
                return {"coverage": masks.coverage(mask, damaged.layout[0].sizes)}
            made = picture.image
        family, memory = self._job.family, self._job.preset.memory
        encoders: tuple[Encoder[Any], ...] = (
            family.image_encoder(),
            *family.text_encoders(memory),
        )
        (encoder,) = (each for each in encoders if each.name == damaged.kind)
        size = batch_pictures(made, _CPU) if isinstance(source.input, Task) else BATCH_TEXTS
        with encoder.loaded(_CPU) as encode:
            return fill.Encoding(encode).all([made], size)[0]


def _drawn(damaged: Entry, task: Task) -> Picture:
    """Draw the picture of an entry."""
    with Painters(1) as painters:
        (outcome,) = painters.paint([task])
    if outcome.picture is None:
        raise DamagedFileError(
            f"the cache entry {damaged.key} is damaged and {task.path} cannot be drawn again: "
            f"{outcome.problem}"
        )
    return outcome.picture
