"""The learning rate as a pure function of the step: nothing to save, nothing to restore."""

import math

from bioicons_kit.preset import Train

_POWER = 2.0  # of the polynomial schedule
_DECAY_SHARE = 0.2  # of the steps, at the end of "wsd"


def learning_rate(step: int, settings: Train) -> float:
    """Return the learning rate of optimizer step `step`, counted from 0.

    During the warm-up it rises linearly, reaching `learning_rate` with the last warm-up
    step. After it, with p in [0, 1) the share of the remaining steps that is done, it is
    `learning_rate` times

        constant     1
        linear       1 - p
        cosine       (1 + cos(pi p)) / 2            Loshchilov & Hutter 2017, arXiv:1608.03983
        polynomial   (1 - p)^power
        wsd          1, and in the last `decay_share` of all steps 1 - sqrt(q), q in [0, 1)
                     the share of these that is done    Hägele et al. 2024, arXiv:2405.18392

    Args:
        step: the step that is about to be taken.
        settings: schedule, steps, warm-up and the highest rate.
    """
    warmup = settings.warmup
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    return settings.learning_rate * _factor(step - warmup, settings.steps - warmup, settings)


def _factor(done: int, total: int, settings: Train) -> float:
    """Return the factor after `done` of the `total` steps that follow the warm-up."""
    share = min(1.0, done / total)
    if settings.schedule == "linear":
        return 1.0 - share
    if settings.schedule == "cosine":
        return (1.0 + math.cos(math.pi * share)) / 2.0
    if settings.schedule == "polynomial":
        return float((1.0 - share) ** (settings.power or _POWER))
    if settings.schedule == "wsd":
        # a short run's warm-up may leave fewer steps than the share asks for
        decay = min(total, max(1, round(settings.steps * (settings.decay_share or _DECAY_SHARE))))
        return 1.0 - math.sqrt(min(1.0, max(0, done - (total - decay)) / decay))
    assert settings.schedule == "constant", settings.schedule
    return 1.0
