"""Rectified flow: how training noise and timesteps are drawn, and what is predicted.

With clean latents `x0`, noise `e` and noise level `s` in (0, 1):

    x_s = (1 - s) x0 + s e          the input      (Liu et al. 2022, arXiv:2209.03003)
    v   = e - x0                    the target, dx_s / ds

How levels are drawn is in `Sampling`, how an error becomes a loss in `error`, how levels
weigh in `weight`; their source, where no other is named, is Esser et al. 2024 ("Scaling
Rectified Flow Transformers", arXiv:2403.03206). Levels and timesteps stay float32
throughout: `1000 s` in bfloat16 is off by up to 2.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bioicons_kit.preset import Objective

# FLUX's inference schedule: mu is linear in the token count between these two points.
_TOKENS = (256, 4096)
_MU = (0.5, 1.15)

_BELOW_ONE = 1 - torch.finfo(torch.float32).eps / 2  # the largest float32 below 1
_ABOVE_ZERO = torch.finfo(torch.float32).tiny  # the smallest normal float32

_DELTA = 0.1  # of the losses that turn linear
_LEAST_LEVEL = 1e-3  # of 1000 training timesteps the first: below it no weight grows


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


class Sampling(NamedTuple):
    """How noise levels `s` in (0, 1) are distributed, by their cumulative distribution F.

        uniform        F(s) = s
        logit_normal   F(s) = Phi((logit s - mean) / std)
                       (Esser et al. 2024, equation 19)
        shift          F(s) = s / (k - (k - 1) s): s = k u / (1 + (k - 1) u) of uniform u,
                       k = `shift` (the same, section 5.3.2)
        flux_shift     the same, with k = e^mu, mu by the token count as at inference

    Only levels between `least` and `most` are drawn, with the density they have among all:
    s = F^-1(F(least) + u (F(most) - F(least))).

    Attributes:
        kind: one of the above.
        mean, std: of the logit.
        shift: k.
        least, most: 0 <= least < most <= 1.
    """

    kind: str
    mean: float = 0.0
    std: float = 1.0
    shift: float = 3.0
    least: float = 0.0
    most: float = 1.0


def sampling(objective: Objective) -> Sampling:
    """Return a preset's distribution of the noise levels."""
    usual = Sampling(objective.timestep_sampling)
    mean, std, shift = objective.logit_mean, objective.logit_std, objective.timestep_shift
    return usual._replace(
        mean=usual.mean if mean is None else mean,
        std=usual.std if std is None else std,
        shift=usual.shift if shift is None else shift,
        least=objective.min_timestep,
        most=objective.max_timestep,
    )


def levels(chosen: Sampling, uniform: Tensor, tokens: int) -> Tensor:
    """Map uniform numbers to noise levels, float32 in (0, 1).

    Args:
        chosen: their distribution.
        uniform: `[batch]` in (0, 1).
        tokens: packed picture tokens, a quarter of the latent pixels.
    """
    u = uniform.to(torch.float64)
    if (chosen.least, chosen.most) != (0.0, 1.0):
        ends = torch.tensor([chosen.least, chosen.most], dtype=torch.float64)
        low, high = _cumulative(chosen, ends, tokens).tolist()
        u = low + u * (high - low)
    # a rare draw would round to 1; a level at an end may lie beyond it by float64's rounding
    level = _quantile(chosen, u, tokens).clamp(chosen.least, chosen.most).to(torch.float32)
    return level.clamp(_ABOVE_ZERO, _BELOW_ONE)


def _quantile(chosen: Sampling, u: Tensor, tokens: int) -> Tensor:
    """Return F^-1(u)."""
    if chosen.kind == "uniform":
        return u
    if chosen.kind == "logit_normal":
        return torch.sigmoid(chosen.mean + chosen.std * torch.special.ndtri(u))
    k = _shift(chosen, tokens)
    return k / (k + 1 / u - 1)


def _cumulative(chosen: Sampling, s: Tensor, tokens: int) -> Tensor:
    """Return F(s)."""
    if chosen.kind == "uniform":
        return s
    if chosen.kind == "logit_normal":
        below: Tensor = torch.special.ndtr((torch.logit(s) - chosen.mean) / chosen.std)
        return below
    k = _shift(chosen, tokens)
    return s / (k - (k - 1) * s)


def _shift(chosen: Sampling, tokens: int) -> float:
    """Return k of the two shifted distributions."""
    if chosen.kind == "flux_shift":
        return math.exp(resolution_mu(tokens))
    assert chosen.kind == "shift", chosen.kind
    return chosen.shift


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


def error(kind: str, predicted: Tensor, target: Tensor, delta: float | None) -> Tensor:
    """Return the loss of each predicted value, of the targets' shape.

    With d = predicted - target and c = `delta`, as the trainers of SD3 and FLUX have them
    (pseudo-Huber: Charbonnier et al. 1997; for diffusion Khrapov et al. 2024, arXiv:2403.16728):

        l2          d^2
        huber       2 c (sqrt(d^2 + c^2) - c)     d^2 for small d, 2 c |d| for large
        smooth_l1   2 (sqrt(d^2 + c^2) - c)       d^2 / c for small d, 2 |d| for large

    Args:
        kind: one of the above.
        predicted: any shape.
        target: the same shape.
        delta: where huber and smooth_l1 turn linear; 0.1 if None.
    """
    difference = predicted - target
    if kind == "l2":
        return difference.square()
    c = _DELTA if delta is None else delta
    # d^2 / (sqrt(d^2 + c^2) + c) is sqrt(d^2 + c^2) - c without the cancellation
    rise = difference.square() / ((difference.square() + c * c).sqrt() + c)
    if kind == "huber":
        return 2 * c * rise
    assert kind == "smooth_l1", kind
    return 2 * rise


def weight(kind: str, level: Tensor) -> Tensor:
    """Return the weight of each noise level in the loss, of the levels' shape.

        none           1
        sigma_sqrt     1 / s^2, s at least 0.001, the first of 1000 timesteps: favors little
                       noise (diffusers' `compute_loss_weighting_for_sd3`)
        cosmap         2 / (pi (1 - 2 s + 2 s^2))            (section 3.1, cosmap)
        logit_normal   exp(-logit(s)^2 / 2) / (sqrt(2 pi) s (1 - s)), the density of equation
                       19: under uniform levels the same objective as drawing from it

    The last two have the mean 1 under uniform levels.
    """
    s = level
    if kind == "none":
        return torch.ones_like(s)
    if kind == "sigma_sqrt":
        return s.clamp_min(_LEAST_LEVEL) ** -2
    if kind == "cosmap":
        return 2 / (math.pi * (1 - 2 * s + 2 * s**2))
    assert kind == "logit_normal", kind
    # of s / (1 - s), whose density falls faster than any power at both ends
    return torch.exp(-(torch.logit(s) ** 2) / 2) / (math.sqrt(2 * math.pi) * s * (1 - s))
