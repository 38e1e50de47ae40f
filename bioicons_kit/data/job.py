"""What every later stage of one command works with: preset, family, cache, devices."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedType

from bioicons_kit import console, families
from bioicons_kit.data.cache import Cache
from bioicons_kit.data.identity import Identities
from bioicons_kit.errors import TrainingError
from bioicons_kit.families.base import Family
from bioicons_kit.memory import levels
from bioicons_kit.preset import Preset

_LAUNCHES = {
    *(DistributedType.NO, DistributedType.MULTI_CPU),
    *(DistributedType.MULTI_GPU, DistributedType.MULTI_XPU),
}


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
    `torchrun` for as many runs, all of which write the same files. (Apple's GPUs count as
    none: whether they take float8 depends on the version of torch.)

    Precision is the preset's, `memory.dtype`, whatever accelerate is configured for.

    Raises:
        TrainingError: launched in a way that this machine or the kit cannot follow.
    """
    configured = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if configured != "no":
        console.warn(
            f"accelerate's mixed precision '{configured}' is not used: memory.dtype decides"
        )
    try:
        made = Accelerator(cpu=not _has_gpu(), mixed_precision="no", **options)
    except ValueError as error:
        raise TrainingError(f"cannot start as launched: {error}") from error
    if made.distributed_type not in _LAUNCHES:
        raise TrainingError(
            f"launched with {made.distributed_type.value}, which the kit does not support; "
            "launch for one GPU or for several (MULTI_GPU)"
        )
    return made


def _has_gpu() -> bool:
    """Tell whether there is a GPU the kit can use."""
    return torch.cuda.is_available() or torch.xpu.is_available()


def start(preset: Preset, accelerator: Accelerator) -> Job:
    """Find the preset's model and cache.

    Raises:
        ModelError: the model is not there, or is of another family; or its texts cannot be
            encoded as they are to be.
        StorageError: no room for the starter model.
    """
    levels.require(preset.memory.text_encoder, accelerator.device, "text_encoder")
    cache = Cache(Path(preset.cache.root))
    identify = Identities(cache.root).of
    return Job(preset, families.load(preset.model, cache.root, identify), cache, accelerator)
