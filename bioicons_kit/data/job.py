"""What every later stage of one command works with: preset, family, cache, devices."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from bioicons_kit import families
from bioicons_kit.data.cache import Cache
from bioicons_kit.errors import TrainingError
from bioicons_kit.families.base import Family
from bioicons_kit.preset import Preset


@dataclass(frozen=True)
class Job:
    """One command's fixed surroundings.

    Attributes:
        preset: what to do.
        family: the model, found on disk; its weights are loaded where they are needed.
        cache: where encoded pictures and texts are kept.
        accelerator: devices and processes.
    """

    preset: Preset
    family: Family
    cache: Cache
    accelerator: Accelerator

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        device: torch.device = self.accelerator.device
        return device


def accelerator(**options: Any) -> Accelerator:
    """Return this launch's devices and processes.

    Without a GPU accelerate has to be told so: it would take the processes of a plain
    `torchrun` for as many runs, all of which write the same files.

    Raises:
        TrainingError: launched in a way that this machine cannot follow.
    """
    try:
        return Accelerator(cpu=not torch.accelerator.is_available(), **options)
    except ValueError as error:
        raise TrainingError(f"cannot start as launched: {error}") from error


def start(preset: Preset, accelerator: Accelerator) -> Job:
    """Find the preset's model and cache.

    Raises:
        ModelError: the model is not there, or is of another family.
        StorageError: no room for the starter model.
    """
    cache = Cache(Path(preset.cache.root))
    return Job(preset, families.load(preset.model, cache.root), cache, accelerator)
