"""What every later stage of one command works with: preset, family, cache, devices."""

from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator

from bioicons_kit import families
from bioicons_kit.data.cache import Cache
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


def start(preset: Preset, accelerator: Accelerator) -> Job:
    """Find the preset's model and cache.

    Raises:
        ModelError: the model is not there, or is of another family.
        StorageError: no room for the starter model.
    """
    cache = Cache(Path(preset.cache.root))
    return Job(preset, families.load(preset.model, cache.root), cache, accelerator)
