"""Cache -> batches: one endless, seeded order of samples, of which any part can be had.

An epoch holds each item as often as its repeats say, shuffled by (seed, epoch). Epochs
follow one another without a gap, so position p of the stream is known without walking to
it. Micro-step m of `world` processes takes positions [m, m + 1) * batch * world, each
process its own part: the global order does not depend on the number of processes.
"""

import hashlib
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from bioicons_kit.data.cache import Cache, Entry
from bioicons_kit.errors import DamagedFileError
from bioicons_kit.families.base import Batch


@dataclass(frozen=True)
class Item:
    """One picture with its text: their cache entries, repeats an epoch, loss weight."""

    entries: tuple[Entry, ...]
    repeats: int = 1
    weight: float = 1.0


@dataclass(frozen=True)
class Share:
    """Which part of each global batch this process takes."""

    rank: int = 0
    world: int = 1


class Order:
    """The stream of item indices: position -> (item, seed of its noise)."""

    def __init__(self, repeats: Sequence[int], seed: int) -> None:
        self._seed = seed
        self._once = [index for index, times in enumerate(repeats) for _ in range(times)]
        self._epoch, self._shuffled = -1, list[int]()

    @property
    def epoch_length(self) -> int:
        """Samples in an epoch."""
        return len(self._once)

    def item(self, position: int) -> int:
        """Return which item stands at `position` of the stream."""
        epoch, place = divmod(position, len(self._once))
        if epoch != self._epoch:
            self._epoch, self._shuffled = epoch, self._permutation(epoch)
        return self._shuffled[place]

    def sample_seed(self, position: int) -> int:
        """Return the seed that noise and timestep at `position` are drawn from."""
        return _derived(self._seed, "sample", position)

    def _permutation(self, epoch: int) -> list[int]:
        """Return the items of one epoch in their order."""
        generator = torch.Generator().manual_seed(_derived(self._seed, "epoch", epoch))
        shuffled = torch.randperm(len(self._once), generator=generator)
        return [self._once[i] for i in shuffled.tolist()]


def endless(
    cache: Cache, items: Sequence[Item], size: int, seed: int, share: Share, *, start: int = 0
) -> Generator[Batch]:
    """Yield batches for ever, the next one read from disk while the last is trained on.

    Args:
        cache: holds every entry of `items`.
        items: what an epoch is made of; their tensors must stack, so one picture size.
        size: samples a batch (on this process).
        seed: of the order and of every sample's noise.
        share: this process's part.
        start: micro-step to begin at.

    Raises:
        DamagedFileError: an entry was removed or damaged after it was checked.
    """
    order = Order([item.repeats for item in items], seed)
    step = start

    def read(step: int) -> Batch:
        first = (step * share.world + share.rank) * size
        return collate(cache, items, order, range(first, first + size))

    with ThreadPoolExecutor(1, "batches") as reader:
        coming = reader.submit(read, step)
        while True:
            batch = coming.result()
            step += 1
            coming = reader.submit(read, step)
            yield batch


def collate(cache: Cache, items: Sequence[Item], order: Order, positions: Sequence[int]) -> Batch:
    """Return the samples at `positions` as one batch, tensors named `kind.name`."""
    chosen = [items[order.item(position)] for position in positions]
    samples = [_tensors(cache, item) for item in chosen]
    return Batch(
        tensors={name: torch.stack([s[name] for s in samples]) for name in samples[0]},
        seeds=tuple(order.sample_seed(position) for position in positions),
        weights=torch.tensor([item.weight for item in chosen], dtype=torch.float32),
    )


def _tensors(cache: Cache, item: Item) -> dict[str, Tensor]:
    """Return one item's tensors, named `kind.name`."""
    try:
        return {
            f"{entry.kind}.{name}": tensor
            for entry in item.entries
            for name, tensor in cache.get(entry).items()
        }
    except DamagedFileError as error:
        raise DamagedFileError(
            f"{error}; it was whole when this run began: run again, and it is rebuilt"
        ) from error


def _derived(seed: int, purpose: str, number: int) -> int:
    """Return a 63-bit seed of its own for each (seed, purpose, number)."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{number}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
