"""Who comes when: epochs of showings, cut into batches of one picture size.

An epoch shows each item as often as its repeats say, shuffled by (seed, epoch). Showings of
one size are cut into batches; what is left over of a size makes a smaller batch, so that
nothing is dropped, shown twice or put off, and its samples weigh as much as any others
(`batches` sees to that). A batch comes where its first showing stands in the shuffled epoch,
so where all pictures are of one size, batches cut the epoch just as it was shuffled.

Batches are numbered through all epochs, and of `world` processes each takes every
`world`-th: the global order does not depend on how many there are. Where a stream begins is
found by counting, with no batch read.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bioicons_kit.data.bucketing import Size

Numbers = NDArray[np.int64]


class Showing(NamedTuple):
    """One sample of a batch.

    Attributes:
        item: which item.
        repeat: which of its repeats in the epoch, from 0.
        epoch: the epoch.
        seed: what everything random about the sample is drawn from.
    """

    item: int
    repeat: int
    epoch: int
    seed: int


@dataclass(frozen=True)
class Shown:
    """What the order has to know of an item.

    Attributes:
        sizes: the sizes of its views, which its showings take in turn.
        repeats: showings in an epoch.
        is_prior: whether it counts to the share of prior pictures.
    """

    sizes: tuple[Size, ...]
    repeats: int = 1
    is_prior: bool = False


@dataclass(frozen=True)
class _Epoch:
    """An epoch laid out: showings, batch after batch.

    Attributes:
        items, repeats: `[showings]`.
        ends: `[batches]`, the end of each batch in them.
    """

    items: Numbers
    repeats: Numbers
    ends: Numbers


class Order:
    """The endless sequence of batches.

    Args:
        shown: the items.
        size: showings in a full batch.
        seed: of the order and of every sample.
        prior_share: share of an epoch's showings that are prior pictures, which then come
            round in an order of their own; as their repeats say if None.
    """

    def __init__(
        self, shown: Sequence[Shown], size: int, seed: int, prior_share: float | None = None
    ) -> None:
        self._size, self._seed = size, seed
        # Equal sizes get equal numbers; items are columns of a table padded with the first.
        numbers: dict[Size, int] = {}
        most = max(len(each.sizes) for each in shown)
        of_size = [[numbers.setdefault(s, len(numbers)) for s in each.sizes] for each in shown]
        self._sizes = np.array([(each * most)[:most] for each in of_size])
        self._views = np.array([len(each.sizes) for each in shown])
        times = np.array([each.repeats for each in shown])
        is_prior = np.array([each.is_prior for each in shown])
        self._items, self._repeats = _once(times, ~is_prior | (prior_share is None))
        self._priors, self._prior_repeats = _once(times, is_prior & (prior_share is not None))
        self._prior_count = 0
        if len(self._priors) and prior_share is not None:
            share = prior_share / (1 - prior_share)
            self._prior_count = max(1, round(len(self._items) * share))
        # Epochs after which the sizes come round again; 0 where prior pictures, drawn anew for
        # each, may make every epoch another.
        self._period = 0 if self._prior_count else math.lcm(*self._views.tolist())
        self._firsts = [0]  # number of the first batch of each epoch so far
        self._laid: tuple[int, _Epoch] | None = None

    @property
    def epoch_length(self) -> int:
        """Showings in an epoch."""
        return len(self._items) + self._prior_count

    def epoch_batches(self, epoch: int) -> int:
        """Return how many batches an epoch has."""
        return self._first(epoch + 1) - self._first(epoch)

    def counts(self, epoch: int) -> dict[int, int]:
        """Return how many showings of an epoch each item has, items without any left out."""
        items, _ = self._showings(epoch)
        found, times = np.unique(items, return_counts=True)
        return dict(zip(found.tolist(), times.tolist(), strict=True))

    def batch(self, number: int) -> tuple[Showing, ...]:
        """Return batch `number` of the sequence; all its showings are of one size."""
        epoch = self._epoch_of(number)
        laid = self._layout(epoch)
        place = number - self._first(epoch)
        start = int(laid.ends[place - 1]) if place else 0
        return tuple(
            Showing(
                int(laid.items[at]),
                int(laid.repeats[at]),
                epoch,
                derived(self._seed, f"sample/{epoch}/{at}"),
            )
            for at in range(start, int(laid.ends[place]))
        )

    def _epoch_of(self, number: int) -> int:
        """Return the epoch that batch `number` belongs to."""
        rounds = 0
        if self._period:
            rounds, number = divmod(number, self._counted(self._period))
        while self._firsts[-1] <= number:
            self._counted(len(self._firsts))
        within = int(np.searchsorted(self._firsts, number, side="right")) - 1
        return rounds * self._period + within

    def _first(self, epoch: int) -> int:
        """Return the number of an epoch's first batch."""
        if not self._period:
            return self._counted(epoch)
        rounds, within = divmod(epoch, self._period)
        return rounds * self._counted(self._period) + self._counted(within)

    def _counted(self, epoch: int) -> int:
        """Return the number of an epoch's first batch, by counting through those before it."""
        while len(self._firsts) <= epoch:
            before = len(self._firsts) - 1
            items, repeats = self._showings(before)
            counts = np.bincount(self._sizes_of(items, repeats, before))
            self._firsts.append(self._firsts[-1] + int((-(-counts // self._size)).sum()))
        return self._firsts[epoch]

    def _layout(self, epoch: int) -> _Epoch:
        """Return an epoch laid out; the last one is kept."""
        if self._laid is None or self._laid[0] != epoch:
            self._laid = epoch, self._lay_out(epoch)
        return self._laid[1]

    def _lay_out(self, epoch: int) -> _Epoch:
        """Shuffle an epoch's showings, part them by size, cut batches and put these in order."""
        generator = np.random.Generator(np.random.PCG64(derived(self._seed, f"epoch/{epoch}")))
        items, repeats = self._showings(epoch)
        shuffled = generator.permutation(len(items))
        sizes = self._sizes_of(items, repeats, epoch)[shuffled]
        by_size = np.argsort(sizes, kind="stable")
        cuts = [0]
        for count in np.bincount(sizes).tolist():
            end = cuts[-1] + count
            cuts.extend(range(cuts[-1] + self._size, end, self._size))
            if count:
                cuts.append(end)
        starts, ends = np.array(cuts[:-1]), np.array(cuts[1:])
        batches = np.argsort(by_size[starts])
        order = np.concatenate([by_size[starts[b] : ends[b]] for b in batches.tolist()])
        order = shuffled[order]
        return _Epoch(items[order], repeats[order], np.cumsum((ends - starts)[batches]))

    def _showings(self, epoch: int) -> tuple[Numbers, Numbers]:
        """Return an epoch's showings, items and which of their repeats, not yet shuffled."""
        if not self._prior_count:
            return self._items, self._repeats
        places = np.arange(epoch * self._prior_count, (epoch + 1) * self._prior_count)
        rounds, within = np.divmod(places, len(self._priors))
        drawn = np.concatenate(
            [self._prior_round(each)[within[rounds == each]] for each in np.unique(rounds).tolist()]
        )
        return (
            np.concatenate([self._items, self._priors[drawn]]),
            np.concatenate([self._repeats, self._prior_repeats[drawn]]),
        )

    def _prior_round(self, number: int) -> Numbers:
        """Return the order in which the prior pictures come round for the `number`-th time."""
        generator = np.random.Generator(np.random.PCG64(derived(self._seed, f"prior/{number}")))
        return generator.permutation(len(self._priors))

    def _sizes_of(self, items: Numbers, repeats: Numbers, epoch: int) -> Numbers:
        """Return the number of each showing's size."""
        found: Numbers = self._sizes[items, view(items, repeats, epoch, self._views[items])]
        return found


def view(item: Numbers, repeat: Numbers, epoch: int, views: Numbers) -> Numbers:
    """Return which of its views each showing takes: in turn, over repeats and epochs."""
    return (item + repeat + epoch) % views


def derived(seed: int, purpose: str) -> int:
    """Return a 63-bit seed of its own for each (seed, purpose)."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def _once(times: Numbers, wanted: NDArray[np.bool_]) -> tuple[Numbers, Numbers]:
    """Return each wanted item as often as it repeats, and the numbers of the repeats."""
    items = np.repeat(np.arange(len(times)), np.where(wanted, times, 0))
    firsts = np.cumsum(np.where(wanted, times, 0)) - np.where(wanted, times, 0)
    return items, np.arange(len(items)) - firsts[items]
