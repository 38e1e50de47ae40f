"""Weights in training: float32 ones behind those that compute, what updates them, their averages.

Matrices and convolutions, as matrices, are updated orthogonally (Muon, Jordan et al. 2024, as torch
has it), which takes far fewer steps than AdamW; the rest by AdamW. Averages are exponential ones,
faster at first (decay (1 + n) / (10 + n)).
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

_WEIGHT_DECAY = 0.01


class Updates:
    """Updates a network's weights, which may be in any dtype and layout.

    Args:
        network: its weights' present values, best float32, are what is begun with.
        is_matrix: tells by name whether Muon is to update a weight of two or more dimensions.
        peak: the learning rate at its highest, as for AdamW.
        decay: of the averages.
        warmup: steps in which the rate rises.
    """

    def __init__(
        self,
        network: nn.Module,
        is_matrix: Callable[[str], bool],
        peak: float,
        decay: float,
        warmup: int,
    ) -> None:
        self._network, self.peak, self.decay, self.warmup = network, peak, decay, warmup
        self.steps = 0
        self.masters: dict[str, Tensor] = {}
        matrices, others = [], []
        for name, parameter in network.named_parameters():
            flat = parameter.ndim >= 2 and is_matrix(name)
            kept = parameter.detach().float().contiguous().clone()
            master = kept.reshape(len(kept), -1) if flat else kept
            (matrices if flat else others).append(master.requires_grad_())
            self.masters[name] = master
        self.averages = {name: p.detach().clone() for name, p in self.masters.items()}
        self.optimizers = [
            torch.optim.Muon(
                matrices, lr=peak, weight_decay=_WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"
            ),
            torch.optim.AdamW(others, lr=peak, betas=(0.9, 0.98), weight_decay=0.0),
        ]

    def step(self, loss: Tensor, share: float) -> None:
        """Update weights and averages by a loss, at a share (0 to 1) of the peak's rate."""
        loss.backward()
        parameters = dict(self._network.named_parameters())
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        for name, master in self.masters.items():
            master.grad = parameters[name].grad.float().reshape(master.shape)
            parameters[name].grad = None
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.peak * share * min(1.0, (self.steps + 1) / self.warmup)
            optimizer.step()
        with torch.no_grad():
            kept = min(self.decay, (1 + self.steps) / (10 + self.steps))
            masters = list(self.masters.values())
            torch._foreach_lerp_(list(self.averages.values()), masters, 1 - kept)
        self.put(self.masters)
        self.steps += 1

    @torch.no_grad()
    def put(self, weights: dict[str, Tensor]) -> None:
        """Put weights, by name, into the network."""
        for name, parameter in self._network.named_parameters():
            parameter.copy_(weights[name].reshape(parameter.shape))

    def state(self) -> dict[str, Any]:
        """Return everything that going on needs."""
        return {
            "masters": {name: p.detach() for name, p in self.masters.items()},
            "averages": self.averages,
            "optimizers": [copy.deepcopy(each.state_dict()) for each in self.optimizers],
            "steps": self.steps,
        }

    @torch.no_grad()
    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        for name, master in self.masters.items():
            master.copy_(state["masters"][name])
            self.averages[name].copy_(state["averages"][name])
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.steps = state["steps"]
        self.put(self.masters)
