"""What a preset needs from the cache: every entry, and what it would be made from.

Nothing is drawn, encoded or written here; `encode` does that for what is missing, and the
upkeep of the cache (`upkeep`) asks only for the list. The content of every picture file is
read and hashed each time: a size and a date do not show that a picture was edited.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from bioicons_kit import console
from bioicons_kit.data import masks, showings
from bioicons_kit.data.batches import View
from bioicons_kit.data.bucketing import Size
from bioicons_kit.data.cache import Entry, Shape, entry
from bioicons_kit.data.identity import Identities
from bioicons_kit.data.job import Job
from bioicons_kit.errors import DocumentError
from bioicons_kit.families.base import DTYPES, Encoder
from bioicons_kit.files import sha256_bytes
from bioicons_kit.icons import captions, picture
from bioicons_kit.icons.picture import Recipe
from bioicons_kit.icons.row import Row
from bioicons_kit.icons.words import curated
from bioicons_kit.icons.words.curated import Curated
from bioicons_kit.icons.workers import Task

_WORTH_A_BAR = 1000  # files to read


class Source(NamedTuple):
    """What an entry is made from.

    Attributes:
        input: the picture to draw, or the text.
        of: what it belongs to, for people.
        own: what of its key is its own: the content's hash, or the text.
        shared: the rest of what its key is made of.
    """

    input: Task | str
    of: str
    own: tuple[str, str]
    shared: Mapping[str, str]

    @property
    def about(self) -> dict[str, Any]:
        """What the entry is to tell about itself."""
        return {"of": self.of, "parts": {**self.shared, self.own[0]: self.own[1]}}


Sources = Mapping[Entry, Source]


@dataclass(frozen=True)
class PlannedRow:
    """One row: its captions, and its pictures as `[version][size]`."""

    row: Row
    captions: tuple[str, ...]
    views: tuple[tuple[View, ...], ...]


@dataclass(frozen=True)
class Plan:
    """All that a preset needs.

    Attributes:
        rows: those whose files could be read.
        unreadable: the reasons of the others, by icon.
        pictures: by the image encoder's entries.
        masks: by the masks' entries.
        texts: by text encoder, by its entries.
        of_text: the entries of each text, one an encoder.
    """

    rows: tuple[PlannedRow, ...]
    unreadable: Mapping[str, str]
    pictures: Sources
    masks: Sources
    texts: Mapping[str, Sources]
    of_text: Mapping[str, tuple[Entry, ...]]

    def sources(self) -> dict[str, Sources]:
        """Return all of it by kind of entry."""
        of_masks = {masks.KIND: self.masks} if self.masks else {}
        kinds = {next(iter(self.pictures)).kind: self.pictures} if self.pictures else {}
        return {**kinds, **of_masks, **self.texts}


def dataset(rows: Sequence[Row], job: Job) -> Plan:
    """Return what the rows and the sample prompts of a job's preset need.

    Raises:
        LibraryError: the captions file is damaged.
        KitError: a model file or the renderer cannot be used.
    """
    settings = job.preset.dataset
    written = curated.read(Path(settings.captions)) if settings.captions else Curated({})
    worded = [captions.captions(row, settings, written) for row in rows]
    planner = _Planner(job)
    with ExitStack() as stack:
        advance: Callable[[], object] = int
        if len(rows) > _WORTH_A_BAR:
            advance = stack.enter_context(console.bar("reading", len(rows), "file")).update
        for row, words in zip(rows, worded, strict=True):
            planner.add(row, words)
            advance()
    labels = {
        text: f"{planned.row.icon.relative} {number}"
        for planned in reversed(planner.rows)
        for number, text in enumerate(planned.captions)
    }
    prompts = dict.fromkeys(job.preset.sample.prompts, "sample.prompts")
    extra = {"": "the empty caption"}
    if settings.trigger.strip():
        extra[settings.trigger] = "dataset.trigger"
    if job.preset.train.preservation_class is not None:
        extra[job.preset.train.preservation_class] = "train.preservation_class"
    of_kind, of_text = texts(extra | prompts | labels, job)
    return Plan(
        tuple(planner.rows), planner.unreadable, planner.pictures, planner.masks, of_kind, of_text
    )


def texts(
    labels: Mapping[str, str], job: Job
) -> tuple[dict[str, Sources], dict[str, tuple[Entry, ...]]]:
    """Return the entries of texts: by encoder, and by text.

    Args:
        labels: what each text belongs to, for people.
        job: its family has the encoders.
    """
    by_kind: dict[str, Sources] = {}
    by_text: dict[str, tuple[Entry, ...]] = dict.fromkeys(labels, ())
    for encoder in job.family.text_encoders(job.preset.memory):
        shared, layout = encoder_parts(encoder, job), layout_of(encoder, (0, 0), job)
        sources: dict[Entry, Source] = {}
        for text, label in labels.items():
            made = entry(encoder.name, {**shared, "text": text}, layout)
            sources[made] = Source(text, label, ("text", text), shared)
            by_text[text] = (*by_text[text], made)
        by_kind[encoder.name] = sources
    return by_kind, by_text


def encoder_parts(encoder: Encoder[Any], job: Job) -> dict[str, str]:
    """Return what of an encoder shapes its entries: its files, its settings, their dtype."""
    with job.accelerator.main_process_first():  # the others find the hashes remembered
        identity = Identities(job.cache.root).of(encoder.files)
    return {"encoder": identity, "dtype": job.preset.cache.dtype, **encoder.settings}


def layout_of(encoder: Encoder[Any], size: tuple[int, int], job: Job) -> tuple[Shape, ...]:
    """Return the tensors an encoder's entries hold, for pictures of `size`."""
    dtype = DTYPES[job.preset.cache.dtype]
    return tuple(Shape(name, dtype, sizes) for name, sizes in encoder.shapes(size).items())


class _Planner:
    """Gathers what pictures need, row by row."""

    def __init__(self, job: Job) -> None:
        self._job, self._settings = job, job.preset.dataset
        self._encoder = job.family.image_encoder()
        self._shared = encoder_parts(self._encoder, job)
        self._layouts = cache(lambda size: layout_of(self._encoder, size, job))
        # rows that are made alike share one account of how
        self._looks = cache(
            lambda recipe, kind: {**self._shared, **showings.parts(recipe), "file": kind}
        )
        self.rows: list[PlannedRow] = []
        self.unreadable: dict[str, str] = {}
        self.pictures: dict[Entry, Source] = {}
        self.masks: dict[Entry, Source] = {}

    def add(self, row: Row, words: Sequence[str]) -> None:
        """Plan a row; one whose file cannot be read is noted as unreadable."""
        try:
            content = picture.read(row.icon.path, row.icon.kind)
            sizes = showings.sizes(content, row, self._settings)
            mask = masks.digest(row, self._settings)
        except DocumentError as error:
            self.unreadable[row.icon.relative] = str(error)
            return
        digest = sha256_bytes(content)
        views = tuple(
            tuple(self._view(row, digest, recipe, mask) for recipe in version)
            for version in showings.recipes(row, words, sizes, self._settings)
        )
        self.rows.append(PlannedRow(row, tuple(words), views))

    def _view(self, row: Row, digest: str, recipe: Recipe, mask: str) -> View:
        """Return one picture at one size, and note what its entries are made from."""
        icon, size = row.icon, Size(recipe.width, recipe.height)
        shared, layout = self._looks(recipe, icon.kind), self._layouts(size)
        made = entry(self._encoder.name, {**shared, "picture": digest}, layout)
        task = Task(icon.path, icon.kind, recipe, digest)
        source = Source(task, icon.relative, ("picture", digest), shared)
        self.pictures.setdefault(made, source)
        if self._settings.mask is None:
            return View(size, (made,))
        grid = layout[0].sizes[-2:]
        of_mask, planned = masks.planned(task, row, self._settings, mask, grid)
        self.masks.setdefault(of_mask, Source(*planned))
        return View(size, (made, of_mask))
