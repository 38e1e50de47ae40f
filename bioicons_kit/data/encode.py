"""Rows and texts -> entries in the cache: encoders come, work once, and go.

Only what the cache lacks is drawn and encoded. An encoder is loaded only if it has
something to do, and freed before the next one is loaded. While it works, other processes
draw the next pictures and a thread writes the last entries (`fill`, `overlap`).
"""

import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from accelerate.utils import gather_object
from PIL.Image import Image

from bioicons_kit import console
from bioicons_kit.data import bucketing, masks, plan
from bioicons_kit.data.batches import Content, Item
from bioicons_kit.data.cache import Entry
from bioicons_kit.data.fill import Encoding, Filling, filling
from bioicons_kit.data.job import Job
from bioicons_kit.data.overlap import ahead
from bioicons_kit.data.plan import Plan, PlannedRow, Sources
from bioicons_kit.errors import LibraryError
from bioicons_kit.families.base import Encoder
from bioicons_kit.icons.picture import Picture
from bioicons_kit.icons.row import Row
from bioicons_kit.icons.workers import Painters, Task
from bioicons_kit.memory import peak
from bioicons_kit.preset import Preset

Part = Literal["latents", "text"]

# Pictures encoded at once hold about this many pixels together. On a CPU larger batches are
# slower: the C library maps and clears memory anew for each tensor above 32 MB.
_BATCH_PIXELS = {"cpu": 512 * 512}
_BATCH_PIXELS_GPU = 1024 * 1024
_BATCH_PICTURES = 16
BATCH_TEXTS = 8
_SKIPPED_SHOWN = 5
_FEW = 8  # pictures, for which starting a second process does not pay


@dataclass(frozen=True)
class Encoded:
    """A preset's data, encoded.

    Attributes:
        rows: the rows whose picture could be drawn, in the order selected.
        captions: one or more a row.
        items: what batches are made of, one a row.
        texts: the text entries, one an encoder, of every caption, of every sample prompt, of
            the empty text, of the trigger and of the class to preserve.
        plan: what all of it was made from.
        seconds: that encoding pictures, and texts, took.
    """

    rows: tuple[Row, ...]
    captions: tuple[tuple[str, ...], ...]
    items: tuple[Item, ...]
    texts: Mapping[str, tuple[Entry, ...]]
    plan: Plan
    seconds: Mapping[str, float] = field(default_factory=dict, compare=False)

    def content(self, preset: Preset) -> Content:
        """Return what training batches are made of; validation rows are not."""
        pairs = zip(self.rows, self.items, strict=True)
        mask, trigger = preset.dataset.mask, preset.dataset.trigger
        kept = preset.train.preservation_class
        return Content(
            tuple(item for row, item in pairs if row.role != "validation"),
            self.texts[""],
            self.texts[trigger] if preset.train.trigger_only else None,
            () if kept is None else self.texts[kept],
            1.0 if mask is None else mask.background,
        )


def dataset(rows: Sequence[Row], job: Job, only: Part | None = None) -> Encoded:
    """Encode the pictures and captions of `rows`, and the preset's sample prompts.

    Args:
        rows: what is selected.
        job: has the cache, the family and the preset.
        only: which part to encode; both if None.

    Raises:
        LibraryError: none of the icons to learn from can be drawn.
        ModelError: an encoder cannot be loaded, or makes numbers that are not finite.
        StorageError: no room in the cache; entries already written stay.
    """
    planned = plan.dataset(rows, job)
    failed: dict[Entry, str] = {}
    began = time.monotonic()
    if only != "text":
        failed = pictures(planned, job)
    drawn = time.monotonic()
    if only != "latents":
        _texts(planned.texts, job)
    seconds = {"pictures": drawn - began, "texts": time.monotonic() - drawn}
    console.say("memory", peak.told(job.device))
    kept = _kept(rows, planned, failed)
    _tell_sizes(kept)
    return Encoded(
        tuple(each.row for each in kept),
        tuple(each.captions for each in kept),
        tuple(_item(each, planned, job.preset) for each in kept),
        planned.of_text,
        planned,
        seconds,
    )


def pictures(planned: Plan, job: Job) -> dict[Entry, str]:
    """Encode the pictures and masks of a plan; return the reasons of those that failed."""
    encoder = job.family.image_encoder()
    with filling(encoder.name, planned.pictures, job) as latents:
        if latents.missing:
            wanted = _by_size(latents.missing, planned.pictures)
            with (
                ahead(_drawn(wanted, planned.pictures, latents), 2 * _BATCH_PICTURES) as drawn,
                encoder.loaded(job.device) as encode,  # while the first are being drawn
            ):
                images = ((made, picture.image) for made, picture in drawn)
                size = partial(batch_pictures, device=job.device)
                for made, content in Encoding(encode).each(images, size):
                    latents.put(made, content)
    failed = dict(latents.failed)
    if planned.masks:
        with filling(masks.KIND, planned.masks, job) as covers:
            read = masks.reader(job.preset.dataset)
            for made, picture in _drawn(covers.missing, planned.masks, covers):
                grid = made.layout[0].sizes
                covers.put(made, {"coverage": masks.coverage(read(picture), grid)})
        failed |= covers.failed
    return dict(gather_object([*failed.items()]))


def texts(wanted: Iterable[str], job: Job) -> dict[str, tuple[Entry, ...]]:
    """Encode each distinct text with each text encoder; return its entries."""
    of_kind, of_text = plan.texts(dict.fromkeys(wanted, "prompt"), job)
    _texts(of_kind, job)
    return of_text


def batch_pictures(image: Image, device: torch.device) -> int:
    """Return how many pictures of this one's size are encoded at once."""
    pixels = _BATCH_PIXELS.get(device.type, _BATCH_PIXELS_GPU)
    return max(1, min(_BATCH_PICTURES, pixels // (image.width * image.height)))


def _texts(of_kind: Mapping[str, Sources], job: Job) -> None:
    """Encode what the cache lacks of texts, one encoder after the other."""
    for encoder in job.family.text_encoders(job.preset.memory):
        _fill_texts(encoder, of_kind[encoder.name], job)


def _fill_texts(encoder: Encoder[str], sources: Sources, job: Job) -> None:
    """Encode what the cache lacks of one encoder's texts."""
    with filling(encoder.name, sources, job) as lacking:
        if lacking.missing:
            with encoder.loaded(job.device) as encode:
                ready = ((made, sources[made].input) for made in lacking.missing)
                for made, content in Encoding(encode).each(ready, lambda _: BATCH_TEXTS):
                    lacking.put(made, content)


def _drawn(
    wanted: Sequence[Entry], sources: Sources, fill: Filling
) -> Generator[tuple[Entry, Picture]]:
    """Draw the pictures of entries, in their order; note those that cannot be drawn."""
    if not wanted:
        return
    with Painters(None if len(wanted) > _FEW else 1) as painters:
        tasks = (_task(sources, made) for made in wanted)
        for made, outcome in zip(wanted, painters.paint(tasks), strict=True):
            if outcome.picture is None:
                fill.fail(made, outcome.problem or "cannot be drawn")
            else:
                yield made, outcome.picture


def _by_size(wanted: Sequence[Entry], sources: Sources) -> list[Entry]:
    """Return entries so that pictures of one size follow one another."""

    def size(made: Entry) -> tuple[int, int]:
        recipe = _task(sources, made).recipe
        return recipe.width, recipe.height

    return sorted(wanted, key=size)


def _task(sources: Sources, made: Entry) -> Task:
    """Return the picture that an entry is made from."""
    task = sources[made].input
    assert isinstance(task, Task)
    return task


def _item(planned: PlannedRow, whole: Plan, preset: Preset) -> Item:
    """Return what batches need of a row."""
    is_prior = planned.row.role == "prior"
    return Item(
        planned.views,
        tuple(whole.of_text[caption] for caption in planned.captions),
        planned.row.repeats,
        preset.train.prior_weight if is_prior else 1.0,
        is_prior,
    )


def _kept(rows: Sequence[Row], planned: Plan, failed: Mapping[Entry, str]) -> list[PlannedRow]:
    """Return the rows all of whose pictures could be made; name the others.

    Raises:
        LibraryError: no row to learn from is left.
    """
    skipped = dict(planned.unreadable)
    kept = []
    for each in planned.rows:
        entries = (made for version in each.views for view in version for made in view.entries)
        reasons = [failed[made] for made in entries if made in failed]
        if reasons:
            skipped[each.row.icon.relative] = reasons[0]
        else:
            kept.append(each)
    for name, reason in list(skipped.items())[:_SKIPPED_SHOWN]:
        console.warn(f"{name}: skipped, {reason}")
    if len(skipped) > _SKIPPED_SHOWN:
        console.warn(f"and {len(skipped) - _SKIPPED_SHOWN} more icons skipped")
    if not any(each.row.role == "train" for each in kept):
        name, reason = next(iter(skipped.items()))
        raise LibraryError(
            f"none of the {len(rows)} selected icons can be drawn; {name}: {reason}; "
            "choose other buckets, or repair the files"
        )
    if skipped:
        console.say("skipped", f"{len(skipped)} of {len(rows)} icons could not be drawn")
    return kept


def _tell_sizes(kept: Sequence[PlannedRow]) -> None:
    """Print how many showings an epoch has at each size, where there are several."""
    counts: dict[bucketing.Size, float] = {}
    for each in kept:
        if each.row.role != "validation":
            for view in each.views[0]:
                share = each.row.repeats / len(each.views[0])
                counts[view.size] = counts.get(view.size, 0) + share
    if len(counts) > 1:
        for line in bucketing.lines(counts):
            console.say("sizes", line)
