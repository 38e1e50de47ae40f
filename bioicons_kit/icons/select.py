"""Icons x buckets -> rows, the list of what a run trains on.

A bucket selects the icons for which each of its filters holds (`filters`). The licenses of
all that is selected are checked against the preset's policy first (`policy`). An icon that
two buckets select is told, and counts in the first of them that takes it, or in each, as
`dataset.overlap` says.

Of what is selected, `limit` takes at most so many, `quota` exactly, `share` a share of the
whole (`quotas`). Which ones is drawn by a hash of `dataset.seed` and the icon's id: it
depends on neither the order of the files nor the machine, favors no author, and an icon
that comes or goes changes the draw by one. At last, whole concepts or authors are held out
for validation, if the preset asks for it (`holdout`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bioicons_kit import console
from bioicons_kit.errors import LibraryError
from bioicons_kit.files import sha256_bytes
from bioicons_kit.icons.choose import filters, holdout, policy, quotas
from bioicons_kit.icons.choose.filters import matcher
from bioicons_kit.icons.library import Icon, Library
from bioicons_kit.icons.row import Role, Row
from bioicons_kit.preset import Bucket, Dataset
from bioicons_kit.preset.dataset import Source

__all__ = ["Libraries", "Role", "Row", "matcher", "place", "rows"]

Libraries = Mapping[tuple[Source, str], Library]


def rows(library: Library | Libraries, dataset: Dataset) -> tuple[Row, ...]:
    """Return the rows of all buckets, sorted by bucket and icon id.

    Args:
        library: where all buckets select from, or the library of each (source, root).
        dataset: the preset's buckets, policy, seed, and what applies to all.

    Raises:
        LibraryError: a bucket names an unknown license, matches no icon, has fewer than it
            is to take, or selects what the policy refuses; or nothing can be held out.
    """
    selected = [
        _selected(library, bucket, index, dataset) for index, bucket in enumerate(dataset.buckets)
    ]
    policy.check(selected, dataset.licenses)
    _check_validation(selected, dataset)
    _tell_idle(library, dataset)
    shared = _share_counts(selected, dataset)
    taken: dict[Path, int] = {}
    found: list[Row] = []
    for index, (bucket, icons) in enumerate(zip(dataset.buckets, selected, strict=True)):
        there = _not_taken(icons, index, taken, dataset)
        template = bucket.caption or dataset.caption
        for icon in _taken_by(bucket, index, there, shared, dataset.seed):
            taken.setdefault(icon.path, index)
            found.append(Row(icon, index, bucket.repeats, bucket.role, template))
    if dataset.held_out is None:
        return tuple(found)
    return holdout.held_out(found, dataset.held_out, dataset.seed)


def check(here: Libraries, dataset: Dataset) -> None:
    """Refuse what can be refused before the other libraries are there.

    Raises:
        LibraryError: a bucket that takes from one of these names an unknown license, matches
            no icon, or selects what the policy refuses.
    """
    selected = [
        _selected(here, bucket, index, dataset) if place(bucket, dataset) in here else []
        for index, bucket in enumerate(dataset.buckets)
    ]
    policy.check(selected, dataset.licenses)


def place(bucket: Bucket, dataset: Dataset) -> tuple[Source, str]:
    """Return the (source, root) that a bucket takes its pictures from."""
    return bucket.source or dataset.source, bucket.root or dataset.root


def _selected(
    library: Library | Libraries, bucket: Bucket, index: int, dataset: Dataset
) -> list[Icon]:
    """Return the icons that pass a bucket's filters, in the order of their ids."""
    try:
        return filters.matching(_icons(library, bucket, dataset), bucket)
    except LibraryError as error:
        raise LibraryError(f"bucket {index}: {error}") from error


def _icons(library: Library | Libraries, bucket: Bucket, dataset: Dataset) -> tuple[Icon, ...]:
    """Return all icons that a bucket may select from."""
    return (library if isinstance(library, Library) else library[place(bucket, dataset)]).icons


def _tell_idle(library: Library | Libraries, dataset: Dataset) -> None:
    """Say which of the names that the buckets give are those of no icon."""
    for index, bucket in enumerate(dataset.buckets):
        for problem in filters.idle(_icons(library, bucket, dataset), bucket):
            console.warn(f"bucket {index}: {problem}")


def _check_validation(selected: Sequence[Sequence[Icon]], dataset: Dataset) -> None:
    """Refuse to measure by what is learned: an icon of a validation and another bucket."""
    if dataset.overlap == "first":
        return
    measured = {
        icon.path: index
        for index, icons in enumerate(selected)
        for icon in icons
        if dataset.buckets[index].role == "validation"
    }
    for index, icons in enumerate(selected):
        both = [icon for icon in icons if measured.get(icon.path, index) != index]
        if both and dataset.buckets[index].role != "validation":
            raise LibraryError(
                f"bucket {index}: {len(both)} of its icons, for example {both[0].relative}, are "
                f"also in the validation bucket {measured[both[0].path]}, and what is learned "
                'cannot be measured by; set dataset.overlap = "first" and put the validation '
                "bucket first, or choose other icons"
            )


def _share_counts(selected: Sequence[Sequence[Icon]], dataset: Dataset) -> list[int] | None:
    """Return how many pictures each bucket takes by its share; None without shares."""
    shares = [bucket.share for bucket in dataset.buckets if bucket.share is not None]
    if not shares:
        return None
    available = []
    earlier: set[Path] = set()
    for icons in selected:
        here = {icon.path for icon in icons}
        available.append(len(here - earlier))
        if dataset.overlap == "first":
            earlier |= here
    return quotas.of_shares(shares, dataset.size, available)


def _not_taken(
    icons: Sequence[Icon], index: int, taken: Mapping[Path, int], dataset: Dataset
) -> Sequence[Icon]:
    """Return what a bucket may take: all, or what no earlier one has; tell of the overlap.

    Raises:
        LibraryError: earlier buckets have everything.
    """
    overlap = [icon for icon in icons if icon.path in taken]
    if not overlap:
        return icons
    earlier = ", ".join(str(bucket) for bucket in sorted({taken[icon.path] for icon in overlap}))
    also = f"bucket {index}: {len(overlap)} of its {len(icons)} icons are also in bucket {earlier}"
    if dataset.overlap == "each":
        console.warn(f"{also}, and count in each")
        return icons
    if len(overlap) == len(icons):
        raise LibraryError(
            f"bucket {index}: bucket {earlier} already has all {len(overlap)} icons that it "
            "matches, and an icon counts only once; remove the bucket or narrow the earlier one, "
            'or set dataset.overlap = "each"'
        )
    console.warn(f"{also}, where alone they count")
    return [icon for icon in icons if icon.path not in taken]


def _taken_by(
    bucket: Bucket, index: int, icons: Sequence[Icon], shared: Sequence[int] | None, seed: int
) -> Sequence[Icon]:
    """Return the icons that a bucket takes of those it may, in the order of their ids.

    Raises:
        LibraryError: there are fewer than the bucket's quota.
    """
    if bucket.quota is not None and len(icons) < bucket.quota:
        raise LibraryError(
            f"bucket {index}: its quota is {bucket.quota:,} icons, but {len(icons):,} are there to "
            "choose from; lower the quota, widen the filters, or use limit to take what there is"
        )
    count = shared[index] if shared else bucket.quota or bucket.limit
    if count is None or count >= len(icons):
        return icons
    drawn = sorted(icons, key=lambda icon: sha256_bytes(f"{seed} {icon.relative}".encode()))
    return sorted(drawn[:count], key=lambda icon: icon.relative)
