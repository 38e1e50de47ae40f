"""What changes while a run goes on, all of it: kept in a checkpoint, it is the run.

Everything else follows from the preset and the step: which rows come, with which noise, at
which learning rate. So a run that goes on from its state is the run that was not stopped.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bioicons_kit.lora.ema import Ema
from bioicons_kit.train import nested


class Best(NamedTuple):
    """The best validation so far."""

    step: int
    mean: float


@dataclass
class State:
    """A run's state; `adapter`, `optimizer` and `average` are the run's own, changed in place.

    Attributes:
        adapter: the trained parameters by name.
        optimizer: that moves them.
        average: of them; None where none is kept.
        losses: of every step so far; nan where one was skipped.
        best: the best validation so far.
        rng: torch's generators as they were when the last step ended, on this process.
        is_whole: whether no update is under way, of which some parameters may have had theirs.
    """

    adapter: Mapping[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    average: Ema | None = None
    losses: list[float] = field(default_factory=list)
    best: Best | None = None
    rng: dict[str, Tensor] = field(default_factory=dict)
    is_whole: bool = True

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return len(self.losses)

    @property
    def skipped(self) -> int:
        """Steps whose loss or gradient was no number, so that nothing was learned."""
        return sum(map(math.isnan, self.losses))

    def move(self) -> None:
        """Update the adapter by its gradients, and the average by the adapter."""
        self.is_whole = False
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.step)
        self.is_whole = True

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Return the state's tensors by file, and by name; `plain` has the rest."""
        _, of_optimizer = nested.flatten(self.optimizer.state_dict())
        files = {
            "adapter": {name: each.detach().to("cpu") for name, each in self.adapter.items()},
            "optimizer": of_optimizer,
            "progress": {"losses": torch.tensor(self.losses, dtype=torch.float64)},
        }
        if self.average is not None:
            files["ema"] = {name: t.detach().to("cpu") for name, t in self.average.state().items()}
        return files

    def plain(self) -> dict[str, Any]:
        """Return what of the state is no tensor, as JSON."""
        return {
            "step": self.step,
            "skipped": self.skipped,
            "best": None if self.best is None else self.best._asdict(),
            "optimizer": nested.flatten(self.optimizer.state_dict())[0],
        }

    def load(self, files: Mapping[str, Mapping[str, Tensor]], plain: Mapping[str, Any]) -> None:
        """Take over what `tensors` and `plain` returned of an equal run."""
        with torch.no_grad():
            for name, parameter in self.adapter.items():
                parameter.copy_(files["adapter"][name])
        self.optimizer.load_state_dict(nested.restore(plain["optimizer"], files["optimizer"]))
        if self.average is not None:
            self.average.load(files["ema"])
        self.losses = files["progress"]["losses"].tolist()
        self.best = None if plain["best"] is None else Best(**plain["best"])


def generators(device: torch.device) -> dict[str, Tensor]:
    """Return the state of torch's generators, which only dropout draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        states["device"] = torch.get_device_module(device).get_rng_state(device)
    return states


def set_generators(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Put torch's generators into the state they had."""
    torch.set_rng_state(states["cpu"])
    if device.type != "cpu" and "device" in states:
        torch.get_device_module(device).set_rng_state(states["device"], device)
