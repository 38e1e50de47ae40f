"""Batches: what is in them, with which weights and captions, and on which process."""

import itertools
import math
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bioicons_kit.data import batches
from bioicons_kit.data.batches import Content, Item, Share, View, collate, endless
from bioicons_kit.data.bucketing import Size
from bioicons_kit.data.cache import Cache, Entry, entry
from bioicons_kit.data.order import Showing
from bioicons_kit.errors import DamagedFileError
from bioicons_kit.families.base import Batch
from bioicons_kit.preset import Train

SQUARE, WIDE = Size(512, 512), Size(640, 384)
EMPTY, TRIGGER = 100, 101  # the numbers of the empty text and of the trigger
VARIANTS = 200  # item n's captions are the texts 200 + 10 n, 201 + 10 n, ...


def latents(number: int, size: Size) -> Entry:
    return entry("latents", {"n": str(number), "size": str(size)})


def words(number: int) -> tuple[Entry, ...]:
    return (entry("t5", {"n": str(number)}),)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """Entries that hold their own number."""
    cache = Cache(tmp_path_factory.mktemp("cache"))
    for number in range(40):
        for size in (SQUARE, WIDE):
            shape = (size.height // 64, size.width // 64)
            cache.put(latents(number, size), {"mean": torch.full(shape, float(number))})
        coverage = torch.linspace(0, 1, 4).reshape(2, 2) if number else torch.zeros(2, 2)
        cache.put(entry("mask", {"n": str(number)}), {"coverage": coverage})
    for number in (EMPTY, TRIGGER, *range(VARIANTS, VARIANTS + 80)):
        cache.put(words(number)[0], {"states": torch.tensor([float(number)])})
    return cache


def item(
    number: int,
    *sizes: Size,
    captions: int = 1,
    repeats: int = 1,
    weight: float = 1.0,
    is_prior: bool = False,
) -> Item:
    views = tuple(View(size, (latents(number, size),)) for size in sizes or (SQUARE,))
    texts = tuple(words(VARIANTS + 10 * number + i) for i in range(captions))
    return Item((views,), texts, repeats, weight, is_prior)


def content(*items: Item, trigger: bool = True) -> Content:
    return Content(items, words(EMPTY), words(TRIGGER) if trigger else None)


ITEMS = content(
    *(
        item(number, *([SQUARE], [WIDE], [SQUARE, WIDE])[number % 3], repeats=1 + number % 3)
        for number in range(7)
    )
)
ALONE = Share()


def take(
    cache: Cache,
    steps: int,
    *,
    size: int = 2,
    share: Share = ALONE,
    start: int = 0,
    of: Content = ITEMS,
) -> list[Batch]:
    stream = endless(cache, of, Train(batch_size=size, seed=5), share, start=start)
    found = list(itertools.islice(stream, steps))
    stream.close()
    return found


Sample = tuple[float, int, tuple[int, ...]]


def samples(found: list[Batch]) -> list[Sample]:
    """Each sample's number, seed and shape, in order."""
    return [
        (mean.flatten()[0].item(), seed, tuple(mean.shape))
        for batch in found
        for mean, seed in zip(batch.tensors["latents.mean"], batch.seeds, strict=True)
    ]


def test_a_batch_holds_stacked_tensors_seeds_and_weights(cache: Cache) -> None:
    of = content(*(item(number, weight=1 + number / 8) for number in range(6)))
    (batch,) = take(cache, 1, size=3, of=of)
    assert batch.tensors["latents.mean"].shape == (3, 8, 8)
    assert batch.tensors["t5.states"].shape == (3, 1)
    numbers = batch.tensors["latents.mean"][:, 0, 0]
    assert torch.equal(batch.tensors["t5.states"][:, 0], VARIANTS + 10 * numbers)
    assert torch.equal(batch.weights, 1 + numbers / 8)
    assert batch.weights.dtype == torch.float32
    order = batches.order(of, Train(batch_size=3, seed=5))
    assert batch.seeds == tuple(showing.seed for showing in order.batch(0))


@settings(deadline=None, max_examples=15)
@given(world=st.integers(1, 4), size=st.integers(1, 3), steps=st.integers(1, 5))
def test_processes_share_one_order(cache: Cache, world: int, size: int, steps: int) -> None:
    alone = samples(take(cache, steps * world, size=size))
    parts = [take(cache, steps, size=size, share=Share(rank, world)) for rank in range(world)]
    together = [samples([parts[rank][step]]) for step in range(steps) for rank in range(world)]
    assert list(itertools.chain(*together)) == alone


@settings(deadline=None, max_examples=15)
@given(start=st.integers(0, 40), size=st.integers(1, 4), rank=st.integers(0, 1))
def test_a_stream_begun_later_goes_on_as_the_first(
    cache: Cache, start: int, size: int, rank: int
) -> None:
    share = Share(rank, 2)
    whole = take(cache, start + 3, size=size, share=share)
    assert samples(take(cache, 3, size=size, share=share, start=start)) == samples(whole[start:])


@pytest.mark.parametrize("size", [1, 2, 4, 50])
def test_each_sample_of_an_epoch_weighs_the_same(cache: Cache, size: int) -> None:
    """The sum of the gradients of an epoch: of the mean over a batch of weighted losses."""
    count = batches.order(ITEMS, Train(batch_size=size, seed=5)).epoch_batches(0)
    totals = Counter[float]()
    for batch in take(cache, count, size=size):
        share = batch.weights / len(batch.seeds)  # of each sample's loss in the batch's mean
        for number, weight in zip(samples([batch]), share.tolist(), strict=True):
            totals[number[0]] += weight * size
    assert totals == pytest.approx({float(n): e.repeats for n, e in enumerate(ITEMS.items)})


def test_each_repeat_shows_its_own_version(cache: Cache) -> None:
    versions = tuple((View(SQUARE, (latents(number, SQUARE),)),) for number in (20, 21, 22))
    of = content(Item(versions, (words(VARIANTS),), repeats=3))
    seen = [number for number, *_ in samples(take(cache, 4, size=3, of=of))]
    assert [sorted(seen[i : i + 3]) for i in range(0, 12, 3)] == [[20, 21, 22]] * 4


CAPTIONED = content(
    *(item(number, captions=1 + number % 3) for number in range(4)),
    *(item(number, is_prior=True) for number in (4, 5)),
)


def captions_of(settings_: Train, of: Content, draws: int) -> dict[int, Counter[int]]:
    """How often each item was given which text."""
    found: dict[int, Counter[int]] = {}
    order = batches.order(of, settings_)
    texts = {words(n): n for n in (EMPTY, TRIGGER, *range(VARIANTS, VARIANTS + 80))}
    for number in range(draws):
        for showing in order.batch(number):
            text = batches.text(of, showing, settings_)
            found.setdefault(showing.item, Counter())[texts[text]] += 1
    return found


def off(count: int, total: int, share: float) -> float:
    """How many standard deviations a count is away from what it should be."""
    return abs(count - total * share) / math.sqrt(total * share * (1 - share))


def test_captions_have_the_stated_frequencies() -> None:
    """Each count is within 4.5 standard deviations, of which one run in 10,000 is not."""
    settings_ = Train(batch_size=2, caption_dropout=0.2, trigger_only=0.1)
    found = captions_of(settings_, CAPTIONED, 9000)
    for number, counts in found.items():
        total = counts.total()
        assert total == 3000
        is_prior, variants = number >= 4, 1 + number % 3 if number < 4 else 1
        assert off(counts[EMPTY], total, 0.2) < 4.5
        if is_prior:
            assert counts[TRIGGER] == 0
        else:
            assert off(counts[TRIGGER], total, 0.1) < 4.5
        for variant in range(variants):
            share = (0.8 if is_prior else 0.7) / variants
            assert off(counts[VARIANTS + 10 * number + variant], total, share) < 4.5


def test_without_dropout_every_sample_has_a_caption_of_its_own_item() -> None:
    found = captions_of(Train(), CAPTIONED, 600)
    for number, counts in found.items():
        first = VARIANTS + 10 * number
        assert counts.keys() == {first + i for i in range(len(CAPTIONED.items[number].texts))}


def test_with_all_captions_dropped_every_text_is_the_empty_one() -> None:
    found = captions_of(Train(caption_dropout=1), CAPTIONED, 60)
    assert {text for counts in found.values() for text in counts} == {EMPTY}
    found = captions_of(Train(trigger_only=1), CAPTIONED, 60)
    assert {text for n, counts in found.items() if n < 4 for text in counts} == {TRIGGER}


def test_a_caption_is_drawn_from_the_sample_alone() -> None:
    """Not from the process, the batch or the moment: as the noise is."""
    settings_ = Train(caption_dropout=0.5)
    showing = Showing(1, 0, 0, seed=12345)
    first = batches.text(CAPTIONED, showing, settings_)
    assert all(batches.text(CAPTIONED, showing, settings_) == first for _ in range(5))
    texts = {batches.text(CAPTIONED, showing._replace(seed=seed), settings_) for seed in range(50)}
    assert len(texts) == 3


def test_prior_pictures_have_their_weight(cache: Cache) -> None:
    of = content(item(0), item(1, weight=0.25, is_prior=True))
    stream = endless(cache, of, Train(batch_size=1, prior_share=0.75), ALONE)
    found = list(itertools.islice(stream, 8))
    stream.close()
    weights = Counter((b.tensors["latents.mean"][0, 0, 0].item(), b.weights.item()) for b in found)
    assert weights == {(0.0, 1.0): 2, (1.0, 0.25): 6}


def test_masks_become_weights_with_the_background_of_the_preset(cache: Cache) -> None:
    masked = tuple(
        replace(
            item(number),
            views=((View(SQUARE, (latents(number, SQUARE), entry("mask", {"n": str(number)}))),),),
        )
        for number in (0, 1)
    )
    of = Content(masked, words(EMPTY), background=0.25)
    showings = [Showing(0, 0, 0, 1), Showing(1, 0, 0, 2)]
    batch = collate(cache, of, Train(batch_size=2), showings)
    assert batch.tensors.keys() == {"latents.mean", "mask.weight", "t5.states"}
    assert torch.equal(batch.tensors["mask.weight"][0], torch.full((2, 2), 0.25))
    expected = 0.25 + 0.75 * torch.linspace(0, 1, 4).reshape(2, 2)
    assert torch.allclose(batch.tensors["mask.weight"][1], expected)


def test_a_batch_keeps_its_seeds_on_another_device(cache: Cache) -> None:
    (batch,) = take(cache, 1)
    moved = batch.to(torch.device("meta"))
    assert moved.seeds == batch.seeds
    assert {t.device.type for t in [*moved.tensors.values(), moved.weights]} == {"meta"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="memory is pinned for a GPU")
def test_batches_for_a_gpu_are_in_pinned_memory(cache: Cache) -> None:
    (batch,) = take(cache, 1)
    assert all(tensor.is_pinned() for tensor in [*batch.tensors.values(), batch.weights])


def test_an_entry_removed_while_training_is_named(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    only = item(3)
    cache.put(only.views[0][0].entries[0], {"mean": torch.zeros(1)})
    with pytest.raises(DamagedFileError, match=only.texts[0][0].key):
        next(endless(cache, content(only), Train(), ALONE))


def test_an_entry_damaged_while_training_is_told_and_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache, only = Cache(tmp_path), item(3)
    of = content(only)
    sound = {
        only.views[0][0].entries[0]: {"mean": torch.ones(2)},
        only.texts[0][0]: {"states": torch.ones(2)},
    }
    for each, tensors in sound.items():
        cache.put(each, tensors)
    mended: list[Entry] = []

    def mend(damaged: Entry) -> None:
        mended.append(damaged)
        cache.put(damaged, sound[damaged])

    path = cache.path(only.texts[0][0])
    stat = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a failing disk would leave it
    stream = endless(cache, of, Train(), ALONE, mend=mend)
    assert torch.equal(next(stream).tensors["t5.states"], torch.ones(1, 2))
    stream.close()
    assert set(mended) == {only.texts[0][0]}
    assert f"{path}: " in capsys.readouterr().err
