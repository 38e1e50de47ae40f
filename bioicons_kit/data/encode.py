"""Rows and texts -> entries in the cache: encoders come, work once, and go.

Only what the cache lacks is drawn and encoded. An encoder is loaded only if it has
something to do, and freed before the next one is loaded. Under several processes each
takes every n-th input.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from accelerate.utils import gather_object
from PIL.Image import Image
from torch import Tensor

from bioicons_kit import console
from bioicons_kit.data.cache import Cache, Entry, entry
from bioicons_kit.data.identity import Identities
from bioicons_kit.data.job import Job
from bioicons_kit.errors import DamagedFileError, DocumentError, LibraryError
from bioicons_kit.families.base import DTYPES, Encoder, batched
from bioicons_kit.files import sha256_bytes
from bioicons_kit.icons import captions, raster
from bioicons_kit.icons.select import Row
from bioicons_kit.preset import Dataset

Input = TypeVar("Input")

_BATCH_PIXELS = 1024 * 1024  # pictures encoded at once hold about this many pixels together
_BATCH_PICTURES = 16
_BATCH_TEXTS = 8
_SKIPPED_SHOWN = 5


@dataclass(frozen=True)
class Encoded:
    """A preset's data, encoded.

    Attributes:
        rows: the rows whose icon could be drawn, in the order selected.
        captions: one a row.
        pictures: the picture's cache entry, one a row.
        texts: the text entries, one an encoder, of every caption and every sample prompt.
    """

    rows: tuple[Row, ...]
    captions: tuple[str, ...]
    pictures: tuple[Entry, ...]
    texts: Mapping[str, tuple[Entry, ...]]


def dataset(rows: Sequence[Row], job: Job) -> Encoded:
    """Encode the pictures and captions of `rows`, and the preset's sample prompts.

    Raises:
        LibraryError: none of the icons can be drawn.
        ModelError: an encoder cannot be loaded.
        StorageError: no room in the cache; entries already written stay.
    """
    settings = job.preset.dataset
    kept, entries = pictures(rows, job)
    texts_ = tuple(captions.caption(row.icon, settings.caption, settings.trigger) for row in kept)
    return Encoded(kept, texts_, entries, texts([*texts_, *job.preset.sample.prompts], job))


def pictures(rows: Sequence[Row], job: Job) -> tuple[tuple[Row, ...], tuple[Entry, ...]]:
    """Encode the picture of each row; return the rows that could be drawn, and their entries.

    An icon that cannot be read or drawn is named, counted and left out.

    Raises:
        LibraryError: that is so of every icon.
    """
    encoder, settings = job.family.image_encoder(), job.preset.dataset
    renderer = raster.choose(settings.renderer)
    look = raster.fingerprint(renderer, settings.resolution, settings.background, settings.margin)
    shared = {**look, **_encoder_parts(encoder, job)}
    unreadable: dict[str, str] = {}
    of_row: dict[Row, Entry] = {}
    alike: dict[Entry, list[Row]] = {}  # icons of equal content are one entry
    for row in rows:
        try:
            content = row.icon.path.read_bytes()
        except OSError as error:
            unreadable[row.icon.relative] = f"cannot be read ({error.strerror})"
            continue
        of_row[row] = entry(encoder.name, {**shared, "svg": sha256_bytes(content)})
        alike.setdefault(of_row[row], []).append(row)

    def draw(same: Sequence[Row]) -> Image | None:
        try:
            content = same[0].icon.path.read_bytes()
            if entry(encoder.name, {**shared, "svg": sha256_bytes(content)}) != of_row[same[0]]:
                raise DocumentError("changed since this run began; run again")
            return _picture(content, settings, renderer)
        except (DocumentError, OSError) as error:
            unreadable.update({row.icon.relative: str(error) for row in same})
            return None

    size = max(1, min(_BATCH_PICTURES, _BATCH_PIXELS // settings.resolution**2))
    _fill(encoder, alike, draw, size, job)
    skipped: dict[str, str] = dict(gather_object([*unreadable.items()]))
    _tell_skipped(skipped, len(rows))
    kept = tuple(row for row in rows if row.icon.relative not in skipped)
    return kept, tuple(of_row[row] for row in kept)


def texts(wanted: Iterable[str], job: Job) -> dict[str, tuple[Entry, ...]]:
    """Encode each distinct text with each text encoder; return its entries."""
    distinct = tuple(dict.fromkeys(wanted))
    entries: dict[str, tuple[Entry, ...]] = dict.fromkeys(distinct, ())
    for encoder in job.family.text_encoders(job.preset.memory):
        shared = _encoder_parts(encoder, job)
        of_text = {text: entry(encoder.name, {**shared, "text": text}) for text in distinct}
        sources = {each: text for text, each in of_text.items()}
        _fill(encoder, sources, _itself, _BATCH_TEXTS, job)
        entries = {text: (*entries[text], of_text[text]) for text in distinct}
    return entries


def _fill(
    encoder: Encoder[Input],
    sources: Mapping[Entry, object],
    read: Callable[..., Input | None],
    size: int,
    job: Job,
) -> None:
    """Encode what the cache lacks of `sources`, `size` at a time, each on one process.

    Args:
        encoder: loaded only if something is missing.
        sources: what each entry is made from.
        read: source -> encoder's input, or None to leave the entry out.
        size: inputs encoded at once.
        job: its cache is filled, in its dtype.
    """
    cache, accelerator = job.cache, job.accelerator
    dtype = DTYPES[job.preset.cache.dtype]
    mine = list(sources)[accelerator.process_index :: accelerator.num_processes]
    missing = [each for each in mine if not _is_sound(cache, each)]
    hits = sum(gather_object([len(mine) - len(missing)]))
    console.say(encoder.name, f"{hits} in the cache, {len(sources) - hits} to encode")
    if missing:
        with (
            encoder.loaded(accelerator.device) as encode,
            console.bar(encoder.name, len(missing), encoder.name) as bar,
        ):
            for some in batched(missing, size):
                inputs = {each: read(sources[each]) for each in some}
                ready = {each: value for each, value in inputs.items() if value is not None}
                contents = _padded(encode, [*ready.values()], size)
                for each, content in zip(ready, contents, strict=True):
                    cache.put(each, _cast(content, dtype))
                bar.update(len(some))
    accelerator.wait_for_everyone()


def _padded(
    encode: Callable[[Sequence[Input]], list[dict[str, Tensor]]], inputs: list[Input], size: int
) -> list[dict[str, Tensor]]:
    """Encode `inputs` in a batch of exactly `size`, filled up with copies of the last.

    Matrix products round differently in batches of different sizes; always the same size
    gives an input the same entry, whatever else is missing from the cache.
    """
    if not inputs:
        return []
    return encode([*inputs, *[inputs[-1]] * (size - len(inputs))])[: len(inputs)]


def _is_sound(cache: Cache, wanted: Entry) -> bool:
    """Tell whether an entry is there and whole; a damaged one is told and removed."""
    if not cache.has(wanted):
        return False
    try:
        cache.get(wanted)
    except DamagedFileError as error:
        console.warn(f"{error}; encoding it again")
        cache.drop(wanted)
        return False
    return True


def _encoder_parts(encoder: Encoder[Input], job: Job) -> dict[str, str]:
    """Return what of an encoder shapes its entries: its files, its settings, their dtype."""
    identity = Identities(job.cache.root).of(encoder.files)
    return {"encoder": identity, "dtype": job.preset.cache.dtype, **encoder.settings}


def _cast(content: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the tensors in the cache's dtype."""
    return {name: tensor.to(dtype) for name, tensor in content.items()}


def _picture(content: bytes, settings: Dataset, renderer: raster.Renderer) -> Image:
    """Draw one icon file's content as the preset asks.

    Raises:
        DocumentError: it cannot be drawn.
    """
    return raster.picture(
        content, settings.resolution, settings.background, settings.margin, renderer
    )


def _itself(text: str) -> str:
    """Return `text`: a caption is its encoder's input as it is."""
    return text


def _tell_skipped(skipped: Mapping[str, str], total: int) -> None:
    """Name the icons that were left out, and refuse to go on without any.

    Raises:
        LibraryError: every icon was left out.
    """
    for name, reason in list(skipped.items())[:_SKIPPED_SHOWN]:
        console.warn(f"{name}: skipped, {reason}")
    if len(skipped) > _SKIPPED_SHOWN:
        console.warn(f"and {len(skipped) - _SKIPPED_SHOWN} more icons skipped")
    if skipped and len(skipped) == total:
        name, reason = next(iter(skipped.items()))
        raise LibraryError(
            f"none of the {total} selected icons can be drawn; {name}: {reason}; "
            "choose other buckets, or repair the files"
        )
    if skipped:
        console.say("skipped", f"{len(skipped)} of {total} icons could not be drawn")
