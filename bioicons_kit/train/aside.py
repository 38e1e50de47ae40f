"""Looking at the model in the middle of a run, and leaving the run as it was."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn

from bioicons_kit.train import optim
from bioicons_kit.train.state import State, generators, set_generators


@contextmanager
def aside(denoiser: nn.Module, state: State, device: torch.device) -> Iterator[None]:
    """Make the model what it would be if the run ended now, for the length of a `with` block.

    The adapter is the average, where one is kept, or what the optimizer found; dropout is
    off, and there are no gradients. Afterwards parameters, modes and torch's generators are
    what they were, to the bit.

    Args:
        denoiser: not wrapped.
        state: of the run.
        device: where it computes.
    """
    before = generators(device)
    averaged = nullcontext() if state.average is None else state.average.applied()
    denoiser.eval()
    try:
        with torch.no_grad(), optim.evaluation_mode(state.optimizer), averaged:
            yield
    finally:
        denoiser.train()
        set_generators(before, device)
