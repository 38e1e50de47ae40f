"""The adapter's exponential moving average: a smoother LoRA beside the one that trains.

After update t, counted from 0, with d = min(decay, (1 + t) / (10 + t)):

    average <- d * average + (1 - d) * parameter

so that a young average is not mostly what training began with (the schedule of TensorFlow's
and diffusers' averages). Float32, on the parameters' device.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """An average of named parameters; it begins as a copy of them.

    Args:
        parameters: by name.
        decay: what an average keeps of itself at most, in [0, 1).
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self._parameters, self._decay = dict(parameters), decay
        self._averages = {name: _copy(p) for name, p in parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the parameters after optimizer step `step`, counted from 0."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, parameter in self._parameters.items():
            self._averages[name].lerp_(parameter.detach().to(torch.float32), 1 - decay)

    def state(self) -> dict[str, Tensor]:
        """Return the averages by name, float32; they go on changing with `update`."""
        return dict(self._averages)

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take averages that `state` returned once.

        Raises:
            KeyError: they are of other parameters.
        """
        if state.keys() != self._averages.keys():
            raise KeyError(f"averages of other parameters: {sorted(state.keys())[:3]}, ...")
        for name, average in self._averages.items():
            average.copy_(state[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages in the parameters' place for the length of a `with` block."""
        kept = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        self._put(self._averages)
        try:
            yield
        finally:
            self._put(kept)

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        """Give the parameters values."""
        for name, parameter in self._parameters.items():
            parameter.copy_(values[name])


def _copy(parameter: nn.Parameter) -> Tensor:
    """Return a parameter's values, float32, apart from it."""
    return parameter.detach().to(torch.float32, copy=True)
