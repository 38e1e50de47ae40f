"""Are two documents the same picture? By cairosvg, and by resvg as far as it takes to be sure."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bioicons_kit.icons.clean.pictures import SIZE, Box, Pictures
from bioicons_kit.svg import likeness

# What counts as alike: .999, and a little for other variants of the index.
ALIKE = 0.9992
# cairosvg draws fast, resvg edges sharper: of 330 icons, most lose twice as much by it, and one
# twelve times. It is asked where cairosvg's pictures are off by more than a tenth of what is
# allowed; a seventh would save a quarter of its drawings, and let 0.9989 through.
_SURE = 1 - (1 - ALIKE) / 10
# resvg's pictures come as PNG, which takes longer to make than to draw. So it is asked for the two
# parts first that lose most by cairosvg: how many times as much is lost there tells what the whole
# loses, mostly to a tenth, of 28 icons at worst to a third. Only where that is neither well below
# nor well above what is allowed is the whole drawn.
_PART, _PARTS = 256, 2
_SURELY_LESS, _SURELY_MORE = 0.65, 1.3


@dataclass(frozen=True)
class Compared:
    """How alike two documents are: by engine, at worst, and whether that is enough."""

    similarity: dict[str, float]
    loss: float
    is_alike: bool

    def also(self, engine: str, losses: NDArray[np.float64], broken: bool) -> "Compared":
        """Return this with what another engine's pictures say."""
        loss = _share(losses)
        similarity = self.similarity | {engine: 1 - loss}
        is_alike = self.is_alike and not broken and loss <= 1 - ALIKE
        return Compared(similarity, max(self.loss, loss), is_alike)


def compared(before: Pictures, after: Pictures) -> Compared:
    """Compare two documents by both engines, as far as it takes to be sure.

    Where no engine draws the original, there is nothing to compare, and nothing against it.
    """
    found = Compared({}, 0.0, True)
    one, other = before.by("cairosvg"), after.by("cairosvg")
    losses = None
    if one is not None:
        if other is None:
            return Compared({}, 0.0, False)
        losses = likeness.losses(one, other)
        found = found.also("cairosvg", losses, likeness.broken(one, other))
        if not found.is_alike or found.similarity["cairosvg"] >= _SURE:
            return found
        guess = _guessed(before, after, losses)
        if guess is not None and guess <= _SURELY_LESS * (1 - ALIKE):
            return found
        if guess is not None and guess >= _SURELY_MORE * (1 - ALIKE):
            return Compared(found.similarity, guess, False)
    return _by_resvg(before, after, found)


def _by_resvg(before: Pictures, after: Pictures, found: Compared) -> Compared:
    """Return what was found, and how alike two documents are by resvg."""
    box = before.window
    first = None if box is None else before.part(box)
    if box is None or first is None:
        return found
    second = after.part(box) if after.window == box else None
    if second is None:
        return Compared(found.similarity, found.loss, False)
    return found.also("resvg", likeness.losses(first, second), likeness.broken(first, second))


def _guessed(before: Pictures, after: Pictures, losses: NDArray[np.float64]) -> float | None:
    """Return what resvg's pictures lose of similarity, told by parts; None where they do not tell.

    Args:
        before: the original.
        after: the simplified document.
        losses: by blocks, of cairosvg's pictures.
    """
    window = before.window
    one, other = before.by("cairosvg"), after.by("cairosvg")
    if window is None or window != after.window or one is None or other is None:
        return None
    by_cairosvg = by_resvg = 0.0
    for box in _places(losses, window):
        left, top, width, height = box
        first, second = before.part(box), after.part(box)
        if first is None or second is None or likeness.broken(first, second):
            return None
        here = slice(top, top + height), slice(left, left + width)
        by_cairosvg += float(likeness.losses(one[here], other[here]).sum())
        by_resvg += float(likeness.losses(first, second).sum())
    return by_resvg / by_cairosvg * _share(losses) if by_cairosvg else None


def _places(losses: NDArray[np.float64], window: Box) -> Iterator[Box]:
    """Yield the parts of a window that lose most, apart from each other."""
    blocks = _PART // likeness.BLOCK
    sums = np.pad(losses.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    parts = sums[blocks:, blocks:] - sums[:-blocks, blocks:]
    parts = parts - sums[blocks:, :-blocks] + sums[:-blocks, :-blocks]
    west, north, width, height = window
    for _ in range(_PARTS):
        row, column = (int(at) for at in np.unravel_index(parts.argmax(), parts.shape))
        left, right = _within(column * likeness.BLOCK, west, west + width)
        top, bottom = _within(row * likeness.BLOCK, north, north + height)
        if min(right - left, bottom - top) >= likeness.WINDOW:
            yield left, top, right - left, bottom - top
        near = [slice(max(0, at - blocks + 1), at + blocks) for at in (row, column)]
        parts[near[0], near[1]] = -1


def _within(start: int, low: int, high: int) -> tuple[int, int]:
    """Return begin and end of a part that starts there, of what lies between two limits."""
    return max(start, low), min(start + _PART, high)


def _share(losses: NDArray[np.float64]) -> float:
    """Return what pictures of `SIZE` lose of similarity."""
    return float(losses.sum()) / (SIZE - likeness.WINDOW + 1) ** 2
