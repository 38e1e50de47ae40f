"""Rectified flow: how training noise and timesteps are drawn, and what is predicted.

With clean latents `x0`, noise `e` and noise level `s` in (0, 1):

    x_s = (1 - s) x0 + s e          the input      (Liu et al. 2022, arXiv:2209.03003)
    v   = e - x0                    the target, dx_s / ds

Levels are drawn uniformly, from a logit-normal (Esser et al. 2024, arXiv:2403.03206,
section 3.1), or shifted toward noise by the picture's token count as FLUX's inference
schedule is (`flux_shift`). Levels and timesteps stay float32 throughout: `1000 s` in
bfloat16 is off by up to 2.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

# FLUX's inference schedule: mu is linear in the token count between these two points.
_TOKENS = (256, 4096)
_MU = (0.5, 1.15)

_BELOW_ONE = 1 - torch.finfo(torch.float32).eps / 2  # the largest float32 below 1


class Draws(NamedTuple):
    """Everything random in one training sample, on the CPU.

    Attributes:
        posterior: standard normal `[batch, channels, height, width]`, for the VAE's posterior.
        noise: standard normal of the same shape, the flow's end point.
        uniform: `[batch]` in (0, 1), for sampling levels.
    """

    posterior: Tensor
    noise: Tensor
    uniform: Tensor


def draw(seeds: Sequence[int], shape: Sequence[int]) -> Draws:
    """Draw noise and levels for each sample from its own seed.

    Args:
        seeds: one per sample.
        shape: `(channels, height, width)` of one sample's latents.
    """
    posterior, noise, uniform = [], [], []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        uniform.append(_uniform(generator))
        posterior.append(torch.randn(*shape, generator=generator))
        noise.append(torch.randn(*shape, generator=generator))
    return Draws(torch.stack(posterior), torch.stack(noise), torch.stack(uniform))


def draw_uniform(seeds: Sequence[int]) -> Tensor:
    """Return `draw(...).uniform` alone, without the noise."""
    return torch.stack([_uniform(torch.Generator().manual_seed(seed)) for seed in seeds])


def _uniform(generator: torch.Generator) -> Tensor:
    """Draw a number in (0, 1), the first that a sample's generator is asked for."""
    # [0, 1) from the generator; the half-step keeps both ends open: logit(0) is infinite
    return torch.rand((), generator=generator, dtype=torch.float64) * (1 - 2e-7) + 1e-7


def levels(sampling: str, uniform: Tensor, tokens: int) -> Tensor:
    """Map uniform numbers to noise levels `s`, float32 in (0, 1).

    Args:
        sampling: "uniform": s = u. "sigmoid": s = 1 / (1 + exp(-n)) with n standard normal
            (n = the normal quantile of u). "flux_shift": s = e^mu / (e^mu + 1/u - 1), mu by
            the token count as at inference.
        uniform: `[batch]` in (0, 1).
        tokens: packed picture tokens, a quarter of the latent pixels.
    """
    u = uniform.to(torch.float64)
    if sampling == "sigmoid":
        u = torch.sigmoid(torch.special.ndtri(u))
    elif sampling == "flux_shift":
        shift = math.exp(resolution_mu(tokens))
        u = shift / (shift + 1 / u - 1)
    else:
        assert sampling == "uniform", sampling
    return u.to(torch.float32).clamp(max=_BELOW_ONE)  # a rare draw would round to 1


def resolution_mu(tokens: int) -> float:
    """Return the log of FLUX's timestep shift for a picture of `tokens` packed tokens.

    1.878, 2.332 and 3.158 are its exponentials at 512, 768 and 1024 px.
    """
    slope = (_MU[1] - _MU[0]) / (_TOKENS[1] - _TOKENS[0])
    return _MU[0] + slope * (tokens - _TOKENS[0])


def interpolate(clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """Return `(1 - s) x0 + s e`, `level` being `[batch]` against `[batch, ...]` latents."""
    s = level.reshape(-1, *[1] * (clean.ndim - 1))
    return (1 - s) * clean + s * noise


def velocity(clean: Tensor, noise: Tensor) -> Tensor:
    """Return the target `e - x0`."""
    return noise - clean
