"""Cache -> batches: an endless, seeded sequence of which any part can be had.

`order` says which showing comes when; here it becomes tensors. Everything random about a
sample is drawn from its own seed: its caption here, its noise in the family's loss. Batches
are read ahead by a few threads, which changes nothing about them.

An entry that turns out damaged is made again from its source, told, and the run goes on.
"""

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from bioicons_kit import console
from bioicons_kit.data.bucketing import Size
from bioicons_kit.data.cache import Cache, Entry
from bioicons_kit.data.order import Order, Showing, Shown, derived
from bioicons_kit.errors import DamagedFileError
from bioicons_kit.families import preservation
from bioicons_kit.families.base import Batch
from bioicons_kit.preset import Train

Texts = tuple[Entry, ...]  # one entry an encoder
Mend = Callable[[Entry], None]  # makes an entry again from its source

_READERS = 2  # threads; reading is hashing, which lets go of Python's lock
_AHEAD = 4  # batches


@dataclass(frozen=True)
class View:
    """One picture at one size: its entries."""

    size: Size
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Item:
    """One row, encoded.

    Attributes:
        views: `[version][size]`; the repeats of an epoch take the versions, and the sizes, in
            turn.
        texts: its captions, of which each sample takes one.
        repeats: showings in an epoch.
        weight: of its samples in the loss.
        is_prior: whether it is there to keep what the model knew.
    """

    views: tuple[tuple[View, ...], ...]
    texts: tuple[Texts, ...]
    repeats: int = 1
    weight: float = 1.0
    is_prior: bool = False


@dataclass(frozen=True)
class Content:
    """All that batches are made of.

    Attributes:
        items: the rows.
        empty: the empty text.
        trigger: the trigger alone; None where there is none.
        preserved: the class whose output is preserved; none if empty.
        background: weight of what the masks leave out, where there are masks.
    """

    items: tuple[Item, ...]
    empty: Texts = ()
    trigger: Texts | None = None
    preserved: Texts = ()
    background: float = 1.0


@dataclass(frozen=True)
class Share:
    """Which part of the sequence this process takes: every `world`-th batch from `rank` on."""

    rank: int = 0
    world: int = 1


def order(content: Content, settings: Train) -> Order:
    """Return the order of a run's batches."""
    shown = [
        Shown(tuple(view.size for view in item.views[0]), item.repeats, item.is_prior)
        for item in content.items
    ]
    return Order(shown, settings.batch_size, settings.seed, settings.prior_share)


def endless(
    cache: Cache,
    content: Content,
    settings: Train,
    share: Share,
    *,
    start: int = 0,
    mend: Mend | None = None,
) -> Generator[Batch]:
    """Yield this process's batches for ever, the next ones read while one is trained on.

    Args:
        cache: holds the entries of `content`.
        content: what an epoch is made of.
        settings: batch size, seed, and the shares of captions and prior pictures.
        share: this process's part.
        start: micro-step to begin at.
        mend: makes a damaged entry again; without it, damage ends the run.

    Raises:
        DamagedFileError: an entry is damaged and cannot be made again.
    """
    sequence = order(content, settings)
    step = start

    def read(showings: tuple[Showing, ...]) -> Batch:
        batch = collate(cache, content, settings, showings, mend)
        return pinned(batch) if torch.cuda.is_available() else batch

    with ThreadPoolExecutor(_READERS, "batches") as readers:
        coming: deque[Future[Batch]] = deque()
        try:
            while True:
                while len(coming) < _AHEAD:
                    showings = sequence.batch(step * share.world + share.rank)
                    coming.append(readers.submit(read, showings))
                    step += 1
                yield coming.popleft().result()
        finally:
            for each in coming:
                each.cancel()


def collate(
    cache: Cache,
    content: Content,
    settings: Train,
    showings: Sequence[Showing],
    mend: Mend | None = None,
) -> Batch:
    """Return showings as one batch, tensors named `kind.name`.

    The mean of a batch's weighted losses is the sum over its samples by the full batch size,
    also where it has fewer: so each sample of an epoch weighs the same.
    """
    samples = []
    for showing in showings:
        entries = (*_picture(content, showing), *text(content, showing, settings))
        kept = _tensors(cache, content.preserved, mend)
        samples.append(
            {
                **_tensors(cache, entries, mend),
                **{f"{preservation.PREFIX}{name}": tensor for name, tensor in kept.items()},
            }
        )
    scale = len(showings) / settings.batch_size
    weights = [content.items[each.item].weight * scale for each in showings]
    batch = {name: torch.stack([s[name] for s in samples]) for name in samples[0]}
    if "mask.coverage" in batch:
        covered = batch.pop("mask.coverage").float()
        batch["mask.weight"] = content.background + (1 - content.background) * covered
    return Batch(
        tensors=batch,
        seeds=tuple(each.seed for each in showings),
        weights=torch.tensor(weights, dtype=torch.float32),
    )


def text(content: Content, showing: Showing, settings: Train) -> Texts:
    """Return the caption of a sample: empty, the trigger, or one of its item's.

    Drawn from the sample's seed, with the shares that the preset gives.
    """
    item = content.items[showing.item]
    number = derived(showing.seed, "caption") / 2**63  # in [0, 1)
    if number < settings.caption_dropout:
        return content.empty
    number -= settings.caption_dropout
    if content.trigger is not None and not item.is_prior and number < settings.trigger_only:
        return content.trigger
    return item.texts[derived(showing.seed, "variant") % len(item.texts)]


def pinned(batch: Batch) -> Batch:
    """Return a batch in memory from which a GPU copies on its own."""
    fixed = {name: tensor.pin_memory() for name, tensor in batch.tensors.items()}
    return Batch(fixed, batch.seeds, batch.weights.pin_memory())


def _picture(content: Content, showing: Showing) -> tuple[Entry, ...]:
    """Return the entries of the view that a showing shows."""
    item = content.items[showing.item]
    version = item.views[showing.repeat % len(item.views)]
    return version[(showing.item + showing.repeat + showing.epoch) % len(version)].entries


def _tensors(cache: Cache, entries: Sequence[Entry], mend: Mend | None) -> Mapping[str, Tensor]:
    """Return a sample's tensors, named `kind.name`."""
    return {
        f"{entry.kind}.{name}": tensor
        for entry in entries
        for name, tensor in _read(cache, entry, mend).items()
    }


def _read(cache: Cache, entry: Entry, mend: Mend | None) -> Mapping[str, Tensor]:
    """Read an entry; one that is damaged is made again first."""
    try:
        return cache.get(entry)
    except DamagedFileError as error:
        if mend is None:
            raise DamagedFileError(
                f"{error}; it was whole when this run began: run again, and it is rebuilt"
            ) from error
        console.warn(f"{error}; encoding it again")
        mend(entry)
        return cache.get(entry)
