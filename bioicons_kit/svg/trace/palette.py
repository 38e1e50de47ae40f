"""A picture's colors, from the pixels that are inside of something.

A pixel is inside where its neighborhood hardly varies; anti-aliased and blurred edges are
not, so their mixed colors never enter the palette. Connected inside pixels are one patch
with one mean color; patches whose colors cannot be told apart are one color. How much
"hardly" is follows from the picture's own noise. Colors that only occur in lines too thin
to have an inside are found afterwards: they are the extremes of what no mixture of the
palette explains.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from bioicons_kit.svg.trace.color import JUST_NOTICEABLE, oklab
from bioicons_kit.svg.trace.masks import spread
from bioicons_kit.svg.trace.paints import Flat, Paint, gradient

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

_MOST_BINS = 256  # colors that are compared pair by pair
_LEAST_RANGE = 6.0  # of 255: even flat art has rounding and dithering
_BINS = 32  # a channel
_RARE = 0.003  # share of a picture; shades rarer than that are merged
_RARELY = 2.5  # ... up to this many just-noticeable differences
_EDGE = 12  # of 255: larger second differences are edges
_SEEN = 0.01  # share of the pixels from which noise can be judged
_VARIED = 4.0  # of 255: a patch whose colors spread more is not flat


@dataclass(frozen=True)
class Patches:
    """The connected insides of a picture.

    Attributes:
        labels: `[height, width]`, 0 where nothing is inside, else the patch's number.
        sizes: `[patches + 1]` pixels of each; entry 0 counts nothing.
        means: `[patches + 1, 3]` mean sRGB color of each.
        spreads: `[patches + 1]` standard deviation of the colors of each, the worst channel.
    """

    labels: Ints
    sizes: NDArray[np.int64]
    means: Floats
    spreads: Floats


@dataclass(frozen=True)
class Start:
    """What the patches say of a picture's pixels.

    Attributes:
        inside: `[height, width]` each inside pixel's paint; -1 at edges and in shaded patches.
        patches: `[height, width]` each pixel's patch, 0 at edges.
        shaded: the paints that a shaded patch (neither flat nor a gradient) is made of.
    """

    inside: Ints
    patches: Ints
    shaded: dict[int, list[int]]


def start(
    pixels: NDArray[np.uint8], slack: float, least: int, colors: int | None
) -> tuple[list[Paint], Start]:
    """Return a picture's paints, from its patches, and which pixels have them.

    Args:
        pixels: `[height, width, 3]`.
        slack: standard deviation of the noise, 0..255.
        least: pixels a patch must have to count.
        colors: most flat colors, or None for as many as can be told apart.
    """
    found = patches(pixels, max(_LEAST_RANGE, 4 * slack))
    big = np.flatnonzero(found.sizes >= least)
    varied = big[found.spreads[big] > _VARIED + slack]
    gradients = dict[int, Paint]()
    bands_of = dict[int, tuple[Floats, NDArray[np.float64]]]()
    for patch in varied.tolist():
        places = np.argwhere(found.labels == patch)
        inner = pixels[places[:, 0], places[:, 1]].astype(np.float32)
        shade = gradient(places[:, ::-1] + np.float32(0.5), inner, slack)
        if shade is not None:
            gradients[patch] = shade
        else:
            means, _, mass = binned(inner, np.ones(len(inner)))
            bands_of[patch] = (means, mass)
    if not big.size:  # no insides at all: all of it is one shaded patch, that of the edges
        means, _, mass = binned(
            pixels.reshape(-1, 3).astype(np.float32), np.ones(pixels[..., 0].size)
        )
        bands_of[0] = (means, mass)
    flat = np.setdiff1d(big, varied)
    given = [found.means[flat], *(means for means, _ in bands_of.values())]
    weights = [found.sizes[flat], *(mass for _, mass in bands_of.values())]
    means, bins, mass = binned(np.concatenate(given), np.concatenate(weights))
    rgb, groups = merged(means, mass, colors, slack)
    index = groups[bins]
    lookup = np.full(len(found.sizes), -1, dtype=np.int32)
    lookup[flat] = index[: len(flat)]
    place, shaded = len(flat), dict[int, list[int]]()
    for patch, (means, _) in bands_of.items():
        shaded[patch] = np.unique(index[place : place + len(means)]).tolist()
        place += len(means)
    paints: list[Paint] = [Flat(tuple(color)) for color in rgb.tolist()]
    for patch, paint in gradients.items():
        lookup[patch] = len(paints)
        paints.append(paint)
    return paints, Start(lookup[found.labels], found.labels, shaded)


def noise_level(pixels: NDArray[np.uint8]) -> float:
    """Return the standard deviation of the noise where a picture is flat, in 0..255.

    From second differences, which flat color and linear gradients do not have (after J.
    Immerkaer 1996, "Fast noise variance estimation"). Where white or black is clipped, noise
    cannot be seen, and at edges it cannot be told from the drawing: both are left out.
    """
    gray = pixels[..., 1].astype(np.int16)
    second = np.abs(gray[:, 2:] - 2 * gray[:, 1:-1] + gray[:, :-2])
    usable = (second < _EDGE) & (gray[:, 1:-1] > 3) & (gray[:, 1:-1] < 252)
    if usable.sum() < _SEEN * second.size:
        return 0.0
    return float(second[usable].mean() / np.sqrt(12 / np.pi))


def patches(pixels: NDArray[np.uint8], tolerance: float) -> Patches:
    """Return the connected areas in which colors vary by at most `tolerance` per 3 x 3 pixels."""
    high, low = spread(pixels, 1, np.maximum), spread(pixels, 1, np.minimum)
    inside = (high - low).max(axis=2) <= tolerance
    labels, count = ndimage.label(inside)
    flat = labels.ravel()
    sizes = np.bincount(flat, minlength=count + 1)
    sums = [np.bincount(flat, pixels[..., c].ravel(), count + 1) for c in range(3)]
    squares = [
        np.bincount(flat, pixels[..., c].ravel().astype(np.float64) ** 2, count + 1)
        for c in range(3)
    ]
    total = np.maximum(sizes, 1)
    means = np.stack([each / total for each in sums], axis=1)
    variances = np.stack([each / total for each in squares], axis=1) - means**2
    spreads = np.sqrt(np.maximum(variances, 0)).max(axis=1)
    sizes[0] = 0
    return Patches(labels, sizes, means.astype(np.float32), spreads.astype(np.float32))


def merged(
    colors: Floats, weights: NDArray[np.generic], limit: int | None, slack: float = 0.0
) -> tuple[Floats, Ints]:
    """Merge colors that look alike, heaviest first, and down to `limit` colors where one is given.

    Args:
        colors: `[n, 3]` sRGB.
        weights: `[n]` pixels of each.
        limit: most colors to keep, or None for as many as can be told apart.
        slack: standard deviation of the noise, 0..255, which blurs differences.

    Returns:
        the merged colors `[m, 3]`, and for each given color the index of its merged one.
    """
    lab = oklab(colors).astype(np.float64)
    mass = np.asarray(weights, dtype=np.float64).copy()
    rgb = np.asarray(colors, dtype=np.float64).copy()
    group = np.arange(len(rgb))
    alive = np.ones(len(rgb), dtype=bool)
    total, near = mass.sum(), JUST_NOTICEABLE * (1 + slack / 2)
    ease = np.where(mass < _RARE * total, _RARELY, 1.0)
    gaps = np.linalg.norm(lab[:, None] - lab[None], axis=2) / np.maximum(ease[:, None], ease)
    np.fill_diagonal(gaps, np.inf)
    while alive.sum() > 1:
        i, j = divmod(int(np.argmin(gaps)), len(gaps))
        if gaps[i, j] >= near and (limit is None or alive.sum() <= limit):
            break
        keep, drop = (i, j) if mass[i] >= mass[j] else (j, i)
        rgb[keep] += mass[drop] / (mass[keep] + mass[drop]) * (rgb[drop] - rgb[keep])
        mass[keep] += mass[drop]
        lab[keep] = oklab(rgb[keep][None])[0]
        alive[drop] = False
        group[group == drop] = keep
        ease[keep] = _RARELY if mass[keep] < _RARE * total else 1.0
        fresh = np.linalg.norm(lab - lab[keep], axis=1) / np.maximum(ease, ease[keep])
        fresh[~alive] = fresh[keep] = np.inf
        gaps[keep] = gaps[:, keep] = fresh
        gaps[drop] = gaps[:, drop] = np.inf
    order = np.flatnonzero(alive)
    order = order[np.argsort(-mass[order], kind="stable")]
    position = np.full(len(rgb), -1)
    position[order] = np.arange(len(order))
    return rgb[order].astype(np.float32), position[group].astype(np.int32)


def binned(
    colors: Floats, weights: NDArray[np.generic]
) -> tuple[Floats, Ints, NDArray[np.float64]]:
    """Bin colors coarsely before they are merged pair by pair, which takes their cube in time.

    Returns:
        the bins' mean colors, for each given color its bin, and the bins' weights.
    """
    cells = (np.clip(colors, 0, 255) * _BINS / 256).astype(np.int64)
    code = (cells[:, 0] * _BINS + cells[:, 1]) * _BINS + cells[:, 2]
    _, bins = np.unique(code, return_inverse=True)
    mass = np.bincount(bins, weights)
    means = np.stack(
        [np.bincount(bins, np.asarray(weights) * colors[:, c]) / mass for c in range(3)], axis=1
    )
    if len(mass) > _MOST_BINS:  # the lightest go to the nearest of the others
        heavy = np.sort(np.argsort(-mass, kind="stable")[:_MOST_BINS])
        _, nearest = cKDTree(means[heavy]).query(means)
        means, bins, mass = means[heavy], nearest[bins], mass[heavy]
    return means.astype(np.float32), bins.astype(np.int32), mass.astype(np.float64)
