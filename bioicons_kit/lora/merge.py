"""Several LoRAs as one.

    concat  factors beside factors: the weighted sum of the updates, exactly; ranks add up
    svd     the same sum at the rank asked for, the best there is (see `svd`)
    ties    of each update the largest entries stay, the entries vote on their sign, those
            that lost are dropped, and the others averaged (Yadav et al. 2023,
            https://arxiv.org/abs/2306.01708); trimmed per module
    dare    of each update random entries are dropped and the others scaled up so that the
            expected sum stays (Yu et al. 2023, https://arxiv.org/abs/2311.03099)

TIES and DARE work on whole updates, not on their factors, and give matrices of full rank,
which are then cut at a rank.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bioicons_kit.errors import LoraError
from bioicons_kit.lora import blocks, svd
from bioicons_kit.lora.formats import Lora, listed
from bioicons_kit.lora.layer import Layer, norm, stacked

METHODS = ("concat", "svd", "ties", "dare")
DENSITY = {"ties": 0.2, "dare": 0.5}  # defaults: TIES' paper's; DARE's leaves it to the task


@dataclass(frozen=True)
class Input:
    """A LoRA to merge, and how much of it.

    Attributes:
        lora: the file's content.
        weight: of its update.
        rules: weights by block, on top.
    """

    lora: Lora
    weight: float
    rules: tuple[blocks.Rule, ...] = ()

    def weight_of(self, name: str) -> float:
        """Return the weight of one module's update."""
        return self.weight * blocks.weight(self.rules, name)


@dataclass(frozen=True)
class Term:
    """One LoRA's update of a module in a sum."""

    layer: Layer
    weight: float


@dataclass(frozen=True)
class Settings:
    """How to merge.

    Attributes:
        method: one of `METHODS`.
        rank: of the result; None is all that is needed (concat), or the sum of the ranks.
        density: share of entries that TIES and DARE keep.
        seed: of DARE's choice, and of the approximations of large matrices.
    """

    method: str = "concat"
    rank: int | None = None
    density: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Merged:
    """What merging gave for one module.

    Attributes:
        layer: the merged update.
        effect: Frobenius norm of the update that was aimed at.
        error: what the rank lost of it, relative.
    """

    layer: Layer
    effect: float
    error: float


def terms(inputs: Sequence[Input]) -> dict[str, tuple[Term, ...]]:
    """Return the updates of each module with their weights; those of weight 0 are left out.

    Raises:
        LoraError: the LoRAs are for different models, or a module's widths differ.
    """
    _require_one_model(inputs)
    found: dict[str, list[Term]] = {}
    for each in inputs:
        blocks.require_use(each.rules, each.lora.layers)
        for name, layer in each.lora.layers.items():
            weight = each.weight_of(name)
            if weight:
                found.setdefault(name, []).append(Term(layer, weight))
    wrong = [name for name, parts in found.items() if len({_widths(t.layer) for t in parts}) > 1]
    if wrong:
        widths = " and ".join(sorted({str(list(_widths(t.layer))) for t in found[wrong[0]]}))
        raise LoraError(f"the LoRAs are for models of different widths: {listed(wrong)} ({widths})")
    if not found:
        raise LoraError("all weights are 0: nothing would be left")
    return {name: tuple(parts) for name, parts in found.items()}


def merge(
    sums: Mapping[str, Sequence[Term]],
    settings: Settings,
    advance: Callable[[int], object] = lambda _: None,
) -> dict[str, Merged]:
    """Return the merged update of each module.

    Args:
        sums: what `terms` returned.
        settings: how.
        advance: called with 1 after each module (for a progress bar).

    Raises:
        LoraError: a module has a DoRA vector, which cannot be added.
    """
    with_dora = [n for n, parts in sums.items() if any(t.layer.dora is not None for t in parts)]
    if with_dora:
        raise LoraError(
            f"DoRA depends on the base model's weights and cannot be added to anything: "
            f"{listed(with_dora)}; merge it into the base with --base, or take it out of "
            "the merged base again with extract_lora.py"
        )
    merged = {}
    for name, parts in sums.items():
        merged[name] = _merged(name, parts, settings)
        advance(1)
    return merged


def ties(deltas: Sequence[Tensor], density: float) -> Tensor:
    """Return the TIES merge of weighted updates of one shape.

    Of each, the `density * numel` entries of the largest magnitude stay. The sign of the
    sum of what stayed is elected per entry; the mean is over those with that sign.
    """
    trimmed = torch.stack([_trimmed(delta, density) for delta in deltas])
    elected = trimmed.sum(dim=0).sign()
    agreeing = (trimmed.sign() == elected) & (trimmed != 0)
    total = torch.where(agreeing, trimmed, 0.0).sum(dim=0)
    return total / agreeing.sum(dim=0).clamp_min(1)


def dare(deltas: Sequence[Tensor], density: float, seeds: Sequence[int]) -> Tensor:
    """Return the sum of updates of which random entries are dropped.

    An entry stays with probability `density` and is then divided by it.
    """
    total = torch.zeros_like(deltas[0])
    for delta, seed in zip(deltas, seeds, strict=True):
        generator = torch.Generator().manual_seed(seed)
        stays = torch.rand(delta.shape, generator=generator) < density
        total += torch.where(stays, delta / density, 0.0)
    return total


def _merged(name: str, parts: Sequence[Term], settings: Settings) -> Merged:
    """Return one module's merged update."""
    kind = parts[0].layer
    up, down = stacked([term.layer for term in parts], [term.weight for term in parts])
    if settings.method == "concat":
        return Merged(kind.rebuilt(up, down), norm(up, down), 0.0)
    if settings.method == "svd":
        found = svd.of_product(up, down)
    else:
        dense = _dense(name, parts, settings)
        rank = min(settings.rank or down.shape[0], *dense.shape)
        found = svd.of_matrix(dense, rank, svd.seed_of(settings.seed, name))
    rank = min(settings.rank or down.shape[0], len(found.values))
    return Merged(kind.rebuilt(*found.cut(rank)), found.square**0.5, found.error(rank))


def _dense(name: str, parts: Sequence[Term], settings: Settings) -> Tensor:
    """Return the merge of whole updates, `[out, in * height * width]`."""
    deltas = [term.weight * term.layer.delta() for term in parts]
    if settings.method == "ties":
        return ties(deltas, settings.density)
    seeds = [svd.seed_of(settings.seed, name, number) for number in range(len(parts))]
    return dare(deltas, settings.density, seeds)


def _trimmed(delta: Tensor, density: float) -> Tensor:
    """Return the entries of the largest magnitude, the others zero."""
    flat = delta.flatten()
    count = max(1, round(density * flat.numel()))
    kept = torch.zeros_like(flat)
    largest = flat.abs().topk(count).indices
    kept[largest] = flat[largest]
    return kept.reshape(delta.shape)


def _widths(layer: Layer) -> tuple[int, ...]:
    """Return the shape of the weight, a 1 x 1 convolution's as that of the linear it is."""
    return layer.shape[:2] if layer.shape[2:] == (1, 1) else layer.shape


def _require_one_model(inputs: Sequence[Input]) -> None:
    """Refuse LoRAs of which one is for FLUX's transformer and another for SD1's UNet."""
    kinds: dict[str, Input] = {}
    for each in inputs:
        for name in each.lora.layers:
            if name.startswith(("transformer.", "unet.")):
                kinds.setdefault(name.partition(".")[0], each)
    if len(kinds) > 1:
        flux, sd1 = kinds["transformer"], kinds["unet"]
        raise LoraError(f"{flux.lora.path} is for FLUX.1 and {sd1.lora.path} for SD1")
