"""Which of the pictures that stream by are still wanted, and when there are enough.

Buckets on a hub dataset say how many pictures they take. A picture is wanted while one of
the buckets it fits is not full. Where a picture counts in one bucket only (`overlap =
"first"`), a bucket is full when it has enough even if earlier buckets take as many as they
may of those that fit both: then `select` can fill every bucket, however it draws.
"""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import licenses, select
from bioicons_kit.icons.choose import quotas
from bioicons_kit.icons.library import Icon
from bioicons_kit.preset import Dataset


@dataclass(frozen=True)
class Place:
    """A bucket of a hub dataset.

    Attributes:
        number: its number in the preset.
        wanted: how many pictures it takes.
        withholds: how many of those that it shares with a later bucket are no longer there
            for that one.
        fits: whether a picture passes its filters.
    """

    number: int
    wanted: int
    withholds: int
    fits: Callable[[Icon], bool]


@dataclass(frozen=True)
class Intake:
    """The buckets of one hub dataset, and what they have so far.

    Attributes:
        places: the buckets.
        both: how many pictures fit both of two buckets, by positions in `places`; of one and
            the same, how many fit it.
    """

    places: tuple[Place, ...]
    both: Counter[tuple[int, int]] = field(default_factory=Counter)

    def wants(self, icon: Icon) -> bool:
        """Tell whether a picture would help to fill a bucket."""
        return any(not self._is_full(index) for index in self._fitting(icon))

    def add(self, icon: Icon) -> None:
        """Count a picture in."""
        fitting = self._fitting(icon)
        self.both.update((one, other) for one in fitting for other in fitting)

    @property
    def is_full(self) -> bool:
        """Whether every bucket has enough."""
        return all(self._is_full(index) for index in range(len(self.places)))

    @property
    def total(self) -> int:
        """How many pictures all buckets take together."""
        return sum(place.wanted for place in self.places)

    @property
    def filled(self) -> int:
        """How many of them there are."""
        return sum(min(self._has(index), place.wanted) for index, place in enumerate(self.places))

    def report(self) -> str:
        """Return what the buckets have, as "bucket 0: 12 of 300, bucket 1: 3 of 200"."""
        return ", ".join(
            f"bucket {place.number}: {min(self._has(index), place.wanted)} of {place.wanted}"
            for index, place in enumerate(self.places)
        )

    def _fitting(self, icon: Icon) -> list[int]:
        """Return the positions of the buckets that a picture fits."""
        return [index for index, place in enumerate(self.places) if place.fits(icon)]

    def _has(self, index: int) -> int:
        """Return how many pictures a bucket is sure to get."""
        lost = sum(
            min(place.withholds, self.both[earlier, index])
            for earlier, place in enumerate(self.places[:index])
        )
        return max(self.both[index, index] - lost, 0)

    def _is_full(self, index: int) -> bool:
        """Tell whether a bucket has enough."""
        return self._has(index) >= self.places[index].wanted


def empty(dataset: Dataset, root: str) -> Intake:
    """Return the buckets of the hub dataset `root`, with nothing in them.

    Raises:
        LibraryError: a bucket names an unknown license, or not the dataset's.
    """
    counts = _counts(dataset)
    places = []
    for number, bucket in enumerate(dataset.buckets):
        if select.place(bucket, dataset) == ("hub", root):
            _check_license(number, dataset)
            wanted = counts[number]
            # `select` gives a share only what fits no earlier bucket (`quotas`).
            most = wanted if bucket.share is None else sys.maxsize
            withholds = most if dataset.overlap == "first" else 0
            places.append(Place(number, wanted, withholds, select.matcher(bucket)))
    return Intake(tuple(places))


def _counts(dataset: Dataset) -> list[int]:
    """Return how many pictures each bucket takes; 0 for those that do not say so."""
    if dataset.size is None:
        return [bucket.limit or bucket.quota or 0 for bucket in dataset.buckets]
    shares = [Fraction(str(bucket.share or 0)) for bucket in dataset.buckets]
    return quotas.apportion(shares, dataset.size)


def _check_license(number: int, dataset: Dataset) -> None:
    """Refuse a bucket that no picture can fit, because none has its license."""
    assert dataset.hub is not None
    theirs = licenses.normalize(dataset.hub.license)
    wanted = dataset.buckets[number].license
    if wanted and theirs not in map(licenses.normalize, wanted):
        raise LibraryError(
            f"bucket {number}: no picture has the license {' or '.join(wanted)}; all of a hub "
            f"dataset are under hub.license, which is {theirs}"
        )
