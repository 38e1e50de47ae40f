"""A LoRA at other ranks: each update cut where its smallest parts no longer matter.

The best approximation of a rank is a cut of the singular values (Eckart and Young 1936).
How many stay is a fixed number, or each module's own: the fewest that hold a share of the
energy (sum of squared values), or whose loss stays below a relative error.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bioicons_kit.lora import svd
from bioicons_kit.lora.layer import Layer

_ROUNDING = 1e-14  # of float64's sums: all values hold a share of 1 only up to this


@dataclass(frozen=True)
class Rule:
    """How many singular values stay: the fewest that are enough, and at most `rank`.

    Attributes:
        rank: the most there may be; None is no limit.
        energy: enough is what holds this share of the sum of squares, 0 to 1.
        error: enough is what loses at most this share of the norm, 0 to 1.
    """

    rank: int | None = None
    energy: float | None = None
    error: float | None = None

    def rank_of(self, values: Tensor) -> int:
        """Return how many of a module's falling singular values stay; at least one."""
        squares = values.double() ** 2
        total = float(squares.sum())
        if total == 0:
            return 1
        lost = 1 - squares.cumsum(0) / total  # after 1, 2, ... values
        limits = [1 - self.energy] if self.energy is not None else []
        limits += [self.error**2] if self.error is not None else []
        needed = len(values)
        if limits:
            enough = torch.nonzero(lost <= max(min(limits), _ROUNDING))
            needed = int(enough[0]) + 1
        return min(needed, self.rank or needed)


@dataclass(frozen=True)
class Resized:
    """What became of one module's update.

    Attributes:
        layer: the new update.
        before: its rank before.
        effect: Frobenius norm of the update before.
        error: what was lost of it, relative.
    """

    layer: Layer
    before: int
    effect: float
    error: float


def resize(
    layers: Mapping[str, Layer], rule: Rule, advance: Callable[[int], object] = lambda _: None
) -> dict[str, Resized]:
    """Return each update at the rank the rule gives it.

    A DoRA vector stays as it is: the magnitudes are those it was trained to.

    Args:
        layers: by name.
        rule: how many parts stay.
        advance: called with 1 after each module (for a progress bar).
    """
    found = {}
    for name, layer in layers.items():
        up, down = layer.folded().matrices
        parts = svd.of_product(up, down)
        rank = rule.rank_of(parts.values)
        new = layer.rebuilt(*parts.cut(rank))
        found[name] = Resized(new, layer.rank, parts.square**0.5, parts.error(rank))
        advance(1)
    return found


def total_error(effects: Mapping[str, tuple[float, float]]) -> float:
    """Return the relative error over all modules from each one's effect and relative error."""
    whole = sum(effect**2 for effect, _ in effects.values())
    lost = sum((effect * error) ** 2 for effect, error in effects.values())
    return float((lost / whole) ** 0.5) if whole else 0.0
