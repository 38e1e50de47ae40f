"""Batches: who comes when, how often, with which seed, on which process."""

import itertools
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bioicons_kit.data.batches import Item, Order, Share, endless
from bioicons_kit.data.cache import Cache, entry
from bioicons_kit.errors import DamagedFileError
from bioicons_kit.families.base import Batch

repeats_lists = st.lists(st.integers(1, 5), min_size=1, max_size=8)
seeds = st.integers(0, 2**32 - 1)
quick = settings(deadline=None, max_examples=50)


@quick
@given(repeats=repeats_lists, seed=seeds, epochs=st.integers(1, 3))
def test_an_epoch_holds_each_item_as_often_as_it_repeats(
    repeats: list[int], seed: int, epochs: int
) -> None:
    order = Order(repeats, seed)
    assert order.epoch_length == sum(repeats)
    for epoch in range(epochs):
        start = epoch * order.epoch_length
        seen = Counter(order.item(start + place) for place in range(order.epoch_length))
        assert seen == dict(enumerate(repeats))


@quick
@given(repeats=repeats_lists, seed=seeds, positions=st.lists(st.integers(0, 200), max_size=20))
def test_any_position_is_known_without_walking_to_it(
    repeats: list[int], seed: int, positions: list[int]
) -> None:
    walked = Order(repeats, seed)
    stream = [walked.item(position) for position in range(201)]
    jumping = Order(repeats, seed)
    assert [jumping.item(position) for position in positions] == [stream[p] for p in positions]


def test_epochs_and_seeds_shuffle_differently() -> None:
    def epoch(seed: int, number: int) -> tuple[int, ...]:
        order = Order([1] * 20, seed)
        return tuple(order.item(number * 20 + place) for place in range(20))

    orders = {epoch(seed, number) for seed in (0, 1) for number in (0, 1, 2)}
    assert len(orders) == 6
    assert tuple(range(20)) not in orders


def test_every_sample_has_a_seed_of_its_own() -> None:
    drawn = {Order([1], seed).sample_seed(position) for seed in (0, 1) for position in range(5000)}
    assert len(drawn) == 10_000
    assert all(0 <= seed < 2**63 for seed in drawn)  # what torch.Generator takes


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """Seven entries of each of two kinds, holding their number."""
    cache = Cache(tmp_path_factory.mktemp("cache"))
    for number in range(7):
        cache.put(entry("latents", {"n": str(number)}), {"mean": torch.full((2, 2), float(number))})
        cache.put(entry("t5", {"n": str(number)}), {"states": torch.tensor([float(number)])})
    return cache


def item(number: int, repeats: int = 1, weight: float = 1.0) -> Item:
    entries = tuple(entry(kind, {"n": str(number)}) for kind in ("latents", "t5"))
    return Item(entries, repeats, weight)


ITEMS = [item(number, repeats=1 + number % 3, weight=1 + number / 8) for number in range(7)]


ALONE = Share()


def take(
    cache: Cache, steps: int, *, size: int, share: Share = ALONE, start: int = 0
) -> list[Batch]:
    stream = endless(cache, ITEMS, size, 5, share, start=start)
    batches = list(itertools.islice(stream, steps))
    stream.close()
    return batches


Sample = tuple[float, float, int]


def samples(batches: list[Batch]) -> list[Sample]:
    """Each sample's number, weight and seed, in order."""
    return [
        (number, weight, seed)
        for batch in batches
        for number, weight, seed in zip(
            batch.tensors["t5.states"][:, 0].tolist(),
            batch.weights.tolist(),
            batch.seeds,
            strict=True,
        )
    ]


def test_a_batch_holds_stacked_tensors_seeds_and_weights(cache: Cache) -> None:
    (batch,) = take(cache, 1, size=3)
    assert batch.tensors["latents.mean"].shape == (3, 2, 2)
    assert batch.tensors["t5.states"].shape == (3, 1)
    numbers = batch.tensors["t5.states"][:, 0]
    assert torch.equal(batch.tensors["latents.mean"], numbers[:, None, None].expand(3, 2, 2))
    assert torch.equal(batch.weights, 1 + numbers / 8)
    assert batch.weights.dtype == torch.float32
    order = Order([each.repeats for each in ITEMS], 5)
    assert batch.seeds == tuple(order.sample_seed(position) for position in range(3))


@settings(deadline=None, max_examples=20)
@given(world=st.integers(1, 4), size=st.integers(1, 3), steps=st.integers(1, 5))
def test_processes_share_one_order(cache: Cache, world: int, size: int, steps: int) -> None:
    alone = samples(take(cache, steps * world, size=size))
    parts = [take(cache, steps, size=size, share=Share(rank, world)) for rank in range(world)]
    together = [samples([parts[rank][step]]) for step in range(steps) for rank in range(world)]
    assert list(itertools.chain(*together)) == alone


@settings(deadline=None, max_examples=20)
@given(start=st.integers(0, 40), size=st.integers(1, 4), rank=st.integers(0, 1))
def test_a_stream_begun_later_goes_on_as_the_first(
    cache: Cache, start: int, size: int, rank: int
) -> None:
    share = Share(rank, 2)
    whole = samples(take(cache, start + 3, size=size, share=share))
    assert samples(take(cache, 3, size=size, share=share, start=start)) == whole[start * size :]


def test_batches_larger_than_the_dataset_run_over_epochs(cache: Cache) -> None:
    epoch = sum(each.repeats for each in ITEMS)
    (batch,) = take(cache, 1, size=2 * epoch)
    counts = Counter(number for number, _, _ in samples([batch]))
    assert counts == {float(n): 2 * each.repeats for n, each in enumerate(ITEMS)}
    assert len(set(batch.seeds)) == 2 * epoch


def test_a_batch_keeps_its_seeds_on_another_device(cache: Cache) -> None:
    (batch,) = take(cache, 1, size=2)
    moved = batch.to(torch.device("meta"))
    assert moved.seeds == batch.seeds
    assert {t.device.type for t in [*moved.tensors.values(), moved.weights]} == {"meta"}


def test_an_entry_removed_while_training_is_named(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    missing = item(3)
    cache.put(missing.entries[0], {"mean": torch.zeros(1)})
    with pytest.raises(DamagedFileError, match=missing.entries[1].key):
        next(endless(cache, [missing], 1, 0, Share()))
