"""What a run really held, beside what its plan said; and one clear line where it was too much."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bioicons_kit import console
from bioicons_kit.errors import TrainingError
from bioicons_kit.memory import peak, plan
from bioicons_kit.memory.plan import Phase, Plan
from bioicons_kit.preset import Preset


@contextmanager
def watched(
    phase: str, planned: Plan | None, preset: Preset, device: torch.device
) -> Iterator[None]:
    """Tell a phase's peak memory at its end, and turn a GPU's lack of it into one line.

    Args:
        phase: how the phase's name in the plan begins.
        planned: the run's plan; None where nothing was planned.
        preset: the run's settings.
        device: where it computes.

    Raises:
        TrainingError: the GPU has not enough memory.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        yield
    except torch.OutOfMemoryError as error:
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        raise TrainingError(exhausted(phase, planned, preset)) from error
    held = peak.on_device(device)
    if held is not None:
        console.say("memory", f"{phase}: {beside(held, _named(phase, planned))}")


def exhausted(phase: str, planned: Plan | None, preset: Preset) -> str:
    """Return the line for a GPU that ran out of memory in a phase."""
    expected = _named(phase, planned)
    told = ""
    if expected is not None:
        told = f" (planned: {plan.gib(expected.device)}: {plan.breakdown(expected)})"
    return f"{phase}: the GPU has not enough memory{told}; {_remedy(preset)}"


def beside(held: int, expected: Phase | None) -> str:
    """Return what was held, beside what was planned."""
    if expected is None or not expected.device:
        return f"peak {plan.gib(held)}"
    share = held / expected.device - 1
    return f"peak {plan.gib(held)}, planned {plan.gib(expected.device)} ({share:+.0%})"


def _named(phase: str, planned: Plan | None) -> Phase | None:
    """Return the phase of a plan that a name begins, the largest of several."""
    found = [] if planned is None else [p for p in planned.phases if p.name.startswith(phase)]
    return max(found, key=lambda each: each.device, default=None)


def _remedy(preset: Preset) -> str:
    """Return the one setting to change first: what costs least of what is not yet in use."""
    memory, train = preset.memory, preset.train
    if memory.checkpointing != "full":
        advice = 'set memory.checkpointing = "full"'
    elif memory.modulation == "resident":
        advice = 'set memory.modulation = "ahead"'
    elif memory.quantization == "none":
        advice = 'set memory.quantization = "qfloat8"'
    elif train.batch_size > 1:
        advice = "set train.batch_size = 1 and a higher train.accumulation"
    elif not memory.offload_blocks:
        advice = "set memory.offload_blocks = 12"
    else:
        advice = "set a higher memory.offload_blocks, or a lower dataset.resolution"
    return f"{advice}, or memory.fit to the card's size, and run again"
