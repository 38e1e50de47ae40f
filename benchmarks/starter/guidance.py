"""Teach the denoiser, as FLUX.1-dev was taught, to be guided by its guidance embedding.

A copy learns to give at once what classifier-free guidance (Ho & Salimans 2022,
arXiv:2207.12598) gives in two calls, for the strength that its guidance embedding says (Meng et
al. 2023, arXiv:2210.03142).
"""

from typing import Any

import torch
from denoiser import GUIDANCE, Captions, Course, Latents, levels, predict, usual
from torch import Tensor
from wording import TOKENS

from bioicons_kit.families import flow

# A guidance of g is classifier-free guidance of 1 + 0.7 (g - 1): FLUX's usual 3.5 is 2.75.
_STRENGTH = 0.7


def strength(guidance: Tensor) -> Tensor:
    """Return the strength of classifier-free guidance that a guidance value stands for."""
    return 1 + _STRENGTH * (guidance - 1)


def distill_step(
    course: Course, teacher: Any, latents: Latents, captions: Captions, share: float, batch: int
) -> Tensor:
    """Take one step towards what the teacher, guided, predicts; return the loss."""
    clean, subjects, styles = latents.draw(batch)
    text, none = captions.of(subjects, styles, TOKENS), captions.none(batch)
    noise, level = torch.randn_like(clean), levels(batch, clean.device)
    guidance = torch.empty(batch, device=clean.device).uniform_(*GUIDANCE)
    noisy = flow.interpolate(clean, noise, level)
    with usual(TOKENS):
        with torch.no_grad():
            given = predict(teacher, noisy, level, guidance, text)
            free = predict(teacher, noisy, level, guidance, none)
            target = free + strength(guidance)[:, None, None] * (given - free)
        loss = (predict(course.denoiser, noisy, level, guidance, text) - target).square().mean()
        course.step(loss, share, batch)
    return loss.detach()
