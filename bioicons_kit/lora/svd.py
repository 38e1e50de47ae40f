"""Singular values of low-rank products and of large differences, without waste.

A product `up @ down` of rank r is taken apart by QR of both factors and an SVD of the
small r x r core between them, which is exact and never forms the product. The best
approximation of a rank is then a cut (Eckart and Young 1936). A dense matrix is taken
apart exactly where it is small, else by randomized subspace iteration (Halko, Martinsson
and Tropp 2011, https://arxiv.org/abs/0909.4061, algorithms 4.4 and 5.1), seeded.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

_DENSE_SIDE = 1024  # up to here an exact SVD takes a second or less
_OVERSAMPLING = 16  # directions beyond the rank that is asked for
_ITERATIONS = 4


@dataclass(frozen=True)
class Parts:
    """A matrix as `left * values @ right`, values falling.

    Attributes:
        left: `[out, n]`, orthonormal columns.
        values: `[n]`.
        right: `[n, in]`, orthonormal rows.
        square: of the Frobenius norm of the whole matrix, which may have more parts.
    """

    left: Tensor
    values: Tensor
    right: Tensor
    square: float

    def cut(self, rank: int) -> tuple[Tensor, Tensor]:
        """Return float32 factors up `[out, rank]` and down `[rank, in]` of the largest parts.

        Each takes the square root of the values, so that both are of like size.
        """
        root = self.values[:rank].sqrt()
        up, down = self.left[:, :rank] * root, root[:, None] * self.right[:rank]
        return up.to(torch.float32), down.to(torch.float32)

    def error(self, rank: int) -> float:
        """Return what a cut at `rank` loses, as a share of the norm; 0 of nothing."""
        if self.square == 0:
            return 0.0
        beyond = self.square - float((self.values**2).sum())  # what is in no part
        lost = max(0.0, beyond) + float((self.values[rank:] ** 2).sum())
        return float((lost / self.square) ** 0.5)


def of_product(up: Tensor, down: Tensor) -> Parts:
    """Return the parts of `up @ down`, exactly, in float64.

    Args:
        up: `[out, r]`.
        down: `[r, in]`.
    """
    left, upper = torch.linalg.qr(up.double())
    right, lower = torch.linalg.qr(down.double().T)
    inner_left, values, inner_right = torch.linalg.svd(upper @ lower.T, full_matrices=False)
    square = float((values**2).sum())
    return Parts(left @ inner_left, values, inner_right @ right.T, square)


def of_matrix(matrix: Tensor, rank: int, seed: int) -> Parts:
    """Return at least the `rank` largest parts of a dense matrix `[out, in]`.

    Args:
        matrix: float32.
        rank: how many parts are wanted.
        seed: of the random directions, used where the matrix is large.
    """
    square = float(matrix.norm(dtype=torch.float64) ** 2)
    if min(matrix.shape) <= max(_DENSE_SIDE, 2 * rank):
        left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
        return Parts(left, values, right, square)
    generator = torch.Generator().manual_seed(seed)
    probes = torch.randn(matrix.shape[1], rank + _OVERSAMPLING, generator=generator)
    basis, _ = torch.linalg.qr(matrix @ probes)
    for _ in range(_ITERATIONS):
        basis, _ = torch.linalg.qr(matrix.T @ basis)
        basis, _ = torch.linalg.qr(matrix @ basis)
    small = (basis.T @ matrix).double()
    inner, values, right = torch.linalg.svd(small, full_matrices=False)
    return Parts(basis.double() @ inner, values, right, square)


def seed_of(*words: object) -> int:
    """Return a seed made of words alone, so that no draw depends on the order of others."""
    return int.from_bytes(hashlib.sha256(repr(words).encode()).digest()[:7])
