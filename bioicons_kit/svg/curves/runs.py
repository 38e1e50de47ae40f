"""Which runs of segments to replace: the longest that fit, in the best combination.

From every segment on, longer and longer runs are tried, doubling their length while they
fit and then halving the step, all segments of a document side by side: some 2 log2(n)
batches, and seldom more than two fits a segment (never more than a fixed number: the longer
the runs, the fewer places they are tried from). Among the runs that fit, the cheapest
way through each chain is then found from its end: a shortest path, in a graph whose edges
only lead forward. A segment on no chosen run stays, rounded to the grid.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bioicons_kit.svg.curves import fit
from bioicons_kit.svg.curves.fit import Chains
from bioicons_kit.svg.geometry import Bools, Floats, Ints

Fitter = Callable[[Chains, Ints, Ints], tuple[Floats, Floats]]

# How many runs are fitted at a time: what fits a processor's cache.
_BATCH = 2048
# Runs longer than this start from every second segment on, twice as long ones from every
# fourth, and so on: so many still overlap at each place.
_OVERLAP = 8
# What a node costs, in numbers that a file spends on coordinates: nodes come first, but of
# two ways with as many, that with more lines is shorter.
NODE = 8.0


class Runs(NamedTuple):
    """Runs that fit: first segments [r], segments after the last [r], cubics [r, 4, 2].

    `errors` [r] are the largest of the samples, in grid units.
    """

    start: Ints
    stop: Ints
    cubics: Floats
    errors: Floats
    is_line: Bools

    def take(self, which: Ints | Bools) -> "Runs":
        """Return some of the runs."""
        start, stop, cubics, errors, is_line = self
        return Runs(start[which], stop[which], cubics[which], errors[which], is_line[which])


def found(of: Chains, starts: Ints, share: float) -> Runs:
    """Return runs that a line or a cubic follows within `share` x the tolerance.

    Args:
        of: the chains.
        starts: segments at which runs may start.
        share: of the tolerance, what the sampled points may be off.
    """
    straight = _search(of, fit.lines, share, starts, 1)
    bent = _search(of, fit.cubics, share, starts, 2)
    return Runs(
        np.concatenate([straight[0], bent[0]]),
        np.concatenate([straight[1], bent[1]]),
        np.concatenate([straight[2], bent[2]]),
        np.concatenate([straight[3], bent[3]]),
        np.arange(len(straight[0]) + len(bent[0])) < len(straight[0]),
    )


def _search(
    of: Chains, fitter: Fitter, share: float, starts: Ints, shortest: int
) -> tuple[Ints, Ints, Floats, Floats]:
    """Return the runs from `starts` that were tried and fit: starts, stops, cubics, errors."""
    room = of.stops[starts] - starts
    starts, room = starts[room >= shortest], room[room >= shortest]
    index = np.arange(len(of))
    begins = np.append(True, of.stops[1:] != of.stops[:-1])[: len(of)]
    into = index - np.maximum.accumulate(np.where(begins, index, 0))  # its chain
    fits = np.full(len(starts), shortest - 1)  # the longest run that is known to fit
    fails = room + 1  # the shortest that is known not to, or past the chain's end
    length = np.full(len(starts), shortest)
    begun, ended, fitted = [starts[:0]], [starts[:0]], [np.empty((0, 4, 2))]
    off = [np.empty(0)]
    active = np.arange(len(starts))
    while len(active):
        start, stop = starts[active], starts[active] + length[active]
        cubics, errors = _fitted(of, fitter, start, stop)
        good = errors <= share * of.tolerance[start]
        begun.append(start[good])
        ended.append(stop[good])
        fitted.append(cubics[good])
        off.append(errors[good])
        fits[active[good]] = length[active[good]]
        fails[active[~good]] = length[active[~good]]
        active = active[fails[active] - fits[active] > 1]
        # long runs are tried from ever fewer places, or time would grow with n log n
        apart = np.maximum(fits[active] // _OVERLAP, 1)
        active = active[into[starts[active]] % apart == 0]
        low, high = fits[active], fails[active]
        doubled = np.minimum(2 * np.maximum(low, 1), room[active])
        length[active] = np.where(high > room[active], doubled, (low + high) // 2)
    parts = (np.concatenate(begun), np.concatenate(ended))
    return *parts, np.concatenate(fitted), np.concatenate(off)


def _fitted(of: Chains, fitter: Fitter, start: Ints, stop: Ints) -> tuple[Floats, Floats]:
    """Fit runs batch by batch; return their cubics and errors."""
    cubics, errors = np.empty((len(start), 4, 2)), np.empty(len(start))
    for first in range(0, len(start), _BATCH):
        part = slice(first, first + _BATCH)
        cubics[part], errors[part] = fitter(of, start[part], stop[part])
    return cubics, errors


def cheapest(runs: Runs, costs: Floats, stay: Floats) -> Ints:
    """Return the runs to replace, in order, of the cheapest way through all segments.

    Args:
        runs: those that fit.
        costs: of each run once replaced, [r].
        stay: what each segment costs as it is, [n].
    """
    count = len(stay)
    leaving: list[list[tuple[int, float, int]]] = [[] for _ in range(count)]
    described = zip(runs.start.tolist(), runs.stop.tolist(), costs.tolist(), strict=True)
    for index, (start, stop, cost) in enumerate(described):
        leaving[start].append((stop, cost, index))
    total = [0.0] * (count + 1)
    taken = [-1] * count
    kept = stay.tolist()
    for segment in range(count - 1, -1, -1):
        best, choice = kept[segment] + total[segment + 1], -1
        for stop, cost, index in leaving[segment]:
            if cost + total[stop] < best:
                best, choice = cost + total[stop], index
        total[segment], taken[segment] = best, choice
    chosen, segment = [], 0
    stops = runs.stop.tolist()
    while segment < count:
        index = taken[segment]
        if index >= 0:
            chosen.append(index)
        segment = stops[index] if index >= 0 else segment + 1
    return np.array(chosen, dtype=np.int64)
