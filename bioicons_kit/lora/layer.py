"""One module's low-rank update, and the little algebra that all LoRA tools rest on.

An update of a linear `[out, in]` or a convolution `[out, in, height, width]` is
`alpha / rank * up @ down`, both factors flattened to matrices. With a DoRA vector `m`
the module's weight becomes `m * V / |V|`, `V = W + update`, the norm taken over each row
or each column (Liu et al. 2024, https://arxiv.org/abs/2402.09353, equation 5).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

_TINY = torch.finfo(torch.float32).tiny  # a row of zeros has no direction, and stays zero


@dataclass(frozen=True)
class Layer:
    """One module's update: `alpha / rank * up @ down`.

    Attributes:
        down: `[rank, in]`, or of a convolution `[rank, in, height, width]`.
        up: `[out, rank]`, or of a convolution `[out, rank, 1, 1]`.
        alpha: the numerator of the scale.
        dora: DoRA's magnitudes: `[out, 1]` over rows, `[1, in]` over columns; None without.
    """

    down: Tensor
    up: Tensor
    alpha: float
    dora: Tensor | None = None

    @property
    def rank(self) -> int:
        """Width of the bottleneck."""
        return self.down.shape[0]

    @property
    def scale(self) -> float:
        """What the product is multiplied by."""
        return self.alpha / self.rank

    @property
    def matrices(self) -> tuple[Tensor, Tensor]:
        """The factors as matrices: up `[out, rank]` and down `[rank, in * height * width]`."""
        return self.up.reshape(-1, self.rank), self.down.reshape(self.rank, -1)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weight it changes."""
        return (self.up.shape[0], *self.down.shape[1:])

    @property
    def rows_are_normed(self) -> bool:
        """Whether DoRA's magnitudes are one a row (and not one a column)."""
        return self.dora is not None and self.dora.shape[1] == 1

    def delta(self) -> Tensor:
        """Return the update as one matrix `[out, in * height * width]`, without DoRA."""
        up, down = self.matrices
        return (self.scale * up) @ down

    def folded(self) -> "Layer":
        """Return the same update with its scale multiplied into `up`, so that alpha = rank."""
        if self.alpha == self.rank:
            return self
        return replace(self, up=self.up * self.scale, alpha=float(self.rank))

    def rebuilt(self, up: Tensor, down: Tensor) -> "Layer":
        """Return matrices `[out, r]`, `[r, in * ...]` as a layer of this kind, alpha = r."""
        rank = down.shape[0]
        return Layer(
            down=down.reshape(rank, *self.down.shape[1:]).contiguous(),
            up=up.reshape(-1, rank, *self.up.shape[2:]).contiguous(),
            alpha=float(rank),
            dora=self.dora,
        )


def norm(up: Tensor, down: Tensor) -> float:
    """Return the Frobenius norm of `up @ down` without forming the product.

    `|B A|^2 = trace((B^T B) (A A^T))`, in float64.
    """
    up, down = up.double(), down.double()
    return float(((up.T @ up) * (down @ down.T).T).sum().clamp_min(0).sqrt())


def effect(layer: Layer) -> float:
    """Return the Frobenius norm of a layer's update (before DoRA)."""
    return abs(layer.scale) * norm(*layer.matrices)


def stacked(layers: Sequence[Layer], weights: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Return matrices up and down whose product is the weighted sum of the updates, exactly.

    Columns stand beside columns, rows below rows: `[w1 B1, w2 B2] @ [A1; A2]`.
    """
    ups, downs = [], []
    for layer, weight in zip(layers, weights, strict=True):
        up, down = layer.matrices
        ups.append(up * (weight * layer.scale))
        downs.append(down)
    return torch.cat(ups, dim=1), torch.cat(downs)


def decomposed(weight: Tensor, layer: Layer) -> Tensor:
    """Return what a DoRA layer makes of a weight matrix `[out, in * ...]`: `m * V / |V|`."""
    assert layer.dora is not None
    changed = weight + layer.delta()
    if layer.rows_are_normed:
        size = changed.norm(dim=1, keepdim=True)
        return torch.mul(changed, layer.dora / size.clamp_min(_TINY))
    cubes = changed.reshape(layer.shape)  # a convolution's column is all of an input channel
    axes = [axis for axis in range(cubes.ndim) if axis != 1]
    size = cubes.norm(dim=axes, keepdim=True).clamp_min(_TINY)
    magnitude = layer.dora.reshape(1, -1, *[1] * (cubes.ndim - 2))
    return torch.mul(cubes, magnitude / size).reshape(changed.shape)
