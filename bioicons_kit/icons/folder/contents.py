"""What a dataset folder holds: its pictures with their stamps, their metadata, what is missing.

The `imagefolder` loader of `datasets` takes a column's type from its first lines and refuses
splits whose columns differ; so here the metadata of every picture has the same keys, ""
where the manifest has none, and `texts`, all captions, either for all pictures or for none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bioicons_kit.icons import manifest
from bioicons_kit.icons.folder.plan import Skip, Wanted
from bioicons_kit.icons.folder.stamp import Stamp
from bioicons_kit.icons.manifest import Drawn, Record
from bioicons_kit.preset import Dataset, Preset

SPLITS = ("train", "validation", "prior")

Pictures = Sequence[tuple[Wanted, Stamp]]


@dataclass(frozen=True)
class Contents:
    """All that a folder is written from.

    Attributes:
        preset: what asked for it.
        folder: where the pictures are.
        pictures: those that stand, in the order of the rows.
        records: the metadata of each.
        skipped: the files that gave none.
    """

    preset: Preset
    folder: Path
    pictures: Pictures
    records: Sequence[Record]
    skipped: Sequence[Skip]

    def split(self, name: str) -> list[Record]:
        """Return the metadata of one split; its folder is called like the rows' role."""
        return [record for record in self.records if record["role"] == name]

    @property
    def splits(self) -> list[str]:
        """The splits that have pictures."""
        return [name for name in SPLITS if self.split(name)]

    @property
    def removed(self) -> dict[str, tuple[str, ...]]:
        """What was taken out of the files before they were drawn, by icon."""
        return {each.row.icon.relative: s.removed for each, s in self.pictures if s.removed}

    @property
    def groups(self) -> dict[tuple[str, int], list[Wanted]]:
        """The pictures of each (role, bucket)."""
        found: dict[tuple[str, int], list[Wanted]] = {}
        for each, _ in self.pictures:
            found.setdefault((each.row.role, each.row.bucket), []).append(each)
        return found

    @property
    def first(self) -> list[tuple[Wanted, Stamp]]:
        """The first picture of each icon."""
        found: dict[Path, tuple[Wanted, Stamp]] = {}
        for each, stamp in self.pictures:
            found.setdefault(each.row.icon.path, (each, stamp))
        return [*found.values()]


def records(pictures: Pictures, dataset: Dataset) -> list[Record]:
    """Return the metadata of the pictures, `file_name` starting at their split's folder.

    Raises:
        LibraryError: an icon has gone, or cannot be read any more.
    """
    listed = manifest.records(
        [each.row for each, _ in pictures],
        [each.captions for each, _ in pictures],
        dataset,
        [
            Drawn(each.task.recipe.width, each.task.recipe.height, stamp.renderer)
            for each, stamp in pictures
        ],
    )
    several = any(len(each.captions) > 1 for each, _ in pictures)
    return [
        _uniform(record, each, several) for record, (each, _) in zip(listed, pictures, strict=True)
    ]


def _uniform(record: Record, each: Wanted, several: bool) -> Record:
    """Return a record as all of the folder are: no nulls, the same keys."""
    texts = {"texts": list(each.captions)} if several else {}
    own = {
        "file_name": PurePosixPath(each.path).relative_to(each.row.role).as_posix(),
        **texts,
        "sha256": each.sha256,
        "repeats": each.repeats,
    }
    merged = {"file_name": "", "text": "", **texts, **record, **own}
    return {key: "" if value is None else value for key, value in merged.items()}
