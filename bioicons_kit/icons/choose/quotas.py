"""How many pictures each bucket takes, where a preset gives shares of the whole.

Shares of a whole number of pictures are seldom whole themselves: the method of the largest
remainder (Hamilton's) gives each bucket its share rounded down, and what is left to those
that lost most by it. So the counts add up, and none is a whole picture off its share.
"""

from collections.abc import Sequence
from fractions import Fraction

from bioicons_kit.errors import LibraryError


def apportion(shares: Sequence[Fraction], size: int) -> list[int]:
    """Return the whole numbers nearest to `shares` of `size` that add up to their sum's share.

    Of equal remainders, the first bucket's counts first.
    """
    exact = [share * size for share in shares]
    counts = [int(each) for each in exact]
    left = int(sum(exact) + Fraction(1, 2)) - sum(counts)
    by_remainder = sorted(range(len(exact)), key=lambda i: counts[i] - exact[i])
    for index in by_remainder[:left]:
        counts[index] += 1
    return counts


def of_shares(shares: Sequence[float], size: int | None, available: Sequence[int]) -> list[int]:
    """Return how many pictures each bucket takes.

    Args:
        shares: each bucket's share of the whole.
        size: pictures in the whole; as many as the shares allow if None.
        available: pictures each bucket has to take from.

    Raises:
        LibraryError: a bucket has too few pictures, or its share comes to none.
    """
    # What a person writes as 0.1 is meant to be a tenth, not the nearest binary fraction.
    exact = [Fraction(str(share)) for share in shares]
    counts = apportion(exact, size if size is not None else _largest(exact, available))
    for index, (count, share, there) in enumerate(zip(counts, shares, available, strict=True)):
        if count > there:
            raise LibraryError(
                f"bucket {index}: its share, {share:.4g} of {size:,}, is {count:,} icons, but "
                f"{there:,} are there to choose from; lower dataset.size to "
                f"{_largest(exact, available):,}, or remove it to take as many as the shares allow"
            )
        if count == 0:
            raise LibraryError(
                f"bucket {index}: its share, {share:.4g}, comes to no icon; raise the share"
                + (" or dataset.size" if size is not None else ", or widen the smaller buckets")
            )
    return counts


def _largest(shares: Sequence[Fraction], available: Sequence[int]) -> int:
    """Return the largest whole that no bucket has too few pictures for."""
    size = min(int((there + 1) / share) for there, share in zip(available, shares, strict=True))
    while any(
        count > there for count, there in zip(apportion(shares, size), available, strict=True)
    ):
        size -= 1
    return size
