"""The order: each row as often as it repeats, one size a batch, the same for any processes."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioicons_kit.data.bucketing import Size
from bioicons_kit.data.order import Order, Showing, Shown, derived

SIZES = [Size(512, 512), Size(640, 384), Size(384, 640), Size(1024, 1024)]
shown_items = st.lists(
    st.builds(
        Shown,
        st.lists(st.sampled_from(SIZES), min_size=1, max_size=3).map(tuple),
        st.integers(1, 5),
        st.booleans(),
    ),
    min_size=1,
    max_size=9,
).map(lambda items: [Shown(items[0].sizes, items[0].repeats), *items[1:]])  # one to learn from
batch_sizes = st.integers(1, 5)
seeds = st.integers(0, 2**32 - 1)
shares = st.one_of(st.none(), st.floats(0.05, 0.9))
quick = settings(deadline=None, max_examples=60)


def epoch(order: Order, number: int) -> list[tuple[Showing, ...]]:
    """The batches of one epoch."""
    first = sum(order.epoch_batches(before) for before in range(number))
    return [order.batch(first + i) for i in range(order.epoch_batches(number))]


def size_of(shown: list[Shown], showing: Showing) -> Size:
    """The size that a showing has: the sizes of an item in turn."""
    sizes = shown[showing.item].sizes
    return sizes[(showing.item + showing.repeat + showing.epoch) % len(sizes)]


@quick
@given(shown_items, batch_sizes, seeds, st.integers(0, 3))
def test_an_epoch_shows_each_item_as_often_as_it_repeats(
    shown: list[Shown], size: int, seed: int, number: int
) -> None:
    order = Order(shown, size, seed)
    showings = [showing for batch in epoch(order, number) for showing in batch]
    assert Counter((s.item, s.repeat) for s in showings) == {
        (item, repeat): 1 for item, each in enumerate(shown) for repeat in range(each.repeats)
    }
    assert {s.epoch for s in showings} == {number}
    assert order.epoch_length == len(showings)
    assert order.counts(number) == {item: each.repeats for item, each in enumerate(shown)}


@quick
@given(shown_items, batch_sizes, seeds, shares)
def test_a_batch_holds_one_size_and_only_the_last_of_each_is_smaller(
    shown: list[Shown], size: int, seed: int, share: float | None
) -> None:
    order = Order(shown, size, seed, share)
    for number in range(3):
        smaller = Counter[Size]()
        for batch in epoch(order, number):
            sizes = {size_of(shown, showing) for showing in batch}
            assert len(sizes) == 1
            assert 1 <= len(batch) <= size
            smaller[sizes.pop()] += len(batch) < size
        assert all(count <= 1 for count in smaller.values())


@quick
@given(shown_items, batch_sizes, seeds, shares, st.integers(1, 5), st.integers(0, 40))
def test_processes_share_one_order_and_a_later_start_is_the_same_order(
    shown: list[Shown], size: int, seed: int, share: float | None, world: int, start: int
) -> None:
    """What `endless` does: process r takes batches r, r + world, ..., from any step on."""
    walked = Order(shown, size, seed, share)
    whole = [walked.batch(number) for number in range((start + 3) * world)]
    orders = [Order(shown, size, seed, share) for _ in range(world)]  # each its own, begun late
    together = [
        orders[rank].batch(step * world + rank)
        for step in range(start, start + 3)
        for rank in range(world)
    ]
    assert together == whole[start * world :]


@quick
@given(shown_items, batch_sizes, seeds, st.floats(0.05, 0.9))
def test_prior_pictures_have_their_share_and_come_round_evenly(
    shown: list[Shown], size: int, seed: int, share: float
) -> None:
    order = Order(shown, size, seed, share)
    priors = [item for item, each in enumerate(shown) if each.is_prior]
    learned = sum(each.repeats for each in shown if not each.is_prior)
    seen = Counter[int]()
    for number in range(4):
        counts = order.counts(number)
        for item, each in enumerate(shown):
            if not each.is_prior:
                assert counts[item] == each.repeats
        drawn = sum(counts.get(item, 0) for item in priors)
        wanted = learned * share / (1 - share)
        if priors:
            assert drawn == 1 or abs(drawn - wanted) < 0.5 + 1e-6
            assert drawn >= 1
        else:
            assert drawn == 0
        assert sum(len(batch) for batch in epoch(order, number)) == learned + drawn
        seen.update({item: counts.get(item, 0) for item in priors})
    if priors:  # as often as their repeats say, to within the round that has begun
        rounds = [seen[item] / shown[item].repeats for item in priors]
        assert max(rounds) - min(rounds) <= 1


@quick
@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), seeds)
def test_with_one_size_batches_cut_one_shuffle_whatever_their_size(
    repeats: list[int], seed: int
) -> None:
    shown = [Shown((SIZES[0],), times) for times in repeats]
    one = [showing for batch in epoch(Order(shown, 1, seed), 2) for showing in batch]
    for size in (2, 3, 7):
        assert [s for batch in epoch(Order(shown, size, seed), 2) for s in batch] == one


@quick
@given(shown_items, seeds)
def test_each_repeat_takes_the_next_size_and_each_epoch_begins_with_another(
    shown: list[Shown], seed: int
) -> None:
    order = Order(shown, 2, seed)
    most = 6  # a multiple of any number of sizes here
    seen = [Counter[int]() for _ in shown]
    for number in range(most):
        for batch in epoch(order, number):
            for s in batch:
                views = len(shown[s.item].sizes)
                seen[s.item][(s.item + s.repeat + s.epoch) % views] += 1
    for counts, each in zip(seen, shown, strict=True):
        assert set(counts.values()) == {most * each.repeats // len(each.sizes)}


def test_epochs_and_seeds_shuffle_differently() -> None:
    shown = [Shown((SIZES[0],))] * 20

    def items(seed: int, number: int) -> tuple[int, ...]:
        return tuple(s.item for batch in epoch(Order(shown, 4, seed), number) for s in batch)

    orders = {items(seed, number) for seed in (0, 1) for number in (0, 1, 2)}
    assert len(orders) == 6
    assert tuple(range(20)) not in orders


def test_a_shuffle_favors_no_place() -> None:
    """Where an item of a rare size comes in an epoch is spread over all of it."""
    shown = [Shown((SIZES[0],))] * 18 + [Shown((SIZES[1],))] * 2
    order = Order(shown, 4, 0)
    places = [
        place
        for number in range(400)
        for place, batch in enumerate(epoch(order, number))
        if size_of(shown, batch[0]) == SIZES[1]
    ]
    counts = np.bincount(places, minlength=6)
    assert len(places) == 400
    assert (counts[:4] > 30).all()


def test_every_sample_has_a_seed_of_its_own() -> None:
    order = Order([Shown((SIZES[0],))] * 7, 3, 0)
    drawn = [s.seed for number in range(300) for s in order.batch(number)]
    assert len(set(drawn)) == len(drawn)
    assert all(0 <= seed < 2**63 for seed in drawn)  # what torch.Generator takes
    assert derived(0, "a") != derived(0, "b") != derived(1, "b")


@pytest.mark.parametrize("start", [0, 10**6])
def test_a_stream_begun_far_on_is_the_same_stream(start: int) -> None:
    shown = [Shown((SIZES[0],), 3), Shown(tuple(SIZES[:2]), 2)]
    ahead = Order(shown, 2, 0)
    batches = [ahead.batch(start + i) for i in range(5)]
    assert batches == [Order(shown, 2, 0).batch(start + i) for i in range(5)]
    assert batches[0][0].epoch == pytest.approx(start / ahead.epoch_batches(0), rel=0.4)
