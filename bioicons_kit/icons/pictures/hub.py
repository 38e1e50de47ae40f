"""A hub dataset -> a folder of the pictures that the preset's buckets want.

The rows are read in the dataset's own order. A row that meets `hub.where`, fits a bucket
that is not full, and whose picture meets `dataset.quality` is kept: the picture's file as
it is, and a line in the folder's `metadata.jsonl`. Reading stops when every bucket is
full. What was found so far is saved now and then, and the next run goes on from there.

The folder is named after all that decides what is in it. A branch means the commit that
it was when reading began, and a finished folder needs no network: to take in what a
dataset has gained since, remove the folder.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

from filelock import FileLock
from PIL import Image
from tqdm import tqdm

from bioicons_kit import console
from bioicons_kit.errors import DocumentError, LibraryError
from bioicons_kit.files import sha256_bytes, storage_errors, write_bytes, write_text
from bioicons_kit.icons import licenses, picture
from bioicons_kit.icons.choose import policy
from bioicons_kit.icons.library import Icon, Skipped
from bioicons_kit.icons.pictures import hub_stream, intake, quality
from bioicons_kit.icons.pictures.hub_rows import Reader
from bioicons_kit.icons.pictures.intake import Intake
from bioicons_kit.icons.scan import sidecar
from bioicons_kit.preset import Dataset, Quality, is_hub_id

PROGRESS, SKIPPED = "progress.json", "skipped.json"
_KEY_VERSION = 1
# A save is a few 100 kB at most; what is read between two of them is read again after a crash.
_SAVE_EVERY_KEPT, _SAVE_EVERY_READ = 25, 1000
_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg"}  # others are the format's name in lower case


@dataclass
class Progress:
    """How far reading has come.

    Attributes:
        commit: of the hub's dataset; None for a folder.
        read: rows behind us.
        position: where the stream is, in terms of `datasets` of that version.
        version: of `datasets`.
        kept: the pictures: lines of metadata.jsonl.
        skipped: pictures that a bucket wanted and that could not be used: path, reason.
        is_finished: whether there is no more to read.
    """

    commit: str | None
    read: int = 0
    position: dict[str, Any] | None = None
    version: str = ""
    kept: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    is_finished: bool = False


def fetch(dataset: Dataset, root: str, into: Path) -> Path:
    """Return the folder of the pictures that the buckets on `root` want, read if need be.

    Args:
        dataset: the preset's dataset.
        root: hub id, or the folder of a dataset in one of the hub's formats.
        into: where such folders are kept.

    Raises:
        LibraryError: the license is refused, the dataset or a column or class is not there,
            the hub cannot be reached, or no picture is good enough.
        KitError: the package `datasets` is missing.
        StorageError: no room.
    """
    _check_license(dataset, root)
    buckets = intake.empty(dataset, root)
    folder = into / _key(dataset, root, buckets)
    with storage_errors(folder):
        into.mkdir(parents=True, exist_ok=True)
    with FileLock(into / f".{folder.name}.lock"):  # the other processes of a launch wait
        progress = _saved(folder)
        if progress is None or not progress.is_finished:
            _read_on(folder, dataset, root, buckets, progress)
    return folder


def skipped(folder: Path) -> tuple[Skipped, ...]:
    """Return the pictures of a fetched dataset that a bucket wanted but could not be used."""
    progress = _saved(folder)
    assert progress is not None
    return tuple(Skipped(path, reason) for path, reason in progress.skipped)


def _check_license(dataset: Dataset, root: str) -> None:
    """Refuse a dataset whose license is unknown, or kept out by the preset's policy."""
    assert dataset.hub is not None
    spdx = licenses.normalize(dataset.hub.license)
    reason = policy.refusal(spdx, dataset.licenses)
    if reason is not None:
        raise LibraryError(
            f"{root}: its license, {spdx}, is refused: {reason}; choose another dataset, or see "
            "dataset.licenses"
        )


def _key(dataset: Dataset, root: str, buckets: Intake) -> str:
    """Return the name of the folder: a hash of all that decides what is in it."""
    assert dataset.hub is not None
    filters = {"category", "license", "author", "name", "exclude"}
    chosen = {
        "version": _KEY_VERSION,
        "root": root if is_hub_id(root) else [root, _listing(Path(root))],
        "hub": dataset.hub.model_dump(),
        "quality": dataset.quality.model_dump(),
        "buckets": [
            [dataset.buckets[place.number].model_dump(include=filters), place.wanted]
            for place in buckets.places
        ],
        "withholds": [place.withholds for place in buckets.places],
    }
    name = root.rsplit("/", 1)[-1][:40]
    return f"{name}-{sha256_bytes(json.dumps(chosen, sort_keys=True).encode())[:16]}"


def _listing(folder: Path) -> list[list[Any]]:
    """Return what tells the versions of a dataset's folder apart, its files unopened."""
    files = (Path(place) / name for place, _, found in os.walk(folder) for name in found)
    stats = ((file.relative_to(folder).as_posix(), file.lstat()) for file in files)
    return sorted([name, stat.st_size, stat.st_mtime_ns] for name, stat in stats)


def _read_on(
    folder: Path, dataset: Dataset, root: str, buckets: Intake, before: Progress | None
) -> None:
    """Read from where an earlier run came, until the buckets are full or the rows end."""
    assert dataset.hub is not None
    for half_written in folder.rglob(".*.tmp"):  # by a run that was killed
        half_written.unlink()
    progress = before or Progress(hub_stream.commit(root, dataset.hub.revision))
    position = progress.position if progress.version == hub_stream.version() else None
    stream = hub_stream.opened(root, dataset.hub, progress.commit, position, progress.read)
    reader = Reader(root, dataset.hub, stream.features)
    reader.check([(place.number, dataset.buckets[place.number]) for place in buckets.places])
    progress.version = hub_stream.version()
    for entry in progress.kept:
        buckets.add(_icon_of(entry))
    work = _Work(folder, stream, reader, dataset.quality, buckets, progress)
    with quality.quietly(), console.bar("fetch", buckets.total, "image") as bar:
        work.run(bar)
    work.finish()


@dataclass
class _Work:
    """A stream, and what it fills."""

    folder: Path
    stream: hub_stream.Stream
    reader: Reader
    demands: Quality
    buckets: Intake
    progress: Progress
    saved: int = 0  # pictures at the last save

    def run(self, bar: "tqdm[Any]") -> None:
        """Read rows until the buckets are full."""
        bar.update(self.buckets.filled)
        hashes = {entry["sha256"] for entry in self.progress.kept}
        if self.buckets.is_full:
            return
        for row in self.stream:
            self._read(row, hashes)
            self.progress.read += 1
            bar.update(self.buckets.filled - bar.n)
            bar.set_postfix_str(f"{self.progress.read:,} rows; {self.buckets.report()}", False)
            if self.buckets.is_full:
                return
            fresh = len(self.progress.kept) - self.saved
            if fresh >= _SAVE_EVERY_KEPT or self.progress.read % _SAVE_EVERY_READ == 0:
                self.save()

    def save(self) -> None:
        """Write down how far reading has come; between two rows, or what is kept is halved."""
        self.progress.position = None if self.progress.is_finished else self.stream.position()
        write_text(self.folder / PROGRESS, json.dumps(asdict(self.progress), ensure_ascii=False))
        self.saved = len(self.progress.kept)

    def finish(self) -> None:
        """Write the metadata; say what there is, and refuse to end with nothing."""
        kept, read = self.progress.kept, self.progress.read
        if not kept:
            raise LibraryError(self._nothing_found())
        lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in kept)
        write_text(self.folder / sidecar.LISTING, lines)
        self.progress.is_finished = True
        self.save()
        console.say("fetched", f"{len(kept):,} pictures of {read:,} rows; {self.buckets.report()}")

    def _read(self, row: Mapping[str, Any], hashes: set[str]) -> None:
        """Keep the picture of a row if it is wanted and good enough."""
        if not self.reader.is_asked_for(row):
            return
        icon = self.reader.icon(row, self.progress.read)
        if not self.buckets.wants(icon):
            return
        try:
            if self.reader.says_nothing(row):
                raise DocumentError("the row has neither caption nor title")
            content = self.stream.content(row.get(self.reader.hub.image))
            look = quality.inspect(content)
            reason = quality.refusal(look, self.demands)
            if reason is None and look.sha256 in hashes:
                reason = "the same picture as an earlier row's"
            if reason is not None:
                raise DocumentError(reason)
        except DocumentError as error:
            self.progress.skipped.append((icon.relative, str(error)))
            return
        hashes.add(look.sha256)
        kept = replace(icon, relative=icon.relative + _suffix(content))
        write_bytes(self.folder / kept.relative, content)
        self.progress.kept.append(_entry(kept, look, self.progress.read))
        self.buckets.add(kept)

    def _nothing_found(self) -> str:
        """Say why no picture of a dataset could be used."""
        where = f"{self.reader.root}: none of its {self.progress.read:,} rows can be used"
        if not self.progress.skipped:
            return f"{where}: none meets hub.where and fits a bucket"
        path, reason = self.progress.skipped[0]
        return f"{where}, the first that fits a bucket being {path} ({reason})"


def _suffix(content: bytes) -> str:
    """Return the suffix of a picture's file, which has been opened before."""
    with Image.open(BytesIO(content), formats=picture.PHOTO_FORMATS) as image:
        return _SUFFIXES.get(str(image.format), f".{str(image.format).lower()}")


def _entry(icon: Icon, look: quality.Look, row: int) -> dict[str, Any]:
    """Return a picture's line of metadata, in the manifest's terms."""
    texts = (icon.text or "").split("\n")
    said = {
        "file_name": icon.relative,
        "text": texts[0] or None,
        "texts": texts if len(texts) > 1 else None,
        "title": icon.title,
        "author": icon.author,
        "category": icon.category,
        "license": icon.license,
        "source_url": icon.source_url,
        "sha256": look.sha256,
        "width": look.width,
        "height": look.height,
        "row": row,
    }
    return {key: value for key, value in said.items() if value is not None}


def _icon_of(entry: Mapping[str, Any]) -> Icon:
    """Return the picture that a line of metadata describes, as far as buckets ask."""
    relative = str(entry["file_name"])
    said = {key: str(entry[key]) for key in ("category", "license", "author", "title")}
    return Icon(path=Path(relative), relative=relative, kind="image", **said)


def _saved(folder: Path) -> Progress | None:
    """Return how far an earlier run came; None if there was none, or its file is damaged."""
    try:
        progress = Progress(**json.loads((folder / PROGRESS).read_text("utf-8")))
        for entry in progress.kept:
            _icon_of(entry)
        is_whole = all(_is_there(folder, entry) for entry in progress.kept)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return progress if is_whole else None


def _is_there(folder: Path, entry: Mapping[str, Any]) -> bool:
    """Tell whether the picture of a line of metadata is where it says."""
    return (folder / str(entry["file_name"])).is_file()
