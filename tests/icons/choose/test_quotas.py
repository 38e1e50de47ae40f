from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons.choose import quotas

# Shares that come to one or less, as a preset has them.
SHARES = st.lists(st.integers(1, 1000), min_size=1, max_size=6).flatmap(
    lambda parts: st.integers(sum(parts), 2 * sum(parts)).map(
        lambda whole: [Fraction(part, whole) for part in parts]
    )
)


@given(SHARES, st.integers(0, 10_000))
def test_counts_add_up_and_none_is_a_whole_off(shares, size):
    counts = quotas.apportion(shares, size)
    assert abs(sum(counts) - sum(shares) * size) <= Fraction(1, 2)
    assert all(abs(count - share * size) < 1 for count, share in zip(counts, shares, strict=True))
    assert all(count >= 0 for count in counts)


@given(SHARES, st.data())
def test_without_a_size_the_largest_that_fits_is_taken(shares, data):
    available = [data.draw(st.integers(1, 500)) for _ in shares]
    try:
        counts = quotas.of_shares([float(share) for share in shares], None, available)
    except LibraryError:  # there are too few for the smallest share to be one
        assume(False)
    assert all(count <= there for count, there in zip(counts, available, strict=True))
    # with one bucket's worth more of everything, some bucket has too few
    size = sum(counts) / sum(shares)
    more = quotas.apportion(shares, int(size + max(1 / share for share in shares) + 2))
    assert any(count > there for count, there in zip(more, available, strict=True))


def test_percentages_that_people_write_come_out_even():
    assert quotas.of_shares([0.3, 0.3, 0.2, 0.2], 1000, [400] * 4) == [300, 300, 200, 200]
    assert quotas.of_shares([0.1] * 10, 30, [3] * 10) == [3] * 10
    assert sum(quotas.of_shares([0.333333] * 3, 100, [50] * 3)) == 100


@pytest.mark.parametrize(
    ("shares", "size", "available", "message"),
    [
        ([0.5, 0.5], 10, [9, 4], "bucket 1: its share, 0.5 of 10, is 5 icons, but 4 .*size to 9,"),
        ([0.9, 0.001], 100, [99, 99], "bucket 1: its share, 0.001, comes to no icon; .*size"),
        ([0.99, 0.01], None, [9, 9], "bucket 1: its share, 0.01, comes to no icon; .*widen"),
    ],
)
def test_shares_that_cannot_be_are_refused(shares, size, available, message):
    with pytest.raises(LibraryError, match=message):
        quotas.of_shares(shares, size, available)
