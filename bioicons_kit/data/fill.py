"""Filling one kind of entry: what is missing, room for it, and a thread that writes it.

Under several processes of a launch, each fills every n-th entry.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby, islice
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor

from bioicons_kit import console
from bioicons_kit.data.cache import Cache, Entry
from bioicons_kit.data.job import Job
from bioicons_kit.data.ledger import Ledger
from bioicons_kit.data.overlap import Writer
from bioicons_kit.data.plan import Source, Sources
from bioicons_kit.errors import ModelError
from bioicons_kit.families.base import batched
from bioicons_kit.files import require_room

Encode = Callable[[Sequence[Any]], list[dict[str, Tensor]]]
Content = Mapping[str, Tensor]

_WAITING = 32  # entries that may wait to be written
# Bytes of an entry's file besides its tensors: the header, and what file systems round up.
FILE_OVERHEAD = 8192


class Filling:
    """One kind of entry while it is filled.

    Attributes:
        missing: what this process has to make.
        failed: reasons why an entry cannot be made.
    """

    def __init__(
        self,
        missing: Sequence[Entry],
        writer: Writer,
        put: Callable[[Entry, Content], None],
        advance: Callable[[], object],
    ) -> None:
        self.missing = tuple(missing)
        self.failed: dict[Entry, str] = {}
        self._writer, self._put, self._advance = writer, put, advance

    def put(self, made: Entry, content: Content) -> None:
        """Have an entry written; an earlier one's failure is raised here."""
        self._writer.do(lambda: self._put(made, content))
        self._advance()

    def fail(self, made: Entry, reason: str) -> None:
        """Note that an entry cannot be made."""
        self.failed[made] = reason
        self._advance()


@contextmanager
def filling(kind: str, sources: Sources, job: Job) -> Iterator[Filling]:
    """Find what the cache lacks of `sources` and write what is put until the block ends.

    Raises:
        StorageError: what is missing would not fit, or could not be written.
        ModelError: what was put is not what such an entry holds.
    """
    cache, accelerator = job.cache, job.accelerator
    ledger = Ledger(cache, kind)
    mine = list(sources)[accelerator.process_index :: accelerator.num_processes]
    sound = ledger.sound(mine)
    missing = [each for each in mine if each not in sound]
    hits = sum(gather_object([len(sound)]))
    needed = sum(gather_object([sum(each.nbytes + FILE_OVERHEAD for each in missing)]))
    console.say(kind, f"{hits} in the cache, {len(sources) - hits} to encode")
    require_room(cache.root, needed, f"{len(sources) - hits} more entries of {kind} in the cache")

    def put(made: Entry, content: Content) -> None:
        write(cache, made, content, sources[made])
        ledger.wrote(made)

    try:
        with ExitStack() as stack:
            advance: Callable[[], object] = int
            if missing:
                advance = stack.enter_context(console.bar(kind, len(missing), kind)).update
            writer = stack.enter_context(Writer(_WAITING))
            yield Filling(missing, writer, put, advance)
    finally:
        ledger.save()
    accelerator.wait_for_everyone()


def write(cache: Cache, made: Entry, content: Content, source: Source) -> None:
    """Write an entry in the cache's dtype, with what it was made from.

    Raises:
        StorageError: it could not be written.
        ModelError: it is not what such an entry holds, or not finite.
    """
    dtypes = {shape.name: shape.dtype for shape in made.layout}
    cast = {name: tensor.to(dtypes.get(name, tensor.dtype)) for name, tensor in content.items()}
    try:
        cache.put(made, cast, source.about)
    except ValueError as error:
        raise ModelError(
            f"{source.of}: its encoding ({made.kind}) {error}; the model is damaged, or "
            "memory.dtype does not suit it"
        ) from error


class Encoding:
    """A loaded encoder, given batches of one size, and smaller ones where memory ends.

    Matrix products round differently in batches of different sizes; always the same size,
    filled up with copies, gives an input the same entry, whatever else is missing.
    """

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._most: int | None = None  # inputs at once that memory was found to hold

    def each(
        self, ready: Iterable[tuple[Entry, Any]], size: Callable[[Any], int]
    ) -> Iterator[tuple[Entry, Content]]:
        """Yield the content of each entry from its input.

        Args:
            ready: entries and their inputs; `size` inputs that follow one another and are
                of equal size are encoded at once.
            size: how many inputs like this one to encode at once.
        """
        for count, group in groupby(ready, key=lambda pair: (size(pair[1]), _shape(pair[1]))):
            while some := list(islice(group, count[0])):
                contents = self.all([value for _, value in some], count[0])
                yield from zip((made for made, _ in some), contents, strict=True)

    def all(self, inputs: Sequence[Any], size: int) -> list[dict[str, Tensor]]:
        """Encode inputs in batches of exactly `size`, or of less if memory ends.

        Raises:
            ModelError: memory does not hold even one.
        """
        size = min(size, self._most or size)
        try:
            return [
                content for some in batched(inputs, size) for content in self._padded(some, size)
            ]
        except torch.OutOfMemoryError as error:
            if size == 1:
                raise ModelError(f"one input alone does not fit in memory ({error})") from error
        torch.cuda.empty_cache()
        self._most = size // 2
        console.warn(f"{size} inputs do not fit in memory; encoding {self._most} at once")
        return self.all(inputs, self._most)

    def _padded(self, inputs: Sequence[Any], size: int) -> list[dict[str, Tensor]]:
        """Encode a batch, filled up with copies of its last input."""
        return self._encode([*inputs, *[inputs[-1]] * (size - len(inputs))])[: len(inputs)]


def _shape(value: Any) -> tuple[int, int]:
    """Return the size of a picture; texts are all alike."""
    return getattr(value, "size", (0, 0))
