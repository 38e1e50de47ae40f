"""Where a preset's pictures come from: a library for each source and root of its buckets.

Icons, photographs and hub datasets all become icons here, and are the same to everything
that follows.
"""

import os
from dataclasses import replace
from pathlib import Path

from bioicons_kit.files import sha256_bytes
from bioicons_kit.icons import library, select
from bioicons_kit.icons.library import Library
from bioicons_kit.icons.pictures import hub, images
from bioicons_kit.preset import Dataset
from bioicons_kit.preset.dataset import Source


def libraries(dataset: Dataset, cache_root: Path) -> dict[tuple[Source, str], Library]:
    """Return the library of each (source, root) that the preset's buckets select from.

    Args:
        dataset: the preset's dataset.
        cache_root: the preset's cache: pictures of hub datasets are kept in its folder `hub`,
            and what was seen of folders of images in its folder `images`.

    Raises:
        LibraryError: one of them is missing, none of its pictures can be used, or, where a hub
            dataset is to be read as well, a bucket on one of the others selects nothing, or
            what the policy refuses.
        KitError: a hub dataset needs the package `datasets`.
        StorageError: no room for a hub dataset's pictures.
    """
    places = dict.fromkeys(select.place(bucket, dataset) for bucket in dataset.buckets)
    here = {place: _library(*place, dataset, cache_root) for place in places if place[0] != "hub"}
    if here and len(here) < len(places):  # before an hour of reading the hub
        select.check(here, dataset)
    return {place: here.get(place) or _library(*place, dataset, cache_root) for place in places}


def _library(source: Source, root: str, dataset: Dataset, cache_root: Path) -> Library:
    """Return the library of one source and root."""
    if source == "icons":
        return library.scan(root)
    if source == "images":
        return _images(Path(root), dataset, cache_root)
    folder = hub.fetch(dataset, root, cache_root / "hub")
    found = _images(folder, dataset, cache_root)
    return replace(found, skipped=(*found.skipped, *hub.skipped(folder)))


def _images(folder: Path, dataset: Dataset, cache_root: Path) -> Library:
    """Return the library of a folder of images, remembering what was seen of it."""
    name = sha256_bytes(os.fsencode(os.path.realpath(folder)))[:16]
    return images.scan(folder, dataset.quality, cache_root / "images" / f"{name}.json")
